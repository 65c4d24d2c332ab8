"""The best combination of scored blocks within all limits of a run: exact, also where several costs are limited at once.

A limit of memory, which is a peak, leaves candidates out. Of the others, which add up, one is answered by ``best_combination``.
With several, what is best for one of them alone is the answer if it is within all. Else this is the same dynamic programming
with a cost for each limit: a part of a network goes only when another part loses no more and costs no more of anything, or when
a lower bound says that it cannot be in the answer.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite

import numpy as np

from evo.evaluators.blockwise.combination import (
    MAX_PAIRS,
    BlockCandidates,
    Floats,
    Ints,
    LowerBound,
    best_combination,
    combination_front,
    lower_bound_of_loss,
    within_memory,
)
from spaces.architecture import Architecture
from spaces.costs.memory import KB
from spaces.costs.table import COLUMNS, PEAKS, CostTable

WHOLE = {"flash_kb": KB}
"""Costs that are no whole numbers by themselves, but so many times what they are: bytes."""

Choice = tuple[int, ...]
"""The place of the candidate that is taken, block by block."""


def best_within(
    blocks: Sequence[Mapping[Architecture, float]], table: CostTable, limits: Mapping[str, tuple[float, float]]
) -> tuple[Architecture, float] | None:
    """The architecture whose blocks lose least in sum of all that are within limits, and that sum; of equals the cheaper one.

    None: none costs so little, or the best one costs less than a limit's least.

    Args:
        blocks: what the candidates of each block of the table's space lose, lower is better.
        limits: ``macs``, ``params``, ``flash_kb`` or ``memory_kb`` -> least and most, inclusive; at least one most is finite.
    """
    asked = [name for name in COLUMNS if name not in PEAKS and isfinite(limits.get(name, (0, inf))[1])] or ["macs"]
    columns, whole = [COLUMNS.index(name) for name in asked], np.array([WHOLE.get(name, 1) for name in asked])
    tables = [table.slice(*place) for place in table.space.blocks]
    blocks = [within_memory(block, part, limits) for block, part in zip(blocks, tables, strict=True)]
    if not all(blocks) or (table.memory and table.memory.fixed > limits.get("memory_kb", (0, inf))[1]):
        return None
    parts = [list(block) for block in blocks]
    problem = _Problem(
        tuple(np.array(list(block.values()), np.float64) for block in blocks),
        tuple(own.count(part)[:, columns] * whole for own, part in zip(tables, parts, strict=True)),
        np.floor([limits.get(name, (0, inf))[1] * unit for name, unit in zip(asked, whole, strict=True)])
        - table.fixed[columns] * whole,
    )
    choice = problem.best()
    if choice is None:
        return None
    arch = Architecture(tuple(gene for part, i in zip(parts, choice, strict=True) for gene in part[i].genes))
    (costs,) = table.count([arch]).tolist()
    if any(costs[COLUMNS.index(name)] < least for name, (least, _) in limits.items()):
        return None
    return arch, problem.loss_of(choice)


@dataclass(frozen=True)
class _Problem:
    """Blocks, and what combinations of them may cost.

    Attributes:
        losses: per block ``(n,)``; ``costs``: per block ``(n, limits)``, whole numbers; both lower is better.
        most: ``(limits,)``, inclusive.
    """

    losses: tuple[Floats, ...]
    costs: tuple[Floats, ...]
    most: Floats

    def loss_of(self, choice: Choice) -> float:
        """What a combination loses."""
        return float(sum(losses[i] for losses, i in zip(self.losses, choice, strict=True)))

    def is_within(self, choice: Choice) -> bool:
        """Whether a combination is within all limits."""
        spent = np.sum([costs[i] for costs, i in zip(self.costs, choice, strict=True)], axis=0)
        return bool((spent <= self.most).all())

    def for_limit(self, column: int) -> list[BlockCandidates]:
        """The blocks, with one of their costs."""
        return [
            BlockCandidates.of(losses, costs[:, column]) for losses, costs in zip(self.losses, self.costs, strict=True)
        ]

    def best(self) -> Choice | None:
        """The combination that loses least within all limits; None: none is within."""
        for column, most in enumerate(self.most.tolist()):
            found = best_combination(self.for_limit(column), most + 0.5)  # costs are whole numbers
            if found is None:
                return None
            if self.is_within(found.choice):
                return found.choice
        return self._best_by_all()

    def _best_by_all(self) -> Choice | None:
        known, partial = self._known_loss(), _Partial.empty(len(self.most))
        for block in range(len(self.losses)):
            partial = partial.extended(self.losses[block], self.costs[block], self._bounds(block, known))
        inside = np.flatnonzero((partial.costs <= self.most).all(1))
        if not len(inside):
            return None
        order = np.lexsort(
            (*partial.costs[inside].T[::-1], partial.losses[inside])
        )  # then by choices: they are in order
        return tuple(partial.choices[inside[order[0]]].tolist())

    def _known_loss(self) -> float:
        """The loss of a good combination within all limits; infinite where none was found."""
        fronts = (combination_front(self.for_limit(column)) for column in range(len(self.most)))
        return min((one.loss for front in fronts for one in front if self.is_within(one.choice)), default=inf)

    def _bounds(self, block: int, known: float) -> list[LowerBound]:
        """Per limit, what parts of a network up to ``block`` may still become."""
        return [
            LowerBound(lower_bound_of_loss(self.for_limit(column)[block + 1 :]), most, known)
            for column, most in enumerate(self.most.tolist())
        ]


@dataclass(frozen=True)
class _Partial:
    """Combinations of the first blocks, none of which another beats: ``losses`` ``(p,)``, ``costs`` ``(p, limits)``, and
    ``choices`` ``(p, blocks)``, in whose order they are."""

    losses: Floats
    costs: Floats
    choices: Ints

    @classmethod
    def empty(cls, limits: int) -> _Partial:
        return cls(np.zeros(1), np.zeros((1, limits)), np.zeros((1, 0), np.int64))

    def extended(self, losses: Floats, costs: Floats, bounds: Sequence[LowerBound]) -> _Partial:
        """With one more block, without what is out of all bounds."""
        worth = np.sort(_unbeaten(losses, costs))
        found = _Partial(np.empty(0), np.empty((0, costs.shape[1])), np.empty((0, self.choices.shape[1] + 1), np.int64))
        for rows in np.array_split(np.arange(len(self.losses)), max(1, -(-len(worth) * len(self.losses) // MAX_PAIRS))):
            found = found.joined(self._pairs(rows, worth, losses, costs, bounds))
        return found

    def _pairs(self, rows: Ints, worth: Ints, losses: Floats, costs: Floats, bounds: Sequence[LowerBound]) -> _Partial:
        """Some combinations with each of the candidates ``worth``."""
        i, j = np.repeat(rows, len(worth)), np.tile(worth, len(rows))
        lost, spent = self.losses[i] + losses[j], self.costs[i] + costs[j]
        hopeful = np.all([bound(lost, spent[:, column]) for column, bound in enumerate(bounds)], axis=0)
        choices = np.column_stack((self.choices[i[hopeful]], j[hopeful]))
        return _Partial(lost[hopeful], spent[hopeful], choices)

    def joined(self, other: _Partial) -> _Partial:
        """All of two, without those that are beaten."""
        losses, costs = np.concatenate((self.losses, other.losses)), np.concatenate((self.costs, other.costs))
        choices = np.concatenate((self.choices, other.choices))
        kept = np.sort(_unbeaten(losses, costs))
        return _Partial(losses[kept], costs[kept], choices[kept])


def _unbeaten(losses: Floats, costs: Floats) -> Ints:
    """The places of those of which no other loses no more and costs no more of anything, or equals them and stands before.

    They are looked at in the order of the first cost; of what was kept, a stair tells the least loss for each second cost. With
    more costs, each is held against all that were kept.
    """
    if costs.shape[1] > 2:
        return _unbeaten_by_all(losses, costs)
    stair_costs, stair_losses, kept = list[float](), list[float](), list[int]()
    order = np.lexsort((np.arange(len(losses)), losses, costs[:, 1], costs[:, 0]))
    for place, cost, loss in zip(order.tolist(), costs[order, 1].tolist(), losses[order].tolist(), strict=True):
        step = bisect_right(stair_costs, cost)
        if step and stair_losses[step - 1] <= loss:
            continue
        end = step
        while end < len(stair_costs) and stair_losses[end] >= loss:
            end += 1
        stair_costs[step:end], stair_losses[step:end] = [cost], [loss]
        kept.append(place)
    return np.array(kept, np.int64)


def _unbeaten_by_all(losses: Floats, costs: Floats) -> Ints:
    points = np.column_stack([costs, losses])
    order = np.lexsort((np.arange(len(losses)), *points.T[::-1]))  # nothing is beaten by what comes later
    kept, found = np.empty_like(points), list[int]()
    for place in order.tolist():
        if not (kept[: len(found)] <= points[place]).all(axis=1).any():
            kept[len(found)] = points[place]
            found.append(place)
    return np.array(found, np.int64)
