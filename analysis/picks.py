"""Which network of a front one wants: the most accurate that is allowed, or the knee."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from spaces.units import short
from studies.records import Evaluation, EvoError


def within(front: Sequence[Evaluation], most: Mapping[str, float]) -> list[Evaluation]:
    """Those of a front that cost at most ``most``: a cost's name -> its limit.

    Raises:
        EvoError: none does; the message names the cheapest of them.
    """
    allowed = [e for e in front if all(e.cost(name) <= limit for name, limit in most.items())]
    if not allowed:
        asked = " and ".join(f"{short(limit)} {name}" for name, limit in most.items())
        least = ", ".join(f"{short(min(e.cost(name) for e in front))} {name}" for name in most)
        raise EvoError(
            f"no network of the front has at most {asked}: they begin at {least}; allow more, or say --scale-to"
        )
    return allowed


def best(front: Sequence[Evaluation], cost: str) -> Evaluation:
    """The most accurate; of equals the cheapest."""
    return max(front, key=lambda e: (e.accuracy, -e.cost(cost)))


def knee(front: Sequence[Evaluation], cost: str) -> Evaluation:
    """Where a front bends most: the network farthest above the line from its cheapest to its most accurate.

    Accuracy against the logarithm of cost, both from 0 to 1 over the front. Where no network is above the line, there is
    no knee, and the most accurate is it.
    """
    if len(front) < 3:
        return best(front, cost)
    x = _unit(np.log(np.maximum([e.cost(cost) for e in front], 1e-12)))
    y = _unit(np.array([e.accuracy for e in front]))
    above = y - x  # the line is the diagonal: the distance from it is this, over the square root of 2
    place = int(np.argmax(above))
    return front[place] if above[place] > 1e-9 else best(front, cost)


def _unit(values: np.ndarray) -> np.ndarray:
    """Values moved and stretched to [0, 1]."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.zeros_like(values)
