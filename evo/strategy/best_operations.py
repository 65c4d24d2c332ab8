"""What the best network with a given operation is worth, at every budget: dynamic programming over costs that add up.

With additive scores and additive costs, the best network of every cost is found layer by layer, as in a knapsack with one
choice per layer (Kellerer, Pferschy & Pisinger, Knapsack Problems, 2004, chapter 11). Here it is found for many functions at
once, and for each operation of each layer that the network must have.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evo.strategy.encoding import Floats

BUCKETS = 192
"""Costs are counted in so many steps."""

NEVER, POSSIBLE = -1e18, -1e15
"""The worth of what cannot be, and below what of what can."""


@dataclass(frozen=True)
class CostLadder:
    """A space's layers by what their choices cost.

    Attributes:
        steps: per layer, the buckets that each choice adds, ``(choices of the layer,)``.
        least: cost of the first bucket; ``width``: of a bucket.
    """

    steps: tuple[NDArray[np.intp], ...]
    least: float
    width: float

    @classmethod
    def of(cls, costs: Sequence[Floats], fixed: float, most: float | None = None) -> CostLadder:
        """From each layer's choices' costs and what every network costs besides; nothing above ``most`` is looked at."""
        lowest = [float(layer.min()) for layer in costs]
        least, dearest = fixed + sum(lowest), fixed + sum(float(layer.max()) for layer in costs)
        width = max((min(dearest, most or dearest) - least) / (BUCKETS - 1), 1e-12)
        above = (np.rint((layer - low) / width) for layer, low in zip(costs, lowest, strict=True))
        return cls(tuple(np.minimum(steps, BUCKETS).astype(np.intp) for steps in above), least, width)

    @property
    def budgets(self) -> Floats:
        """``(BUCKETS,)`` the cost of each bucket."""
        return np.asarray(self.least + self.width * np.arange(BUCKETS))


def best_with_each(ladder: CostLadder, worth: Sequence[Floats], curve: Floats) -> Iterator[tuple[int, Floats]]:
    """Layer by layer: what the best network within each budget is worth that has each choice there.

    Args:
        worth: per layer, what its choices add, ``(functions, choices of the layer)``.
        curve: what a cost is worth by itself, ``(functions, BUCKETS)``.

    Yields:
        The layer and ``(functions, choices, BUCKETS)``; ``NEVER`` or less where a budget is too small.
    """
    start = np.full(curve.shape, NEVER)
    start[:, 0] = 0.0
    for layer, others in _without_each(ladder, worth, start, 0, len(ladder.steps)):
        values = [
            _shifted(others, step) + worth[layer][:, place, None] for place, step in enumerate(ladder.steps[layer])
        ]
        yield layer, np.maximum.accumulate(np.stack(values, axis=1) + curve[:, None, :], axis=2)


def best_within(
    ladder: CostLadder, worth: Sequence[Floats], curve: Floats, buckets: Sequence[int] = (-1,)
) -> NDArray[np.intp]:
    """``(buckets, functions, layers)``: the places of the choices of the best networks that cost no more than a bucket does.

    Costs are rounded to buckets, so a network may cost a little more; then the one of a bucket below may do.

    Args:
        worth, curve: as those of ``best_with_each``.
        buckets: places in ``ladder.budgets``.
    """
    places = np.zeros((len(buckets), len(curve), len(worth)), np.intp)
    for layer, best in best_with_each(ladder, worth, curve):
        places[:, :, layer] = best[:, :, list(buckets)].argmax(axis=1).T
    return places


def _without_each(
    ladder: CostLadder, worth: Sequence[Floats], done: Floats, start: int, stop: int
) -> Iterator[tuple[int, Floats]]:
    """The best of all layers but one, at each exact cost, for each layer from ``start`` to ``stop``; those outside are done."""
    if stop - start == 1:
        yield start, done
        return
    middle = (start + stop) // 2
    right = left = done
    for layer in range(middle, stop):
        left = _with_layer(left, ladder.steps[layer], worth[layer])
    yield from _without_each(ladder, worth, left, start, middle)
    for layer in range(start, middle):
        right = _with_layer(right, ladder.steps[layer], worth[layer])
    yield from _without_each(ladder, worth, right, middle, stop)


def _with_layer(best: Floats, steps: NDArray[np.intp], worth: Floats) -> Floats:
    """The best at each exact cost when one more layer is chosen."""
    after = np.full(best.shape, 2 * NEVER)
    for place, step in enumerate(steps):
        np.maximum(after, _shifted(best, step) + worth[:, place, None], out=after)
    return after


def _shifted(best: Floats, step: int) -> Floats:
    """``best`` at costs that are ``step`` buckets higher."""
    if step == 0:
        return best
    shifted = np.full(best.shape, NEVER)
    if step < best.shape[1]:
        shifted[:, step:] = best[:, :-step]
    return shifted
