"""What a finished round says about its operations: how often each was measured, and what it adds at equal cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evo.strategy.design import candidate_choices, choices_of
from studies.records import LayerChoice, Round

if TYPE_CHECKING:
    from evo.strategy.additive import Measured, Posterior

LEVEL = 1.959963984540054
"""Standard deviations on either side of the mean that hold 95 % of a Gaussian."""


@dataclass(frozen=True)
class Effect:
    """What an operation adds at its layer, beside the mean of the layer's candidates, at equal cost.

    Attributes:
        measured: networks of the round that carry it.
        estimate: in units of the score, higher is better; ``low`` to ``high``: its 95 % interval. None where nothing is known.
    """

    measured: int | None
    estimate: float | None = None
    low: float | None = None
    high: float | None = None


UNKNOWN = Effect(None)
"""Of an operation that was no candidate."""


def operation_effects(finished: Round) -> dict[LayerChoice, Effect]:
    """The effect of every candidate of every layer."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # sums in one order, however many cores there are
        return _effects(finished)


def _effects(finished: Round) -> dict[LayerChoice, Effect]:
    times = Counter(choice for e in finished.evaluations for choice in choices_of(e.arch))
    choices = candidate_choices(finished.space)
    posterior = fit_round(finished, choices)
    if posterior is None:
        return {choice: Effect(times[choice]) for choice in choices}
    effects = {}
    for i, layer in enumerate(finished.space.layers):
        here = [(i, op) for op in layer.candidates]
        for choice, (mean, deviation) in zip(here, posterior.contrasts(here), strict=True):
            estimate, half = mean * posterior.unit, LEVEL * deviation * posterior.unit
            effects[choice] = Effect(times[choice], estimate, estimate - half, estimate + half)
    return effects


def fit_round(finished: Round, choices: Iterable[LayerChoice], *, ahead: bool = False) -> Posterior | None:
    """What operations add, by a round and those before it; None while there is nothing to learn."""
    from evo.strategy.additive import fit_operations  # scipy and scikit-learn: a second to import

    blocks = [layer.block for layer in finished.space.layers]
    rounds = [_measured(part) for part in (*finished.earlier, finished)]
    return fit_operations(blocks, choices, rounds, differ=not finished.scores_hold, ahead=ahead)


def _measured(part: Round) -> Measured:
    from evo.strategy.additive import Measured

    evaluations = part.evaluations
    return Measured(
        [e.arch for e in evaluations],
        np.array([e.cost(part.cost) for e in evaluations]),
        np.array([e.score(part.objective) for e in evaluations]),
    )
