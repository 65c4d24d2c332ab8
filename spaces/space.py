"""A search space is, per layer, the operations one may choose now and those still waiting.

Everything here is frozen data and pure functions; no torch, no Optuna. A space carries its own future (``pending``), so
that evolving it is a pure function of it.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, product
from random import Random
from typing import Any

from spaces.architecture import IDENTITIES, Architecture, Op, join, operations
from spaces.errors import SpaceError
from spaces.layer import Head, Layer, LayerChange, Shape, Stem, _later, written_fields
from spaces.size import as_text
from spaces.variants import InputSizes, VariantBlock, has_sizes, has_variants

MERGES = ("residual", "residual_relu", "mean")


@dataclass(frozen=True)
class SearchSpace:
    """Stem, searchable layers, head.

    Attributes:
        merge: how a layer adds its input to what its operations give, where shapes allow it: ``residual`` adds it,
            ``residual_relu`` has a ReLU behind the sum (ResNet, CVPR 2016), ``mean`` (NSE, ICCV 2021) averages all
            branches with the input counted as one of them.
        own_weights: whether layers begin with weights of their own, so that layers of one shape are not alike.
    """

    name: str
    layers: tuple[Layer, ...]
    stem: Stem
    head: Head
    merge: str = "residual"
    own_weights: bool = _later(False)

    def __post_init__(self) -> None:
        if not self.layers:
            raise SpaceError(f"space {self.name!r} has no layers")
        if self.merge not in MERGES:
            raise SpaceError(f"space {self.name!r}: merge is {self.merge!r}, expected {' or '.join(map(repr, MERGES))}")
        channels, size = self.stem.c_out, self.stem.size_out
        for name, layer in zip(self.names, self.layers, strict=True):
            if (layer.shape.c_in, layer.shape.size) != (channels, size):
                raise SpaceError(
                    f"space {self.name!r}: {name} expects {layer.shape.c_in} channels at {as_text(layer.shape.size)} pixels, "
                    f"and is given {channels} channels at {as_text(size)} pixels"
                )
            channels, size = layer.shape.c_out, layer.shape.size_out
        _ = self.variant_blocks  # raises where a block's rows do not fit its layers

    @cached_property
    def names(self) -> tuple[str, ...]:
        """One name per layer: its block and its place inside it, e.g. ``stage2.layer1``; Optuna's parameter names.

        What chooses a block's row is called so, ``stage2.row``; likewise ``input.size``."""
        seen: Counter[str] = Counter()
        names = []
        for layer in self.layers:
            rows = has_variants(layer)
            seen[layer.block] += not rows
            names.append(
                f"{layer.block}.{('size' if has_sizes(layer) else 'row') if rows else f'layer{seen[layer.block]}'}"
            )
        return tuple(names)

    @cached_property
    def variant_blocks(self) -> tuple[VariantBlock, ...]:
        """The blocks that have rows (``spaces.variants``), or the choice of the images' size with all that is behind it. Most
        spaces have none."""
        if any(map(has_sizes, self.layers[1:])):
            raise SpaceError(f"space {self.name!r}: sizes of images stand in the first layer, in front of all others")
        if has_sizes(self.layers[0]):
            return (InputSizes(0, self.layers, self.stem),)
        blocks, start = list[VariantBlock](), 0
        while start < len(self.layers):
            if not has_variants(self.layers[start]):
                start += 1
                continue
            block, stop = self.layers[start].block, start + 1
            while stop < len(self.layers) and self.layers[stop].block == block:
                stop += 1
            blocks.append(VariantBlock(start, self.layers[start:stop]))
            start = stop
        return tuple(blocks)

    @property
    def layers_in_words(self) -> str:
        """How many layers there are, and what else is chosen: the size of the images, and the channels of stages."""
        sizes = self.input_sizes
        number = len(self.layers) - bool(sizes)
        more = " and the size of images" if sizes else ""
        if sizes and sizes.has_channels:
            more = ", the size of images and the channels of stages"
        return f"{number} layer{'' if number == 1 else 's'}{more}"

    @property
    def input_sizes(self) -> InputSizes | None:
        """The choice of the images' size; None: there is one size."""
        first = next(iter(self.variant_blocks), None)
        return first if isinstance(first, InputSizes) else None

    def variant_of(self, i: int) -> tuple[VariantBlock, int] | None:
        """The block with rows that layer ``i`` belongs to, and its place there; None for all others."""
        return self._places.get(i)

    @cached_property
    def _places(self) -> dict[int, tuple[VariantBlock, int]]:
        return {i: (block, i - block.start) for block in self.variant_blocks for i in range(block.start, block.stop)}

    @cached_property
    def blocks(self) -> tuple[tuple[int, int], ...]:
        """The half-open ranges of neighbouring layers of one block: what block-wise distillation (DNA, arXiv 1911.13053)
        trains by itself. Layers of the block ``stem`` belong to the first one, as the stem does."""
        starts = [
            i
            for i, (before, layer) in enumerate(zip((None, *self.layers), self.layers, strict=False))
            if before is None or (layer.block != before.block and before.block != "stem")
        ]
        return tuple(zip(starts, (*starts[1:], len(self.layers)), strict=True))

    @cached_property
    def interchangeable(self) -> tuple[tuple[int, int], ...]:
        """The half-open ranges of two or more neighbouring layers that have one and the same residual shape.

        None in blocks with rows: a shape is not theirs alone, and identities stand at their ends only. None where layers have
        weights of their own."""
        if self.own_weights:
            return ()
        shapes = [layer.shape for layer in self.layers]
        for block in self.variant_blocks:
            alike = 1 if isinstance(block, InputSizes) else len(block.layers)
            shapes[block.start : block.start + alike] = [Shape(0, 1, 1, 0)] * alike
        runs, start = [], 0
        for i in range(1, len(shapes) + 1):
            if i == len(shapes) or shapes[i] != shapes[start] or not shapes[start].is_residual:
                if i - start > 1:
                    runs.append((start, i))
                start = i
        return tuple(runs)

    @property
    def size(self) -> int:
        """How many architectures the space holds, counted as strings (an exact integer)."""
        ordinary = math.prod(layer.size for i, layer in enumerate(self.layers) if i not in self._places)
        return ordinary * math.prod(block.size for block in self.variant_blocks)

    @cached_property
    def genes(self) -> tuple[tuple[str, ...], ...]:
        """Every gene that each layer may carry. In a block with rows the row decides which of them fit."""
        variant_genes = [
            block[0].genes(block[1]) if (block := self.variant_of(i)) else () for i in range(len(self.layers))
        ]
        return tuple(genes or layer.genes for genes, layer in zip(variant_genes, self.layers, strict=True))

    def enumerate(self) -> Iterator[Architecture]:
        """Every architecture, in the order of its genes."""
        pools: list[Iterable[tuple[str, ...]]] = []
        for i, layer in enumerate(self.layers):
            block = self.variant_of(i)
            if block is None:
                pools.append((gene,) for gene in layer.genes)
            elif block[1] == 0:
                pools.append(block[0].enumerate())
        return (Architecture(tuple(chain.from_iterable(parts))) for parts in product(*pools))

    def __contains__(self, arch: object) -> bool:
        return (
            isinstance(arch, Architecture)
            and len(arch.genes) == len(self.layers)
            and all(self._allows(arch.genes, i) for i in range(len(self.layers)))
        )

    def _allows(self, genes: tuple[str, ...], i: int) -> bool:
        """Whether the gene at layer ``i`` may stand there."""
        if not self.variant_blocks or (block := self.variant_of(i)) is None:
            return self.layers[i].allows(genes[i])
        return block[0].allows(genes[block[0].start : block[0].stop], block[1])

    def sample(self, rng: Random) -> Architecture:
        """An architecture drawn uniformly: gene by gene, a block's row first."""
        if not self.variant_blocks:
            return Architecture(tuple(rng.choice(layer.genes) for layer in self.layers))
        genes: list[str] = []
        for i, layer in enumerate(self.layers):
            block = self.variant_of(i)
            if block is None:
                genes.append(rng.choice(layer.genes))
            elif block[1] == 0:
                genes += block[0].sample(rng)
        return Architecture(tuple(genes))

    def qualified_genes(self, arch: Architecture) -> tuple[str, ...]:
        """The genes, in blocks with rows each with its row in front (``row_d2_w24/mb_k3_e6``), and likewise behind a choice of
        the images' size: what shapes and costs depend on. Everywhere else the genes themselves."""
        return self._told(arch, VariantBlock.qualified_genes)

    def weight_genes(self, arch: Architecture) -> tuple[str, ...]:
        """The genes, in blocks with rows each with its row in front: what weights depend on."""
        return self._told(arch, lambda block, genes: block.weight_genes(genes))

    def _told(
        self, arch: Architecture, tell: Callable[[VariantBlock, tuple[str, ...]], tuple[str, ...]]
    ) -> tuple[str, ...]:
        genes = arch.genes
        for block in self.variant_blocks:
            inside = tell(block, genes[block.start : block.stop])
            genes = (*genes[: block.start], *inside, *genes[block.stop :])
        return genes

    def from_qualified_genes(self, genes: tuple[str, ...]) -> Architecture:
        """The inverse of ``qualified_genes``: the architecture without the rows in front of its genes."""
        for block in self.variant_blocks:
            inside = (gene.rpartition("/")[2] for gene in genes[block.start : block.stop])
            genes = (*genes[: block.start], *inside, *genes[block.stop :])
        return Architecture(genes)

    def repair(self, arch: Architecture) -> Architecture:
        """``arch`` with the genes of blocks made to fit their rows, after one was changed; itself where all fit."""
        genes = arch.genes
        for block in self.variant_blocks:
            genes = (*genes[: block.start], *block.repair(genes[block.start : block.stop]), *genes[block.stop :])
        return Architecture(genes) if self.variant_blocks else arch

    def shapes(self, i: int) -> tuple[Shape, ...]:
        """The shapes that layer ``i`` may have: one, but in a block with rows, those that wait included."""
        if (block := self.variant_of(i)) is None or block[1] == 0:
            return (self.layers[i].shape,)
        rowed, place = block
        rows = (*rowed.variants, *rowed.layers[0].pending)
        return tuple(dict.fromkeys(rowed.shape(row, place) for row in rows if rowed.runs(row, place)))

    def slice(self, start: int, stop: int) -> SearchSpace:
        """Some neighbouring layers, whole blocks of them, as a space of their own."""
        layers = self.layers[start:stop]
        given = layers[0].shape
        return SearchSpace(layers[0].block, layers, Stem(given.c_in, 1, size=given.size), Head(0, 1), self.merge)

    def check(self, arch: Architecture) -> Architecture:
        """``arch`` itself, when the space holds it.

        Raises:
            SpaceError: it does not; the message names the layer, what stands there and what may stand there.
        """
        if len(arch.genes) != len(self.layers):
            raise SpaceError(
                f"{self.name!r} has {len(self.layers)} layers, and {str(arch)!r} has {len(arch.genes)} genes"
            )
        for i, (name, layer, gene) in enumerate(zip(self.names, self.layers, arch.genes, strict=True)):
            if self._allows(arch.genes, i):
                continue
            block = self.variant_of(i)
            if block and block[1] and not block[0].runs(row := arch.genes[block[0].start], block[1]):
                raise SpaceError(f"{name} of {self.name!r} is {gene!r}, and {row} has no such layer: expected 'skip'")
            raise SpaceError(
                f"{name} of {self.name!r} cannot be {gene!r}; its candidates: {', '.join(layer.candidates)}"
            )
        return arch

    def restrict_to(self, arch: Architecture) -> SearchSpace:
        """The space that holds ``arch`` and nothing else of this one, or what is left out of a layer that may be empty."""
        layers = []
        for i, (layer, gene) in enumerate(zip(self.layers, self.check(arch).genes, strict=True)):
            block = self.variant_of(i)
            if gene == "skip" and block and not block[0].runs(arch.genes[block[0].start], block[1]):
                layers.append(layer)  # not there in the one row that is left
                continue
            ops = () if gene == "skip" and layer.skippable else operations(gene)
            layers.append(replace(layer, candidates=ops, pending=(), branches=max(1, len(ops)), skippable=not ops))
        return self.replace_layers(layers)

    def replace_layers(self, layers: Iterable[Layer]) -> SearchSpace:
        """The same space with other layers."""
        return replace(self, layers=tuple(layers))

    def diff(self, later: SearchSpace) -> tuple[LayerChange, ...]:
        """What happened, layer by layer, on the way from this space to ``later``."""
        return tuple(
            LayerChange(
                kept=tuple(op for op in old.candidates if op in new.candidates),
                dropped=tuple(op for op in old.candidates if op not in new.candidates),
                added=tuple(op for op in new.candidates if op not in old.candidates),
            )
            for old, new in zip(self.layers, later.layers, strict=True)
        )

    def to_json(self) -> str:
        """The space as JSON text; ``from_json`` reads it back, equal."""
        layers = [written_fields(layer) | {"shape": written_fields(layer.shape)} for layer in self.layers]
        ends = {"stem": written_fields(self.stem), "head": written_fields(self.head)}
        return json.dumps(written_fields(self) | {"layers": layers} | ends, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> SearchSpace:
        """The space that ``to_json`` wrote."""
        data: dict[str, Any] = json.loads(text)
        layers = tuple(
            Layer(
                **{
                    **layer,
                    "shape": Shape(**layer["shape"]),
                    "candidates": tuple(layer["candidates"]),
                    "pending": tuple(layer["pending"]),
                }
            )
            for layer in data["layers"]
        )
        return cls(**{**data, "layers": layers, "stem": Stem(**data["stem"]), "head": Head(**data["head"])})


def at_image_size(space: SearchSpace, op: Op) -> SearchSpace:
    """A space that chooses the size of its images, with stem and shapes as they are behind one of the choices.

    Raises:
        SpaceError: the space chooses none.
    """
    sizes = space.input_sizes
    if sizes is None:
        raise SpaceError(f"{space.name!r} has one size of images, {as_text(space.stem.size)}, and cannot choose {op}")
    layers = (replace(layer, shape=sizes.shape(op, place)) for place, layer in enumerate(space.layers))
    return replace(space, layers=tuple(layers), stem=sizes.stem_at(op))


def resolve_variants(arch: Architecture, space: SearchSpace) -> tuple[Architecture, SearchSpace]:
    """The same network in a space without rows: every layer that is there, in the shape that its row gives it.

    Where the architecture chooses the size of its images, the space is for these. Without rows and sizes, ``arch`` and
    ``space`` themselves. Whatever is built or counted alone is built and counted so.
    """
    if not space.variant_blocks:
        return arch, space
    sizes = space.input_sizes
    genes, layers = [], []
    for i, (layer, gene) in enumerate(zip(space.layers, arch.genes, strict=True)):
        block = space.variant_of(i)
        if block is None:
            genes.append(gene)
            layers.append(layer)
        elif block[0].runs(row := arch.genes[block[0].start], block[1]):
            genes.append(gene)
            chosen = replace(layer, shape=block[0].shape(row, block[1]))
            layers.append(chosen if sizes else replace(chosen, candidates=(gene,), pending=()))
    stem = sizes.stem_at(arch.genes[0]) if sizes else space.stem
    return Architecture(tuple(genes)), replace(space, layers=tuple(layers), stem=stem)


def canonical_arch(arch: Architecture, space: SearchSpace) -> Architecture:
    """The one spelling of all strings that are the same network.

    Branches have no order, and an identity commutes with its neighbours among layers of one shape: both are sorted, the
    identities last. In NAS-Bench-Macro 6561 strings are 3969 networks. The result is a key: it need not be in ``space``.
    """
    if IDENTITIES.isdisjoint(arch.genes) and "+" not in str(arch):
        return arch
    genes = ["id" if gene in IDENTITIES else join(operations(gene)) if "+" in gene else gene for gene in arch.genes]
    for start, stop in space.interchangeable:
        run = genes[start:stop]
        genes[start:stop] = [gene for gene in run if gene != "id"] + ["id"] * run.count("id")
    return Architecture(tuple(genes))


def make_divisible(width: float, divisor: int = 8) -> int:
    """The multiple of ``divisor`` nearest to ``width``, at least one of it, and at least nine tenths of ``width``.

    MobileNetV2's rule for the channels of a network made wider or slimmer, https://arxiv.org/abs/1801.04381.
    """
    nearest = max(divisor, int(width + divisor / 2) // divisor * divisor)
    return nearest if nearest >= 0.9 * width else nearest + divisor
