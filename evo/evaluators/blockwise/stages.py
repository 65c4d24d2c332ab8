"""Where a network is cut: the stages whose outputs the blocks of a space imitate, by name, checked by their sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor, nn

from spaces import torchvision_shim
from spaces.size import Size, as_size, both_sides, size_text, stride_size
from spaces.space import SearchSpace
from studies.records import EvoError

FeatureMapShape = tuple[int, Size]
"""Channels and pixels."""


def fitting_stages(
    network: nn.Module, space: SearchSpace, splits: Sequence[str], name: str
) -> dict[str, FeatureMapShape]:
    """One stage of ``network`` for each block of ``space``, in order, and what it gives.

    Args:
        network: without numbers, on the device ``meta``: nothing is computed.
        splits: the stages' names; empty: they are chosen ``stages_by_size``.
        name: what errors call the network.

    Raises:
        EvoError: there is no such stage, or sizes do not fit; the message says what was found and expected.
    """
    _check_images(network, space, name)
    known = possible_stages(network, space)
    ends = [space.layers[stop - 1].shape.size_out for _, stop in space.blocks]
    splits = splits or stages_by_size(known, ends)
    known |= _stage_shapes(network, space, [split for split in splits if split not in known])
    given = [known.get(split) for split in splits]
    if not len(ends) == len(splits) == len(set(splits)) or [shape and shape[1] for shape in given] != ends:
        raise EvoError(_misfit_message(space, name, splits, given, known))
    return {split: known[split] for split in splits}


def possible_stages(network: nn.Module, space: SearchSpace) -> dict[str, FeatureMapShape]:
    """What may be imitated, in order: the parts of a network's body that hold more than 1x1 convolutions.

    The body is ``features``, ``layers``, or the network itself, as torchvision's models and ours have it. A closing 1x1
    convolution belongs to the head, and pools and normalisations to what stands before them.
    """
    body = next((name for name in ("features", "layers") if isinstance(getattr(network, name, None), nn.Module)), "")
    parts = network.get_submodule(body).named_children()
    return _stage_shapes(
        network, space, [f"{body}.{name}" if body else name for name, part in parts if _is_spatial(part)]
    )


def stages_by_size(known: dict[str, FeatureMapShape], ends: list[Size]) -> tuple[str, ...]:
    """A stage for each block, by the pixels that blocks must end with: the last stage of each size; where several blocks
    end with one size, its stages are shared out evenly among them. Shorter than ``ends`` where stages are missing."""
    splits = []
    for size, blocks in groupby(ends):
        names = [name for name, (_, pixels) in known.items() if pixels == size]
        count = len(list(blocks))
        if len(names) >= count:
            splits += [names[math.ceil((i + 1) * len(names) / count) - 1] for i in range(count)]
    return tuple(splits)


def blocks_needed(blocks: Sequence[int]) -> tuple[int, ...]:
    """The teacher's blocks whose outputs ``blocks`` are given or imitate, in order."""
    return tuple(sorted({near for block in blocks for near in (block - 1, block) if near >= 0}))


def extract_features(network: nn.Module, names: list[str]) -> nn.Module:
    """``network`` up to its stages ``names``, whose outputs it gives as a list."""
    nodes = {name: str(i) for i, name in enumerate(names)}
    graph = torchvision_shim.feature_extraction.create_feature_extractor(network, nodes, suppress_diff_warning=True)
    return _OutputList(graph, len(names)).eval()


class _OutputList(nn.Module):
    def __init__(self, graph: nn.Module, count: int) -> None:
        super().__init__()
        self.graph, self.count = graph, count

    def forward(self, x: Tensor) -> list[Tensor]:
        outputs = self.graph(x)
        return [outputs[str(i)] for i in range(self.count)]


def _stage_shapes(network: nn.Module, space: SearchSpace, names: list[str]) -> dict[str, FeatureMapShape]:
    """What stages give for an image of ``space``: those that exist and give maps of its proportions."""
    image = torch.empty(1, space.stem.c_in, *both_sides(space.stem.size), device="meta")
    shapes, proportions = {}, _possible_sizes(space.stem.size)
    nodes = torchvision_shim.feature_extraction.get_graph_node_names(network, suppress_diff_warning=True)[1]
    real = [name for name in names if any(node == name or node.startswith(f"{name}.") for node in nodes)]
    for name, output in zip(real, extract_features(network, real)(image) if real else (), strict=True):
        if isinstance(output, Tensor) and output.ndim == 4:
            size = as_size([int(side) for side in output.shape[2:]])
            if size in proportions:
                shapes[name] = (int(output.shape[1]), size)
    return shapes


def _possible_sizes(size: Size) -> set[Size]:
    """The sizes that maps of an image may have: any square of a square one, else what a stride makes of it.

    (Some networks keep channels last; their maps are told from such maps by this.)
    """
    if isinstance(size, int):
        return set(range(1, size + 1))
    return {stride_size(size, stride) for stride in range(1, max(size) + 1)}


def _is_spatial(part: nn.Module) -> bool:
    convolutions = [module for module in part.modules() if isinstance(module, nn.Conv2d)]
    return any(max(convolution.kernel_size) > 1 for convolution in convolutions)


def _check_images(network: nn.Module, space: SearchSpace, name: str) -> None:
    first = next((module for module in network.modules() if isinstance(module, nn.Conv2d)), None)
    if first is not None and first.in_channels != space.stem.c_in:
        raise EvoError(
            f"evaluator.teacher {name} takes images of {first.in_channels} channels, and those of space "
            f"{space.name!r} have {space.stem.c_in}: choose a teacher or data that fit"
        )


def _misfit_message(
    space: SearchSpace,
    name: str,
    splits: Sequence[str],
    given: Sequence[FeatureMapShape | None],
    known: dict[str, FeatureMapShape],
) -> str:
    """What was expected of the splits, what was found, and what there is to choose from."""

    def describe(shape: FeatureMapShape | None) -> str:
        return f"{shape[0]} x {size_text(shape[1])}" if shape else "no such stage that gives a feature map"

    expected = ", ".join(
        f"{space.layers[stop - 1].block} {size_text(space.layers[stop - 1].shape.size_out)}" for _, stop in space.blocks
    )
    listing = (
        ", ".join(f"{name}: {describe(shape)}" for name, shape in zip(splits, given, strict=True)) or "none that fit"
    )
    there = ", ".join(f"{name}: {describe(shape)}" for name, shape in known.items() if name not in splits) or "none"
    return (
        f"evaluator.teacher.splits must name one stage of {name} for each of the {len(space.blocks)} blocks of "
        f"{space.name!r}, whose outputs have (pixels) {expected}; found {listing}; other stages: {there}"
    )
