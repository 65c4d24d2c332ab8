"""Evaluators: how architectures get their accuracy.

An evaluator is fitted to a space once per round and gives a judge; the judge answers for architectures, a generation at a
time. A judge is small, frozen and can be pickled: it is all that a worker process needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from evo.console import Track, untracked
from evo.executors import Evaluate, here
from evo.ranks import ALONE, Team
from spaces.architecture import Architecture, Op
from spaces.cost import CostTable
from spaces.space import SearchSpace
from studies.records import Evaluation, Ratings


class Judge(Protocol):
    """Answers for architectures of one space.

    Attributes:
        name: part of every evaluation's identity: as long as it stays the same, so do the answers.
        space: the architectures it answers for.
        ratings: what fitting taught about choices (higher is better); empty when nothing.
        checkpoint: the weights behind the answers, if there are any.
    """

    @property
    def name(self) -> str: ...

    @property
    def space(self) -> SearchSpace: ...

    @property
    def ratings(self) -> Ratings: ...

    @property
    def checkpoint(self) -> Path | None: ...

    def __call__(self, archs: Sequence[Architecture]) -> list[Evaluation]:
        """One evaluation per architecture, in order; an answer depends on its architecture alone."""
        ...


@dataclass(frozen=True)
class Bench:
    """Where and how an evaluator works in one round.

    Attributes:
        n: the round, from 1.
        seed: of this round's evaluator.
        table: exact costs of the space's architectures.
        folder: where weights of this run are kept.
        parent: the weights of the round before, if there are any.
        inherited: per layer, the operations that came from the round before; empty in the first round.
        evaluate: who does work that can be done in parallel.
        team: who trains one model together.
    """

    n: int
    seed: int
    table: CostTable
    folder: Path
    parent: Path | None = None
    inherited: Sequence[frozenset[Op]] = ()
    track: Track = untracked
    evaluate: Evaluate = here
    team: Team = ALONE


class Evaluator(Protocol):
    """Fits judges; built from a configuration and the run's first space."""

    def fit(self, space: SearchSpace, bench: Bench) -> Judge:
        """A judge for this space. Interrupted and called again, it continues where it was."""
        ...


def with_costs(evaluations: Sequence[Evaluation], table: CostTable) -> list[Evaluation]:
    """The same evaluations with the exact costs of their architectures."""
    costs = table.count([evaluation.arch for evaluation in evaluations])
    timed = table.layers[0].latency is not None
    return [
        replace(evaluation, macs=float(macs), params=float(params), latency_ms=float(latency) if timed else None)
        for evaluation, (macs, params, latency) in zip(evaluations, costs.tolist(), strict=True)
    ]
