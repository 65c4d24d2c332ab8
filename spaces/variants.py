"""Choices that give the layers behind them other shapes: rows of a block, the size of the images, and the channels of stages.

    row_d3_w24        three layers, with 24 channels between them
    row_d1            one layer: nothing is between
    size_80           the network sees images of 80 x 80 pixels; size_64x80: 64 high, 80 wide
    size_80_c8-16-24  the same, and the three stages of the network give 8, 16 and 24 channels

DNA (https://arxiv.org/abs/1911.13053) gives a block several "cells" of other depths and widths. Here the first layer of such
a block chooses the row. Nothing runs in it. The block's input and output are the space's, whatever the row; the layers
behind the row's depth are left out, and carry the gene ``skip``. So a layer has as many shapes as there are rows, and what a
gene means is told by two strings, ``row_d3_w24/mb_k3_e6``: its row in front.

Blocks with rows have no identities of their own: the row says how many layers there are, and every network has one spelling.

Sizes of images stand in the first layer of a space, and all other layers are behind them. Weights do not depend on them, so a
gene means the same operation at all sizes; what it costs does, and is told by ``size_80/mb_k3_e6``. The same choice may give
the stages of a network other channels: those between two layers that cannot add their input, which all layers between them
share, as each adds to what the one before has given. Weights do depend on those.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import product
from random import Random

from spaces.architecture import IDENTITIES, Op
from spaces.errors import SpaceError
from spaces.layer import Layer, Shape, Stem
from spaces.size import Size, as_text, parse_size

PREFIX, SIZE_PREFIX, SKIP = "row_", "size_", "skip"

_GRAMMAR = re.compile(r"row_d(?P<depth>[1-9]\d*)(_w(?P<width>[1-9]\d*))?")


@dataclass(frozen=True, slots=True)
class BlockVariant:
    """A parsed row; ``str()`` gives the one spelling back.

    Attributes:
        depth: how many layers there are.
        width: channels between them; 0 where there is one layer only.
    """

    depth: int
    width: int

    def __str__(self) -> str:
        return f"row_d{self.depth}" + (f"_w{self.width}" if self.width else "")


def is_variant(op: Op) -> bool:
    """Whether ``op`` chooses a row, or the size of the images."""
    return op.startswith((PREFIX, SIZE_PREFIX))


def has_variants(layer: Layer) -> bool:
    """Whether the layer chooses its block's row, or the size of the images."""
    return any(map(is_variant, layer.candidates + layer.pending))


def has_sizes(layer: Layer) -> bool:
    """Whether the layer chooses the size of the images."""
    return any(op.startswith(SIZE_PREFIX) for op in layer.candidates + layer.pending)


@cache
def parse_variant(op: Op) -> BlockVariant:
    """What ``row_...`` says.

    Raises:
        SpaceError: it is none.
    """
    match = _GRAMMAR.fullmatch(op)
    if match is None or (match["depth"] == "1") != (match["width"] is None):
        raise SpaceError(
            f"row {op!r}: expected row_d<layers>_w<channels between them>, or row_d1, which has nothing between"
        )
    return BlockVariant(int(match["depth"]), int(match["width"] or 0))


@cache
def parse_input(op: Op) -> tuple[Size, tuple[int, ...]]:
    """What ``size_...`` says: the size of the images, and the channels of the stages; without these, they are the space's.

    Raises:
        SpaceError: it is none.
    """
    pixels, mark, channels = op.removeprefix(SIZE_PREFIX).partition("_c")
    size, widths = parse_size(pixels), channels.split("-") if mark else []
    numbers = (*pixels.split("x"), *widths)
    if not all(each.isdecimal() and int(each) for each in numbers) or op != input_op(size, tuple(map(int, widths))):
        raise SpaceError(
            f"size of images {op!r}: expected size_<pixels>, or size_<height>x<width> where they differ, and behind it "
            "_c<channels>-<channels>... where stages have other channels"
        )
    return size, tuple(map(int, widths))


def parse_image_size(op: Op) -> Size:
    """The size of the images that ``size_...`` chooses.

    Raises:
        SpaceError: it chooses none.
    """
    return parse_input(op)[0]


def input_op(size: Size, channels: Sequence[int] = ()) -> Op:
    """The operation that chooses a size of images, and the channels of the stages; none: those of the space."""
    return f"{SIZE_PREFIX}{as_text(size)}" + ("_c" + "-".join(map(str, channels)) if channels else "")


def stages(layers: Sequence[Layer]) -> tuple[tuple[int, int], ...]:
    """The half-open ranges of layers that give the same channels, as each but the first adds its input."""
    starts = [i for i, layer in enumerate(layers) if not i or not layer.shape.is_residual]
    return tuple(zip(starts, (*starts[1:], len(layers)), strict=True))


@dataclass(frozen=True)
class VariantBlock:
    """A block with rows, or the neighbouring layers of one.

    ``place`` counts its layers: 0 chooses the row, 1 is the first that may run.

    Attributes:
        start: the place of the first of ``layers`` in the space.

    Raises:
        SpaceError: the layers cannot be such a block; the message says why.
    """

    start: int
    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        chooser, *others = self.layers
        name = chooser.block
        known = [parse_variant(op) for op in chooser.candidates + chooser.pending]
        deepest, least = max(row.depth for row in known), min(row.depth for row in known)
        if deepest > len(others):
            raise SpaceError(f"{name} has {len(others)} layers and a row of {deepest}: expected as many layers as that")
        if not chooser.shape.is_residual or any(layer.branches > 1 or layer.skippable for layer in self.layers):
            raise SpaceError(f"{name} has rows: its first layer passes on what it is given, and no layer has branches")
        for layer in others:
            if here := [op for op in layer.candidates + layer.pending if op in IDENTITIES or is_variant(op)]:
                raise SpaceError(f"{name} has rows, which say how many layers there are: leave out {', '.join(here)}")
        for place, layer in enumerate(others):
            if (place and layer.shape.c_in != layer.shape.c_out) or (place >= least and not layer.shape.is_residual):
                raise SpaceError(
                    f"{name} has rows, and a layer that turns {layer.shape}: expected the block's channels from its first "
                    f"layer on, and stride 1 behind the least depth, {least}"
                )

    @property
    def stop(self) -> int:
        """Behind the last of the layers."""
        return self.start + len(self.layers)

    @property
    def variants(self) -> tuple[Op, ...]:
        """The rows that one may choose now."""
        return self.layers[0].candidates

    @property
    def size(self) -> int:
        """How many ways there are through the block."""
        places = range(1, len(self.layers))
        return sum(math.prod(self.layers[i].size for i in places if self.runs(row, i)) for row in self.variants)

    def runs(self, row: Op, place: int) -> bool:
        """Whether the layer at ``place`` is there in ``row``."""
        return 0 < place <= parse_variant(row).depth

    def shape(self, row: Op, place: int) -> Shape:
        """What the layer at ``place`` must turn into what in ``row``."""
        shape, known = self.layers[place].shape, parse_variant(row)
        if not self.runs(row, place):
            return shape
        c_in = known.width if place > 1 else shape.c_in
        return replace(shape, c_in=c_in, c_out=known.width if place < known.depth else shape.c_out)

    def all_qualified_genes(self, place: int) -> tuple[str, ...]:
        """All that the layer at ``place`` may be, each gene with its row in front; row by row."""
        if place == 0:
            return self.variants
        return tuple(
            f"{row}/{gene}"
            for row in self.variants
            for gene in (self.layers[place].genes if self.runs(row, place) else (SKIP,))
        )

    def states(self, place: int) -> tuple[list[int], list[int]]:
        """Of each of ``all_qualified_genes``: the place of its row, and of the row in force behind it (0: none)."""
        order = {row: i for i, row in enumerate(self.variants)}
        if place == 0:
            return [0] * len(order), list(order.values())
        before = [order[gene.partition("/")[0]] for gene in self.all_qualified_genes(place)]
        return before, before if place < len(self.layers) - 1 else [0] * len(before)

    def genes(self, place: int) -> tuple[str, ...]:
        """What the layer at ``place`` may carry in some row."""
        return tuple(dict.fromkeys(gene.rpartition("/")[2] for gene in self.all_qualified_genes(place)))

    def qualified_genes(self, genes: tuple[str, ...]) -> tuple[str, ...]:
        """The genes of the block's layers, each with the row in front."""
        row = genes[0]
        rest = (f"{row}/{gene if self.runs(row, i) else SKIP}" for i, gene in enumerate(genes[1:], start=1))
        return (row, *rest)

    def weight_key(self, row: Op, place: int) -> str:
        """What tells the weights of the layer at ``place`` apart from those that it has in other rows; "": nothing does."""
        return row

    @property
    def shapes_of_weights(self) -> tuple[dict[str, Shape], ...]:
        """Per place, the keys of its weights, and their shapes; nothing where no layer has any."""
        return tuple(
            {self.weight_key(row, place): self.shape(row, place) for row in self.variants if self.runs(row, place)}
            for place in range(len(self.layers))
        )

    def weight_genes(self, genes: tuple[str, ...]) -> tuple[str, ...]:
        """The genes of the block's layers by which weights are told apart: as ``qualified_genes``, for rows share none."""
        return self.qualified_genes(genes)

    def repair(self, genes: tuple[str, ...]) -> tuple[str, ...]:
        """The genes of the block's layers, made to fit the row: those behind its depth go, and a layer that lacks one gets
        that of the layer before, or its own first where that is not among its candidates."""
        row, repaired = genes[0], [genes[0]]
        for place, gene in enumerate(genes[1:], start=1):
            layer = self.layers[place]
            if not self.runs(row, place):
                gene = SKIP
            elif gene in IDENTITIES:
                gene = repaired[-1] if layer.allows(repaired[-1]) else layer.genes[0]
            repaired.append(gene)
        return tuple(repaired)

    def allows(self, genes: tuple[str, ...], place: int) -> bool:
        """Whether the gene at ``place`` may stand there, where the row may."""
        gene, row = genes[place], genes[0]
        if place == 0 or row not in self.variants:
            return gene in self.variants or place > 0
        return self.layers[place].allows(gene) if self.runs(row, place) else gene == SKIP

    def enumerate(self) -> Iterator[tuple[str, ...]]:
        """All ways through the block, row by row."""
        for row in self.variants:
            places = range(1, len(self.layers))
            pools = (self.layers[i].genes if self.runs(row, i) else (SKIP,) for i in places)
            yield from product((row,), *pools)

    def sample(self, rng: Random) -> tuple[str, ...]:
        """A row drawn uniformly, and every gene in it."""
        row = rng.choice(self.variants)
        places = range(1, len(self.layers))
        return (row, *(rng.choice(self.layers[i].genes) if self.runs(row, i) else SKIP for i in places))


@dataclass(frozen=True)
class InputSizes(VariantBlock):
    """The sizes of the images that a network may see, and the channels that its stages may have: its first layer chooses, and
    all others take other shapes.

    The layers' own shapes are those at the size that ``stem`` has, with all channels.

    Attributes:
        stem: what stands in front of all layers.

    Raises:
        SpaceError: the first layer cannot choose so; the message says why.
    """

    stem: Stem

    def __post_init__(self) -> None:
        chooser, *others = self.layers
        known = [(op, parse_input(op)[1]) for op in chooser.candidates + chooser.pending]
        if self.start or not others or any(map(has_variants, others)):
            raise SpaceError(
                "sizes of images stand in the first layer, with layers behind it, none of which has rows or sizes"
            )
        if not chooser.shape.is_residual or chooser.branches > 1 or chooser.skippable:
            raise SpaceError(
                "the first layer chooses the size of images: it passes on what it is given, and has no branches"
            )
        for op, channels in known:
            if channels:
                self._check_channels(op, channels)

    def _check_channels(self, op: Op, channels: tuple[int, ...]) -> None:
        if len(channels) != len(self.stages):
            raise SpaceError(f"{op} has channels for {len(channels)} stages, and there are {len(self.stages)}")
        if self.layers[1].shape.is_residual and channels[0] != self.stem.c_out:
            raise SpaceError(f"{op}: the first stage adds what the stem gives, which has {self.stem.c_out} channels")
        for layer, shape in zip(self.layers[1:], self._shapes(op)[1:], strict=True):
            if layer.shape.is_residual != shape.is_residual:
                raise SpaceError(
                    f"{op}: a layer of {layer.block} would turn {shape.c_in} into {shape.c_out} channels, and add its input, "
                    "which it does not with all channels: choose others"
                )

    @cached_property
    def stages(self) -> tuple[tuple[int, int], ...]:
        """The half-open ranges of places that give the same channels."""
        return tuple((start + 1, stop + 1) for start, stop in stages(self.layers[1:]))

    @cached_property
    def has_channels(self) -> bool:
        """Whether the channels of stages may be chosen, now or later."""
        return any(parse_input(op)[1] for op in self.layers[0].candidates + self.layers[0].pending)

    def runs(self, row: Op, place: int) -> bool:
        """All layers behind the choice are there."""
        return place > 0

    def shape(self, row: Op, place: int) -> Shape:
        return self._shapes(row)[place]

    def stem_at(self, row: Op) -> Stem:
        """The stem at the size of images that ``row`` chooses."""
        return replace(self.stem, size=parse_image_size(row))

    @cached_property
    def _known_shapes(self) -> dict[Op, tuple[Shape, ...]]:
        return {}

    def _shapes(self, row: Op) -> tuple[Shape, ...]:
        if row not in self._known_shapes:
            self._known_shapes[row] = self._make_shapes(row)
        return self._known_shapes[row]

    def _make_shapes(self, row: Op) -> tuple[Shape, ...]:
        pixels, given, chosen = self.stem_at(row).size_out, self.stem.c_out, parse_input(row)[1]
        shapes = [replace(self.layers[0].shape, size=pixels)]
        for stage, (start, stop) in enumerate(self.stages):
            for layer in self.layers[start:stop]:
                channels = chosen[stage] if chosen else layer.shape.c_out
                shapes.append(replace(layer.shape, c_in=given, c_out=channels, size=pixels))
                pixels, given = shapes[-1].size_out, channels
        return tuple(shapes)

    def weight_key(self, row: Op, place: int) -> str:
        """Weights do not depend on the size; where channels are chosen, they do on those: ``16-24``."""
        shape = self.shape(row, place)
        return f"{shape.c_in}-{shape.c_out}" if self.has_channels else ""

    def weight_genes(self, genes: tuple[str, ...]) -> tuple[str, ...]:
        """The genes themselves; where channels are chosen, each with the layer's in front (``16-24/mb_k3_e6``)."""
        if not self.has_channels:
            return genes
        return (genes[0], *(f"{self.weight_key(genes[0], i)}/{gene}" for i, gene in enumerate(genes) if i))

    def repair(self, genes: tuple[str, ...]) -> tuple[str, ...]:
        """The genes themselves: all fit all sizes."""
        return genes

    def allows(self, genes: tuple[str, ...], place: int) -> bool:
        return self.layers[place].allows(genes[place])
