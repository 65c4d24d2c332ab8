"""Two objectives, directions explicit: cost (lower is better) and accuracy (higher is better).

Every function takes two arrays of one length, ``(n,)`` each, and treats equal points as equals: neither dominates.
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
    best accuracy so far is at least the point's. O(n log n).
    """
    points = np.column_stack([np.asarray(cost, float), -np.asarray(accuracy, float)])
    distinct, place = np.unique(points, axis=0, return_inverse=True)
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


def hypervolume(cost: ArrayLike, accuracy: ArrayLike, *, max_cost: float, min_accuracy: float = 0.0) -> float:
    """Area that the points dominate inside the box ``[0, max_cost] x [min_accuracy, 1]``, as a share of that box.

    Accuracy is a fraction. 1 means an architecture of no cost and no error; points outside the box count nothing.
    """
    order = np.argsort(np.asarray(cost, float), kind="stable")
    costs = np.minimum(np.asarray(cost, float)[order], max_cost)
    heights = np.maximum.accumulate(np.maximum(np.asarray(accuracy, float)[order], min_accuracy)) - min_accuracy
    return float(np.diff(costs, append=max_cost) @ heights / (max_cost * (1.0 - min_accuracy)))


def hypervolume_trace(
    cost: ArrayLike, accuracy: ArrayLike, *, max_cost: float, min_accuracy: float = 0.0
) -> NDArray[np.float64]:
    """The hypervolume (see ``hypervolume``) of the first 1, 2, ... n points, ``(n,)``."""
    box = max_cost * (1.0 - min_accuracy)
    front: list[tuple[float, float]] = []  # in order of cost, so that accuracy rises too
    area, trace = 0.0, []
    for c, a in zip(np.asarray(cost, float).tolist(), np.asarray(accuracy, float).tolist(), strict=True):
        if c < max_cost and a > min_accuracy and not any(fc <= c and fa >= a for fc, fa in front):
            front = sorted([(fc, fa) for fc, fa in front if fc < c or fa > a] + [(c, a)])
            area = _staircase(front, max_cost, min_accuracy)
        trace.append(area / box)
    return np.asarray(trace, float)


def _staircase(front: list[tuple[float, float]], max_cost: float, min_accuracy: float) -> float:
    ends = [cost for cost, _ in front[1:]] + [max_cost]
    return sum((end - cost) * (accuracy - min_accuracy) for (cost, accuracy), end in zip(front, ends, strict=True))


def evenly_spaced(front: Sequence[T], most: int) -> list[T]:
    """At most so many members of a front, spread evenly, its two ends kept."""
    places = np.unique(np.linspace(0, len(front) - 1, min(most, len(front))).round().astype(int))
    return [front[place] for place in places]
