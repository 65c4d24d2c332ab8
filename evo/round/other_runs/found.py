"""The same judge has measured the same network in another run: its answer is taken, and nothing is charged.

What is the same is told by two sha256: of all that a judge's answers depend on (``Judge.answers_sha256``), and of the network.
A found answer is recorded as this run's own, so the other run may be renamed or deleted, and everything that follows is what it
would be without. Runs at the same time may measure the same network twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from evo.evaluators import FitContext, Judge
from evo.evaluators.registry import evaluator_of
from evo.round.context import RoundContext
from evo.training.identity import network_sha256
from spaces.architecture import Architecture
from spaces.costs.table import CostTable
from spaces.space import SearchSpace
from studies.config import StudyConfig
from studies.database.measured import count_measured, find_measured
from studies.database.rows import StoredRun
from studies.database.store import Store, open_store
from studies.database.urls import require_existing
from studies.records import Evaluation, EvoError


@dataclass(frozen=True)
class OtherRuns:
    """What other runs know of one judge's answers.

    Attributes:
        judge_sha256: None: its answers hold in this run alone.
        reuse: whether what others have measured is taken; what this run measures can be found by others either way.
    """

    store: Store
    run: StoredRun
    judge: Judge
    judge_sha256: str | None
    reuse: bool

    @classmethod
    def of(cls, context: RoundContext, judge: Judge) -> OtherRuns:
        """Those that ``judge`` of a round may ask."""
        shared = context.shared
        return cls(shared.store, shared.run, judge, judge.answers_sha256(), context.config.search.reuse)

    def find(self, archs: Sequence[Architecture]) -> list[Evaluation | None]:
        """Of each architecture the answer as this judge would give it, with the run that measured it; None: none has."""
        if self.judge_sha256 is None or not self.reuse or not archs:
            return [None] * len(archs)
        wanted = [network_sha256(arch, self.judge.space) for arch in archs]
        known = find_measured(self.store, self.run, self.judge_sha256, wanted)
        return [
            self._as_mine(arch, known[one]) if one in known else None for arch, one in zip(archs, wanted, strict=True)
        ]

    def _as_mine(self, arch: Architecture, found: Evaluation) -> Evaluation:
        answer = replace(found, arch=arch, judge=self.judge.name, latency_ms=None, seconds=0.0)
        return self.judge.priced([answer])[0]

    def begin(
        self, archs: Sequence[Architecture], measure: Callable[[Sequence[Architecture]], Callable[[], list[Evaluation]]]
    ) -> Callable[[], list[Evaluation]]:
        """Begin to ``measure`` what no other run has measured; what it gives waits for all answers, in order, and marks
        them."""
        found = self.find(archs)
        missing = [arch for arch, one in zip(archs, found, strict=True) if one is None]
        wait = measure(missing) if missing or not archs else list

        def answers() -> list[Evaluation]:
            left = iter(wait())
            return [self.marked(next(left) if one is None else one) for one in found]

        return answers

    def marked(self, evaluation: Evaluation) -> Evaluation:
        """The same with the sha256 of judge and network, where there are any."""
        if self.judge_sha256 is None:
            return evaluation
        network = network_sha256(evaluation.arch, self.judge.space)
        return replace(evaluation, judge_sha256=self.judge_sha256, network_sha256=network)


def found_before(
    storage: str, name: str, config: StudyConfig, space: SearchSpace, costs: CostTable, sources: Mapping[str, str]
) -> dict[str, int]:
    """How many networks other runs than ``name`` have measured with the judge of a first round in ``space``, by the run.
    Nothing is written or trained."""
    if not (config.evaluator.holds_elsewhere and config.search.reuse):
        return {}
    judge = evaluator_of(config, space).fit(space, FitContext(1, 0, costs, Path(), sources=sources))
    known = judge.answers_sha256()
    try:
        with open_store(require_existing(storage), read_only=True) as store:
            return {} if known is None else count_measured(store, known, but=name)
    except EvoError:
        return {}  # there is no database yet


def count_by_run(evaluations: Sequence[Evaluation]) -> dict[str, int]:
    """How many of the evaluations each other run has measured, in alphabetical order."""
    names = sorted(e.found_in for e in evaluations if e.found_in is not None)
    return {name: names.count(name) for name in dict.fromkeys(names)}
