"""A teacher: a trained network whose stages the blocks of a space imitate (DNA, https://arxiv.org/abs/1911.13053).

It may be any model of torchvision, or a network of ours, which is trained here where none is given. It is always in
evaluation mode: DNA's released code leaves its normalisations in training mode, so that targets drift with every batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from hashlib import sha256
from itertools import groupby
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from evo.console import Track, untracked
from evo.data import load
from evo.files import roots
from evo.seeds import derive
from evo.train import read_facts, schedule, train, write_tensors
from spaces.architecture import Architecture
from spaces.cost import cost_table
from spaces.networks import Network
from spaces.scaling import scaled
from spaces.space import SearchSpace
from spaces.vision import feature_extraction, torchvision
from studies.config import StudyConfig, TeacherSection
from studies.records import EvoError

Shape = tuple[int, int]
"""Channels, and height (= width) in pixels."""


@dataclass(frozen=True)
class Teacher:
    """A teacher as data, from which any process can build it.

    Attributes:
        model: torchvision's name; None: a network of ours, which ``weights`` tells about.
        weights: a name that torchvision knows, or the path of a safetensors file.
        splits: per block of the student's space, the stage whose output it imitates.
        shapes: what these stages give.
        identity: of model and weights; another teacher has another one.
    """

    model: str | None
    weights: str
    splits: tuple[str, ...]
    shapes: tuple[Shape, ...]
    identity: str

    def network(self) -> nn.Module:
        """The trained network, on the CPU, in evaluation mode.

        Raises:
            EvoError: the weights cannot be had, or are those of another network.
        """
        found = _own(Path(self.weights)) if self.model is None else _torchvision(self.model, self.weights)
        return found.eval().requires_grad_(False)

    def stages(self, *blocks: int) -> nn.Module:
        """Images ``(n, channels, size, size)`` -> a list of the outputs that these blocks imitate, no more computed."""
        return extracted(self.network(), [self.splits[block] for block in blocks])


def extracted(network: nn.Module, names: list[str]) -> nn.Module:
    """``network`` up to its stages ``names``, whose outputs it gives as a list."""
    nodes = {name: str(i) for i, name in enumerate(names)}
    graph = feature_extraction.create_feature_extractor(network, nodes, suppress_diff_warning=True)
    return _Listed(graph, len(names)).eval()


class _Listed(nn.Module):
    def __init__(self, graph: nn.Module, count: int) -> None:
        super().__init__()
        self.graph, self.count = graph, count

    def forward(self, x: Tensor) -> list[Tensor]:
        outputs = self.graph(x)
        return [outputs[str(i)] for i in range(self.count)]


# -- which stages -----------------------------------------------------------------------------------------------------


def split(config: StudyConfig, space: SearchSpace) -> tuple[tuple[str, ...], tuple[Shape, ...]]:
    """The teacher's splits for the blocks of ``space``, and their shapes. Nothing is trained, loaded or computed.

    Raises:
        EvoError: there is no such model or stage, or sizes do not fit; the message says what was found and expected.
    """
    section = teacher_of(config)
    network = _blank(config, space)
    _check_images(section, network, space)
    known = stages(network, space)
    ends = [space.layers[stop - 1].shape.size_out for _, stop in space.blocks]
    if section.splits:
        splits = section.splits
        shapes = _shapes(network, space, [name for name in splits if name not in known])
        known |= shapes
    else:
        splits = _own_splits(space) if section.model is None and not section.weights else by_size(known, ends)
    given = tuple(known.get(name) for name in splits)
    if len(splits) != len(ends) or [shape and shape[1] for shape in given] != ends:
        raise EvoError(_misfit(section, space, splits, given, known))
    return splits, tuple(shape for shape in given if shape)


def teacher_of(config: StudyConfig) -> TeacherSection:
    """The configuration's teacher; it has one only where the evaluator is ``blockwise``."""
    assert config.evaluator.kind == "blockwise"
    return config.evaluator.teacher


def stages(network: nn.Module, space: SearchSpace) -> dict[str, Shape]:
    """What may be imitated, in order: the parts of a network's body that hold more than 1x1 convolutions.

    The body is ``features``, ``layers``, or the network itself, as torchvision's models and ours have it. A closing 1x1
    convolution belongs to the head, and pools and normalisations to what stands before them.
    """
    body = next((name for name in ("features", "layers") if isinstance(getattr(network, name, None), nn.Module)), "")
    parts = network.get_submodule(body).named_children()
    return _shapes(network, space, [f"{body}.{name}" if body else name for name, part in parts if _spatial(part)])


def by_size(known: dict[str, Shape], ends: list[int]) -> tuple[str, ...]:
    """A stage for each block, by the pixels that blocks must end with: the last stage of each size; where several blocks
    end with one size, its stages are shared out evenly among them. Shorter than ``ends`` where stages are missing."""
    splits = []
    for size, blocks in groupby(ends):
        names = [name for name, (_, pixels) in known.items() if pixels == size]
        count = len(list(blocks))
        if len(names) >= count:
            splits += [names[math.ceil((i + 1) * len(names) / count) - 1] for i in range(count)]
    return tuple(splits)


def _own_splits(space: SearchSpace) -> tuple[str, ...]:
    """The last layers of the blocks: our own teacher has the student's layers, and none that passes its input on."""
    return tuple(f"layers.{stop - 1}" for _, stop in space.blocks)


def _shapes(network: nn.Module, space: SearchSpace, names: list[str]) -> dict[str, Shape]:
    """What stages give for an image of ``space``: those that exist and give square maps."""
    image = torch.empty(1, space.stem.c_in, space.stem.size, space.stem.size, device="meta")
    found = {}
    nodes = feature_extraction.get_graph_node_names(network, suppress_diff_warning=True)[1]
    real = [name for name in names if any(node == name or node.startswith(f"{name}.") for node in nodes)]
    for name, output in zip(real, extracted(network, real)(image) if real else (), strict=True):
        if isinstance(output, Tensor) and output.ndim == 4 and output.shape[2] == output.shape[3]:
            found[name] = (int(output.shape[1]), int(output.shape[2]))
    return found


def _spatial(part: nn.Module) -> bool:
    convolutions = [module for module in part.modules() if isinstance(module, nn.Conv2d)]
    return any(max(convolution.kernel_size) > 1 for convolution in convolutions)


def _check_images(section: TeacherSection, network: nn.Module, space: SearchSpace) -> None:
    first = next((module for module in network.modules() if isinstance(module, nn.Conv2d)), None)
    if first is not None and first.in_channels != space.stem.c_in:
        raise EvoError(
            f"evaluator.teacher {_name(section)} takes images of {first.in_channels} channels, and those of space "
            f"{space.name!r} have {space.stem.c_in}: choose a teacher or data that fit"
        )


def _misfit(
    section: TeacherSection,
    space: SearchSpace,
    splits: tuple[str, ...],
    given: tuple[Shape | None, ...],
    known: dict[str, Shape],
) -> str:
    """What was expected of the splits, what was found, and what there is to choose from."""

    def told(shape: Shape | None) -> str:
        return f"{shape[0]} x {shape[1]} x {shape[1]}" if shape else "no such stage with a square output"

    expected = ", ".join(
        f"{space.layers[stop - 1].block} {space.layers[stop - 1].shape.size_out} x "
        f"{space.layers[stop - 1].shape.size_out}"
        for _, stop in space.blocks
    )
    found = ", ".join(f"{name}: {told(shape)}" for name, shape in zip(splits, given, strict=True)) or "none that fit"
    there = ", ".join(f"{name}: {told(shape)}" for name, shape in known.items() if name not in splits) or "none"
    return (
        f"evaluator.teacher.splits must name one stage of {_name(section)} for each of the {len(space.blocks)} blocks of "
        f"{space.name!r}, whose outputs have (pixels) {expected}; found {found}; other stages: {there}"
    )


def _name(section: TeacherSection) -> str:
    return repr(section.model or section.weights) if section.model or section.weights else "the tool's own teacher"


# -- the network ------------------------------------------------------------------------------------------------------


def prepared(config: StudyConfig, space: SearchSpace, folder: Path, track: Track = untracked) -> Teacher:
    """The configuration's teacher, trained where none is given, for the blocks of ``space``, the run's first.

    Raises:
        EvoError: as ``split`` and ``Teacher.network`` do.
    """
    section = teacher_of(config)
    splits, shapes = split(config, space)
    if section.model is None and section.weights is None:
        weights = str(_trained(config, space, folder, track))
    else:
        path = _file(section)
        weights = str(path) if path else str(section.weights)
    content = sha256(Path(weights).read_bytes()).hexdigest() if Path(weights).is_file() else weights
    identity = sha256(repr((section.model, content)).encode()).hexdigest()
    return Teacher(section.model, weights, splits, shapes, identity)


def dearest(space: SearchSpace) -> Architecture:
    """The architecture that carries each layer's candidate of most MACs (the first of them)."""
    return Architecture(
        tuple(max(costs.layer.candidates, key=lambda op: float(costs.row(op)[0])) for costs in cost_table(space).layers)
    )


def _trained(config: StudyConfig, space: SearchSpace, folder: Path, track: Track) -> Path:
    """The file of our own teacher; its name tells all that its weights depend on."""
    section, data = teacher_of(config), config.data
    told = repr((space.to_json(), section.model_copy(update={"splits": ()}), data, config.device, config.seed))
    path = folder / f"teacher-{sha256(told.encode()).hexdigest()[:12]}.safetensors"
    if path.exists():
        return path
    seed = derive(config.seed, "teacher")
    torch.manual_seed(seed)
    wide, arch = scaled(space, section.width), dearest(space)
    network = Network(arch, wide)
    progress = path.with_suffix(".progress")
    train(
        network,
        load(data, config.device).train,
        schedule(section, data, 1),
        seed=seed,
        checkpoint=progress,
        track=track,
        label="training the teacher",
    )
    write_tensors(network.state_dict(), path, {"space": wide.to_json(), "arch": str(arch)})
    progress.unlink(missing_ok=True)
    return path


def _blank(config: StudyConfig, space: SearchSpace) -> nn.Module:
    """The teacher's network without any numbers: enough to ask for shapes."""
    section = teacher_of(config)
    if section.model is not None:
        found: nn.Module = _untrained(section.model)
    elif section.weights is not None:
        found = _described(_existing(section))
    else:
        found = Network(dearest(space), scaled(space, section.width)).eval()
    return found.to("meta")


def _untrained(model: str) -> nn.Module:
    try:
        network: nn.Module = torchvision.models.get_model(model, weights=None)
    except ValueError:
        near = [name for name in torchvision.models.list_models() if name.split("_")[0] == model.split("_")[0]]
        raise EvoError(
            f"evaluator.teacher.model is {model!r}, which torchvision does not have; "
            f"{'near it' if near else 'e.g.'}: {', '.join(near or ('efficientnet_b7', 'resnet50'))}"
        ) from None
    return network.eval()


def _torchvision(model: str, weights: str) -> nn.Module:
    """A model of torchvision with weights from a file, or from the net."""
    if Path(weights).is_file():
        network = _untrained(model)
        _fill(network, Path(weights))
        return network
    try:
        found: nn.Module = torchvision.models.get_model(model, weights=weights)
    except (OSError, RuntimeError) as error:
        raise EvoError(
            f"evaluator.teacher.weights {weights!r} of {model!r} could not be downloaded ({error}): save its state_dict as "
            "a safetensors file where there is a network, and give the file's path"
        ) from None
    return found


def _file(section: TeacherSection) -> Path | None:
    """The file that ``weights`` names; None where it is one of torchvision's names.

    Raises:
        EvoError: it is neither.
    """
    assert section.weights is not None
    path = next((path for path in roots(section.weights) if path.is_file()), None)
    if path is None and section.model is not None:
        known = [weight.name for weight in torchvision.models.get_model_weights(section.model)]
        if section.weights not in ("DEFAULT", *known):
            raise EvoError(
                f"evaluator.teacher.weights is {section.weights!r}: no such file, and torchvision's for {section.model!r} "
                f"are DEFAULT, {', '.join(known)}"
            )
    return path


def _existing(section: TeacherSection) -> Path:
    path = _file(section)
    if path is None:
        raise EvoError(
            f"evaluator.teacher.weights is {section.weights!r}: no such file, and no evaluator.teacher.model to load"
        )
    return path


def _described(path: Path) -> Network:
    """The network that a file of ours tells of, with fresh weights."""
    try:
        with safe_open(str(path), "pt") as file:
            facts = read_facts(file)
        return Network(Architecture.parse(facts["arch"]), SearchSpace.from_json(facts["space"])).eval()
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise EvoError(
            f"evaluator.teacher.weights is {str(path)!r}, in which this tool has kept no teacher ({error!r}): name the "
            "torchvision model that they belong to as evaluator.teacher.model, or give a file teacher-....safetensors"
        ) from None


def _own(path: Path) -> Network:
    network = _described(path)
    _fill(network, path)
    return network


def _fill(network: nn.Module, path: Path) -> None:
    try:
        network.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError) as error:
        raise EvoError(
            f"evaluator.teacher.weights is {str(path)!r}, which does not fit the model: {str(error).splitlines()[0]}"
        ) from None
