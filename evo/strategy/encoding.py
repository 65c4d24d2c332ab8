"""Architectures as numbers: what the surrogate tells apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spaces.architecture import Architecture, operations
from spaces.costs.table import CostTable

Floats = NDArray[np.float64]


class Encoding:
    """Networks as rows of numbers, from nothing but the names of their operations and what they cost in their layer.

    Four groups of columns: which operations stand in which layer; the square root of each layer's cost, as a share of
    its dearest gene's; and both of these summed from the first layer on, so that moving an operation to the next layer
    is a small change, and depth and total cost are columns too.

    Attributes:
        groups: the group that each column belongs to, ``(columns,)``.
    """

    def __init__(self, table: CostTable, cost: int) -> None:
        """``cost``: which column of the table's costs."""
        self._layers, self._told = table.layers, table.space.qualified_genes
        self._cost = cost
        known = {op for layer in table.layers for op in (*layer.layer.candidates, "id", "skip")}
        self._column = {op: i for i, op in enumerate(sorted(known))}
        n, m = len(self._layers), len(known)
        self.groups = np.repeat(np.arange(4), (n * m, n, n, n * m))

    def __call__(self, archs: Sequence[Architecture]) -> Floats:
        """``(n, columns)`` of canonical architectures: spellings of one network should be encoded alike."""
        n, m = len(self._layers), len(self._column)
        share, has = np.zeros((len(archs), n)), np.zeros((len(archs), n, m))
        qualified = list(map(self._told, archs))
        for i, layer in enumerate(self._layers):
            genes = [arch.genes[i] for arch in archs]
            costs = layer.select([genes[i] for genes in qualified])[:, self._cost]
            share[:, i] = np.sqrt(costs / max(layer.bounds[1, self._cost], costs.max(initial=0.0), 1e-12))
            for row, gene in enumerate(genes):
                has[row, i, [self._column[op] for op in operations(gene)]] = 1.0
        parts = (has, share, share.cumsum(axis=1), has.cumsum(axis=1))
        return np.concatenate([part.reshape(len(archs), -1) for part in parts], axis=1)
