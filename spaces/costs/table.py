"""What architectures cost: multiply-accumulates, parameters, latency, flash and memory, exact and without building anything.

Every cost but memory is a fixed part (stem and head) and one number per layer and operation, so costs add up over layers, and
parallel branches over a layer. Memory is a peak: the greatest of stem, layers and head (``spaces.costs.memory``). So an upper
limit of it is one of every gene by itself. Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from spaces.architecture import Architecture, Op, operations
from spaces.costs.memory import KB, Precision, Weights, head_weights, operation_weights, stem_weights
from spaces.costs.peaks import PeakTable
from spaces.errors import SpaceError
from spaces.layer import Layer, Shape
from spaces.operations.grammar import count_operation
from spaces.operations.primitives import OpCounts, head_steps, stem_steps, total_counts
from spaces.size import pixel_count
from spaces.space import SearchSpace, at_image_size, resolve_variants
from spaces.variants import VariantBlock, is_variant

Floats = NDArray[np.float64]

COLUMNS = ("macs", "params", "latency_ms", "flash_kb", "memory_kb")
"""What the columns of a cost table are. The first three are those of every table, the others of one for a device."""

PEAKS = frozenset({"memory_kb"})
"""The columns that do not add up over layers: an architecture costs what the dearest of its layers does. They are the last."""

WITHOUT_TARGET = COLUMNS[:3]
"""The columns of a table that is for no device in particular."""


@dataclass(frozen=True)
class Convention:
    """A way to count multiply-accumulates: a named sum of ``OpCounts``'s raw counts.

    Attributes:
        weights: raw count -> how often it counts.
        definition: what is counted, for people.
        source: the publication or program that counts so.
    """

    weights: Mapping[str, int]
    definition: str
    source: str

    def __call__(self, counts: OpCounts) -> int:
        """The figure under this convention, of one image."""
        return sum(weight * int(getattr(counts, name)) for name, weight in self.weights.items())


CONVENTIONS: dict[str, Convention] = {
    "macs": Convention(
        {"macs": 1},
        "multiply-accumulates of convolutions and linear layers; those inside squeeze-excitation are not counted",
        "MobileNetV2 (1801.04381), PAD-NAS (2005.07564), NAS-Bench-Macro's column flops",
    ),
    "macs+se": Convention(
        {"macs": 1, "se_macs": 1, "se_biases": 1},
        "macs, and squeeze-excitation's two convolutions with one for each of their biases",
        "the counter of timm's and DNA's (1911.13053) mobile networks, without its other terms",
    ),
    "torch": Convention(
        {"macs": 1, "se_macs": 1},
        "macs, and squeeze-excitation's two convolutions without their biases",
        "half of what torch.utils.flop_counter.FlopCounterMode counts",
    ),
    "nse": Convention(
        {"macs": 1, "pool_outputs": 1},
        "macs, and one for every number that leaves the average pool in front of the classifier",
        "the authors' counter of NSE (2011.10904), which leaves squeeze-excitation out",
    ),
    "nse+se": Convention(
        {"macs": 1, "se_macs": 1, "pool_outputs": 1},
        "nse, and squeeze-excitation's two convolutions without their biases",
        "the only reading that gives the 333M which NSE (2011.10904) prints for NSENet",
    ),
    "dna": Convention(
        {"macs": 1, "se_macs": 1, "se_biases": 1, "bn_elements": 2, "pool_inputs": 1},
        "macs+se, twice every number that passes a batch normalisation, and one for every number that enters the "
        "average pool in front of the classifier",
        "the authors' counter of DNA (1911.13053)",
    ),
}


def convention_named(name: str) -> Convention:
    """The convention of this name.

    Raises:
        SpaceError: there is none; the message lists those there are.
    """
    if name not in CONVENTIONS:
        raise SpaceError(f"unknown convention {name!r}; known: {', '.join(CONVENTIONS)}")
    return CONVENTIONS[name]


class LatencyModel(Protocol):
    """Milliseconds of one forward pass, added up over operations. A missing entry raises SpaceError, naming itself."""

    def operation(self, op: Op, shape: Shape) -> float:
        """Of one operation in a layer of ``shape``."""
        ...

    def fixed(self, space: SearchSpace) -> float:
        """Of all that is not searched: stem and head."""
        ...


@dataclass(frozen=True, slots=True)
class Cost:
    """What one architecture costs per image.

    Attributes:
        macs: multiply-accumulates under the convention that was asked for.
        params: weights and biases.
        latency_ms: 0 where no latency model was given.
        counts: the raw counts behind the figures.
        flash_kb, memory_kb: on a device of the precision that was asked for; 0 where none was.
    """

    macs: int
    params: int
    latency_ms: float
    counts: OpCounts
    flash_kb: float = 0.0
    memory_kb: float = 0.0


def count_costs(
    space: SearchSpace,
    arch: Architecture,
    convention: str = "macs",
    latency: LatencyModel | None = None,
    target: Precision | None = None,
) -> Cost:
    """What ``arch`` costs as a network of ``space``.

    Raises:
        SpaceError: the convention or an operation is unknown, or the architecture has another number of layers; the
            message names the operation and its layer.
    """
    _check_length(space, arch)
    arch, space = resolve_variants(arch, space)
    counts, latency_ms = fixed_counts(space), latency.fixed(space) if latency else 0.0
    for name, layer, gene in zip(space.names, space.layers, arch.genes, strict=True):
        for op in operations(gene):
            counts += _counts_in_layer(name, op, layer.shape)
            latency_ms += latency.operation(op, layer.shape) if latency else 0.0
    device = _on_device(space, arch, target) if target else (0.0, 0.0)
    return Cost(convention_named(convention)(counts), counts.params, latency_ms, counts, *device)


def _on_device(space: SearchSpace, arch: Architecture, target: Precision) -> tuple[float, float]:
    """Flash and memory in KB, of a space without rows and sizes."""
    weights = _fixed_weights(space)
    for name, layer, gene in zip(space.names, space.layers, arch.genes, strict=True):
        for op in operations(gene):
            weights += _weights_in_layer(name, op, layer.shape)
    return weights.size(target) / KB, float(PeakTable.of(space, target).count([arch.genes])[0])


def fixed_counts(space: SearchSpace) -> OpCounts:
    """What stem and head cost: the convolutions, the average pool, the linear layers."""
    last, head = space.layers[-1].shape, space.head
    features = head.features or last.c_out
    widths = (features, head.hidden, head.classes) if head.hidden else (features, head.classes)
    classifier = OpCounts(
        macs=sum(before * behind for before, behind in pairwise(widths)),
        pool_inputs=features * pixel_count(last.size_out),
        pool_outputs=features,
        params=sum((before + 1) * behind for before, behind in pairwise(widths)),
    )
    return (
        total_counts(stem_steps(space.stem), space.stem.size)
        + total_counts(head_steps(head, last.c_out), last.size_out)
        + classifier
    )


def _counts_in_layer(layer: str, op: Op, shape: Shape) -> OpCounts:
    try:
        return count_operation(op, shape)
    except ValueError as error:
        raise SpaceError(f"{layer} has no cost for {op!r}: {error}") from error


def _weights_in_layer(layer: str, op: Op, shape: Shape) -> Weights:
    try:
        return operation_weights(op, shape)
    except ValueError as error:
        raise SpaceError(f"{layer}: {error}") from error


def _fixed_weights(space: SearchSpace) -> Weights:
    """Those of stem and head."""
    return stem_weights(space.stem) + head_weights(space.head, space.layers[-1].shape.c_out)


def _check_length(space: SearchSpace, arch: Architecture) -> None:
    if len(arch.genes) != len(space.layers):
        raise SpaceError(
            f"{space.name!r} has {len(space.layers)} layers, and {str(arch)!r} has {len(arch.genes)} genes"
        )


@dataclass(frozen=True)
class LayerCosts:
    """What the genes of one layer add; a gene's row has ``COLUMNS`` without ``PEAKS``: three, or with a target four.

    Rows of genes with several branches are made when they are asked for: a layer may have millions.

    Attributes:
        block: where a block has rows, or the images several sizes, that block and the layer's place in it. Genes are qualified
            then (``SearchSpace.qualified_genes``).
        choices: what the block's choices cost by themselves: rows nothing, sizes of images what stem and head cost beside the
            cheapest.
    """

    name: str
    layer: Layer
    convention: str
    latency: LatencyModel | None
    _rows: dict[str, Floats] = field(default_factory=dict, repr=False, compare=False)
    block: tuple[VariantBlock, int] | None = None
    choices: Mapping[Op, Floats] = field(default_factory=dict, repr=False, compare=False)
    target: Precision | None = None

    def __post_init__(self) -> None:
        for op in self.genes if self.block else self.layer.candidates:
            self.cost_of(op)

    def cost_of(self, gene: str) -> Floats:
        """(3,) or (4,) what ``gene`` costs: the sum over its branches."""
        if gene not in self._rows:
            ops = operations(gene)
            self._rows[gene] = self._price(gene) if len(ops) == 1 else np.sum([self.cost_of(op) for op in ops], axis=0)
        return self._rows[gene]

    def _price(self, op: Op) -> Floats:
        shape = self.layer.shape
        if self.block is not None:
            if is_variant(op) and "/" not in op:
                return self.choices.get(op, np.zeros(len(_additive(self.target))))
            row, _, op = op.partition("/")
            shape = self.block[0].shape(row, self.block[1])
        counts = _counts_in_layer(self.name, op, shape)
        latency_ms = self.latency.operation(op, shape) if self.latency else 0.0
        flash = [_weights_in_layer(self.name, op, shape).size(self.target) / KB] if self.target else []
        return np.array([CONVENTIONS[self.convention](counts), counts.params, latency_ms, *flash])

    @property
    def genes(self) -> tuple[str, ...]:
        """Every gene the layer may carry."""
        return self.block[0].all_qualified_genes(self.block[1]) if self.block else self.layer.genes

    @cached_property
    def costs(self) -> Floats:
        """(genes, 3) what each of ``genes`` costs."""
        return np.array([self.cost_of(gene) for gene in self.genes])

    @cached_property
    def bounds(self) -> Floats:
        """(2, 3) the least and the most a gene costs, column by column."""
        if self.block:
            return np.array([self.costs.min(axis=0), self.costs.max(axis=0)])
        rows = np.sort([self.cost_of(op) for op in self.layer.candidates] or [self.cost_of("skip")], axis=0)
        least = self.cost_of("skip") if self.layer.skippable else rows[0]
        return np.array([least, rows[-self.layer.branches :].sum(axis=0)])

    def select(self, genes: Sequence[str]) -> Floats:
        """(n, 3) the rows of ``genes``, which may repeat."""
        distinct = list(set(genes))
        position = {gene: i for i, gene in enumerate(distinct)}
        rows = np.array([self.cost_of(gene) for gene in distinct])
        return rows[np.fromiter(map(position.__getitem__, genes), np.intp, len(genes))]


@dataclass(frozen=True, eq=False)
class CostTable:
    """Costs of a space's architectures, ready to be added up.

    Attributes:
        fixed: (3,) what every architecture costs; for a device (4,).
        layers: per layer, what each of its genes adds.
        memory: the costs of a device that do not add up; None: the table is for none.
    """

    space: SearchSpace
    convention: str
    fixed: Floats
    layers: tuple[LayerCosts, ...]
    memory: PeakTable | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """What the columns of ``count`` and of ``bounds`` are: the first three of ``COLUMNS``, or all five for a device."""
        return COLUMNS if self.memory else WITHOUT_TARGET

    def count(self, archs: Iterable[Architecture]) -> Floats:
        """(n, columns) the cost of each architecture.

        Raises:
            SpaceError: an operation is unknown, or an architecture has another number of layers.
        """
        archs = list(archs)
        for arch in archs:
            _check_length(self.space, arch)
        if not archs:
            return np.empty((0, len(self.columns)))
        costs = np.tile(self.fixed, (len(archs), 1))
        qualified = list(map(self.space.qualified_genes, archs))
        for layer, genes in zip(self.layers, zip(*qualified, strict=True), strict=True):
            costs += layer.select(genes)
        return np.column_stack((costs, self.memory.count(qualified))) if self.memory else costs

    def bounds(self) -> Floats:
        """(2, columns) the least and the most an architecture of the space costs, column by column."""
        bounds = self.fixed + sum(
            (layer.bounds for layer in self.layers if not layer.block), np.zeros((2, len(self.fixed)))
        )
        for block in self.space.variant_blocks:
            ends = np.repeat([self.layers[block.start].costs], 2, axis=0).swapaxes(0, 1)
            for place, layer in enumerate(self.layers[block.start + 1 : block.stop], start=1):
                row_of = np.array(block.states(place)[0])
                for row in range(len(block.variants)):
                    inside = layer.costs[row_of == row]
                    ends[row] += [inside.min(axis=0), inside.max(axis=0)]
            bounds += [ends[:, 0].min(axis=0), ends[:, 1].max(axis=0)]
        return np.column_stack((bounds, self.memory.bounds())) if self.memory else np.asarray(bounds)

    def slice(self, start: int, stop: int) -> CostTable:
        """The costs of some neighbouring layers, whole blocks of them, and nothing else."""
        memory = self.memory.slice(start, stop) if self.memory else None
        part = self.space.slice(start, stop)
        return CostTable(part, self.convention, 0.0 * self.fixed, self.layers[start:stop], memory)


def cost_table(
    space: SearchSpace, convention: str = "macs", latency: LatencyModel | None = None, target: Precision | None = None
) -> CostTable:
    """The cost table of a space: for counting many architectures, for bounds, for dynamic programming over costs.

    Args:
        target: the numbers of the device, for which flash and memory are counted, too.

    Raises:
        SpaceError: the convention is unknown, or a candidate has no cost; the message names it and its layer.
    """
    sizes, choices = space.input_sizes, dict[Op, Floats]()
    if sizes:
        every = (*sizes.layers[0].candidates, *sizes.layers[0].pending)
        choices = {op: _fixed_costs(at_image_size(space, op), convention, latency, target) for op in every}
    fixed = np.min(list(choices.values()), axis=0) if sizes else _fixed_costs(space, convention, latency, target)
    choices = {op: costs - fixed for op, costs in choices.items()}
    layers = (
        LayerCosts(name, layer, convention, latency, block=space.variant_of(i), choices=choices, target=target)
        for i, (name, layer) in enumerate(zip(space.names, space.layers, strict=True))
    )
    return CostTable(space, convention, fixed, tuple(layers), PeakTable.of(space, target) if target else None)


def _fixed_costs(space: SearchSpace, convention: str, latency: LatencyModel | None, target: Precision | None) -> Floats:
    """(3,) or (4,) what stem and head cost."""
    counts = fixed_counts(space)
    flash = [_fixed_weights(space).size(target) / KB] if target else []
    latency_ms = latency.fixed(space) if latency else 0.0
    return np.array([convention_named(convention)(counts), counts.params, latency_ms, *flash])


def _additive(target: Precision | None) -> tuple[str, ...]:
    """The columns that add up."""
    return tuple(name for name in (COLUMNS if target else WITHOUT_TARGET) if name not in PEAKS)
