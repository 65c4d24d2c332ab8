"""What a space or an architecture consists of, layer by layer, and what each layer costs: for people to look at."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np

from spaces.architecture import Architecture, Op, operations
from spaces.costs.memory import PRECISIONS
from spaces.costs.table import WITHOUT_TARGET, CostTable, Floats, LatencyModel, convention_named, cost_table
from spaces.layer import Shape
from spaces.operations.primitives import stem_steps, total_counts
from spaces.size import both_sides
from spaces.space import SearchSpace, at_image_size, resolve_variants


@dataclass(frozen=True)
class OverviewLine:
    """One layer, or the stem, or the head.

    Attributes:
        block: the stage that the layer belongs to.
        shapes: what it turns into what: one, but in a block with rows.
        ops: what one may choose; of an architecture, what was chosen.
        waiting: how many operations later rounds may still try.
        costs: (2, 3) the least and the most it costs, by ``spaces.costs.table.WITHOUT_TARGET``; equal for an architecture.
    """

    name: str
    block: str
    shapes: tuple[Shape, ...]
    ops: tuple[str, ...]
    waiting: int
    costs: Floats

    @property
    def shape(self) -> Shape:
        """The first of the shapes; all have one size and one stride."""
        return self.shapes[0]


@dataclass(frozen=True)
class Overview:
    """A space, or an architecture of it.

    Attributes:
        arch: None for the space itself.
        convention: by which MACs are counted.
        columns: the costs that are known.
        rows: stem, layers, head; their costs add up to ``totals``, but where blocks have rows, of which each layer is at its
            least and its most. The head's latency is that of stem and head. Of an architecture, the layers that are there.
        totals: (2, 3) the least and the most an architecture costs.
        target: the precision of a device; None: none was asked for. ``on_device``: (2, 2) the least and the most KB of flash
            and of memory there.
    """

    space: SearchSpace
    arch: Architecture | None
    convention: str
    columns: tuple[str, ...]
    rows: tuple[OverviewLine, ...]
    totals: Floats
    target: str | None = None
    on_device: Floats | None = None

    def shares(self) -> Floats:
        """(rows,) each row's part of the multiply-accumulates, where every row costs the most it may."""
        most = np.array([row.costs[1, 0] for row in self.rows])
        return np.asarray(most / (most.sum() or 1.0))


def make_overview(
    space: SearchSpace,
    arch: Architecture | None = None,
    convention: str = "macs",
    latency: LatencyModel | None = None,
    target: str | None = None,
) -> Overview:
    """The overview of ``arch``, or of all of ``space``.

    Args:
        target: the precision of a device, one of ``PRECISIONS``.

    Raises:
        SpaceError: the space does not hold the architecture, or an operation has no cost or latency.
    """
    if arch is not None:
        arch, space = resolve_variants(space.check(arch), space)
    table = cost_table(space, convention, latency)
    sizes = space.input_sizes
    chosen = sizes.variants if sizes else ("",)
    stems = np.array([_stem_costs(at_image_size(space, op) if op else space, convention) for op in chosen])
    fixed = np.array([table.fixed + (table.layers[0].cost_of(op) if op else 0.0) for op in chosen])
    rows = [_stem_line(space, _range_of(stems))]
    for i, (layer, costs) in enumerate(zip(space.layers, table.layers, strict=True)):
        own = np.array([costs.cost_of(arch.genes[i])] * 2) if arch else costs.bounds
        own = np.zeros_like(own) if sizes and i == 0 else own  # stem and head have what it costs
        skippable = layer.skippable or "skip" in (space.genes[i] if costs.block else ())
        ops = operations(arch.genes[i]) if arch else layer.candidates + (("skip",) if skippable else ())
        rows.append(OverviewLine(costs.name, layer.block, space.shapes(i), ops, 0 if arch else len(layer.pending), own))
    rows.append(_head_line(space, _range_of(fixed - stems)))
    known = WITHOUT_TARGET if latency else WITHOUT_TARGET[:2]
    on_device = _ends(cost_table(space, target=PRECISIONS[target]), arch)[:, 3:] if target else None
    return Overview(space, arch, convention, known, tuple(rows), _ends(table, arch), target, on_device)


def _ends(table: CostTable, arch: Architecture | None) -> Floats:
    """``(2, columns)`` the least and the most that ``arch`` costs, or any architecture."""
    return np.repeat(table.count([arch]), 2, axis=0) if arch else table.bounds()


def _stem_costs(space: SearchSpace, convention: str) -> Floats:
    counts = total_counts(stem_steps(space.stem), space.stem.size)
    return np.array([convention_named(convention)(counts), counts.params, 0.0])


def _range_of(costs: Floats) -> Floats:
    """(2, 3) the least and the most of some costs ``(n, 3)``."""
    return np.array([costs.min(axis=0), costs.max(axis=0)])


def _stem_line(space: SearchSpace, costs: Floats) -> OverviewLine:
    stem = space.stem
    shape = Shape(stem.c_in, stem.c_out, stem.stride * stem.pool, stem.size)
    pool = ("3x3 max pool",) if stem.pool > 1 else ()
    ops = (f"{stem.kernel}x{stem.kernel} convolution", *pool)
    return OverviewLine("stem", "stem", (shape,), ops, 0, costs)


def _head_line(space: SearchSpace, costs: Floats) -> OverviewLine:
    last, head = space.layers[-1].shape, space.head
    convolution = (f"1x1 convolution to {head.features}",) if head.features else ()
    shape = Shape(last.c_out, head.classes, max(both_sides(last.size_out)), last.size_out)
    linear = (f"linear to {head.hidden}", "linear") if head.hidden else ("linear",)
    return OverviewLine("head", "head", (shape,), (*convolution, "average pool", *linear), 0, costs)


def channel_range(shapes: Sequence[Shape], end: Literal["c_in", "c_out"]) -> str:
    """The channels at one end of a layer: ``24``, or ``24,32`` where they depend on a row."""
    return ",".join(map(str, sorted({getattr(shape, end) for shape in shapes})))


def abbreviate_ops(ops: Sequence[Op]) -> str:
    """Operations that differ in numbers only, written once: ``mb_k{3,5}_e{3,6}, id``."""
    families: defaultdict[str, list[tuple[str, ...]]] = defaultdict(list)
    for op in ops:
        families[re.sub(r"\d+", "#", op)].append(tuple(re.findall(r"\d+", op)))
    written = []
    for family, members in families.items():
        choices = [tuple(dict.fromkeys(place)) for place in zip(*members, strict=True)]
        if set(product(*choices)) != set(members):
            written += [_fill(family, [(number,) for number in member]) for member in members]
        else:
            written.append(_fill(family, choices))
    return ", ".join(written)


def _fill(family: str, choices: Sequence[Sequence[str]]) -> str:
    """``family`` with its ``#`` replaced, one after another, by a number or by ``{one,or,another}``."""
    numbers = iter(f"{{{','.join(choice)}}}" if len(choice) > 1 else choice[0] for choice in choices)
    return re.sub("#", lambda _: next(numbers), family)
