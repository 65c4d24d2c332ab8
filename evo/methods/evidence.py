"""Evidence: what may be the best operation stays, by everything that was measured so far. A method of this program.

The published rules count how often good networks use an operation; with few evaluations they drop what was never measured. This
rule asks a posterior over what every operation adds at equal cost (``evo.strategy.additive``) how probable it is that the best
network with one operation is as good as the best network with another, budget by budget. What is worse at all budgets with
high probability goes. An operation that was never measured is unknown, not bad, and stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evo.methods.evolution import Above, Evolution, Nothing, ranked_ops
from evo.methods.worth_making import AddMostWorthy, WorthMaking
from evo.strategy.cost_ladder import CostLadder, layer_choices
from evo.strategy.design import choices_of
from spaces.architecture import Op
from spaces.costs.table import CostTable
from spaces.errors import SpaceError
from spaces.layer import Layer
from spaces.operations.neighbours import neighbours
from spaces.space import SearchSpace
from studies.config import EvidenceEvolution, StudyConfig
from studies.records import EvoError, LayerChoice, Ratings, Round

if TYPE_CHECKING:
    from evo.strategy.additive import Posterior
    from evo.strategy.encoding import Floats

DRAWS = 256
"""Functions that are drawn from the posterior; a probability is a share of them."""

Limits = Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class AsGoodAsBest:
    """The probability that the best network with an operation is as good as the best with the layer's most promising one.

    Both are compared within equal budgets. The range of cost is divided into ``regions`` of equal widths in its logarithm, and
    the region counts in which the operation does best. What waits is rated, too. What was never measured is rated above 0.5, in
    the order of its probabilities: it is unknown, not bad. Where operations do not predict the scores better than chance, all
    are rated 0.5.

    Attributes:
        limits: of the run.
        margin: by how much, in units of the score, a network may be worse and still be as good.
        zoom: whether the neighbours of candidates are rated, too.
        front: whether what a network of the front has is rated 1: right where its score holds in later rounds, too.
    """

    limits: Limits = field(default_factory=dict)
    regions: int = 3
    margin: float = 0.0
    zoom: bool = False
    front: bool = False

    def __call__(self, finished: Round) -> Ratings:
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1):  # sums in one order, however many cores there are
            return self._ratings(finished)

    def _ratings(self, finished: Round) -> Ratings:
        from evo.strategy.best_operations import best_with_each
        from evo.strategy.effects import fit_round

        assert finished.costs is not None  # the algorithm of a round gives them
        rated = [self._rated(layer, i, finished.costs) for i, layer in enumerate(finished.space.layers)]
        choices = layer_choices(finished.space, rated)
        posterior = fit_round(finished, ((i, op) for i, ops in enumerate(choices) for op in ops), ahead=True)
        if posterior is None:
            return {}
        if not posterior.useful:
            return {(i, op): 0.5 for i, ops in enumerate(rated) for op in ops}
        ladder = CostLadder.of_space(finished.costs, choices, finished.cost, self._range(finished)[1])
        drawn = posterior.draw(DRAWS, np.random.default_rng(finished.n))
        curve, regions = posterior.cost_curve(drawn, ladder.budgets), self._regions(finished, ladder.budgets)
        best = dict(best_with_each(ladder, posterior.worth(drawn, choices), curve))
        ratings = {
            (i, op): probability
            for i, ops in enumerate(rated)
            for op, probability in zip(
                ops, self._probabilities(finished, i, best[i][:, : len(ops)], regions, posterior), strict=True
            )  # without what is left out
        }
        rounds = (*finished.earlier, finished)
        seen = {choice for part in rounds for e in part.evaluations for choice in choices_of(e.arch)}
        used = {choice for e in finished.front for choice in choices_of(e.arch)} if self.front else set()
        unknown = {choice: 0.5 + rating / 2 for choice, rating in ratings.items() if choice not in seen}
        outside = self._outside(ratings, finished.costs)
        return ratings | unknown | dict.fromkeys(outside, 0.0) | dict.fromkeys(used & ratings.keys(), 1.0)

    def _outside(self, ratings: Ratings, costs: CostTable) -> list[LayerChoice]:
        """What no network within the limit of memory has: it cannot be measured, and is worth nothing."""
        if costs.memory is None or "memory_kb" not in self.limits:
            return []
        most = self.limits["memory_kb"][1]
        return [(i, op) for i, op in ratings if not costs.memory.allows(i, op, most)]

    def _rated(self, layer: Layer, i: int, costs: CostTable) -> list[Op]:
        """What is rated at a layer: the candidates first."""
        near = [op for candidate in layer.candidates for op in neighbours(candidate)] if self.zoom else []
        known = dict.fromkeys((*layer.candidates, *layer.pending))
        return [*known, *(op for op in dict.fromkeys(near) if op not in known and _has_cost(costs, i, op))]

    def _range(self, finished: Round) -> tuple[float, float]:
        """The least and the greatest cost that count: those measured, inside the limits."""
        least, most = self.limits.get(finished.cost, (0.0, np.inf))
        seen = [e.cost(finished.cost) for e in finished.evaluations]
        return max(least, min(seen)), min(most, max(seen))

    def _regions(self, finished: Round, budgets: Floats) -> list[NDArray[np.bool_]]:
        """Which budgets belong to each region, ``(budgets,)`` each; regions without a budget are left out."""
        least, most = self._range(finished)
        edges = np.geomspace(max(least, 1e-9), max(most, 1e-9), self.regions + 1)
        parts = [(budgets >= low) & (budgets <= high) for low, high in pairwise(edges)]
        return [part for part in parts if part.any()] or [np.ones(len(budgets), bool)]

    def _probabilities(
        self, finished: Round, i: int, best: Floats, regions: list[NDArray[np.bool_]], posterior: Posterior
    ) -> list[float]:
        """Of each rated operation of layer ``i``; ``best``: ``(draws, operations, budgets)``."""
        from evo.strategy.best_operations import POSSIBLE

        mean, candidates = best.mean(axis=0), len(finished.space.layers[i].candidates)
        promising = mean[:candidates].argmax(axis=0)
        to_match = np.take_along_axis(best, promising[None, None, :], axis=1) - self.margin / posterior.unit
        as_good = (best >= to_match) & (mean > POSSIBLE)
        within = mean[:candidates].max(axis=0) > POSSIBLE
        shares = [as_good[:, :, part & within].mean(axis=(0, 2)) for part in regions if (part & within).any()]
        return np.max(shares, axis=0).tolist() if shares else [0.5] * best.shape[1]

    def __str__(self) -> str:
        return (
            "probability of being as good as the layer's best operation at equal budgets, "
            f"in the best of {self.regions} regions of cost{', 1 on the front' if self.front else ''}"
        )


def _has_cost(costs: CostTable, i: int, op: Op) -> bool:
    known = costs.space.variant_of(i)
    rows = [*known[0].variants, *known[0].layers[0].pending] if known else []
    rows = [row for row in rows if known and known[0].runs(row, known[1])]
    try:
        for gene in [f"{row}/{op}" for row in rows] or [op]:
            costs.layers[i].cost_of(gene)
    except (SpaceError, KeyError):
        return False
    return True


@dataclass(frozen=True)
class AddPromising:
    """What was rated best among the operations that are no candidates, until a layer has ``k`` candidates.

    Attributes:
        above: what is rated at this or below is not added: it was measured, and dropped.
    """

    k: int
    above: float

    def __call__(self, space: SearchSpace, ratings: Ratings, rng: Random) -> SearchSpace:
        promising = {choice: rating for choice, rating in ratings.items() if rating > self.above}
        return space.replace_layers(
            self._filled(layer, ranked_ops(promising, i)) for i, layer in enumerate(space.layers)
        )

    def _filled(self, layer: Layer, ranked: list[Op]) -> Layer:
        others = [op for op in ranked if op not in layer.candidates]
        new = tuple(others[: max(0, self.k - len(layer.candidates))])
        waiting = tuple(op for op in layer.pending if op not in new)
        return replace(layer, candidates=layer.candidates + new, pending=waiting)

    def __str__(self) -> str:
        return f"with the most promising others, up to {self.k}"


def require_no_branches(space: SearchSpace, rng: Random) -> SearchSpace:
    """The space itself.

    Raises:
        EvoError: a layer may carry several operations or none: what they add does not add up.
    """
    if any(layer.branches > 1 or layer.skippable for layer in space.layers):
        raise EvoError(
            f"evolution.method 'evidence' needs a space with one operation per layer, and {space.name!r} has branches: "
            "choose another space, or another method"
        )
    return space


def evidence(section: EvidenceEvolution, config: StudyConfig) -> Evolution:
    """Keep what may be the best, by a posterior over what operations add at equal cost."""
    rate = AsGoodAsBest(
        config.limits.given(), section.regions, section.margin, section.zoom, front=config.evaluator.scores_hold
    )
    threshold = 1 - section.confidence
    if section.make is not None:
        return Evolution(WorthMaking(rate), Above(threshold), AddMostWorthy(section.make), prepare=require_no_branches)
    refill = Nothing() if section.k is None else AddPromising(section.k, threshold)
    return Evolution(rate, Above(threshold), refill, prepare=require_no_branches)
