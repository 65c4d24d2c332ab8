"""Runs as they stand on the shelf: listed, renamed, deleted. Each change is one transaction: all of it, or nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import optuna
import sqlalchemy as sa

from studies.database import optuna_tables
from studies.database.leases import acquire_lease
from studies.database.rows import RunKey, reading
from studies.database.schema import checkpoints, choices, evaluations, proposals, rounds, runs
from studies.database.store import Store, study_name
from studies.records import EvoError
from studies.run_names import check_name


@dataclass(frozen=True)
class RunSummary:
    """A run in one line.

    Attributes:
        finished: how many of its ``rounds`` are; ``hypervolume`` is that of the last of them.
        proposals: how many there were; ``evaluations``: new ones, that the search has measured (what is
            measured beside it, for the truth, is none).
        problem: why its row cannot be read; None: it can. ``method``, ``space`` and ``evaluator`` are then "?".
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
    begun: datetime | None
    problem: str | None = None


def run_summaries(store: Store) -> list[RunSummary]:
    """All runs, oldest first."""
    of_run = rounds.c.run_id == runs.c.id
    done = of_run & (rounds.c.state == "finished")

    def count(table: sa.FromClause, where: sa.ColumnElement[bool]) -> sa.ScalarSelect[int]:
        return sa.select(sa.func.count()).select_from(table).where(where).scalar_subquery()

    def as_stored(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        """Not converted where all rows are read: what is no number or time stops no other run."""
        return sa.type_coerce(column, sa.types.NullType())

    searched = proposals.join(rounds, proposals.c.round_id == rounds.c.id)
    last = sa.select(rounds.c.hypervolume).where(done).order_by(rounds.c.number.desc()).limit(1).scalar_subquery()
    query = sa.select(
        runs.c.name,
        as_stored(runs.c.created_at).label("created_at"),
        runs.c.seed,
        count(rounds, of_run).label("rounds"),
        count(rounds, done).label("finished"),
        count(searched, of_run).label("proposals"),
        count(searched, of_run & proposals.c.is_new).label("evaluations"),
        as_stored(last).label("hypervolume"),
    ).order_by(runs.c.id)
    with store.engine.connect() as connection:
        rows = connection.execute(query).all()
    return [_run_summary(store, row) for row in rows]


def _run_summary(store: Store, row: sa.Row[Any]) -> RunSummary:
    known = {
        "name": str(row.name),
        "rounds": row.rounds,
        "finished": row.finished,
        "proposals": row.proposals,
        "evaluations": row.evaluations,
    }
    begun = hypervolume = None
    try:
        with reading(str(row.name), "when it began, or its hypervolume,"):
            begun = row.created_at if isinstance(row.created_at, datetime) else datetime.fromisoformat(row.created_at)
            hypervolume = None if row.hypervolume is None else float(row.hypervolume)
        run = store.run(str(row.name))
    except EvoError as error:
        seed = row.seed if isinstance(row.seed, int) else 0
        return RunSummary(
            **known, method="?", space="?", evaluator="?", seed=seed, hypervolume=hypervolume, begun=begun,
            problem=" ".join(str(error).split()),
        )  # fmt: skip
    config = run.config
    return RunSummary(
        **known, method=config.evolution.method, space=run.space.name, evaluator=config.evaluator.kind,
        seed=config.seed, hypervolume=hypervolume, begun=begun,
    )  # fmt: skip


def rename_run(store: Store, old: str, new: str) -> None:
    """Give a run another name, and its Optuna studies theirs. Files stay where they are: the database knows their paths.

    Raises:
        EvoError: there is no such run, a process works on it, the name is taken or cannot be one, or Optuna's tables are not
            the known ones.
    """
    run = store.key(old)
    check_name(new)
    if store.find_key(new) is not None:
        raise EvoError(f"cannot rename {old!r}: there is a run {new!r} already; delete it first, or take another name")
    if not store.bulk:
        raise EvoError(
            f"cannot rename {old!r}: Optuna {optuna.__version__} keeps tables that this program does not know"
        )
    with acquire_lease(store, run), store.writing() as connection:
        rows = [row for row in connection.execute(_studies_of(run)) if isinstance(row.number, int)]
        studies = {row.id: study_name(new, row.number) for row in rows}
        _, existing = optuna_tables.revision_and_studies(connection)
        if taken := sorted({*studies.values()}.intersection(existing)):
            raise EvoError(f"cannot rename {old!r}: there is an Optuna study {taken[0]!r} already; take another name")
        connection.execute(runs.update().where(runs.c.id == run.id).values(name=new))
        for row in rows:
            connection.execute(rounds.update().where(rounds.c.id == row.id).values(study=studies[row.id]))
            optuna_tables.rename_study(connection, row.study, studies[row.id], {"run": new})


def _studies_of(run: RunKey) -> sa.Select[tuple[int, int, str]]:
    """Rounds of a run, as far as they must be readable to be renamed or deleted."""
    return sa.select(rounds.c.id, rounds.c.number, rounds.c.study).where(rounds.c.run_id == run.id)


def delete_run(store: Store, run: RunKey) -> None:
    """Delete a run with its rounds and evaluations, and its Optuna studies. Files are left where they are.

    Raises:
        EvoError: a process works on it.
    """
    with store.engine.connect() as connection:
        studies = [row.study for row in connection.execute(_studies_of(run))]
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
