"""A trained network that teaches others: its probabilities of the classes are a part of their targets.

That is distillation at temperature 1 (https://arxiv.org/abs/1503.02531, section 2): cross-entropy against targets of which a
share ``s`` is the teacher's and ``1 - s`` the label's is the same share of both losses. The teacher sees the very images that
the student sees, changed and blended at random as they are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from evo.alone.images import differing_class
from evo.alone.start import Start
from evo.data.paths import candidate_paths, file_hash
from evo.data.source import Images
from evo.evaluators.blockwise.classes import classes_of_teacher
from evo.evaluators.blockwise.teacher import (
    architecture_of,
    given_network,
    given_teacher,
    teacher_section,
    weights_of,
)
from evo.training.precision import Precision, forward, precision_of
from spaces.architecture import Architecture
from spaces.export.baselines import Contender, contender
from spaces.export.network_folder import DESCRIPTION, WEIGHTS, load_network
from spaces.export.scaling import resize_space
from spaces.networks.modules import Normalise, Resize
from spaces.networks.network import Network
from spaces.size import both_sides
from spaces.space import SearchSpace
from studies.config import IMITATED, WHOLE, StudyConfig
from studies.records import EvoError


@dataclass(frozen=True)
class Teacher:
    """A network that teaches.

    Attributes:
        name: as the settings call it.
        sha256: of the file of its weights; of a model of torchvision, of its name and all that its scores depend on.
        macs: of one image.
        network: its architecture; None: it is a model of torchvision, which has none here.
        module: from images as they are trained on, to scores ``(n, classes)``; on their device, in evaluation mode.
        precision: in which it computes.
    """

    name: str
    sha256: str
    macs: int
    network: Contender | None = field(repr=False)
    module: nn.Module = field(repr=False, compare=False)
    precision: Precision = "fp32"

    def __call__(self, images: Tensor) -> Tensor:
        """Probabilities of the classes, ``(n, classes)``."""
        with torch.no_grad():
            scores: Tensor = forward(self.precision, self.module, images)
        return scores.softmax(1)

    @property
    def layers(self) -> nn.ModuleList:
        """Its layers, which are those of ``network.space``, where it has an architecture."""
        network = list(self.module.children())[-1]
        assert isinstance(network, Network)
        return network.layers

    def to_dict(self) -> dict[str, Any]:
        """What ``architecture.json`` says of it."""
        arch = {"arch": str(self.network.arch)} if self.network else {}
        return {"name": self.name, "sha256": self.sha256, **arch, "macs": self.macs}


def find_teacher(config: StudyConfig, start: Start | None, images: Images) -> Teacher | None:
    """The teacher that ``deliver.teacher`` names, for ``images``; None: there is none.

    Args:
        start: the weights that the run has trained; None: it has none.

    Raises:
        EvoError: there is no such network, or it has other channels or classes than the images.
        SpaceError: its folder holds no network that can be loaded.
    """
    teacher = _named_teacher(config, start, images)
    return teacher and replace(teacher, precision=precision_of(config))


def _named_teacher(config: StudyConfig, start: Start | None, images: Images) -> Teacher | None:
    name, convention = config.deliver.teacher, config.search.macs_convention
    if name is None:
        return None
    if name == WHOLE:
        return _whole(start, images, convention)
    if name == IMITATED:
        return _imitated(config, images)
    folder = teacher_folder(name)
    network = load_network(folder)
    said = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    space = SearchSpace.from_json(json.dumps(said["space"]))
    _require_fitting(name, space.stem.c_in, network.classes or tuple(map(str, range(space.head.classes))), images)
    itself = contender(name, Architecture.parse(said["arch"]), space, convention)
    return Teacher(name, file_hash(folder / WEIGHTS), itself.macs, itself, _on_images(network, itself.space, images))


def teacher_folder(name: str) -> Path:
    """The folder that ``deliver.teacher`` names: as it stands, or below the folder ``EVO_DATA``.

    Raises:
        EvoError: there is none.
    """
    for place in _places(name):
        return place
    raise EvoError(
        f"deliver.teacher is {name!r}: expected 'whole', for a run of evaluator 'cuts', 'imitated', for one of 'blockwise' "
        "that names its teacher, or a folder that python -m evo.deliver made, and found no "
        f"{DESCRIPTION} in a folder of this name, here or below the folder EVO_DATA"
    )


def _places(name: str) -> Iterator[Path]:
    with suppress(OSError):  # no file can be called so
        yield from (place for place in candidate_paths(name) if (place / DESCRIPTION).is_file())


def _whole(start: Start | None, images: Images, convention: str) -> Teacher:
    """The network that the run has fine-tuned."""
    if start is None:
        raise EvoError(
            "deliver.teacher is 'whole', and the run has fine-tuned no network yet: finish a round of it first"
        )
    whole = start.whole()
    itself = contender(WHOLE, whole.arch, whole.space, convention)
    return Teacher(WHOLE, start.sha256, itself.macs, itself, _on_images(whole.build(), itself.space, images))


def _imitated(config: StudyConfig, images: Images) -> Teacher:
    """The network that the blocks imitate; it sees images of the size that they see.

    Raises:
        EvoError: its file is missing, or it has other channels or classes than the images.
    """
    section, given = teacher_section(config), given_teacher(config, images)
    name, known = str(section.model or section.weights), architecture_of(given)
    _require_fitting(name, images.channels, classes_of_teacher(config), images)
    module = nn.Sequential(given.classifier()).eval().requires_grad_(False)
    on_device = module.to(images.train.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if known is None:
        return Teacher(name, given.identity, count_macs(given_network(section), images), None, on_device)
    arch, space = known
    itself = contender(name, arch, resize_space(space, images.size), config.search.macs_convention)
    file = weights_of(given.weights)
    assert file is not None
    return Teacher(name, file_hash(file), itself.macs, itself, on_device)


def count_macs(network: nn.Module, images: Images) -> int:
    """Multiply-accumulates of a model of torchvision for one of the images, as torch counts them; nothing is computed."""
    image = torch.empty(1, images.channels, *both_sides(images.size), device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network.to("meta")(image)
    return int(counter.get_total_flops() // 2)


def _on_images(network: Network, space: SearchSpace, images: Images) -> nn.Module:
    """A network that takes floats from 0 to 1, as one that takes what ``images`` gives."""
    assert isinstance(network.preprocessing, Normalise)
    network.preprocessing = network.preprocessing.after(images.mean, images.std)
    module = nn.Sequential(Resize(space.stem.size), network).eval().requires_grad_(False)
    return module.to(images.train.device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def _require_fitting(name: str, channels: int, classes: tuple[str, ...], images: Images) -> None:
    """
    Raises:
        EvoError: the teacher has other channels or classes than the images.
    """
    found, wanted = (channels, len(classes)), (images.channels, images.classes)
    hint = "give another folder, or leave deliver.teacher out"
    if found != wanted:
        raise EvoError(
            f"deliver.teacher is {name!r}, a network for images of {_said(*found)}, and these are images of {_said(*wanted)}: "
            f"{hint}"
        )
    if (label := differing_class(classes, images.class_names)) is not None:
        raise EvoError(
            f"deliver.teacher is {name!r}, whose class {label} is {classes[label]!r}, and class {label} of the images is "
            f"{images.class_names[label]!r}: {hint}"
        )


def _said(channels: int, classes: int) -> str:
    return f"{channels} channel{'' if channels == 1 else 's'} in {classes} classes"
