"""What the operations of a trained network's space begin with: it is cut out of the network's own weights.

The middle of a kernel stays, and the hidden channels that matter most, so that fewer channels are always a part of more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor, nn

from spaces.architecture import IDENTITIES, Op
from spaces.errors import SpaceError
from spaces.layer import Shape
from spaces.networks.supernet import inherit_weights
from spaces.operations.primitives import Conv, SqueezeExcite
from spaces.pretrained.cut_space import is_depthwise, matching_steps, steps_of
from spaces.pretrained.importance import IMPORTANCE, most_important
from spaces.pretrained.networks import Pretrained
from spaces.pretrained.refit import COVARIANCE, MEAN, reads_hidden, refit
from spaces.pretrained.streams import BASIS, basis_of, narrow_operation, narrow_reader
from spaces.space import SearchSpace
from spaces.variants import stages

MEASURED = frozenset({IMPORTANCE, MEAN, COVARIANCE, *BASIS})
"""The last parts of the names of what was measured of a network's channels."""


def cut_weights(
    op: Op, cut: Op, shape: Shape, weights: Mapping[str, Tensor], importance: str = "scale"
) -> dict[str, Tensor]:
    """What ``cut`` begins with in the place of ``op``, whose weights are given; names are those inside the operation.

    Args:
        weights: beside them what was measured of their channels: for the importance ``taylor``, what ``channel_importance``
            gave; with what ``hidden_moments`` gave, the last convolution is fitted again.
        importance: which channels stay, a name of ``IMPORTANCES``.

    Raises:
        SpaceError: one cannot be cut out of the other.
    """
    return _cut(op, cut, shape, weights, importance)[0]


def _cut(
    op: Op, cut: Op, shape: Shape, weights: Mapping[str, Tensor], importance: str
) -> tuple[dict[str, Tensor], Tensor | None]:
    """What ``cut_weights`` gives, and which of the channels that the last convolution reads are left; None: all."""
    if op == cut:
        return {name: tensor.clone() for name, tensor in only_weights(weights)}, None
    branch = "branch." if any(name.startswith("branch.") for name in weights) else ""
    own = {name.removeprefix(branch): tensor for name, tensor in weights.items() if name.startswith(branch)}
    found = {name: tensor.clone() for name, tensor in only_weights(weights) if branch and not name.startswith(branch)}
    before, behind = matching_steps(op, cut, shape)
    device = next((tensor.device for tensor in weights.values()), None)
    kept = into = torch.arange(shape.c_in, device=device)
    for place, (whole, part) in enumerate(zip(before, behind, strict=True)):
        inside = (each for each in only_weights(own) if each[0].startswith(f"{place}."))
        here = {name.removeprefix(f"{place}."): tensor for name, tensor in inside}
        if isinstance(whole, Conv) and isinstance(part, Conv):
            into = kept
            if whole.groups == 1:
                kept = most_important(importance, before, place, own, part.c_out)
            elif not is_depthwise(whole):
                kept = torch.arange(whole.c_out, device=device)
            found |= {f"{branch}{place}.{name}": tensor for name, tensor in _cut_conv(whole, part, here, into, kept)}
        elif isinstance(whole, SqueezeExcite) and isinstance(part, SqueezeExcite):
            found |= {f"{branch}{place}.{name}": tensor for name, tensor in _cut_gate(here, kept, part.reduced)}
    last, hidden = len(before) - 1, before[-1]
    if reads_hidden(before) and isinstance(hidden, Conv) and len(into) < hidden.c_in:
        begun = {name.removeprefix(branch): tensor for name, tensor in found.items()}
        found |= {f"{branch}{name}": tensor for name, tensor in refit(own, begun, last, into).items()}
    return found, into


def layer_weights(
    op: Op,
    cut: Op,
    whole: Shape,
    shape: Shape,
    stage: int,
    weights: Mapping[str, Tensor],
    measured: Mapping[str, Tensor],
    importance: str = "scale",
    made: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """What ``cut`` begins with in a layer of ``shape``, which may have fewer channels than the ``whole`` one; see
    ``cut_weights``.

    Args:
        stage: that the layer belongs to.
        measured: what ``stream_bases`` gave of the network.
        made: the weights of ``cut`` in the whole layer, where it is no cut of ``op``.
    """
    if made:
        return narrow_operation(made, cut, whole, shape, stage, measured, None)
    named, kept = _cut(op, cut, whole, weights, importance)
    covariance = weights.get(f"{len(steps_of(op, whole)) - 1}.{COVARIANCE}")
    if covariance is not None and kept is not None:
        covariance = covariance[kept][:, kept]
    return narrow_operation(named, cut, whole, shape, stage, measured, covariance)


def only_weights(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Names and tensors of the weights themselves, without what was measured of their channels."""
    return ((name, tensor) for name, tensor in tensors.items() if name.rpartition(".")[2] not in MEASURED)


def _cut_conv(
    whole: Conv, part: Conv, tensors: Mapping[str, Tensor], into: Tensor, kept: Tensor
) -> Iterator[tuple[str, Tensor]]:
    """Of a convolution and its normalisation, the output channels ``kept``, of the input channels ``into``."""
    for name, tensor in tensors.items():
        if name != "0.weight":
            yield name, tensor[kept].clone() if tensor.ndim else tensor.clone()
            continue
        rows, columns = ((before - behind) // 2 for before, behind in zip(whole.kernel, part.kernel, strict=True))
        middle = tensor[:, :, rows : whole.kernel[0] - rows, columns : whole.kernel[1] - columns]
        yield name, middle[kept].clone() if whole.groups > 1 else middle[kept][:, into].clone()


def _cut_gate(tensors: Mapping[str, Tensor], kept: Tensor, reduced: int) -> Iterator[tuple[str, Tensor]]:
    """Of a squeeze-excitation, the channels ``kept`` and the first ``reduced`` of its own."""
    yield "gate.1.weight", tensors["gate.1.weight"][:reduced][:, kept].clone()
    yield "gate.1.bias", tensors["gate.1.bias"][:reduced].clone()
    yield "gate.3.weight", tensors["gate.3.weight"][kept][:, :reduced].clone()
    yield "gate.3.bias", tensors["gate.3.bias"][kept].clone()


def first_weights(
    found: Pretrained,
    space: SearchSpace,
    mean: Sequence[float],
    std: Sequence[float],
    importance: str = "scale",
    made: Mapping[tuple[int, Op], Mapping[str, Tensor]] = MappingProxyType({}),
) -> dict[str, Tensor]:
    """What a supernet of ``space`` begins with, by the names of its tensors: everything, but for other classes the last linear
    layer.

    Args:
        space: one that ``space_of`` made of the network, or that evolved from it.
        mean, std: what the images are brought to here, per channel; the stem is changed so that it sees what it was trained on,
            but for the margins, which are padded with zeros.
        importance: which channels stay, a name of ``IMPORTANCES``.
        made: a layer's place in the network and an operation that cannot be cut out of it -> its weights.
    """
    whole, sizes = found.space, space.input_sizes
    weights = _stem_weights(found, space.stem.c_in, mean, std)
    behind = 1 if sizes else 0
    for i, (layer, known) in enumerate(zip(space.layers[behind:], whole.layers, strict=True), start=behind):
        (op,) = known.candidates
        prefix = f"layers.{i - behind}.ops.{op}."
        tensors = (*found.weights.items(), *found.measured.items())
        own = {name.removeprefix(prefix): tensor for name, tensor in tensors if name.startswith(prefix)}
        stage = stage_of(whole, i - behind)
        for key, shape in (sizes.shapes_of_weights[i] if sizes else {"": layer.shape}).items():
            named_by = f"layers.{i}.rows.{key}.ops" if key else f"layers.{i}.ops"
            for cut in layer.candidates:
                if cut not in IDENTITIES:
                    given = made.get((i - behind, cut))
                    named = layer_weights(op, cut, known.shape, shape, stage, own, found.measured, importance, given)
                    weights |= {f"{named_by}.{cut}.{name}": tensor for name, tensor in named.items()}
    return weights | _head_weights(found, space)


def _head_weights(found: Pretrained, space: SearchSpace) -> dict[str, Tensor]:
    """The head, for as many channels as the last layer may give; for other classes without the last linear layer."""
    whole, sizes, weights = found.space, space.input_sizes, dict[str, Tensor]()
    own = {name: tensor for name, tensor in found.weights.items() if name.startswith("head.")}
    if space.head.classes != whole.head.classes:
        own = {name: tensor for name, tensor in own.items() if not name.startswith(last_layer(space))}
    shapes = sizes.shapes_of_weights[-1] if sizes else {"": space.layers[-1].shape}
    for key, shape in shapes.items():
        named = head_weights(own, whole, shape.c_out, found.measured)
        prefix = f"head.heads.{shape.c_out}." if key else "head."
        weights |= {prefix + name.removeprefix("head."): tensor for name, tensor in named.items()}
    return weights


def head_weights(
    weights: Mapping[str, Tensor], whole: SearchSpace, channels: int, measured: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The weights of a network's head, ``head. ...``, behind a last layer that gives so many channels.

    Raises:
        SpaceError: they are fewer than the network's, and nothing is known of how.
    """
    if channels == whole.layers[-1].shape.c_out:
        return dict(weights)
    basis = basis_of(stage_of(whole, len(whole.layers) - 1), measured, channels)
    return dict(weights) | dict(narrow_reader(weights, "head.0.0", basis))


def stage_of(space: SearchSpace, i: int) -> int:
    """The stage that layer ``i`` belongs to."""
    return next(stage for stage, (_, stop) in enumerate(stages(space.layers)) if i < stop)


def last_layer(space: SearchSpace) -> str:
    """What the names of the last linear layer's tensors begin with."""
    return f"head.{5 if space.head.hidden else 3}."


def _in_last_layer(name: str, space: SearchSpace) -> bool:
    by_channels = name.startswith("head.heads.")
    return (f"head.{name.split('.', 3)[3]}" if by_channels else name).startswith(last_layer(space))


def load_first_weights(network: nn.Module, space: SearchSpace, weights: Mapping[str, Tensor]) -> None:
    """Give a network or supernet of ``space`` the weights that it begins with; its last linear layer may stay fresh.

    Raises:
        SpaceError: something else would stay fresh.
    """
    fresh = [name for name in inherit_weights(network, weights) if not _in_last_layer(name, space)]
    if fresh:
        raise SpaceError(f"there are no weights for {fresh[0]} of {space.name!r} in what it begins with")


def _stem_weights(found: Pretrained, channels: int, mean: Sequence[float], std: Sequence[float]) -> dict[str, Tensor]:
    """The stem for images that are brought to another mean and deviation; grey ones are seen as colours that are alike."""
    weights = {name: tensor.clone() for name, tensor in found.weights.items() if name.startswith("stem.")}
    kernel = weights["stem.0.0.weight"].double()
    scaled = kernel / torch.tensor(found.std).double().view(1, -1, 1, 1)
    ours = torch.tensor(mean).double().expand(kernel.shape[1]), torch.tensor(std).double().expand(kernel.shape[1])
    away = (ours[0] - torch.tensor(found.mean).double()).view(1, -1, 1, 1)
    weights["stem.0.1.running_mean"] -= (scaled * away).sum((1, 2, 3)).float()
    new = scaled * ours[1].view(1, -1, 1, 1)
    weights["stem.0.0.weight"] = (new.sum(1, keepdim=True) if channels == 1 else new).float()
    return weights
