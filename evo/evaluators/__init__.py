"""Evaluators: how architectures get their accuracy.

An evaluator is fitted to a space once per round and gives a judge; the judge answers for architectures, a generation at a
time. A judge is small, frozen and can be pickled: it is all that a worker process needs. What a judge may offer beyond
answers (weights, suggestions, a history) has a default in ``Judge``, so a round never asks which evaluator it deals with.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from evo.console import Track, untracked
from evo.workers.executors import map_inline
from evo.workers.protocol import Evaluate
from evo.workers.ranks import SINGLE_PROCESS, ProcessGroup
from spaces.architecture import Architecture, Op
from spaces.costs.table import COLUMNS, CostTable
from spaces.space import SearchSpace, canonical_arch
from studies.pareto import evenly_spaced
from studies.records import BredCell, Evaluation, Ratings

if TYPE_CHECKING:
    from analysis.ranking import Truth

__all__ = [
    "LIBRARY",
    "Ask",
    "Evaluator",
    "FitContext",
    "Judge",
    "Request",
    "WrappedJudge",
    "evaluations_of",
    "with_costs",
]

LIBRARY = "library"
"""The folder beside those of runs in which is kept what all of them share."""

Ask = Callable[["Judge", Sequence[Architecture]], list[Evaluation]]
"""One evaluation per architecture, in order, from the workers; some of them may have failed."""


@dataclass(frozen=True)
class Request:
    """What a judge is given when a search asks for architectures that are worth measuring first.

    Attributes:
        costs: exact costs of the architectures of the judge's space.
        cost: the cost objective; ``limits``: cost name -> (least, most), inclusive.
        evaluations: the round's budget of new measurements.
        rng: the generator to draw from.
        parents: the survivors of the round before, which are measured anyway.
    """

    costs: CostTable
    cost: str
    limits: Mapping[str, tuple[float, float]]
    evaluations: int
    rng: Random
    parents: Sequence[Architecture] = ()

    def choose(self, front: Iterable[Architecture], origin: str) -> list[tuple[Architecture, str]]:
        """Of a front, cheapest first, what lies inside the limits, each network once: its two ends, and as many between them,
        evenly, as half of the evaluations can measure. The other half is left to the search."""
        distinct: dict[Architecture, Architecture] = {}
        for arch in front:
            distinct.setdefault(canonical_arch(arch, self.costs.space), arch)
        costs = self.costs.count(distinct.values())
        inside = np.ones(len(costs), bool)
        for name, (least, most) in self.limits.items():
            column = costs[:, COLUMNS.index(name)]
            inside &= (least <= column) & (column <= most)
        feasible = [arch for arch, good in zip(distinct.values(), inside.tolist(), strict=True) if good]
        return [(arch, origin) for arch in evenly_spaced(feasible, max(1, self.evaluations // 2))]


class Judge:
    """Answers for architectures of one space. Subclasses are frozen dataclasses with a ``name``, a ``space`` and
    ``__call__``; all else has a default.

    Attributes:
        name: part of every evaluation's identity: as long as it stays the same, so do the answers.
        space: the architectures it answers for.
        ratings: what fitting taught about choices, (layer, operation) -> worth, higher is better; empty when nothing.
        history: the cells that the run has bred so far; empty where it breeds none.
    """

    if TYPE_CHECKING:  # a property here would stand in the way of a dataclass's field

        @property
        def name(self) -> str: ...

        @property
        def space(self) -> SearchSpace: ...

        @property
        def ratings(self) -> Ratings: ...

        @property
        def history(self) -> tuple[BredCell, ...]: ...

        def __call__(self, archs: Sequence[Architecture]) -> list[Evaluation]:
            """One evaluation per architecture, in order; an answer depends on its architecture alone."""
            ...

    else:
        ratings = MappingProxyType({})
        history = ()

    def answers_sha256(self) -> str | None:
        """sha256 of all that its answers depend on beside the network: what another run was told by a judge of the same sha256
        need not be asked again. None: they depend on more, on weights or on what else is measured."""
        return None

    def priced(self, evaluations: Sequence[Evaluation]) -> list[Evaluation]:
        """The same evaluations with the costs that this judge gives. Needed where ``answers_sha256`` gives one."""
        return list(evaluations)

    def files(self) -> Mapping[str, tuple[Path, str]]:
        """The files behind the answers, with their sha256, by what they hold. The next round is given ``"weights"``."""
        return {}

    def suggest(self, request: Request) -> list[tuple[Architecture, str]]:
        """Architectures to measure before NSGA-II breeds, each with its origin (a word for the table of trials)."""
        return []

    def measurable(self) -> Collection[Architecture] | None:
        """The architectures of its space that it can answer for; None: all of them."""
        return None

    def measure(
        self, archs: Sequence[Architecture], ask: Ask, earlier: Callable[[], Sequence[Evaluation]], costs: Sequence[str]
    ) -> list[Evaluation]:
        """One evaluation per architecture of a generation, in order: asked for at once, or in steps.

        Args:
            earlier: what the round has measured before.
            costs: the names of what is minimised.
        """
        return ask(self, archs)

    def stats(self, evaluations: Sequence[Evaluation]) -> Mapping[str, Any]:
        """What the round's row remembers of this judge beside the rest, as JSON.

        Args:
            evaluations: all new measurements of the round.
        """
        return {}

    def truth(self, seed: int) -> Truth | None:
        """How its answers rank beside networks trained alone, where fitting has shown it; None: it is still to be asked.

        Args:
            seed: of the intervals.
        """
        return None


@dataclass(frozen=True)
class WrappedJudge(Judge):
    """A judge that answers as ``judge`` does, with its name, its space and its files; a subclass changes what it overrides.

    ``ratings``, ``history`` and suggestions are its own.
    """

    judge: Judge

    if not TYPE_CHECKING:

        def __getattr__(self, attribute: str) -> Any:
            if attribute not in ("name", "space"):
                raise AttributeError(attribute)
            return getattr(self.judge, attribute)

    def __call__(self, archs: Sequence[Architecture]) -> list[Evaluation]:
        return self.judge(archs)

    def files(self) -> Mapping[str, tuple[Path, str]]:
        return self.judge.files()

    def measurable(self) -> Collection[Architecture] | None:
        return self.judge.measurable()


@dataclass(frozen=True)
class FitContext:
    """Where and how an evaluator works in one round.

    Attributes:
        n: the round, from 1.
        seed: of this round's evaluator.
        table: exact costs of the space's architectures.
        folder: where weights of this run are kept; ``library``: where those are that all runs of the database share. None:
            in ``folder``, too.
        parent: the weights of the round before, if there are any.
        inherited: per layer, the operations that came from the round before, or in the first round from the run that this one
            continues; empty where there is neither.
        evaluate: maps work over the workers.
        group: the processes that train one model together.
        sources: sha256 of everything beside the settings that results depend on: the data, the files of plugins.
        legacy: whether release 0.1 may have made files of this run, on the same data: its names do not tell the data.
    """

    n: int
    seed: int
    table: CostTable
    folder: Path
    parent: Path | None = None
    inherited: Sequence[frozenset[Op]] = ()
    track: Track = untracked
    evaluate: Evaluate = map_inline
    group: ProcessGroup = SINGLE_PROCESS
    sources: Mapping[str, str] = field(default_factory=dict)
    legacy: bool = False
    library: Path | None = None

    def open_library(self) -> Path:
        """The folder of what all runs share, which exists afterwards: workers on other machines wait until they see it."""
        folder = self.library or self.folder
        folder.mkdir(parents=True, exist_ok=True)
        return folder


class Evaluator(Protocol):
    """Fits judges; built from a configuration and the run's first space.

    Where the settings say ``starts_networks`` it has ``starting_weights`` and ``fine_tuned``, too: see
    ``evo.evaluators.cuts.evaluator``.
    """

    def fit(self, space: SearchSpace, context: FitContext) -> Judge:
        """A judge for this space. Interrupted and called again, it continues where it was."""
        ...


def with_costs(evaluations: Sequence[Evaluation], table: CostTable) -> list[Evaluation]:
    """The same evaluations with the exact costs of their architectures."""
    costs = table.count([evaluation.arch for evaluation in evaluations])
    untimed = {"latency_ms": None} if table.layers[0].latency is None else {}
    return [
        replace(evaluation, **dict(zip(table.columns, own, strict=True)) | untimed)
        for evaluation, own in zip(evaluations, costs.tolist(), strict=True)
    ]


def evaluations_of(
    judge: Judge, archs: Sequence[Architecture], accuracies: Sequence[float], table: CostTable
) -> list[Evaluation]:
    """One evaluation by ``judge`` per architecture: its accuracy, from 0 to 1, and its exact costs."""
    evaluations = [Evaluation(arch, judge.name, float(a), 0, 0) for arch, a in zip(archs, accuracies, strict=True)]
    return with_costs(evaluations, table)
