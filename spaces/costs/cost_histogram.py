"""How many architectures cost how much: dynamic programming over layers whose costs add up.

What is a peak (``spaces.costs.table.PEAKS``) has no buckets. A limit of it from above leaves genes out.

Costs are counted in buckets, and architectures of a range of buckets are drawn gene by gene, each gene in proportion to
the ways in which one can go on behind it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from spaces.costs.peaks import most_allowed
from spaces.costs.table import COLUMNS, PEAKS, CostTable, Floats, LayerCosts
from spaces.errors import SpaceError

Places = NDArray[np.intp]
"""(n, layers) architectures, each gene by its place in ``Layer.genes``."""

MAX_BINS = 1 << 14
"""A cost is counted exactly where its range has at most so many steps, and in so many buckets otherwise."""


@dataclass(frozen=True)
class CostHistogram:
    """The architectures of a space by one cost.

    Attributes:
        cost: a name of ``spaces.costs.table.COLUMNS`` that adds up.
        origin, width: bucket ``b`` begins at cost ``origin + b * width``.
        slack: by how many buckets a cost may lie above the bucket it is counted in: each layer's is rounded down.
        steps: per layer, the buckets that each gene adds.
        weights: per layer, how often each gene counts; an architecture counts as often as its genes' product.
        states: per layer, the state that each gene is for and the state that it leaves: the row chosen in a block with
            rows (``spaces.variants``), and 0 everywhere else.
        completions: per layer, and once more behind the last, how many ways to go on from there, in each state, add so
            many buckets.
    """

    cost: str
    origin: float
    width: float
    slack: int
    steps: tuple[Places, ...]
    weights: tuple[Floats, ...]
    states: tuple[tuple[Places, Places], ...]
    completions: tuple[Floats, ...]

    @classmethod
    def of(
        cls,
        table: CostTable,
        cost: str,
        tilt: Floats | None = None,
        limits: Mapping[str, tuple[float, float]] = MappingProxyType({}),
    ) -> CostHistogram:
        """Counts every architecture of the table's space: once, or with a weight.

        Args:
            tilt: an architecture counts in proportion to the exponential of its costs that add up times this.
            limits: what has a peak above its limit does not count; limits of other costs change nothing.

        Raises:
            SpaceError: the cost is a peak.
        """
        if cost in PEAKS:
            raise SpaceError(f"{cost} is a peak and no sum over layers: choose a cost that adds up")
        column = COLUMNS.index(cost)
        costs = [layer.costs[:, column] for layer in table.layers]
        above = [layer - layer.min() for layer in costs]
        span, width = float(sum(layer.max() for layer in above)), _common_step(above)
        exact = span <= width * MAX_BINS
        width = width if exact else span / MAX_BINS
        steps = tuple(np.floor(layer / width).astype(np.intp) for layer in above)
        weights = tuple(_weights(layer.costs, tilt) for layer in table.layers)
        if allowed := most_allowed(table.memory, limits):
            weights = tuple(own * inside for own, inside in zip(weights, allowed, strict=True))
        states = tuple(_variant_states(layer) for layer in table.layers)
        completions = [np.ones((1, 1))]
        for step, weight, ends in zip(reversed(steps), reversed(weights), reversed(states), strict=True):
            completions.insert(0, _prepend_step(step, weight, ends, completions[0]))
        origin = float(table.fixed[column] + sum(layer.min() for layer in costs))
        whole = all((layer == np.rint(layer)).all() for layer in (*costs, table.fixed[column]))  # else sums are rounded
        return cls(
            cost, origin, width, 0 if exact and whole else len(steps) + 1, steps, weights, states, tuple(completions)
        )

    def bins_between(self, low: float, high: float) -> slice:
        """The buckets that hold all architectures costing from ``low`` to ``high``, and perhaps some beside them."""
        last = self.completions[0].shape[1] - 1
        first_bucket = np.floor((low - self.origin) / self.width) - self.slack
        last_bucket = np.floor((high - self.origin) / self.width) + (self.slack > 0)
        return slice(int(np.clip(first_bucket, 0, last + 1)), int(np.clip(last_bucket, -1, last)) + 1)

    def count(self, low: float, high: float) -> float:
        """How many architectures these buckets hold."""
        return float(self.completions[0][0, self.bins_between(low, high)].sum())

    def draw(self, low: float, high: float, n: int, generator: np.random.Generator) -> Places:
        """``n`` architectures of these buckets, drawn in proportion to their weights, with repetitions."""
        window = self.bins_between(low, high)
        left = window.start + _draw_rows(np.tile(self.completions[0][0, window], (n, 1)), generator)
        places, state = np.empty((n, len(self.steps)), np.intp), np.zeros(n, np.intp)
        for layer, steps in enumerate(self.steps):
            places[:, layer] = _draw_rows(self._following(layer, left, state), generator)
            left, state = left - steps[places[:, layer]], self.states[layer][1][places[:, layer]]
        return places

    def unrank(self, low: float, high: float, ranks: Places) -> Places:
        """The architectures of these buckets at the places ``ranks`` of their list: by bucket, then gene by gene.

        The list itself is never made. Every architecture must count once (no ``tilt``), and ``count(low, high)`` be
        below 2^53, so that counts are exact.
        """
        window = self.bins_between(low, high)
        ways = self.completions[0][0, window]
        bucket, rest = _place_of_rank(np.tile(ways, (len(ranks), 1)), ranks.astype(float))
        left, state = window.start + bucket, np.zeros(len(ranks), np.intp)
        places = np.empty((len(ranks), len(self.steps)), np.intp)
        for layer, steps in enumerate(self.steps):
            gene, rest = _place_of_rank(self._following(layer, left, state), rest)
            places[:, layer], left, state = gene, left - steps[gene], self.states[layer][1][gene]
        return places

    def _following(self, layer: int, left: Places, state: Places) -> Floats:
        """(n, genes) in how many ways a gene of ``layer`` and all that can follow add the buckets that are left."""
        (before, behind), ways = self.states[layer], self.completions[layer + 1]
        rest, most = left[:, None] - self.steps[layer], ways.shape[1] - 1
        fits = (rest >= 0) & (rest <= most) & (before == state[:, None])
        return np.where(fits, ways[behind, np.clip(rest, 0, most)], 0.0) * self.weights[layer]


def _common_step(above: list[Floats]) -> float:
    """The greatest step that all costs are multiples of; 1 where all are equal, 0 where they are no whole numbers, or too
    large to be counted."""
    values = np.concatenate(above)
    if np.any(values != np.rint(values)) or values.max() >= 2**63:
        return 0.0
    return float(np.gcd.reduce(values.astype(np.int64))) or 1.0


def _weights(costs: Floats, tilt: Floats | None) -> Floats:
    if tilt is None:
        return np.ones(len(costs))
    exponents = costs @ tilt
    return np.asarray(np.exp(exponents - exponents.max()))


def _variant_states(layer: LayerCosts) -> tuple[Places, Places]:
    """Of each gene, the state that it is for and the state that it leaves."""
    before, behind = layer.block[0].states(layer.block[1]) if layer.block else ([0] * len(layer.costs),) * 2
    return np.array(before, np.intp), np.array(behind, np.intp)


def _prepend_step(steps: Places, weights: Floats, states: tuple[Places, Places], ways: Floats) -> Floats:
    """How many ways there are, in each state, when one of ``steps`` comes in front of ``ways``."""
    before, behind = states
    total = np.zeros((before.max() + 1, ways.shape[1] + steps.max()))
    for state, after in sorted(set(zip(before.tolist(), behind.tolist(), strict=True))):
        these = (before == state) & (behind == after)
        times = np.bincount(steps[these], weights[these])
        for step in np.flatnonzero(times):
            total[state, step : step + ways.shape[1]] += times[step] * ways[after]
    return total


def _place_of_rank(ways: Floats, rank: Floats) -> tuple[Places, Floats]:
    """(n,) the place in its row where the ``rank``-th way lies, and its rank there; ``ways`` (n, places) are counts."""
    upto = np.cumsum(ways, axis=1)
    place = np.argmax(upto > rank[:, None], axis=1)
    rows = np.arange(len(rank))
    return place, rank - (upto[rows, place] - ways[rows, place])


def _draw_rows(weights: Floats, generator: np.random.Generator) -> Places:
    """(n,) one place per row, drawn in proportion to its weight."""
    upto = np.cumsum(weights, axis=1)
    return np.asarray(np.argmax(upto > generator.random((len(upto), 1)) * upto[:, -1:], axis=1))
