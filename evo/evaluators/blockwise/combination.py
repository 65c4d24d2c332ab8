"""The best combination of scored blocks: exact, for one budget or for all of them at once.

Every block has candidates with a loss and a cost; one candidate of each is taken, and both add up. DNA
(https://arxiv.org/abs/1911.13053, section 3.4) searches the least loss whose cost stays below a budget. Its released loop
keeps bounds from one outer step to the next and misses the optimum; this is dynamic programming over the blocks, in which
a part of a network goes only when another part costs no more and loses no more, or when a lower bound of what is still to
come says that it cannot be in the answer.

Of equal losses the cheaper combination counts, of equal costs too the one whose choices come first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spaces.architecture import Architecture, Op
from spaces.costs.table import COLUMNS, CostTable
from studies.records import Ratings

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

Limits = Mapping[str, tuple[float, float]]
"""A cost's name -> least and most, inclusive."""

NO_LIMITS: Limits = MappingProxyType({})

MAX_PAIRS = 1 << 21
"""So many partial combinations are looked at together: bounds the memory, changes nothing else."""


@dataclass(frozen=True)
class BlockCandidates:
    """What may be chosen in one block: ``losses`` and ``costs``, both ``(n,)`` and lower is better."""

    losses: Floats
    costs: Floats

    @classmethod
    def of(cls, losses: ArrayLike, costs: ArrayLike) -> BlockCandidates:
        """Checked.

        Raises:
            ValueError: there are none, the lengths differ, or a number is not finite.
        """
        x, y = np.asarray(losses, np.float64), np.asarray(costs, np.float64)
        if x.ndim != 1 or x.shape != y.shape or not len(x):
            raise ValueError(f"expected one loss and one cost per candidate, found shapes {x.shape} and {y.shape}")
        if not (np.isfinite(x).all() and np.isfinite(y).all()):
            raise ValueError("losses and costs must be finite numbers; leave out candidates that have none")
        return cls(x, y)


@dataclass(frozen=True)
class Combination:
    """One candidate per block (``choice`` are their places), and what they add up to."""

    choice: tuple[int, ...]
    loss: float
    cost: float


def best_combination(blocks: Sequence[BlockCandidates], budget: float) -> Combination | None:
    """The combination of least loss among those that cost less than ``budget``; None where there is none."""
    known = _greedy_loss(blocks, budget)
    if known is None:
        return None
    partial = _PartialCombinations.empty()
    for i, block in enumerate(blocks):
        partial = partial.extended(block, LowerBound(lower_bound_of_loss(blocks[i + 1 :]), budget, known))
    affordable = (combination for combination in partial.combinations() if combination.cost < budget)
    return min(affordable, key=lambda c: (c.loss, c.cost, c.choice))


def combination_front(blocks: Sequence[BlockCandidates]) -> list[Combination]:
    """Every combination that no other beats in both loss and cost, cheapest first."""
    partial = _PartialCombinations.empty()
    for block in blocks:
        partial = partial.extended(block, None)
    return sorted(partial.combinations(), key=lambda c: c.cost)


# -- dynamic programming ----------------------------------------------------------------------------------------------


def front_of_ratings(ratings: Ratings, costs: CostTable, cost: str, limits: Limits = NO_LIMITS) -> list[Architecture]:
    """The Pareto front of added ratings (higher is better) and ``cost``, exact, cheapest first, over all architectures whose
    layers carry one rated candidate each: where what operations are worth is taken to add up over layers, and what the size of
    the images is worth, if they choose one.

    Args:
        limits: that of memory, a peak, is kept; others are not looked at.
    """
    column, genes = COLUMNS.index(cost), [layer.candidates for layer in costs.space.layers]
    sizes = costs.space.input_sizes
    found = []
    for size in sizes.variants if sizes else ("",):
        inside = _within_memory([(size,), *genes[1:]] if size else genes, size, costs, limits)
        if not all(inside):
            continue
        blocks = [
            BlockCandidates.of(
                [-ratings[i, op] for op in ops],
                [float(costs.layers[i].cost_of(f"{size}/{op}" if size and i else op)[column]) for op in ops],
            )
            for i, ops in enumerate(inside)
        ]
        for one in combination_front(blocks):
            found.append((one.loss, one.cost, Architecture(tuple(inside[i][j] for i, j in enumerate(one.choice)))))
    losses, prices = (np.array([each[column] for each in found], np.float64) for column in (0, 1))
    return [found[place][2] for place in _nondominated(losses, prices, np.arange(len(found))).tolist()]


def within_memory(
    block: Mapping[Architecture, float], costs: CostTable, limits: Limits
) -> Mapping[Architecture, float]:
    """The candidates of a block that keep the limit of memory; ``costs``: of the block's layers alone."""
    if costs.memory is None or "memory_kb" not in limits:
        return block
    needed = costs.count(block)[:, COLUMNS.index("memory_kb")].tolist()
    return {
        part: loss for (part, loss), peak in zip(block.items(), needed, strict=True) if peak <= limits["memory_kb"][1]
    }


def _within_memory(genes: Sequence[tuple[Op, ...]], size: Op, costs: CostTable, limits: Limits) -> list[tuple[Op, ...]]:
    """Per layer, the operations that keep the limit of memory at a size of images."""
    memory, most = costs.memory, limits.get("memory_kb", (0.0, np.inf))[1]
    if memory is None:
        return list(genes)
    return [
        tuple(op for op in ops if max(memory.fixed, layer.of(f"{size}/{op}" if size and i else op)) <= most)
        for i, (layer, ops) in enumerate(zip(memory.layers, genes, strict=True))
    ]


def without_gains(ratings: Ratings) -> Ratings:
    """Ratings of which none is above 0: what seems to be better than a network itself owes that to chance."""
    return {choice: min(0.0, rating) for choice, rating in ratings.items()}


@dataclass(frozen=True)
class LowerBound:
    """What a partial combination may still become: nothing better than ``known`` below ``budget``, or something."""

    rest: tuple[Floats, Floats]
    budget: float
    known: float

    def __call__(self, losses: Floats, costs: Floats) -> NDArray[np.bool_]:
        least_costs, least_losses = self.rest
        left = self.budget - costs
        affordable = left >= least_costs[0] - 1e-9 * abs(self.budget)
        to_come = np.interp(left, least_costs, least_losses)
        return np.asarray(affordable & (losses + to_come <= self.known + 1e-9 * max(1.0, abs(self.known))))


@dataclass(frozen=True)
class _PartialCombinations:
    """Combinations of the first blocks, none of which another beats; in the order of their choices.

    ``earlier`` and ``picks`` say, block by block, which combination was extended by which candidate.
    """

    losses: Floats
    costs: Floats
    earlier: tuple[Ints, ...]
    picks: tuple[Ints, ...]

    @classmethod
    def empty(cls) -> _PartialCombinations:
        return cls(np.zeros(1), np.zeros(1), (), ())

    def extended(self, block: BlockCandidates, bound: LowerBound | None) -> _PartialCombinations:
        """With one more block."""
        worth = _nondominated(block.losses, block.costs, np.arange(len(block.losses)))
        size = len(block.losses)
        losses, costs, order = np.empty(0), np.empty(0), np.empty(0, np.int64)
        for part in np.array_split(worth, max(1, -(-len(worth) * len(self.losses) // MAX_PAIRS))):
            more_losses = (self.losses[:, None] + block.losses[part]).ravel()
            more_costs = (self.costs[:, None] + block.costs[part]).ravel()
            more_order = (np.arange(len(self.losses))[:, None] * size + part).ravel()
            if bound is not None:
                hopeful = bound(more_losses, more_costs)
                more_losses, more_costs, more_order = more_losses[hopeful], more_costs[hopeful], more_order[hopeful]
            losses = np.concatenate([losses, more_losses])
            costs = np.concatenate([costs, more_costs])
            order = np.concatenate([order, more_order])
            kept = _nondominated(losses, costs, order)
            losses, costs, order = losses[kept], costs[kept], order[kept]
        place = np.argsort(order)
        earlier, pick = np.divmod(order[place], size)
        return _PartialCombinations(losses[place], costs[place], (*self.earlier, earlier), (*self.picks, pick))

    def combinations(self) -> Iterator[Combination]:
        """All of them, spelled out."""
        rows = np.arange(len(self.losses))
        columns = []
        for earlier, picks in zip(reversed(self.earlier), reversed(self.picks), strict=True):
            columns.append(picks[rows])
            rows = earlier[rows]
        choices = zip(*(column.tolist() for column in reversed(columns)), strict=True)
        for choice, loss, cost in zip(choices, self.losses.tolist(), self.costs.tolist(), strict=True):
            yield Combination(tuple(choice), loss, cost)


def _nondominated(losses: Floats, costs: Floats, order: Ints) -> Ints:
    """The places of those that no other beats in both, or equals and stands before in ``order``."""
    rough = np.flatnonzero(_possibly_nondominated(losses, costs))
    places = rough[np.lexsort((order[rough], losses[rough], costs[rough]))]
    sorted_losses = losses[places]
    before = np.concatenate([[np.inf], np.minimum.accumulate(sorted_losses)[:-1]])
    return places[sorted_losses < before]


def _possibly_nondominated(losses: Floats, costs: Floats, bins: int = 4096) -> NDArray[np.bool_]:
    """False for what is surely beaten: something in a bin of lower cost loses no more. Saves most of the sorting."""
    if len(costs) < bins:
        return np.ones(len(costs), bool)
    low, high = costs.min(), costs.max()
    place = ((costs - low) * ((bins - 1) / ((high - low) or 1.0))).astype(np.int64)
    least = np.full(bins + 1, np.inf)
    np.minimum.at(least, place + 1, losses)
    return np.asarray(losses < np.minimum.accumulate(least)[place])


# -- bounds -----------------------------------------------------------------------------------------------------------


def _lower_hull(block: BlockCandidates) -> Ints:
    """The places of the lower left convex hull of a block's candidates, cheapest first."""
    places = _nondominated(block.losses, block.costs, np.arange(len(block.losses)))
    hull: list[int] = []
    for place in places.tolist():
        while len(hull) > 1 and not _turns_left(block, hull[-2], hull[-1], place):
            hull.pop()
        hull.append(place)
    return np.array(hull)


def _turns_left(block: BlockCandidates, a: int, b: int, c: int) -> bool:
    """Whether the way from ``a`` over ``b`` to ``c`` bends to the left, as the lower hull does."""
    x, y = block.costs, block.losses
    return bool((x[b] - x[a]) * (y[c] - y[a]) - (y[b] - y[a]) * (x[c] - x[a]) > 0)


def _hull_steps(blocks: Sequence[BlockCandidates]) -> list[tuple[float, float, float, int, int]]:
    """Along all hulls, from the cheapest candidates on: (slope, more cost, more loss, block, place), steepest first."""
    steps = []
    for i, block in enumerate(blocks):
        hull = _lower_hull(block)
        for place, before in zip(hull[1:].tolist(), hull[:-1].tolist(), strict=True):
            cost, loss = block.costs[place] - block.costs[before], block.losses[place] - block.losses[before]
            steps.append((float(loss / cost), float(cost), float(loss), i, place))
    return sorted(steps)


def lower_bound_of_loss(blocks: Sequence[BlockCandidates]) -> tuple[Floats, Floats]:
    """A lower bound of what blocks lose, by what they may cost: the corners of a convex, falling line (costs, losses).

    It is the linear relaxation of the multiple-choice knapsack (Sinha and Zoltners, Operations Research 27, 1979).
    """
    cheapest = [int(_lower_hull(block)[0]) for block in blocks]
    start = [
        sum((block.costs[i] for block, i in zip(blocks, cheapest, strict=True)), 0.0),
        sum((block.losses[i] for block, i in zip(blocks, cheapest, strict=True)), 0.0),
    ]
    corners = np.cumsum([start, *([cost, loss] for _, cost, loss, _, _ in _hull_steps(blocks))], axis=0)
    return corners[:, 0], corners[:, 1]


def _greedy_loss(blocks: Sequence[BlockCandidates], budget: float) -> float | None:
    """The loss of a good combination below ``budget``; None where even the cheapest is not."""
    chosen = [int(_lower_hull(block)[0]) for block in blocks]
    cost = sum(block.costs[i] for block, i in zip(blocks, chosen, strict=True))
    if cost >= budget:
        return None
    for _, _, _, i, place in _hull_steps(blocks):
        after = cost - blocks[i].costs[chosen[i]] + blocks[i].costs[place]
        if after < budget:
            cost, chosen[i] = after, place
    return float(sum(block.losses[i] for block, i in zip(blocks, chosen, strict=True)))
