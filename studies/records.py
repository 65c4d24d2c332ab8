"""What a round is made of, as plain frozen records."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from spaces.architecture import Architecture, Op
from spaces.costs.table import COLUMNS, CostTable
from spaces.errors import UserError
from spaces.space import SearchSpace
from studies import pareto

LayerChoice = tuple[int, Op]
"""A layer, from 0, and an operation there."""

Ratings = Mapping[LayerChoice, float]
"""What choices are worth, higher is better; empty when nothing was learned."""

COSTS = COLUMNS
"""The costs that an evaluation carries: multiply-accumulates, parameters, milliseconds; on a device KB of flash and memory."""


class EvoError(UserError):
    """A situation that the user can do something about; the message says what was expected, found, and what to do."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The answer of one judge for one architecture.

    Attributes:
        judge: the judge's name; the answer is valid as long as it stays the same: ``table:...``, ``scratch:...``,
            ``oneshot@2:<sha256>``, ``oneshot@2:<sha256>+truth:<sha256>``.
        accuracy: fraction of validation images classified correctly, higher is better; where none is measured, what
            stands in its place, from 0 to 1 (``StudyConfig.measured`` names it).
        nll: mean negative log-likelihood on the same images, lower is better; None where the judge has none.
        seconds: what measuring took; ``rungs``: (epochs, accuracy) wherever training paused, in order.
        pruned: whether training was stopped at the last rung: accuracy and loss are that rung's, and of no other use.
        failed: why it could not be measured, in a line; its accuracy is NaN. Empty: it could.
        raw_accuracy: what shared weights gave, where ``accuracy`` is an estimate made of it; else None.
        flash_kb, memory_kb: on the device of ``[target]``; None where the run has none.
        judge_sha256, network_sha256: of all that the answer depends on, in any run; None: it holds in this run alone.
        found_in: the run that measured it, as it was called then; None: this one did.
    """

    arch: Architecture
    judge: str
    accuracy: float
    macs: float
    params: float
    latency_ms: float | None = None
    nll: float | None = None
    seconds: float = 0.0
    rungs: tuple[tuple[int, float], ...] = ()
    pruned: bool = False
    failed: str = ""
    raw_accuracy: float | None = None
    flash_kb: float | None = None
    memory_kb: float | None = None
    judge_sha256: str | None = field(default=None, compare=False)
    network_sha256: str | None = field(default=None, compare=False)
    found_in: str | None = field(default=None, compare=False)

    @property
    def state(self) -> str:
        """``complete``, ``pruned`` or ``failed``; only what is complete can be on a front, a parent, or learned from."""
        return "failed" if self.failed else "pruned" if self.pruned else "complete"

    def score(self, objective: str) -> float:
        """What a search maximises, from 0 to 1: ``accuracy``, or ``likelihood``.

        The likelihood is exp(-nll), the geometric mean of the probabilities that a network gives to the true classes; it
        sees more than the accuracy does where a supernet has learned little.

        Raises:
            EvoError: the likelihood is asked for, and the judge gave none.
        """
        if objective == "accuracy":
            return self.accuracy
        if self.nll is None:
            raise EvoError(
                f"the {objective} of {self.arch} is not known to {self.judge}; set search.objective to 'accuracy'"
            )
        return math.exp(-self.nll)

    def cost(self, name: str) -> float:
        """One of ``COSTS``; lower is better.

        Raises:
            EvoError: what is asked for was never modelled.
        """
        value = getattr(self, name)
        if value is None:
            source = "a latency table in [latency]" if name == "latency_ms" else "the device's target.precision"
            raise EvoError(f"{name} of {self.arch} is not known: give {source}")
        return float(value)


def costs_array(evaluations: Iterable[Evaluation], names: Sequence[str]) -> np.ndarray:
    """What evaluations cost: ``(n,)`` of one cost, ``(n, k)`` of several."""
    if len(names) == 1:
        return np.array([e.cost(names[0]) for e in evaluations], float)
    return np.array([[e.cost(name) for name in names] for e in evaluations], float).reshape(-1, len(names))


def complete_evaluations(evaluations: Iterable[Evaluation]) -> tuple[Evaluation, ...]:
    """Those that were measured to the end."""
    return tuple(evaluation for evaluation in evaluations if evaluation.state == "complete")


@dataclass(frozen=True, slots=True)
class Proposal:
    """One trial of a round: the architecture that was asked for, why, and what came of it.

    Attributes:
        number: place in the round, from 0; the attribute ``proposal`` of the Optuna trial.
        origin: ``survivor`` of the round before, ``stratified`` over cost, ``drawn`` by gates (``guard``: below the limits),
            ``combined`` of the best blocks, a ``child`` of NSGA-II, ``screened`` from many by the surrogate, or ``random``.
        is_new: whether it was measured for this trial (and so counts against the budget) or known before.
    """

    number: int
    generation: int
    origin: str
    evaluation: Evaluation
    is_new: bool = True

    @property
    def arch(self) -> Architecture:
        return self.evaluation.arch


class Fitness(NamedTuple):
    """How fit a cell was found.

    Attributes:
        value: higher is better.
        error: its standard error; None where nothing is known of it.
    """

    round: int
    iteration: int
    value: float
    error: float | None = None


@dataclass(frozen=True, slots=True)
class BredCell:
    """A cell of one layer's population: where it comes from, and how it fared.

    Attributes:
        origin: ``random``, ``mutation`` or ``crossover``.
        round, iteration: its birth; the first population is born in iteration 0 of round 1.
        fitness: whenever it was measured.
    """

    layer_index: int
    cell: Op
    origin: str
    parents: tuple[Op, ...]
    round: int
    iteration: int
    fitness: tuple[Fitness, ...] = ()


@dataclass(frozen=True)
class Round:
    """A finished search inside one space: what an evolution looks at.

    Attributes:
        n: the round's number, from 1.
        evaluations: what was measured to the end (``complete``).
        ratings: what the evaluator learned about choices while it was fitted; often empty.
        cost: the cost objective, one of ``COSTS``; ``objective``: what is maximised, ``accuracy`` or ``likelihood``.
        costs: exact costs of the space's architectures; None where nobody asks for them.
        earlier: the run's rounds before this one, first to last.
        scores_hold: whether what is measured in one round holds in all others.
        blocks: what candidates of each block lose by themselves, lower is better, where that adds up; empty: nobody has asked.
        further_costs: what else is minimised, beside ``cost``.
    """

    n: int
    space: SearchSpace
    evaluations: tuple[Evaluation, ...]
    ratings: Ratings = field(default_factory=dict)
    cost: str = "macs"
    objective: str = "accuracy"
    costs: CostTable | None = None
    earlier: tuple[Round, ...] = ()
    scores_hold: bool = True
    blocks: tuple[Mapping[Architecture, float], ...] = ()
    further_costs: tuple[str, ...] = ()

    @property
    def minimised(self) -> tuple[str, ...]:
        """The names of all costs that are minimised."""
        return (self.cost, *self.further_costs)

    @cached_property
    def ranks(self) -> np.ndarray:
        """Nondomination rank of each evaluation, ``(n,)``, 1 is the front."""
        scores = [e.score(self.objective) for e in self.evaluations]
        return pareto.nondomination_ranks(costs_array(self.evaluations, self.minimised), scores)

    @property
    def front(self) -> tuple[Evaluation, ...]:
        """The Pareto front, cheapest first."""
        front = (e for e, rank in zip(self.evaluations, self.ranks.tolist(), strict=True) if rank == 1)
        return tuple(sorted(front, key=lambda e: (e.cost(self.cost), str(e.arch))))
