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
        layers, operations: how many there are; the first group has a column for each pair, the last columns are sums over all
            layers.
    """

    def __init__(self, table: CostTable, cost: int) -> None:
        """``cost``: which column of the table's costs."""
        self._table, self._cost = table, cost
        known = {op for layer in table.layers for op in (*layer.layer.candidates, "id", "skip")}
        self._column = {op: i for i, op in enumerate(sorted(known))}
        self.layers, self.operations = len(table.layers), len(known)
        n, m = self.layers, self.operations
        self.groups = np.repeat(np.arange(4), (n * m, n, n, n * m))
        self._rows: list[dict[str, int]] = [{} for _ in table.layers]  # per layer, the places of genes among those told
        self._has: list[list[Floats]] = [[] for _ in table.layers]
        self._share: list[list[float]] = [[] for _ in table.layers]

    def __call__(self, archs: Sequence[Architecture]) -> Floats:
        """``(n, columns)`` of canonical architectures: spellings of one network should be encoded alike."""
        told = list(map(self._table.space.qualified_genes, archs))
        share = np.zeros((len(archs), self.layers))
        has = np.zeros((len(archs), self.layers, self.operations))
        for i, place in enumerate(self._rows):
            genes = [genes[i] for genes in told]
            for arch, gene in zip(archs, genes, strict=True):
                if gene not in place:
                    self._tell(i, gene, arch.genes[i])
            rows = [place[gene] for gene in genes]
            has[:, i], share[:, i] = np.array(self._has[i])[rows], np.array(self._share[i])[rows]
        parts = (has, share, share.cumsum(axis=1), has.cumsum(axis=1))
        return np.concatenate([part.reshape(len(archs), -1) for part in parts], axis=1)

    def _tell(self, i: int, qualified: str, gene: str) -> None:
        layer, has = self._table.layers[i], np.zeros(self.operations)
        has[[self._column[op] for op in operations(gene)]] = 1.0
        cost = float(layer.cost_of(qualified)[self._cost])
        self._rows[i][qualified] = len(self._rows[i])
        self._has[i].append(has)
        self._share[i].append(float(np.sqrt(cost / max(layer.bounds[1, self._cost], cost, 1e-12))))
