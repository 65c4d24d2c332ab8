"""Databases of ours after somebody has edited them: tables dropped, columns nulled, rows changed. See ``tests.fuzz``."""

from __future__ import annotations

import io
import os
import sqlite3
import tempfile
from contextlib import closing, redirect_stderr, redirect_stdout, suppress
from functools import cache
from itertools import count
from pathlib import Path

import optuna

from analysis import frames, verdict
from spaces.errors import UserError
from studies.database import optuna_tables, schema
from studies.database.lineage import bred_cells
from studies.database.store import Store, open_store
from studies.runs.__main__ import main as runs_command
from studies.runs.manage import run_summaries
from tests import example_run

NUMBERS = count()
RUNS = ("one", "two")
VALUES = ("NULL", "''", "'text'", "-1", "1e999", "x'00ff'", "'{}'", "'[]'", "'null'", "'[1, null]'", "99999999999999")
"""What stands in the place of a value."""


@cache
def _pristine() -> bytes:
    """The bytes of a database with two runs, whose columns may be anything."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "evo.db"
        with open_store(f"sqlite:///{path}") as store:
            for name in RUNS:
                example_run.two_rounds(store, name)
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode=DELETE")
            connection.execute("PRAGMA writable_schema=ON")
            connection.execute("UPDATE sqlite_master SET sql = replace(sql, ' NOT NULL', '') WHERE type = 'table'")
        return path.read_bytes()


def statements() -> list[str]:
    """What somebody might do to a database by hand: to run "one", or to all of it."""
    columns = [(table.name, column.name) for table in schema.metadata.tables.values() for column in table.columns]
    first = {"runs": "name = 'one'"} | dict.fromkeys(("rounds", "evaluations"), "run_id = 1")
    changed = [
        f"UPDATE {table} SET {column} = {value} WHERE {first.get(table, 'rowid < 3')}"
        for table, column in columns
        for value in VALUES
    ]
    names = [*schema.metadata.tables, *(table.name for table in optuna_tables.TABLES), schema.VERSION_TABLE]
    dropped = [f"DROP TABLE {name}" for name in (*names, "alembic_version", "version_info")]
    emptied = [f"DELETE FROM {name}" for name in names]
    views = [f"DROP VIEW {name}" for name in ("results", "failures", "round_stats")]
    renamed = [f"ALTER TABLE {table} RENAME COLUMN {column} TO other" for table, column in columns[::3]]
    cut = [
        f"UPDATE runs SET {column} = substr({column}, 1, 99) WHERE id = 1" for column in ("config_json", "space_json")
    ]
    inside = [
        f"UPDATE runs SET config_json = json_set(config_json, '$.{key}', {value}) WHERE id = 1"
        for key in (
            "seed",
            "evaluator.kind",
            "evolution.method",
            "search.evaluations",
            "limits.macs",
            "plugins",
            "data",
        )
        for value in ("NULL", "'x'", "-1", "json('[]')", "json('{}')")
    ]
    stats = [
        f"UPDATE rounds SET stats_json = json_set(stats_json, '$.{key}', {value}) WHERE run_id = 1"
        for key in ("seconds", "truth", "proposals", "epochs_saved", "data_changed")
        for value in ("'x'", "7", "json('[]')", "json('{}')")
    ]
    return [*changed, *dropped, *emptied, *views, *renamed, *cut, *inside, *stats]


def read_database(statement: str) -> object:
    """Read the database after the statement with everything that the commands read it with.

    Raises:
        UserError: it cannot be read, or the statement is none.
        AssertionError: the statement was about run "one" alone, and the other one is not what it was; or reading has written.
    """
    path = Path(f"edited-{next(NUMBERS)}.db").absolute()
    path.write_bytes(_pristine())
    try:
        _edit(path, statement)
        before = path.read_bytes()
        told = _read_all(path, also="two" if _is_about_one(statement) else None)
        assert path.read_bytes() == before, "reading has written"
        _change(path)
        if told:
            raise UserError(told)
        return None
    finally:
        for file in path.parent.glob(f"{path.name}*"):
            os.unlink(file)


def _edit(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        try:
            connection.execute("PRAGMA trusted_schema=OFF")
            connection.set_authorizer(
                lambda action, *_: sqlite3.SQLITE_DENY if action in OUTSIDE else sqlite3.SQLITE_OK
            )
            connection.execute(statement)
        except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
            raise UserError(f"no statement: {error}") from None


OUTSIDE = (sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_PRAGMA)


def _is_about_one(statement: str) -> bool:
    """Whether a statement changes rows of run "one" alone."""
    return statement.endswith(("name = 'one'", "run_id = 1", "id = 1")) and statement in _known()


@cache
def _known() -> frozenset[str]:
    return frozenset(statements())


def _read_all(path: Path, also: str | None) -> str:
    """What was said of what could not be read; empty: nothing. ``also``: a run that must be readable."""
    told, unreadable = list[str](), list[str]()
    with open_store(f"sqlite:///{path}", read_only=True) as store:
        summaries = run_summaries(store)
        names = [entry.name for entry in summaries]
        told += [entry.problem for entry in summaries if entry.problem]
        for name in map(str, names):
            for command in (["show", name], ["show", name, "--json"]):
                said(command, store.url)
            try:
                _read_run(store, name)
            except UserError as error:
                told.append(str(error))
                unreadable.append(name)
    assert also is None or (also in names and also not in unreadable), f"run {also} was not touched: {told}"
    for command in ([], ["--json"]):
        assert said(command, f"sqlite:///{path}") == 0
    assert all(told), "an empty answer"
    return "; ".join(told)


def said(command: list[str], url: str) -> int:
    """The status of a command of ``studies.runs``.

    Raises:
        AssertionError: it ended with a traceback.
    """
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()) as err:
        status = runs_command([*command, "--storage", url])
    assert "Traceback" not in err.getvalue(), err.getvalue()
    return status


def _read_run(store: Store, name: str) -> None:
    run = store.run(name)
    for row in store.rounds(run):
        store.proposals(row)
    frames.load(store, run)
    verdict.verdicts(store, run)
    bred_cells(store, run)


def _change(path: Path) -> None:
    """Rename and delete what is there; and find the other run as it was."""
    url = f"sqlite:///{path}"
    with suppress(UserError), open_store(url, read_only=True) as store:
        here = store.runs()
    for command in (["rename", "one", "other"], ["delete", "other", "--yes"]):
        status = said(command, url)
        assert status == 0 or "one" not in here or not _is_whole(path), f"{command} failed"
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def _is_whole(path: Path) -> bool:
    """Whether all tables have all columns, so that a run can be renamed and deleted."""
    with closing(sqlite3.connect(path)) as connection:
        described = {
            table.name: {row[1] for row in connection.execute(f"PRAGMA table_info({table.name})")}
            for table in (*schema.metadata.tables.values(), *optuna_tables.TABLES)
        }
    tables = (*schema.metadata.tables.values(), *optuna_tables.TABLES)
    return all({column.name for column in table.columns} <= described[table.name] for table in tables)
