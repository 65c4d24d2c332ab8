"""What it takes to measure every cut by itself: what lies before the layer that is cut is the whole network's, and runs once.

Nothing here imports torch.
"""

from __future__ import annotations

from itertools import accumulate

from spaces.architecture import Architecture
from spaces.costs.table import COLUMNS, CostTable, convention_named
from spaces.operations.grammar import count_operation
from spaces.operations.primitives import stem_steps, total_counts
from spaces.space import resolve_variants


def macs_of_single_cuts(table: CostTable) -> float:
    """Multiply-accumulates of one image: of the network of first candidates, and of every network that differs from it in one
    layer, from that layer to the end.

    Args:
        table: the costs of the space; its convention counts.
    """
    candidates = [layer.candidates for layer in table.space.layers]
    whole = tuple(ops[0] for ops in candidates)
    changes = [(i, op) for i, ops in enumerate(candidates) for op in ops[1:]]
    cuts = (Architecture((*whole[:i], op, *whole[i + 1 :])) for i, op in changes)
    macs = table.count([Architecture(whole), *cuts])[:, COLUMNS.index("macs")]
    before = _macs_before(table, Architecture(whole))
    return float(macs.sum()) - sum(before[i] for i, _ in changes)


def _macs_before(table: CostTable, arch: Architecture) -> list[float]:
    """For every layer the MACs of all that runs before it; nothing runs before the size of images is chosen."""
    (alone, space), convention = resolve_variants(arch, table.space), convention_named(table.convention)
    stem = convention(total_counts(stem_steps(space.stem), space.stem.size))
    layers = (convention(count_operation(op, layer.shape)) for layer, op in zip(space.layers, alone.genes, strict=True))
    before = list(accumulate(layers, initial=float(stem)))[:-1]
    return [0.0, *before] if table.space.input_sizes else before
