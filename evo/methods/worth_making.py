"""Which of the operations that wait are worth making, where each of them costs a training. A rule of this program.

What operations lose by themselves is taken to add up, as everywhere in the search of cuts. Then for any price of a
multiply-accumulate every layer chooses by itself: the operation with the least loss plus price times cost (Everett, Operations
Research 11, 1963). An operation that waits is worth what it would lower that least sum by, on average over the prices that
belong to the budgets of a front, if it lost as much beside the layer's own operations of its cost as others have that were made
before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf
from random import Random
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from evo.methods.evolution import Rate
from spaces.architecture import Op
from spaces.costs.table import COLUMNS, CostTable
from spaces.layer import Layer
from spaces.space import SearchSpace
from studies.records import Ratings, Round

Floats = NDArray[np.float64]

Limits = Mapping[str, tuple[float, float]]

BUDGETS = 32
"""Prices that count: those of so many budgets, evenly spaced in the logarithm of the cost."""

EXPECTED = 0.5
"""What an operation is expected to lose before any was made, as a share of what the layer's own of its cost lose."""


@dataclass(frozen=True)
class Offer:
    """What a layer has: costs, rising, and losses, falling, of those of its operations that are the best for some price."""

    costs: Floats
    losses: Floats

    @classmethod
    def of(cls, costs: Floats, losses: Floats) -> Offer:
        """The lower convex hull of costs and losses."""
        order = np.lexsort((losses, costs))
        hull: list[int] = []
        for place in order.tolist():
            if hull and losses[place] >= losses[hull[-1]]:
                continue
            while len(hull) > 1 and _is_above(costs, losses, hull[-2], hull[-1], place):
                hull.pop()
            hull.append(place)
        return cls(costs[hull], losses[hull])

    @property
    def prices(self) -> Floats:
        """``(n - 1,)`` the prices of a unit of cost at which the layer's choice changes."""
        return np.asarray(-np.diff(self.losses) / np.diff(self.costs))

    def least(self, prices: Floats) -> tuple[Floats, Floats]:
        """``(n,)`` each: for each price the least of loss plus price times cost, and the cost of what has it."""
        sums = self.losses + prices[:, None] * self.costs
        return sums.min(axis=1), self.costs[sums.argmin(axis=1)]

    def loss_at(self, cost: float) -> float:
        """What the layer loses at a cost, between its operations in proportion."""
        return float(np.interp(cost, self.costs, self.losses))


def _is_above(costs: Floats, losses: Floats, first: int, middle: int, last: int) -> bool:
    """Whether the middle one of three points lies on the line between the others, or above it."""
    rise = (losses[last] - losses[first]) * (costs[middle] - costs[first])
    return bool((losses[middle] - losses[first]) * (costs[last] - costs[first]) >= rise)


@dataclass(frozen=True)
class WorthMaking:
    """Ratings of candidates as ``rate`` gives them; of what waits, from 0.5, which is worth nothing, to 1, the most worthy.

    Attributes:
        limits: of the run.
    """

    rate: Rate
    limits: Limits = field(default_factory=dict)

    def __call__(self, finished: Round) -> Ratings:
        assert finished.costs is not None  # the algorithm of a round gives them
        waiting = {(i, op) for i, layer in enumerate(finished.space.layers) for op in layer.pending}
        known = {choice: rating for choice, rating in self.rate(finished).items() if choice not in waiting}
        worth = worth_of_waiting(finished, finished.costs, self.limits)
        most = max(worth.values(), default=0.0) or 1.0
        return known | {choice: 0.5 + 0.5 * value / most for choice, value in worth.items()}

    def __str__(self) -> str:
        return f"{self.rate}; what waits by how much it would lower the front's losses"


def worth_of_waiting(finished: Round, costs: CostTable, limits: Limits = MappingProxyType({})) -> Ratings:
    """What making each operation that waits is worth, in the unit of losses, 0 or more; none where a layer has no loss known.

    Budgets are those within ``limits``. Images are taken to have the first of their sizes.
    """
    column = COLUMNS.index(finished.cost)
    space, first = finished.space, (*finished.earlier, finished)[0].space
    prefix, places = _size_prefix(space), range(1 if space.input_sizes else 0, len(space.layers))

    def cost(i: int, op: Op) -> float:
        return float(costs.layers[i].cost_of(prefix + op)[column])

    offers, shares = dict[int, Offer](), list[float]()
    for i in places:
        losses = {
            op: max(0.0, -finished.ratings[i, op]) for op in space.layers[i].candidates if (i, op) in finished.ratings
        }
        own = [op for op in losses if op in first.layers[i].candidates] or list(losses)
        if not losses:
            return {}
        itself = Offer.of(np.array([cost(i, op) for op in own]), np.array([losses[op] for op in own]))
        shares += (loss / max(itself.loss_at(cost(i, op)), 1e-9) for op, loss in losses.items() if op not in own)
        offers[i] = Offer.of(np.array([cost(i, op) for op in losses]), np.array(list(losses.values())))
    expected = (EXPECTED + sum(min(share, 2.0) for share in shares)) / (1 + len(shares))
    size = costs.layers[0].cost_of(space.layers[0].candidates[0])[column] if space.input_sizes else 0.0
    low, high = (bound - float(costs.fixed[column] + size) for bound in limits.get(finished.cost, (0.0, inf)))
    prices = prices_of_budgets(list(offers.values()), low, high)
    worth = dict[tuple[int, Op], float]()
    for i, offer in offers.items():
        least, _ = offer.least(prices)
        for op in space.layers[i].pending:
            if costs.memory and not costs.memory.allows(i, op, limits.get("memory_kb", (0.0, inf))[1]):
                continue  # no network within the limit has it
            price = cost(i, op)
            lowered = least - (expected * offer.loss_at(price) + prices * price)
            worth[i, op] = float(np.maximum(lowered, 0.0).mean())
    return worth


def _size_prefix(space: SearchSpace) -> str:
    return f"{space.input_sizes.layers[0].candidates[0]}/" if space.input_sizes else ""


def prices_of_budgets(offers: list[Offer], low: float = 0.0, high: float = inf) -> Floats:
    """``(BUDGETS,)`` for each budget a price of a unit of cost: one of the least at which all layers, each with what is
    best for it, cost no more together."""
    changes = np.unique(np.concatenate([offer.prices for offer in offers]))
    if not len(changes):
        return np.zeros(BUDGETS)
    prices = np.array([changes[0] / 2, *(changes[1:] + changes[:-1]) / 2, 2 * changes[-1]])  # where nothing is a tie
    totals = np.sum([offer.least(prices)[1] for offer in offers], axis=0)  # falling
    cheapest, dearest = (sum(offer.costs[place] for offer in offers) for place in (0, -1))
    least = max(cheapest, 1e-3 * dearest, min(low, dearest), 1e-9)
    budgets = np.geomspace(least, max(least, min(high, dearest)), BUDGETS)
    places = np.searchsorted(-totals, -budgets * (1 + 1e-9), side="left")
    return np.asarray(prices[places.clip(max=len(prices) - 1)])


@dataclass(frozen=True)
class AddMostWorthy:
    """The operations that wait and are rated best, ``number`` of them over all layers; none that is worth nothing."""

    number: int

    def __call__(self, space: SearchSpace, ratings: Ratings, rng: Random) -> SearchSpace:
        waiting = [
            (i, op) for i, layer in enumerate(space.layers) for op in layer.pending if ratings.get((i, op), 0.0) > 0.5
        ]
        chosen = set(sorted(waiting, key=lambda choice: -ratings[choice])[: self.number])
        return space.replace_layers(
            _with_new(layer, [op for op in layer.pending if (i, op) in chosen]) for i, layer in enumerate(space.layers)
        )

    def __str__(self) -> str:
        return f"with the {self.number} operations that are most worth making"


def _with_new(layer: Layer, new: list[Op]) -> Layer:
    pending = tuple(op for op in layer.pending if op not in new)
    return replace(layer, candidates=(*layer.candidates, *new), pending=pending)
