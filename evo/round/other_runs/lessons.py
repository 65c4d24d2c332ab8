"""What a run learns from: measurements of other runs, copied when it begins, so that these may be continued, renamed or
deleted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from evo.round.context import RoundContext
from evo.round.costs import costs_of
from evo.strategy.lessons import Lesson, Lessons
from spaces.architecture import Architecture
from spaces.costs.table import CostTable, cost_table
from spaces.space import SearchSpace, canonical_arch
from studies.config import StudyConfig
from studies.database.measured import read_lessons
from studies.database.rows import LessonRow
from studies.database.store import Store
from studies.pareto import evenly_spaced
from studies.records import Evaluation, EvoError, complete_evaluations

LEAST, MOST = 4, 500
"""Networks that a source must have measured, and that are copied of it, evenly in the order in which it measured."""


def whole_space(space: SearchSpace) -> SearchSpace:
    """The space with all operations that a run may try: those that wait are candidates."""
    layers = (replace(layer, candidates=layer.candidates + layer.pending, pending=()) for layer in space.layers)
    return space.replace_layers(layers)


def collect_lessons(store: Store, name: str, config: StudyConfig, space: SearchSpace) -> list[LessonRow]:
    """What the runs of ``search.learn_from`` have measured of networks that run ``name``, which begins in ``space``, may try.

    Raises:
        EvoError: there is no such run, its networks have other layers, or hardly one has operations of this space.
    """
    sources = dict.fromkeys(config.search.learn_from)
    if name in sources:
        raise EvoError(f"search.learn_from names {name!r}, the run itself: expected other runs of the database")
    return [row for source in sources for row in _lessons_of(store, source, whole_space(space))]


def _lessons_of(store: Store, source: str, space: SearchSpace) -> list[LessonRow]:
    run = store.run(source)
    if len(run.space.layers) != len(space.layers):
        raise EvoError(
            f"search.learn_from: run {source!r} searches {len(run.space.layers)} layers, and this one {len(space.layers)}: "
            "expected a run over the same layers; leave it out"
        )
    rows = store.rounds(run)
    judge, measured = _answers(p.evaluation for row in rows for p in store.proposals(row)) if rows else ("", [])
    known = {canonical_arch(e.arch, space): e for e in measured if e.arch in space}
    if len(known) < LEAST:
        raise EvoError(
            f"search.learn_from: run {source!r} has measured {len(known)} networks of operations that this run has: expected "
            f"{LEAST} or more; leave it out"
        )
    return [LessonRow(source, judge, str(e.arch), e.accuracy, e.nll) for e in evenly_spaced(list(known.values()), MOST)]


def _answers(evaluations: Iterable[Evaluation]) -> tuple[str, Sequence[Evaluation]]:
    """The judge that has measured most networks, the last of several, and what it has measured: scores of several judges are no
    common measure."""
    by_judge = dict[str, dict[Architecture, Evaluation]]()
    for one in complete_evaluations(evaluations):
        by_judge.setdefault(one.judge, {})[one.arch] = one
    if not by_judge:
        return "", []
    judge = max(reversed(by_judge), key=lambda name: len(by_judge[name]))
    return judge, list(by_judge[judge].values())


def lessons_for(context: RoundContext) -> Lessons | None:
    """What the search of a round learns from; sources that an earlier round has found of no help are ignored."""
    shared, search = context.shared, context.config.search
    rows = read_lessons(shared.store, shared.run) if search.learn_from else []
    if not rows or not search.surrogate or search.sampler == "random":
        return None
    space = whole_space(shared.run.space)
    told = [one for row in context.earlier for one in row.stats.get("learned_from", ())]
    return Lessons(
        [
            _lesson([row for row in rows if row.source == name], search.objective)
            for name in dict.fromkeys(search.learn_from)
        ],
        lesson_costs(context.config, space),
        "macs",
        ignored={one["source"] for one in told if one["ignored"]},
    )


def lesson_costs(config: StudyConfig, space: SearchSpace) -> CostTable:
    """Costs by which networks are told apart: multiply-accumulates, since a latency table may not know what waits."""
    by_table = config.space.name == "table"
    return costs_of(config, space) if by_table else cost_table(space, config.search.macs_convention)


def _lesson(rows: Sequence[LessonRow], objective: str) -> Lesson:
    """By what the run maximises, where the source's judge gives it."""
    measured = [Evaluation(Architecture.parse(row.arch), row.judge, row.accuracy, 0, 0, nll=row.nll) for row in rows]
    known = objective if all(e.nll is not None for e in measured) else "accuracy"
    return Lesson(rows[0].source, tuple(e.arch for e in measured), tuple(e.score(known) for e in measured))
