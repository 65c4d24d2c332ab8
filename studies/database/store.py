"""The only module that reads and writes runs, rounds and evaluations, beside Optuna's own tables.

Ours are the truth and Optuna's the published mirror: both are written in one transaction per generation, so that a crash
leaves either all of a generation or nothing of it, and optuna-dashboard can read at any moment. Every method may be said
twice: see ``studies.database.engines.retry_while_unavailable``.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from optuna.exceptions import StorageInternalError
from sqlalchemy import Connection

from spaces.architecture import Architecture
from spaces.space import SearchSpace, canonical_arch
from studies.config import StudyConfig
from studies.database import contents, errors, mirror, optuna_tables, rows, running, schema
from studies.database.contents import Contents
from studies.database.copies import copied
from studies.database.engines import (
    database_error,
    first_line,
    is_sqlite_file,
    log_line,
    open_engine,
    open_reader,
    retry_if_cut,
    retry_while_unavailable,
    write_transaction,
)
from studies.database.rows import Choice, LessonRow, RunKey, StoredRound, StoredRun, utc_now
from studies.database.schema import checkpoints, choices, evaluations, lessons, proposals, rounds, runs
from studies.database.trials import distributions, running_trial, to_trial
from studies.database.urls import command_on, redacted
from studies.plugins import Plugin
from studies.records import Evaluation, EvoError, Proposal
from studies.run_names import check_name, is_storable

if TYPE_CHECKING:
    import pandas as pd

READ_ONLY = "SQLITE_READONLY"
UNREADABLE = ("SQLITE_CANTOPEN", READ_ONLY)
"""SQLite's errors where a file cannot be read before something is written."""


class Store:
    """A database that holds runs. Opening it creates or migrates its tables; to be read only, it changes nothing.

    Args:
        read_only: whether nothing may be written. A file of an earlier version is then read from an upgraded copy.

    Raises:
        EvoError: the URL cannot be opened, the database was written by a later version of this program or by another
            Optuna, or its tables are another program's; where it is to be read, also that it holds nothing of ours.
    """

    def __init__(self, url: str, read_only: bool = False) -> None:
        self.url = url
        self._copies = ExitStack()
        self._told = set[str]()
        self.engine = open_reader(url)
        try:
            self._open_to_read() if read_only else self._open()
        except (sa.exc.DBAPIError, sa.exc.NoSuchTableError, StorageInternalError) as error:
            self.close()
            raise EvoError(self._explain(database_error(error))) from None
        except BaseException:
            self.close()
            raise

    def _explain(self, error: BaseException) -> str:
        """Why the database cannot be opened."""
        cause, place = getattr(error, "orig", error), f"--storage {redacted(self.url)}"
        if (getattr(cause, "sqlite_errorname", None) or "").startswith(READ_ONLY):
            return (
                f"{place}: it or its folder is read-only: its runs can be listed and reported; to change them or to go on, "
                "copy it to where it can be written"
            )
        return errors.error_message(self.engine, cause) or f"{place}: cannot be opened: {first_line(error)}"

    @retry_if_cut
    def _open_to_read(self) -> None:
        """Let only what holds our tables pass; those of an earlier version are read from an upgraded copy."""
        found = self._look()
        contents.require_runs(found, self.url)
        if problem := contents.optuna_problem(found, self.url):
            log_line(f"note: {problem}")
        if schema.is_head(found.revision):
            return
        if not is_sqlite_file(self.engine.url):
            raise EvoError(
                f"--storage {redacted(self.url)}: its tables have schema version {found.revision}; a command that writes "
                f"upgrades them: python -m evo.round 1 --run RUN --storage {shlex.quote(redacted(self.url))}"
            )
        self._read_copy()
        schema.upgrade(self.engine, keep_copy=False)

    @retry_if_cut
    def _look(self) -> Contents:
        """What the database holds. A file that cannot be read as it lies, since what a crash has left beside it must be
        worked in first, is read from a copy."""
        try:
            return contents.look(self.engine)
        except sa.exc.OperationalError as error:
            code = getattr(error.orig, "sqlite_errorname", "") or ""
            if not code.startswith(UNREADABLE) or not os.access(str(self.engine.url.database), os.R_OK):
                raise
            self._read_copy()
            return contents.look(self.engine)

    def _read_copy(self) -> None:
        """Read from a copy of the file from now on."""
        self.engine.dispose()
        url = self._copies.enter_context(copied(Path(str(self.engine.url.database))))
        self.engine = open_engine(url.render_as_string())

    @retry_if_cut
    def _open(self) -> None:
        """Look what is there; then make or migrate what has to be."""
        url = self.engine.url
        if not is_sqlite_file(url) or os.path.isfile(str(url.database)):
            contents.check_writable(self._look(), self.url)
        self.close()
        self.engine = open_engine(self.url)
        self.optuna = optuna_tables.open_storage(self.engine)
        errors.install_explanations(self.optuna.engine)
        self.bulk = optuna_tables.layout_is_known(self.engine)
        if not schema.is_current(self.engine):
            with optuna_tables.creation_lock(self.engine):
                schema.upgrade(self.engine)

    def close(self) -> None:
        self.engine.dispose()
        self._copies.close()

    def writing(self) -> AbstractContextManager[Connection]:
        """A transaction that may write."""
        return write_transaction(self.engine)

    def examine(self) -> None:
        """Look through the whole database before anything is written to it, where it is a file.

        Raises:
            EvoError: it is damaged.
        """
        with self.engine.connect() as connection:
            errors.check_integrity(connection)

    # -- runs ---------------------------------------------------------------------------------------------------------

    @retry_while_unavailable
    def runs(self) -> list[str]:
        """Names of all runs, oldest first."""
        with self.engine.connect() as connection:
            return list(map(str, connection.scalars(sa.select(runs.c.name).order_by(runs.c.id))))

    @retry_while_unavailable
    def find_run(self, name: str) -> StoredRun | None:
        """The run of that name, if there is one."""
        if not is_storable(name):
            return None
        columns = [column for column in runs.c if column.name != "created_at"]
        with self.engine.connect() as connection:
            row = connection.execute(sa.select(*columns).where(runs.c.name == name)).mappings().first()
        return None if row is None else rows.run_from_row(row)

    def run(self, name: str) -> StoredRun:
        """The run of that name.

        Raises:
            EvoError: there is none (the message lists those there are), or its row cannot be read.
        """
        if (found := self.find_run(name)) is None:
            self.key(name)
            raise EvoError(f"no run {name!r} in this database any more")
        return found

    def readable_runs(self) -> list[StoredRun]:
        """All runs whose rows can be read, oldest first."""
        found = []
        for name in self.runs():
            with suppress(EvoError):
                found.append(self.run(name))
        return found

    @retry_while_unavailable
    def find_key(self, name: str) -> RunKey | None:
        """The run of that name, if there is one, whether or not its row can be read."""
        if not is_storable(name):
            return None
        with self.engine.connect() as connection:
            row = connection.execute(sa.select(runs.c.id, runs.c.name).where(runs.c.name == name)).first()
        return None if row is None else RunKey(row.id, row.name)

    def key(self, name: str) -> RunKey:
        """The run of that name, whether or not its row can be read.

        Raises:
            EvoError: there is none; the message lists those there are.
        """
        if (found := self.find_key(name)) is None:
            known = ", ".join(self.runs()) or f"none yet; start one with: {command_on(self.url, 'evo.round', '1')}"
            raise EvoError(f"no run {name!r} in this database; runs: {known}")
        return found

    def create_run(
        self,
        name: str,
        config: StudyConfig,
        space: SearchSpace,
        max_cost: float,
        versions: Mapping[str, str],
        data: str | None = None,
        classes: Sequence[str] | None = None,
        plugins: Sequence[Plugin] = (),
        further_max_costs: Sequence[float] = (),
        taught: Sequence[LessonRow] = (),
    ) -> StoredRun:
        """A new run whose first round starts in ``space``; ``taught``: what it learns from.

        Raises:
            EvoError: the name cannot be one, or someone else has just begun a run of that name.
        """
        check_name(name)
        values = rows.run_to_row(name, config, space, (max_cost, *further_max_costs), versions, data, classes, plugins)

        @retry_while_unavailable
        def begun() -> bool:
            with suppress(sa.exc.IntegrityError), self.writing() as connection:
                key = connection.execute(runs.insert().values(values)).inserted_primary_key
                if taught and key:
                    connection.execute(lessons.insert(), [rows.to_row(one, lessons, run_id=key[0]) for one in taught])
            with self.engine.connect() as connection:
                there = connection.execute(sa.select(runs.c.created_at).where(runs.c.name == name)).scalar()
            return bool(there == values["created_at"])

        if not begun():
            raise EvoError(f"run {name!r} was begun by another process just now; run the same command again")
        return self.run(name)

    def record_data_hash(self, run: StoredRun, row: StoredRound, data: str) -> StoredRound:
        """Let the run's results rest on other data from round ``row`` on, which remembers both fingerprints."""
        stats = row.stats if run.data_sha256 is None else row.stats | {"data_changed": [run.data_sha256, data]}
        with self.writing() as connection:
            connection.execute(runs.update().where(runs.c.id == run.id).values(data_sha256=data))
            connection.execute(rounds.update().where(rounds.c.id == row.id).values(stats_json=json.dumps(stats)))
        return replace(row, stats=stats)

    # -- rounds -------------------------------------------------------------------------------------------------------

    @retry_while_unavailable
    def rounds(self, run: StoredRun) -> list[StoredRound]:
        """The run's rounds, first to last."""
        columns = [column for column in rounds.c if column.name not in ("started_at", "finished_at")]
        query = sa.select(*columns).where(rounds.c.run_id == run.id).order_by(rounds.c.number)
        with rows.reading(run.name, "one of its rounds"), self.engine.connect() as connection:
            return [rows.round_from_row(row) for row in connection.execute(query).mappings()]

    @retry_while_unavailable
    def open_round(self, run: StoredRun, number: int, space: SearchSpace, attrs: Mapping[str, Any]) -> StoredRound:
        """The round of that number, begun in ``space`` when it was not there; its Optuna study exists afterwards."""
        for row in self.rounds(run):
            if row.number == number:
                return row
        study = mirror.ensure_study(self.optuna, run, study_name(run.name, number), attrs)
        with self.writing() as connection:
            connection.execute(rounds.insert().values(rows.round_to_row(run, number, study, space)))
        return self.rounds(run)[-1]

    @retry_while_unavailable
    def finish_round(
        self,
        row: StoredRound,
        next_space: SearchSpace,
        fates: Sequence[Choice],
        *,
        judge: str,
        hypervolume: float,
        stats: Mapping[str, Any],
    ) -> None:
        """Close a round: its outcome, every candidate's fate and the next space, in one transaction."""
        outcome = rows.outcome_to_row(next_space, judge, hypervolume, stats)
        details = [rows.choice_to_row(row, choice) for choice in fates]
        with self.writing() as connection:
            connection.execute(choices.delete().where(choices.c.round_id == row.id))
            connection.execute(choices.insert(), details)
            if self.bulk:
                study = connection.execute(sa.select(rounds.c.study).where(rounds.c.id == row.id)).scalar_one()
                running.drop_running(connection, study)
            connection.execute(rounds.update().where(rounds.c.id == row.id).values(outcome))

    @retry_while_unavailable
    def add_stats(self, row: StoredRound, stats: Mapping[str, Any]) -> StoredRound:
        """A round that is not finished, with these statistics beside those that it has."""
        both = row.stats | dict(stats)
        with self.writing() as connection:
            connection.execute(rounds.update().where(rounds.c.id == row.id).values(stats_json=json.dumps(both)))
        return replace(row, stats=both)

    # -- what was measured --------------------------------------------------------------------------------------------

    @retry_while_unavailable
    def record(self, run: StoredRun, row: StoredRound, generation: Sequence[Proposal]) -> None:
        """Write a generation: new evaluations, proposals, and the same as Optuna trials. Twice changes nothing.

        A round whose study somebody has deleted or renamed since is completed by ``mirror_round``.
        """
        mirrored = self._is_recorded(row, generation) or self._append(run, row, generation)
        if not mirrored or not self.bulk:
            self.mirror_round(run, row, expected=len(generation))

    @retry_while_unavailable
    def mirror_round(self, run: StoredRun, row: StoredRound, expected: int = 0) -> StoredRound:
        """Let the round's Optuna study hold what we have recorded, whatever others have made of it; a line says so where it
        lacked more trials than ``expected``, and where others have put their own there, which are left alone."""
        config, options = run.config, distributions(row.space)
        (current,) = (other for other in self.rounds(run) if other.id == row.id)
        trials = [to_trial(p, row.space, options, config.search, config.limits) for p in self.proposals(row)]
        done = mirror.complete_study(self.engine, self.optuna, self.bulk, run, row.number, current.study, trials)
        if (words := done.words(expected)) and (done.written or words not in self._told):
            self._told.add(words)
            log_line(words)
        if done.study != current.study:
            with self.writing() as connection:
                connection.execute(rounds.update().where(rounds.c.id == row.id).values(study=done.study))
        return replace(row, study=done.study)

    def _is_recorded(self, row: StoredRound, generation: Sequence[Proposal]) -> bool:
        """Whether these very proposals are in the round."""
        numbers = proposals.c.number.between(generation[0].number, generation[-1].number)
        query = sa.select(proposals.c.arch).where(proposals.c.round_id == row.id, numbers).order_by(proposals.c.number)
        with self.engine.connect() as connection:
            return list(connection.scalars(query)) == [str(proposal.arch) for proposal in generation]

    def _append(self, run: StoredRun, row: StoredRound, generation: Sequence[Proposal]) -> bool:
        """Write a generation that is new, in one transaction; whether its trials are in it."""
        config, options = run.config, distributions(row.space)
        trials = [to_trial(proposal, row.space, options, config.search, config.limits) for proposal in generation]
        with self.writing() as connection:
            ids = self._evaluation_ids(connection, run, row.space, generation)
            found = [rows.proposal_to_row(row, *pair) for pair in zip(generation, ids, strict=True)]
            connection.execute(proposals.insert(), found)
            study = connection.execute(sa.select(rounds.c.study).where(rounds.c.id == row.id)).scalar_one()
            return self.bulk and running.record_trials(connection, study, trials)

    @retry_while_unavailable
    def announce(self, row: StoredRound, start: int, batch: Sequence[tuple[Architecture, str]]) -> None:
        """Let Optuna show a generation that is being measured, as RUNNING trials; ours is written when it is recorded. Twice
        changes nothing.

        Args:
            start: the number of its first proposal; ``batch``: its architectures, each with its origin.
        """
        options = distributions(row.space)
        trials = [running_trial(start + i, *each, row.space, options) for i, each in enumerate(batch)]
        with self.writing() as connection:
            study = connection.execute(sa.select(rounds.c.study).where(rounds.c.id == row.id)).scalar_one()
            if self.bulk:
                running.announce_trials(connection, study, trials)

    def _evaluation_ids(
        self, connection: Connection, run: StoredRun, space: SearchSpace, generation: Sequence[Proposal]
    ) -> list[int]:
        """The row of each proposal's evaluation; fresh ones are inserted."""
        new = [rows.evaluation_to_row(run, proposal.evaluation, space) for proposal in generation if proposal.is_new]
        insert = evaluations.insert().returning(evaluations.c.id, sort_by_parameter_order=True)
        inserted = iter(connection.scalars(insert, new) if new else ())
        return [
            next(inserted) if proposal.is_new else _evaluation_id(connection, run, proposal.evaluation, space)
            for proposal in generation
        ]

    @retry_while_unavailable
    def proposals(self, row: StoredRound) -> list[Proposal]:
        """What the round has proposed so far, in order."""
        others = [column for column in evaluations.c if column.name not in (*proposals.c.keys(), "created_at")]
        query = (
            sa.select(proposals, *others)
            .join(evaluations, evaluations.c.id == proposals.c.evaluation_id)
            .where(proposals.c.round_id == row.id)
            .order_by(proposals.c.number)
        )
        with rows.reading(row.study.rpartition("/")[0], "one of its proposals"), self.engine.connect() as connection:
            return [rows.proposal_from_row(found) for found in connection.execute(query).mappings()]

    @retry_while_unavailable
    def evaluations(self, run: StoredRun, judge: str) -> list[Evaluation]:
        """Everything one judge has measured in this run, oldest first."""
        columns = [column for column in evaluations.c if column.name != "created_at"]
        query = sa.select(*columns).where(evaluations.c.run_id == run.id, evaluations.c.judge == judge)
        with rows.reading(run.name, "one of its evaluations"), self.engine.connect() as connection:
            found = connection.execute(query.order_by(evaluations.c.id)).mappings()
            return [rows.evaluation_from_row(row) for row in found]

    @retry_while_unavailable
    def record_evaluations(self, run: StoredRun, space: SearchSpace, found: Sequence[Evaluation]) -> None:
        """Write what was measured beside the search (and so is no proposal), in one transaction; twice changes nothing."""
        measured = [rows.evaluation_to_row(run, evaluation, space) for evaluation in found]
        judges = {evaluation.judge for evaluation in found}
        query = sa.select(evaluations.c.judge, evaluations.c.canonical).where(
            evaluations.c.run_id == run.id, evaluations.c.judge.in_(judges)
        )
        with self.writing() as connection:
            known = {(judge, form) for judge, form in connection.execute(query)}
            if new := [row for row in measured if (row["judge"], row["canonical"]) not in known]:
                connection.execute(evaluations.insert(), new)

    # -- checkpoints --------------------------------------------------------------------------------------------------

    @retry_while_unavailable
    def add_checkpoint(self, run: StoredRun, number: int, kind: str, path: Path, digest: str) -> None:
        """Remember a file of weights and its sha256; the newest of one round and kind counts."""
        values = {"run_id": run.id, "round_number": number, "kind": kind, "path": str(path), "sha256": digest}
        with self.writing() as connection:
            connection.execute(checkpoints.insert().values(**values, created_at=utc_now()))

    @retry_while_unavailable
    def checkpoint(self, run: StoredRun, number: int, kind: str) -> tuple[Path, str] | None:
        """Path and sha256 of the newest checkpoint of a round, if there is one."""
        query = (
            sa.select(checkpoints.c.path, checkpoints.c.sha256)
            .where(checkpoints.c.run_id == run.id, checkpoints.c.round_number == number, checkpoints.c.kind == kind)
            .order_by(checkpoints.c.id.desc())
        )
        with self.engine.connect() as connection:
            found = connection.execute(query).first()
        return None if found is None else (Path(found.path), found.sha256)

    # -- for people who live in pandas --------------------------------------------------------------------------------

    @retry_while_unavailable
    def frame(self, query: str, **values: Any) -> pd.DataFrame:
        """The rows of a SQL query with bound values (``:name``), e.g. ``frame("SELECT * FROM results")``."""
        import pandas as pd

        with self.engine.connect() as connection:  # not pd.read_sql, which has an error of its own for everything
            found = connection.execute(sa.text(query), values)
            return pd.DataFrame.from_records(found.all(), columns=list(found.keys()), coerce_float=True)


def study_name(run: str, number: int) -> str:
    """The Optuna study of a round; zero-padded, since the dashboard orders by name."""
    return f"{run}/round-{number:02d}"


def _evaluation_id(connection: Connection, run: StoredRun, evaluation: Evaluation, space: SearchSpace) -> int:
    """The row of what this judge has said of this network before."""
    same = sa.select(evaluations.c.id).where(
        evaluations.c.run_id == run.id,
        evaluations.c.judge == evaluation.judge,
        evaluations.c.canonical == str(canonical_arch(evaluation.arch, space)),
    )
    found: int = connection.execute(same).scalar_one()
    return found


@contextmanager
def open_store(url: str, read_only: bool = False) -> Iterator[Store]:
    """A store that is closed afterwards; see ``Store``.

    Raises:
        EvoError: also where the database fails while it is used: no server, no disk, broken pages.
    """
    store = Store(url, read_only)
    try:
        yield store
    except (sa.exc.DBAPIError, StorageInternalError) as error:
        if isinstance(error, (sa.exc.IntegrityError, sa.exc.ProgrammingError, sa.exc.DataError)):
            raise  # ours, not the database's
        raise EvoError(f"--storage {redacted(url)}: {first_line(error)}. All that was recorded is kept") from None
    finally:
        store.close()
