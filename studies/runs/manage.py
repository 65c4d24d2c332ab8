"""Runs as they stand on the shelf: listed, renamed, deleted. Each change is one transaction: all of it, or nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import optuna
import sqlalchemy as sa

from studies.database import optuna_tables
from studies.database.leases import acquire_lease
from studies.database.rows import StoredRun
from studies.database.schema import checkpoints, choices, evaluations, proposals, rounds, runs
from studies.database.store import Store, study_name
from studies.records import EvoError
from studies.run_names import check_name


@dataclass(frozen=True)
class RunSummary:
    """A run in one line.

    Attributes:
        finished: how many of its ``rounds`` are; ``hypervolume`` is that of the last of them.
        proposals: how many there were; ``evaluations``: measured, for the search or for the truth.
    """

    name: str
    method: str
    space: str
    evaluator: str
    seed: int
    rounds: int
    finished: int
    proposals: int
    evaluations: int
    hypervolume: float | None
    begun: datetime


def run_summaries(store: Store) -> list[RunSummary]:
    """All runs, oldest first."""
    of_run = rounds.c.run_id == runs.c.id
    done = of_run & (rounds.c.state == "finished")

    def count(table: sa.FromClause, where: sa.ColumnElement[bool]) -> sa.ScalarSelect[int]:
        return sa.select(sa.func.count()).select_from(table).where(where).scalar_subquery()

    last = sa.select(rounds.c.hypervolume).where(done).order_by(rounds.c.number.desc()).limit(1).scalar_subquery()
    query = sa.select(
        runs.c.name,
        runs.c.created_at,
        count(rounds, of_run).label("rounds"),
        count(rounds, done).label("finished"),
        count(proposals.join(rounds, proposals.c.round_id == rounds.c.id), of_run).label("proposals"),
        count(evaluations, evaluations.c.run_id == runs.c.id).label("evaluations"),
        last.label("hypervolume"),
    ).order_by(runs.c.id)
    with store.engine.connect() as connection:
        rows = connection.execute(query).all()
    return [_run_summary(store.run(row.name), row) for row in rows]


def _run_summary(run: StoredRun, row: sa.Row[tuple[object, ...]]) -> RunSummary:
    config = run.config
    return RunSummary(
        run.name, config.evolution.method, run.space.name, config.evaluator.kind, config.seed,
        row.rounds, row.finished, row.proposals, row.evaluations, row.hypervolume, row.created_at,
    )  # fmt: skip


def rename_run(store: Store, old: str, new: str) -> None:
    """Give a run another name, and its Optuna studies theirs. Files stay where they are: the database knows their paths.

    Raises:
        EvoError: there is no such run, a process works on it, the name is taken or cannot be one, or Optuna's tables are not
            the known ones.
    """
    run = store.run(old)
    check_name(new)
    if store.find_run(new) is not None:
        raise EvoError(f"cannot rename {old!r}: there is a run {new!r} already; delete it first, or take another name")
    if not store.bulk:
        raise EvoError(
            f"cannot rename {old!r}: Optuna {optuna.__version__} keeps tables that this program does not know"
        )
    with acquire_lease(store, run), store.writing() as connection:
        connection.execute(runs.update().where(runs.c.id == run.id).values(name=new))
        for row in connection.execute(sa.select(rounds).where(rounds.c.run_id == run.id)).all():
            study = study_name(new, row.number)
            connection.execute(rounds.update().where(rounds.c.id == row.id).values(study=study))
            optuna_tables.rename_study(connection, row.study, study, {"run": new})


def delete_run(store: Store, run: StoredRun) -> None:
    """Delete a run with its rounds and evaluations, and its Optuna studies. Files are left where they are.

    Raises:
        EvoError: a process works on it.
    """
    studies = [row.study for row in store.rounds(run)]
    mine = sa.select(rounds.c.id).where(rounds.c.run_id == run.id)
    with acquire_lease(store, run):
        if not store.bulk:  # slowly, through Optuna, and first: what is left of a crash can be deleted again
            for study in set(studies) & set(optuna.get_all_study_names(store.optuna)):
                optuna.delete_study(study_name=study, storage=store.optuna)
        with store.writing() as connection:
            if store.bulk:
                optuna_tables.delete_studies(connection, studies)
            for table in (proposals, choices):
                connection.execute(table.delete().where(table.c.round_id.in_(mine)))
            for table in (evaluations, checkpoints, rounds):
                connection.execute(table.delete().where(table.c.run_id == run.id))
            connection.execute(runs.delete().where(runs.c.id == run.id))
