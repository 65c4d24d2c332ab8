"""What a regression on all measurements promises most: the best networks within a cost, measured or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from evo.strategy.cost_ladder import CostLadder, layer_choices
from evo.strategy.effects import fit_round
from spaces.architecture import Architecture, Op
from spaces.costs.table import COLUMNS, CostTable
from studies.records import Evaluation, Round

if TYPE_CHECKING:
    from evo.strategy.additive import Posterior
    from evo.strategy.encoding import Floats

Limits = Mapping[str, tuple[float, float]]
"""A cost's name -> least and most, inclusive."""

NO_LIMITS: Limits = MappingProxyType({})

LOWER = (-1, -2, -4, -8, -16, -32)
"""Steps of cost, from the dearest down, at which networks are looked for."""


@dataclass(frozen=True)
class Promises:
    """What is promised after a round.

    Attributes:
        costs: of the round's space.
    """

    finished: Round
    costs: CostTable

    def networks(
        self, cost: str, most: float, number: int, *, widened: bool = False, limits: Limits = NO_LIMITS
    ) -> list[Architecture]:
        """Up to ``number`` distinct networks of the round's space of which ``cost`` is at most ``most``.

        The first has the highest expected score in a round to come. The others are the best by functions drawn from the
        posterior (Thompson, Biometrika 25, 1933), so they differ where little is known. There are none where operations do not
        predict scores better than chance, and in spaces with branches, where what operations add does not add up.
        Nothing dearer than what was measured is promised.

        Args:
            limits: of which that of memory leaves out the operations that alone are above it.
            widened: whether they will be widened up to ``most``. What that is worth is read off the cost curve, and is never
                taken for a loss: dear networks may score less because they are deep, which says nothing of wide ones.
        """
        from threadpoolctl import threadpool_limits

        column = COLUMNS.index(cost)
        most = min(most, max(e.cost(cost) for e in self.finished.evaluations))
        if number < 1 or self.posterior is None or most < self.costs.bounds()[0, column]:
            return []
        with threadpool_limits(1):
            found = self._best(self.posterior, cost, most, number, widened, self._choices_within(limits))
        fitting = [[arch for arch in archs if self.costs.count([arch])[0, column] <= most] for archs in found]
        return list(dict.fromkeys(archs[0] for archs in fitting if archs))[:number]

    def scores_widened(self, evaluations: Sequence[Evaluation]) -> Floats:
        """``(n,)``: scores that networks may be expected to have when all are widened to the dearest one's cost."""
        scores = np.array([e.score(self.finished.objective) for e in evaluations], dtype=float)
        if self.posterior is None or not evaluations:
            return scores
        costs = np.array([e.cost(self.finished.cost) for e in evaluations], dtype=float)
        order = costs.argsort()
        worth = self.posterior.cost_curve(self.posterior.mean[None, :], costs[order])
        gained = np.empty_like(scores)
        gained[order] = (_when_widened(worth) - worth)[0]
        return np.asarray(scores + self.posterior.unit * gained)

    @cached_property
    def posterior(self) -> Posterior | None:
        """What operations add in a round to come; None where it promises nothing."""
        if any(layer.branches > 1 or layer.skippable for layer in self.finished.space.layers):
            return None
        asked = [(i, op) for i, here in enumerate(self._choices) for op in here]
        fitted = fit_round(self.finished, asked, ahead=True)
        return fitted if fitted is not None and fitted.useful else None

    @cached_property
    def _choices(self) -> list[tuple[Op, ...]]:
        space = self.finished.space
        return layer_choices(space, [layer.candidates for layer in space.layers])

    def _choices_within(self, limits: Limits) -> list[tuple[Op, ...]]:
        """The choices that some network within the limit of memory has; all, where no layer would have one."""
        memory, most = self.costs.memory, limits.get("memory_kb", (0.0, np.inf))[1]
        if memory is None or most == np.inf:
            return self._choices
        space = self.finished.space
        inside = [[op for op in layer.candidates if memory.allows(i, op, most)] for i, layer in enumerate(space.layers)]
        return layer_choices(space, inside) if all(inside) else self._choices

    def _best(
        self,
        posterior: Posterior,
        cost: str,
        most: float,
        number: int,
        widened: bool,
        choices: Sequence[Sequence[Op]],
    ) -> list[list[Architecture]]:
        """The best networks by the mean, and by each of some drawn functions: at all of ``LOWER``."""
        from evo.strategy.best_operations import best_within

        ladder = CostLadder.of_space(self.costs, choices, cost, most)
        drawn = np.vstack([posterior.mean[None, :], posterior.draw(4 * number, np.random.default_rng(self.finished.n))])
        curve = posterior.cost_curve(drawn, ladder.budgets)
        if cost != self.finished.cost:  # the regression knows nothing of what this cost is worth by itself
            curve = np.zeros_like(curve)
        if widened:
            curve = _when_widened(curve)
        places = best_within(ladder, posterior.worth(drawn, choices), curve, LOWER)
        found = (
            [Architecture(tuple(here[i] for here, i in zip(choices, row, strict=True))) for row in function]
            for function in places.transpose(1, 0, 2).tolist()
        )
        return [[arch for arch in archs if arch in self.finished.space] for archs in found]


def _when_widened(curve: Floats) -> Floats:
    """``(n, costs)``, rising costs: the most that a cost from here on is worth."""
    return np.asarray(np.maximum.accumulate(curve[:, ::-1], axis=1)[:, ::-1])
