"""A network by its name: EfficientNet-Lite, torchvision's, timm's, or a folder that ``evo.deliver`` made."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from spaces import torchvision_shim
from spaces.architecture import Architecture
from spaces.errors import SpaceError
from spaces.export.network_folder import DESCRIPTION, load_network
from spaces.networks.modules import Normalise
from spaces.networks.network import Network
from spaces.pretrained.checkpoints import read_checkpoint_file
from spaces.pretrained.efficientnet_lite import DEVIATION, MEAN, SCALES, efficientnet_lite, packaged_weights
from spaces.pretrained.module_reader import EPSILON, ReadModule, our_tensors, read_module
from spaces.size import Size, as_text, both_sides
from spaces.space import SearchSpace, resolve_variants

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""What networks of torchvision subtract from values from 0 to 1, and divide by."""

TORCHVISION = (
    *(f"efficientnet_b{n}" for n in range(8)), *(f"efficientnet_v2_{size}" for size in "sml"),
    *(f"mnasnet{width}" for width in ("0_5", "0_75", "1_0", "1_3")), "mobilenet_v2", "mobilenet_v3_large",
    "mobilenet_v3_small", *(f"resnet{depth}" for depth in (18, 34, 50, 101, 152)), "wide_resnet101_2", "wide_resnet50_2",
)  # fmt: skip
"""The networks of torchvision that can be read."""


@dataclass(frozen=True)
class Pretrained:
    """A network with its weights.

    Attributes:
        weights: our names -> tensors, of everything but the preprocessing.
        mean, std: what it expects its images, values from 0 to 1, to be lessened and divided by, channel by channel.
        classes: names of the classes; empty: they have no names.
        measured: what was measured of its channels (``spaces.pretrained.importance``, ``refit``), named as weights are.
    """

    name: str
    space: SearchSpace
    arch: Architecture
    weights: Mapping[str, Tensor] = field(repr=False)
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: tuple[str, ...] = ()
    measured: Mapping[str, Tensor] = field(default_factory=dict, repr=False)

    def build(self) -> Network:
        """The network, in evaluation mode; images are floats from 0 to 1, ``(n, channels, height, width)``."""
        network = Network(self.arch, self.space, Normalise(self.mean, self.std), self.classes)
        own = {name: part for name, part in network.state_dict().items() if name.startswith("preprocessing.")}
        network.load_state_dict({**self.weights, **own})
        return network.eval()


def read_network(name: str, weights: str | Path | None = None, size: Size | None = None) -> Pretrained:
    """The network that ``name`` means.

    Networks of torchvision and timm are built by them, too, and give the same scores, or are refused.

    Args:
        name: ``efficientnet_lite0`` to ``4``, one of ``TORCHVISION``, ``timm:`` and a name of timm's, or the path of a folder
            that ``evo.deliver`` made.
        weights: a file; not needed for a folder, and for EfficientNet-Lite where the package with its weights is installed.
        size: pixels of the images it is to be used on; None: those that it was made for.

    Raises:
        SpaceError: there is no such network, it cannot be read, or the file does not hold its weights.
    """
    if _is_folder(name):
        return _delivered(Path(name), weights, size)
    original = find_original(name, size)
    if weights is None and name in SCALES:
        weights = packaged_weights(name)
    if weights is None:
        raise SpaceError(
            f"{name} needs a file with its weights: safetensors, or what torch.save made of its state_dict"
        )
    tensors = read_checkpoint_file(weights)
    own = take_weights(original.read, tensors, str(weights))
    found = Pretrained(name, original.read.space, original.read.arch, own, original.mean, original.std)
    if original.build is not None:
        module = original.build()
        with torch.no_grad():
            for (
                part,
                tensor,
            ) in module.state_dict().items():  # by hand: some ask for the version of the file that they wrote
                tensor.copy_(tensors.get(part, tensor))
        check_same(found, module)
    return found


@dataclass(frozen=True)
class Original:
    """A network as its library has it.

    Attributes:
        mean, std: what its images are brought to.
        build: makes its module, with fresh weights; None: no library is needed for it, and none asked.
    """

    read: ReadModule
    mean: tuple[float, ...]
    std: tuple[float, ...]
    build: Callable[[], nn.Module] | None = None


def _is_folder(name: str) -> bool:
    try:
        return (Path(name) / DESCRIPTION).is_file()
    except OSError:  # no file can be called so
        return False


def is_network(name: str) -> bool:
    """Whether ``find_original`` knows such a name, or timm may."""
    return name in SCALES or name in TORCHVISION or name.startswith("timm:")


def find_original(name: str, size: Size | None = None) -> Original:
    """The network of this name, without weights.

    Raises:
        SpaceError: there is none, or it cannot be read.
    """
    if name in SCALES:
        return Original(efficientnet_lite(name, size), (MEAN,) * 3, (DEVIATION,) * 3)
    if name in TORCHVISION:
        build = partial(torchvision_network, name)
        return Original(_read(build, name, size or 224), IMAGENET_MEAN, IMAGENET_STD, build)
    if name.startswith("timm:"):
        build = partial(timm_network, name.removeprefix("timm:"))
        with torch.device("meta"):
            settings: Mapping[str, Any] = build().default_cfg  # type: ignore[assignment]
        read = _read(build, name, size or int(settings["input_size"][-1]))
        return Original(read, tuple(settings["mean"]), tuple(settings["std"]), build)
    raise SpaceError(
        f"no network {name!r}: expected one of {', '.join([*SCALES, *TORCHVISION])}; timm: and a name of timm's; or a folder "
        "that python -m evo.deliver made"
    )


def _read(build: Callable[[], nn.Module], name: str, size: Size) -> ReadModule:
    with torch.device("meta"):
        return read_module(build(), name, size)


def torchvision_network(name: str) -> nn.Module:
    """torchvision's network of this name, with fresh weights."""
    module: nn.Module = torchvision_shim.torchvision.models.get_model(name, weights=None)
    return module


def timm_network(name: str) -> nn.Module:
    """timm's network of this name, with fresh weights.

    Raises:
        SpaceError: timm is not installed, or has no such network.
    """
    _ = torchvision_shim.torchvision  # timm imports it
    try:
        import timm
    except ImportError:
        raise SpaceError(f"timm:{name} needs timm: pip install timm") from None
    if not timm.is_model(name):
        raise SpaceError(f"timm has no network {name!r}: timm.list_models() lists those it has")
    module: nn.Module = timm.create_model(name, pretrained=False)
    return module


AGREEMENT = 1e-4
"""By how much scores of the original and ours may differ, as a share of the greatest: float32 adds up in another order."""


def check_reading(name: str, original: Original, module: nn.Module) -> None:
    """Compare what was read with the original as its library builds it, with the weights that it has.

    Raises:
        SpaceError: the network is none that can be read.
    """
    own = take_weights(original.read, module.state_dict(), name)
    check_same(Pretrained(name, original.read.space, original.read.arch, own, original.mean, original.std), module)


def check_same(found: Pretrained, module: nn.Module) -> None:
    """Compare scores of two random images with those of the original, which has the same weights.

    Raises:
        SpaceError: they differ, so the network is none that can be read.
    """
    images = torch.rand(
        2, found.space.stem.c_in, *both_sides(found.space.stem.size), generator=torch.Generator().manual_seed(0)
    )
    with torch.inference_mode():
        expected = module.eval()(Normalise(found.mean, found.std)(images))
        away = float((found.build()(images) - expected).abs().max() / expected.abs().max())
    if not away < AGREEMENT:
        raise SpaceError(
            f"{found.name} has parts that cannot be read: its scores differ from the original's by {away:.2g} of the greatest"
        )


def take_weights(read: ReadModule, tensors: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """The original's tensors under our names. Epsilons of normalisations that differ from ours go into running variances.

    Raises:
        SpaceError: tensors are missing, too many, of other shapes, or not finite.
    """
    counters = {name for name in read.tensors if name.endswith("num_batches_tracked")}
    missing = [name for name in read.tensors if name not in tensors and name not in counters]
    unknown = [name for name in tensors if name not in set(read.tensors)]
    if missing or unknown:
        said = [f"lacks {missing[0]!r}{_others(missing)}"] if missing else []
        said += [f"holds {unknown[0]!r}{_others(unknown)}, which it has not"] if unknown else []
        raise SpaceError(f"{source} does not hold the weights of {read.space.name}: it {' and '.join(said)}")
    with torch.device("meta"):
        expected = Network(read.arch, read.space).state_dict()
    found = {}
    for own, name in zip(our_tensors(read), read.tensors, strict=True):
        tensor = tensors.get(name, torch.zeros((), dtype=torch.long))
        tensor = tensor.to(expected[own].dtype)
        if expected[own].ndim == 2 and tensor.shape[2:] == (1, 1):
            tensor = tensor.flatten(1)  # a 1x1 convolution behind the pool is a linear layer
        if tensor.shape != expected[own].shape:
            raise SpaceError(
                f"{source} does not hold the weights of {read.space.name}: {name} is {tuple(tensor.shape)}, expected "
                f"{tuple(expected[own].shape)}"
            )
        if not bool(torch.isfinite(tensor).all()):
            raise SpaceError(f"{source} is damaged: {name} holds numbers that are not finite")
        found[own] = tensor + (read.epsilons[name] - EPSILON) if name in read.epsilons else tensor.clone()
    return found


def _others(names: Sequence[str]) -> str:
    return f" and {len(names) - 1} others" if len(names) > 1 else ""


def _delivered(folder: Path, weights: str | Path | None, size: Size | None) -> Pretrained:
    """The network in a folder that ``evo.deliver`` made."""
    if weights is not None:
        raise SpaceError(f"{folder} has its own weights: leave out the file {weights}")
    network = load_network(folder)
    description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    space, arch = SearchSpace.from_json(json.dumps(description["space"])), Architecture.parse(description["arch"])
    known = description["preprocessing"]
    arch, space = resolve_variants(arch, space)
    if size is not None and size != space.stem.size:
        raise SpaceError(
            f"{folder} holds a network for images of {as_text(space.stem.size)} pixels, not {as_text(size)}"
        )
    tensors = {name: part for name, part in network.state_dict().items() if not name.startswith("preprocessing.")}
    mean, std = tuple(known["mean"]), tuple(known["std"])
    return Pretrained(folder.name, space, arch, tensors, mean, std, tuple(description.get("classes", ())))
