"""Objectives with their directions: one or several costs (lower is better) and accuracy (higher is better).

Every function takes costs, ``(n,)`` or ``(n, k)`` where there are ``k`` of them, and accuracies, ``(n,)``. Equal points are
equals: neither dominates.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

T = TypeVar("T")


def nondomination_ranks(cost: ArrayLike, accuracy: ArrayLike) -> NDArray[np.int64]:
    """Nondomination rank of each point, ``(n,)``: 1 is the Pareto front, 2 the front once that is taken away, ...

    Deb et al., NSGA-II (2002), by sorting: with points in order of cost, a front dominates a new point exactly when its
    best accuracy so far is at least the point's. O(n log n). With several costs each point is held against the fronts so
    far, by bisection (Zhang et al., IEEE TEVC 19(2), 2015).
    """
    points = np.column_stack([np.asarray(cost, float), -np.asarray(accuracy, float)])
    distinct, place = np.unique(points, axis=0, return_inverse=True)
    if points.shape[1] > 2:
        return _ranks_of_many(distinct)[place.ravel()]
    best: list[float] = []  # per front its best accuracy so far, negated: ascending from front to front
    rank = np.empty(len(distinct), np.int64)
    for i, negated in enumerate(distinct[:, 1].tolist()):
        front = bisect_right(best, negated)
        best[front : front + 1] = [negated]
        rank[i] = front + 1
    return rank[place.ravel()]


def on_front(cost: ArrayLike, accuracy: ArrayLike) -> NDArray[np.bool_]:
    """Which points no other point dominates, ``(n,)``."""
    return np.asarray(nondomination_ranks(cost, accuracy) == 1)


def _ranks_of_many(distinct: NDArray[np.float64]) -> NDArray[np.int64]:
    """Ranks of distinct points in lexicographic order, ``(n, objectives)``, all of which are to be small: none is dominated by
    a later one."""
    fronts: list[NDArray[np.float64]] = []
    sizes: list[int] = []
    rank = np.empty(len(distinct), np.int64)
    for i, point in enumerate(distinct):
        low, high = 0, len(fronts)
        while low < high:  # a point that a front dominates is dominated by all fronts before it
            middle = (low + high) // 2
            if bool((fronts[middle][: sizes[middle]] <= point).all(axis=1).any()):
                low = middle + 1
            else:
                high = middle
        if low == len(fronts):
            fronts.append(np.empty((8, distinct.shape[1])))
            sizes.append(0)
        if sizes[low] == len(fronts[low]):
            fronts[low] = np.concatenate([fronts[low], np.empty_like(fronts[low])])
        fronts[low][sizes[low]] = point
        sizes[low] += 1
        rank[i] = low + 1
    return rank


MaxCost = float | Sequence[float]
"""The most that counts of the cost, or of each cost."""


def hypervolume(cost: ArrayLike, accuracy: ArrayLike, *, max_cost: MaxCost, min_accuracy: float = 0.0) -> float:
    """Volume that the points dominate inside the box ``[0, max_cost] x [min_accuracy, 1]``, as a share of that box; exact.

    Accuracy is a fraction. 1 means an architecture of no cost and no error; points outside the box count nothing. With several
    costs the box has a side for each, and is cut into slabs along the last of them (Knowles, PhD thesis, 2002): the time grows
    with the number of points to the power of the costs.
    """
    costs = np.asarray(cost, float)
    if costs.ndim == 1:
        return _area(costs, np.asarray(accuracy, float), float(np.asarray(max_cost)), min_accuracy)
    most = np.asarray(max_cost, float)
    if costs.shape[1:] != most.shape:
        raise ValueError(
            f"costs are {costs.shape}, and the most of them {most.shape}: expected one limit for each cost"
        )
    return _volume(costs / most, np.asarray(accuracy, float), min_accuracy)


def _volume(costs: NDArray[np.float64], accuracy: NDArray[np.float64], min_accuracy: float) -> float:
    """The share of ``[0, 1] x ... x [min_accuracy, 1]``."""
    if costs.shape[1] == 1:
        return _area(costs[:, 0], accuracy, 1.0, min_accuracy)
    inside = (costs < 1.0).all(axis=1) & (accuracy > min_accuracy)
    costs, accuracy = costs[inside], accuracy[inside]
    on = on_front(costs, accuracy)
    costs, accuracy = costs[on], accuracy[on]
    order = np.argsort(costs[:, -1], kind="stable")
    costs, accuracy = costs[order], accuracy[order]
    thick = np.diff(costs[:, -1], append=1.0)
    slabs = (
        width * _volume(costs[: i + 1, :-1], accuracy[: i + 1], min_accuracy)
        for i, width in enumerate(thick.tolist())
        if width
    )
    return float(sum(slabs))


def _area(cost: NDArray[np.float64], accuracy: NDArray[np.float64], max_cost: float, min_accuracy: float) -> float:
    order = np.argsort(cost, kind="stable")
    costs = np.minimum(cost[order], max_cost)
    heights = np.maximum.accumulate(np.maximum(accuracy[order], min_accuracy)) - min_accuracy
    return float(np.diff(costs, append=max_cost) @ heights / (max_cost * (1.0 - min_accuracy)))


def hypervolume_trace(
    cost: ArrayLike, accuracy: ArrayLike, *, max_cost: MaxCost, min_accuracy: float = 0.0
) -> NDArray[np.float64]:
    """The hypervolume (see ``hypervolume``) of the first 1, 2, ... n points, ``(n,)``."""
    costs = np.asarray(cost, float)
    if costs.ndim == 2:
        return _trace_of_many(costs / np.asarray(max_cost, float), np.asarray(accuracy, float), min_accuracy)
    max_cost = float(np.asarray(max_cost))
    box = max_cost * (1.0 - min_accuracy)
    front: list[tuple[float, float]] = []  # in order of cost, so that accuracy rises too
    area, trace = 0.0, []
    for c, a in zip(np.asarray(cost, float).tolist(), np.asarray(accuracy, float).tolist(), strict=True):
        if c < max_cost and a > min_accuracy and not any(fc <= c and fa >= a for fc, fa in front):
            front = sorted([(fc, fa) for fc, fa in front if fc < c or fa > a] + [(c, a)])
            area = _staircase(front, max_cost, min_accuracy)
        trace.append(area / box)
    return np.asarray(trace, float)


def _trace_of_many(
    costs: NDArray[np.float64], accuracy: NDArray[np.float64], min_accuracy: float
) -> NDArray[np.float64]:
    """Each point adds its own box, less what the points before it have of that box."""
    members: list[int] = []
    volume, trace = 0.0, []
    for i, (point, height) in enumerate(zip(costs, accuracy.tolist(), strict=True)):
        known, heights = costs[members], accuracy[members]
        inside = bool((point < 1.0).all()) and height > min_accuracy
        if inside and not bool(((known <= point).all(axis=1) & (heights >= height)).any()):
            box = float(np.prod(1.0 - point)) * (height - min_accuracy) / (1.0 - min_accuracy)
            volume += box - _volume(np.maximum(known, point), np.minimum(heights, height), min_accuracy)
            beaten = (known >= point).all(axis=1) & (heights <= height)
            members = [place for place, gone in zip(members, beaten.tolist(), strict=True) if not gone] + [i]
        trace.append(volume)
    return np.asarray(trace, float)


def _staircase(front: list[tuple[float, float]], max_cost: float, min_accuracy: float) -> float:
    ends = [cost for cost, _ in front[1:]] + [max_cost]
    return sum((end - cost) * (accuracy - min_accuracy) for (cost, accuracy), end in zip(front, ends, strict=True))


def evenly_spaced(front: Sequence[T], most: int) -> list[T]:
    """At most so many members of a front, spread evenly, its two ends kept."""
    places = np.unique(np.linspace(0, len(front) - 1, min(most, len(front))).round().astype(int))
    return [front[place] for place in places]
