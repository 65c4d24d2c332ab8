"""Expected hypervolume improvement of candidates whose value is uncertain, and whose costs are known.

At every place of the box of costs that a candidate dominates, its value improves on the best that was seen for no more than
that. So the expectation is a sum over the heights that were seen: the expected improvement on each, times how much of the
candidate's part of the box has it. For one cost that part is a line (the two-dimensional case of Emmerich, Giannakoglou &
Naujoks, IEEE TEVC 10(4), 2006), for two an area: both are exact. For three and more it is estimated at ``PLACES`` places.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from evo.strategy.encoding import Floats

PLACES = 2048
"""Places of a box of three or more costs: the first points of Sobol's sequence (USSR Comput. Math. Math. Phys. 7(4), 1967)."""

Reference = tuple[float, float | Floats]
"""The value above which, and the cost or costs below which, volume counts."""


def expected_improvement(
    mean: Floats, deviation: Floats, cost: Floats, values: Floats, costs: Floats, reference: Reference
) -> Floats:
    """Expected hypervolume improvement of candidates of Gaussian value and known costs, ``(m,)``.

    Args:
        mean, deviation: of the candidates, ``(m,)``.
        cost: theirs, ``(m,)``, or ``(m, k)`` of several costs.
        values, costs: of what was seen, ``(n,)`` and ``(n,)`` or ``(n, k)``.
    """
    lowest, most = reference
    if cost.ndim == 1:
        return _over_one_cost(mean, deviation, cost, values, costs, (lowest, float(np.asarray(most))))
    box = np.asarray(most, float)
    if cost.shape[1] == 2:
        return _over_two_costs(mean, deviation, cost / box, values, costs / box, lowest)
    return _over_many_costs(mean, deviation, cost / box, values, costs / box, lowest)


def _expected(mean: Floats, deviation: Floats, heights: Floats) -> Floats:
    """``(m, heights)``: by how much each candidate's value is expected to be above each height."""
    z = (mean[:, None] - heights) / deviation[:, None]
    return np.asarray(deviation[:, None] * (z * ndtr(z) + np.exp(-z * z / 2) / np.sqrt(2 * np.pi)))


def _over_one_cost(
    mean: Floats, deviation: Floats, cost: Floats, values: Floats, costs: Floats, reference: tuple[float, float]
) -> Floats:
    order = np.lexsort((-values, costs))
    heights = np.maximum.accumulate(np.append(reference[0], values[order]))
    steps = np.append(True, heights[1:] > heights[:-1])
    heights, starts = heights[steps], np.append(-np.inf, costs[order])[steps]
    ends = np.append(starts[1:], np.inf)
    widths = np.minimum(ends, reference[1]) - np.maximum(starts, cost[:, None])
    return np.asarray((np.maximum(widths, 0.0) * _expected(mean, deviation, heights)).sum(axis=1))


def _over_two_costs(
    mean: Floats, deviation: Floats, cost: Floats, values: Floats, costs: Floats, lowest: float
) -> Floats:
    """Costs are shares of the box."""
    heights, above = areas_above(cost, values, costs, lowest)
    return np.asarray((above * _expected(mean, deviation, heights)).sum(axis=1))


def areas_above(cost: Floats, values: Floats, costs: Floats, lowest: float) -> tuple[Floats, Floats]:
    """The heights that were seen, ``(h,)`` from ``lowest`` on; and ``(m, h)`` how much of the box ``[cost, 1]`` of each
    candidate has that height: the best value that was seen for no more than both costs there."""
    inside = (costs < 1.0).all(axis=1) & (values > lowest)
    values, costs = values[inside], costs[inside]
    order = np.argsort(-values, kind="stable")
    reached = [np.clip(1.0 - cost, 0.0, None).prod(axis=1)]  # what no value so far has covered
    heights: list[float] = []
    left = _Staircase()
    for place in order.tolist():
        if left.add(float(costs[place, 0]), float(costs[place, 1])):
            uncovered = left.uncovered(cost)
            if heights and heights[-1] == values[place]:
                reached[-1] = uncovered
            else:
                heights.append(float(values[place]))
                reached.append(uncovered)
    # what is covered from a value on, and not from a higher one, has that value
    parts = [before - behind for before, behind in pairwise(reached)]
    return np.array([*heights, lowest]), np.stack([*parts, reached[-1]], axis=1)


class _Staircase:
    """Pairs of costs of which none dominates another: first costs rise, second costs fall."""

    def __init__(self) -> None:
        self.first: list[float] = []
        self.second: list[float] = []

    def add(self, first: float, second: float) -> bool:
        """False where another one costs no more in both."""
        before = bisect_right(self.first, first)
        if before and self.second[before - 1] <= second:
            return False
        start = stop = bisect_left(self.first, first)
        while stop < len(self.second) and self.second[stop] >= second:
            stop += 1
        self.first[start:stop], self.second[start:stop] = [first], [second]
        return True

    def uncovered(self, cost: Floats) -> Floats:
        """``(m,)``: the part of ``[cost, 1]``, both costs, in which no pair costs no more in both."""
        edges = np.concatenate([[0.0], self.first, [1.0]])
        tops = np.concatenate([[1.0], self.second])  # between two edges, how high the uncovered part reaches
        sums = np.concatenate([[0.0], np.cumsum(tops * np.diff(edges))])
        x, y = np.clip(cost[:, 0], 0.0, 1.0), np.clip(cost[:, 1], 0.0, 1.0)
        stop = edges[np.searchsorted(-tops, -y, side="left")]  # the first edge from which on it does not reach y
        stop = np.maximum(stop, x)
        return np.asarray(_along(stop, edges, tops, sums) - _along(x, edges, tops, sums) - y * (stop - x))


def _along(x: Floats, edges: Floats, tops: Floats, sums: Floats) -> Floats:
    """The integral of the steps from 0 to ``x``."""
    step = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, len(tops) - 1)
    return np.asarray(sums[step] + tops[step] * (x - edges[step]))


def _over_many_costs(
    mean: Floats, deviation: Floats, cost: Floats, values: Floats, costs: Floats, lowest: float
) -> Floats:
    """Costs are shares of the box."""
    places = _places(cost.shape[1])
    seen = np.full(len(places), lowest)
    for value, point in zip(values.tolist(), costs, strict=True):
        reached = (point <= places).all(axis=1)
        seen[reached] = np.maximum(seen[reached], value)
    heights, which = np.unique(seen, return_inverse=True)
    dominated = np.asarray((cost[:, None, :] <= places).all(axis=2))
    counts = np.zeros((len(cost), len(heights)))
    for height in range(len(heights)):
        counts[:, height] = dominated[:, which == height].sum(axis=1)
    return np.asarray((counts * _expected(mean, deviation, heights)).sum(axis=1) / len(places))


@lru_cache(maxsize=4)
def _places(dimensions: int) -> NDArray[np.float64]:
    from scipy.stats import qmc

    return np.asarray(qmc.Sobol(dimensions, scramble=False).random(PLACES))
