"""What was measured: in a run's rounds, and in other runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from studies.config import StudyConfig
from studies.database.engines import retry_while_unavailable
from studies.database.rows import LessonRow, StoredRound, StoredRun, evaluation_from_row, from_row, reading
from studies.database.schema import evaluations, lessons, runs
from studies.database.store import Store
from studies.records import Evaluation, Round, complete_evaluations


def measured_rounds(store: Store, config: StudyConfig, rows: Iterable[StoredRound]) -> tuple[Round, ...]:
    """Each of the rounds, as far as it was measured; ``earlier``, ``costs`` and ``blocks`` are left out, and ratings that
    do not add up."""
    measured = ((row, complete_evaluations(proposal.evaluation for proposal in store.proposals(row))) for row in rows)
    search, holds = config.search, config.evaluator.scores_hold
    return tuple(
        Round(
            row.number,
            row.space,
            evaluations,
            {(i, op): -loss for i, op, loss in row.stats.get("losses", ())},
            search.cost,
            search.objective,
            scores_hold=holds,
            further_costs=search.costs[1:],
        )
        for row, evaluations in measured
    )


@retry_while_unavailable
def find_measured(store: Store, run: StoredRun, judge: str, networks: Sequence[str]) -> dict[str, Evaluation]:
    """What other runs were told of networks, by their sha256: of each that is known the oldest answer, with the run that
    measured it. Only what was measured to the end counts.

    Args:
        judge: sha256 of all that the answers depend on beside the network.
    """
    columns = [column for column in evaluations.c if column.name not in ("created_at", "found_in")]
    query = (
        sa.select(*columns, sa.func.coalesce(evaluations.c.found_in, runs.c.name).label("found_in"))
        .join(runs, runs.c.id == evaluations.c.run_id)
        .where(
            evaluations.c.judge_sha256 == judge,
            evaluations.c.network_sha256.in_(networks),
            evaluations.c.state == "complete",
            evaluations.c.run_id != run.id,
        )
        .order_by(evaluations.c.id.desc())
    )
    with reading(run.name, "an evaluation of another run"), store.engine.connect() as connection:
        found = connection.execute(query).mappings().all()
        return {row["network_sha256"]: evaluation_from_row(row) for row in found}


@retry_while_unavailable
def count_measured(store: Store, judge: str, but: str = "") -> dict[str, int]:
    """How many networks each run has measured to the end by a judge of this sha256, by its name; without the run ``but``."""
    query = (
        sa.select(runs.c.name, sa.func.count(sa.distinct(evaluations.c.network_sha256)).label("networks"))
        .join(runs, runs.c.id == evaluations.c.run_id)
        .where(evaluations.c.judge_sha256 == judge, evaluations.c.state == "complete", runs.c.name != but)
        .group_by(runs.c.id, runs.c.name)
        .order_by(runs.c.id)
    )
    with store.engine.connect() as connection:
        return {str(row.name): int(row.networks) for row in connection.execute(query)}


@retry_while_unavailable
def read_lessons(store: Store, run: StoredRun) -> list[LessonRow]:
    """What a run learns from, as it was when the run began, in order."""
    query = sa.select(lessons).where(lessons.c.run_id == run.id).order_by(lessons.c.id)
    with reading(run.name, "what it learns from"), store.engine.connect() as connection:
        return [from_row(LessonRow, row) for row in connection.execute(query).mappings()]
