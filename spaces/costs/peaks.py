"""The memory of architectures, read off their layers: the most that stem, head or a layer needs (``spaces.costs.memory``).

A limit from above is one of every gene by itself, so whatever enumerates or draws genes keeps it by leaving genes out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from spaces.architecture import IDENTITIES, Op
from spaces.costs.memory import KB, Precision, head_peak, layer_peak, operation_peak, stem_peak
from spaces.errors import SpaceError
from spaces.layer import Layer
from spaces.size import pixel_count
from spaces.space import SearchSpace, at_image_size
from spaces.variants import VariantBlock, is_variant

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LayerPeaks:
    """What the genes of one layer need while it runs, in KB.

    Attributes:
        block: as that of ``spaces.costs.table.LayerCosts``: genes are qualified then.
        choices: what the block's choices need by themselves: rows nothing, sizes of images what stem and head need.
    """

    name: str
    layer: Layer
    precision: Precision
    block: tuple[VariantBlock, int] | None = None
    choices: Mapping[Op, float] = field(default_factory=dict, repr=False)
    _known: dict[str, float] = field(default_factory=dict, repr=False, compare=False)

    def of(self, gene: str) -> float:
        """What ``gene`` needs."""
        if gene not in self._known:
            self._known[gene] = self._count(gene)
        return self._known[gene]

    def _count(self, gene: str) -> float:
        shape, own = self.layer.shape, gene
        if self.block is not None:
            if is_variant(gene) and "/" not in gene:
                return self.choices.get(gene, 0.0)
            row, _, own = gene.partition("/")
            shape = self.block[0].shape(row, self.block[1])
            if not self.block[0].runs(row, self.block[1]):
                return 0.0
        return self._in_kb(lambda: layer_peak(own, shape))

    def _in_kb(self, elements: Callable[[], int]) -> float:
        try:
            return elements() * self.precision.activation / KB
        except ValueError as error:
            raise SpaceError(f"{self.name}: {error}") from error

    @property
    def genes(self) -> tuple[str, ...]:
        """Every gene the layer may carry."""
        return self.block[0].all_qualified_genes(self.block[1]) if self.block else self.layer.genes

    @cached_property
    def peaks(self) -> Floats:
        """(genes,) what each of ``genes`` needs."""
        return np.array([self.of(gene) for gene in self.genes])

    @cached_property
    def bounds(self) -> tuple[float, float]:
        """The least and the most a gene needs."""
        if self.block or self.layer.branches == 1:
            return float(self.peaks.min()), float(self.peaks.max())
        least = [self.of(op) for op in self.layer.candidates] + ([self.of("skip")] if self.layer.skippable else [])
        return min(least), max(self._most_of_branches(), *least)

    def _most_of_branches(self) -> float:
        """The most that a gene of several branches needs, of which there may be millions: each operation at its worst place,
        behind as many others as can stand in front of it."""
        shape, others = self.layer.shape, self.layer.branches - 1
        output = shape.c_out * pixel_count(shape.size_out)
        ops = sorted(set(self.layer.candidates) - IDENTITIES)

        def elements() -> int:
            last = [
                min(place, others) * output + operation_peak(op, shape, shape.is_residual)
                for place, op in enumerate(ops)
            ]
            earlier = [
                min(place, others - 1) * output + operation_peak(op, shape, True) for place, op in enumerate(ops[:-1])
            ]
            return max([0, *last, *earlier])

        return self._in_kb(elements)


@dataclass(frozen=True, eq=False)
class PeakTable:
    """The memory of a space's architectures, in KB.

    Attributes:
        fixed: what stem and head need; 0 where they depend on the size of images, which the first layer chooses.
    """

    space: SearchSpace
    fixed: float
    layers: tuple[LayerPeaks, ...]

    @classmethod
    def of(cls, space: SearchSpace, precision: Precision) -> PeakTable:
        """Raises SpaceError where nobody knows what an operation needs; the message names it and its layer."""
        sizes = space.input_sizes
        every = (*sizes.layers[0].candidates, *sizes.layers[0].pending) if sizes else ()
        choices = {op: fixed_peak(at_image_size(space, op), precision) for op in every}
        layers = (
            LayerPeaks(name, layer, precision, space.variant_of(i), choices)
            for i, (name, layer) in enumerate(zip(space.names, space.layers, strict=True))
        )
        return cls(space, 0.0 if sizes else fixed_peak(space, precision), tuple(layers))

    def count(self, qualified: Sequence[Sequence[str]]) -> Floats:
        """(n,) what architectures need, told by their genes as ``SearchSpace.qualified_genes`` gives them."""
        peaks = np.full(len(qualified), self.fixed)
        for layer, genes in zip(self.layers, zip(*qualified, strict=True), strict=True):
            np.maximum(peaks, np.fromiter(map(layer.of, genes), float, len(qualified)), out=peaks)
        return peaks

    def at(self, places: NDArray[np.intp]) -> Floats:
        """(n,) what architectures need, each gene told by its place in its layer's ``genes``, ``(n, layers)``."""
        peaks = np.full(len(places), self.fixed)
        for layer, column in zip(self.layers, places.T, strict=True):
            np.maximum(peaks, layer.peaks[column], out=peaks)
        return peaks

    def bounds(self) -> tuple[float, float]:
        """The least and the most an architecture needs."""
        ends = [(self.fixed, self.fixed), *(layer.bounds for layer in self.layers if not layer.block)]
        for block in self.space.variant_blocks:
            rows = [self._bounds_of_row(block, row) for row in block.variants]
            ends.append((min(least for least, _ in rows), max(most for _, most in rows)))
        return max(least for least, _ in ends), max(most for _, most in ends)

    def _bounds_of_row(self, block: VariantBlock, row: Op) -> tuple[float, float]:
        chooser, *others = self.layers[block.start : block.stop]
        least = most = chooser.of(row)
        for layer in others:
            inside = [layer.of(gene) for gene in layer.genes if gene.partition("/")[0] == row]
            least, most = max(least, min(inside)), max(most, max(inside))
        return least, most

    def allows(self, i: int, op: Op, most: float) -> bool:
        """Whether an architecture that needs no more than ``most`` may have ``op`` at layer ``i``, in some row."""
        layer = self.layers[i]
        if layer.block is None or layer.block[1] == 0:
            return max(self.fixed, layer.of(op)) <= most
        block, place = layer.block
        rows = (row for row in (*block.variants, *block.layers[0].pending) if block.runs(row, place))
        own = self.layers[block.start]
        return any(max(self.fixed, own.of(row), layer.of(f"{row}/{op}")) <= most for row in rows)

    def slice(self, start: int, stop: int) -> PeakTable:
        """The memory of some neighbouring layers, and of nothing else."""
        return PeakTable(self.space.slice(start, stop), 0.0, self.layers[start:stop])


def fixed_peak(space: SearchSpace, precision: Precision) -> float:
    """What stem and head need, in KB."""
    return max(stem_peak(space.stem), head_peak(space.head, space.layers[-1].shape)) * precision.activation / KB


def most_allowed(memory: PeakTable | None, limits: Mapping[str, tuple[float, float]]) -> list[NDArray[np.bool_]]:
    """Per layer, which of its genes keep the upper limit of memory, ``(genes,)``, none where stem and head do not keep it;
    empty where there is no such limit."""
    most = limits.get("memory_kb", (0.0, np.inf))[1]
    if memory is None or most == np.inf:
        return []
    return [(layer.peaks <= most) & (memory.fixed <= most) for layer in memory.layers]
