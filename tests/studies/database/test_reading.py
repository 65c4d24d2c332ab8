"""Commands that read do not write: whatever file they are given, it is the same afterwards, and nothing lies beside it."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import optuna
import pytest
import sqlalchemy as sa

from analysis import compare, report
from evo.deliver.__main__ import main as deliver
from evo.round.__main__ import main as evo_round
from studies import dashboard
from studies.database import engines, schema
from studies.database.store import Store, open_store
from studies.records import EvoError
from studies.runs.__main__ import main as runs
from tests import example_run
from tests.studies.database.test_upgrades import DATABASES, HEAD

READERS: dict[str, Callable[[str], int]] = {
    "list": lambda url: runs(["--storage", url]),
    "list --json": lambda url: runs(["--storage", url, "--json"]),
    "show": lambda url: runs(["show", "old", "--storage", url]),
    "report": lambda url: report.main(["old", "--storage", url, "--out", "page.html"]),
    "compare": lambda url: compare.main(["old", "old", "--storage", url, "--out", "page.html"]),
    "dashboard": lambda url: serve(url),
    "delete": lambda url: runs(["delete", "none", "--yes", "--storage", url]),
    "rename": lambda url: runs(["rename", "none", "other", "--storage", url]),
    "deliver": lambda url: deliver(["none", "--storage", url]),
}
"""Commands that only read, and those that find nothing to change."""


def serve(url: str) -> int:
    """The dashboard's list of studies; 0: it was answered."""
    try:
        with dashboard.open_server(url, "127.0.0.1", 0) as server:
            app = server.get_app()
            assert app is not None
            answer = b"".join(app({"PATH_INFO": "/api/studies", "REQUEST_METHOD": "GET", "wsgi.input": None}, print))
            return int(b"study_summaries" not in answer)
    except EvoError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def state(path: Path) -> dict[str, str]:
    """The hash of every file in the database's folder."""
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in path.parent.iterdir()}


def one_line(text: str) -> str:
    """What was said after ``error:``, on its one line."""
    (line,) = [line for line in text.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in text
    return line


# -- databases that are not ours --------------------------------------------------------------------------------------


def empty(path: Path) -> None:
    path.touch()


def another_program(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE songs (title TEXT)")
        connection.commit()


def another_program_with_a_log(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    another_program(path)


def like_mlflow(path: Path) -> None:
    """Tables of another program that have our names, and Optuna's."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "CREATE TABLE runs (run_uuid TEXT); CREATE TABLE alembic_version (version_num TEXT);"
            "INSERT INTO alembic_version VALUES ('728d730b5ebd')"
        )


def optunas(path: Path) -> None:
    for name in ("theirs", "mine too"):
        optuna.create_study(study_name=name, storage=f"sqlite:///{path}")


def optunas_of(revision: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        optunas(path)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("UPDATE alembic_version SET version_num = ?", [revision])
            connection.commit()

    return make


OLD = "make a copy, then upgrade them: optuna storage upgrade --storage sqlite:///"
NEW = "a later Optuna has written them; update it: pip install -U optuna"
FOREIGN: dict[str, tuple[Callable[[Path], None], str, int]] = {
    "empty": (empty, "it is empty; python -m evo.round 1", 1),
    "songs": (another_program, "it holds tables of another program (songs); name another database", 1),
    "songs with a log": (another_program_with_a_log, "tables of another program (songs)", 1),
    "MLflow": (like_mlflow, "tables of another program (alembic_version, runs)", 1),
    "Optuna": (optunas, "it holds 2 Optuna studies (theirs, mine too): optuna-dashboard sqlite:///", 0),
    "old Optuna": (optunas_of("v3.0.0.d"), OLD, 1),
    "new Optuna": (optunas_of("v9.9.9.a"), NEW, 1),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_database_is_told_and_left_alone(
    kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "data" / "theirs.db"
    path.parent.mkdir()
    make, said, dashboard_status = FOREIGN[kind]
    make(path)
    before, url = state(path), f"sqlite:///{path}"
    for name, command in READERS.items():
        capfd.readouterr()
        status = command(url)
        told = capfd.readouterr().err
        assert (name, status) == (name, dashboard_status if name == "dashboard" else 1)
        if status:
            assert said in one_line(told)
            assert ("no run of this program" if name != "dashboard" else "Optuna") in told
        assert state(path) == before


@pytest.mark.parametrize("kind", ["MLflow", "old Optuna", "new Optuna"])
def test_what_cannot_hold_a_run_is_refused_before_anything_is_written(
    kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "theirs.db"
    make, said, _ = FOREIGN[kind]
    make(path)
    before = state(path)
    assert evo_round(["1", "--config", "digits", "--storage", f"sqlite:///{path}"]) == 1
    wanted = "its tables alembic_version, runs belong to another program" if kind == "MLflow" else said
    assert wanted in one_line(capfd.readouterr().err)
    assert state(path) == before


def test_a_run_may_begin_beside_what_is_in_nobodys_way(tmp_path: Path) -> None:
    path = tmp_path / "shared.db"
    another_program(path)
    optunas(path)
    with open_store(f"sqlite:///{path}") as store:
        example_run.two_rounds(store)
        assert store.runs() == ["tiny"]


# -- databases of ours ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with a run, closed."""
    path: Path = tmp_path_factory.mktemp("ours") / "evo.db"
    with open_store(f"sqlite:///{path}") as store:
        example_run.two_rounds(store, "old")
    path.with_name("evo.db.lock").unlink()
    return path


@pytest.fixture
def database(ours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "data" / "evo.db"
    path.parent.mkdir()
    shutil.copy(ours, path)
    return path


READING = ("list", "list --json", "show", "report", "compare", "dashboard")


def read_all(path: Path) -> None:
    """Every command that reads does, and changes nothing."""
    before = state(path)
    for name in READING:
        assert (name, READERS[name](f"sqlite:///{path}")) == (name, 0)
        assert state(path) == before


def test_our_own_database_is_read_and_not_touched(database: Path) -> None:
    modified = database.stat().st_mtime_ns
    read_all(database)
    assert database.stat().st_mtime_ns == modified


def test_a_database_on_a_read_only_disk_is_read(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database.chmod(0o444)
    database.parent.chmod(0o555)
    monkeypatch.setattr(engines.os, "access", lambda path, mode: mode != os.W_OK)  # root may do anything
    assert engines.read_only_uri(database).endswith("?mode=ro&immutable=1")
    read_all(database)
    database.parent.chmod(0o755)


def test_a_database_that_is_written_is_read_meanwhile(database: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with open_store(f"sqlite:///{database}") as store:
        example_run.begin(store, "new")
        assert READERS["list"](f"sqlite:///{database}") == 0
        assert [line.split()[0] for line in capfd.readouterr().out.splitlines()] == ["run", "old", "new"]
    assert {path.name for path in database.parent.iterdir()} == {"evo.db"}


def test_what_a_crash_has_left_beside_a_database_is_read(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log of a process that was killed, on a disk where SQLite cannot work it in."""
    with open_store(f"sqlite:///{database}") as store:
        example_run.begin(store, "new")
        killed = tmp_path / "killed"
        killed.mkdir()
        for name in ("evo.db", "evo.db-wal"):
            shutil.copy(database.with_name(name), killed)
    path = killed / "evo.db"
    before = state(path)

    def cannot_open(path: Path) -> sqlite3.Connection:
        error = sqlite3.OperationalError("unable to open database file")
        error.sqlite_errorname = "SQLITE_CANTOPEN"
        raise error

    monkeypatch.setattr(engines, "_connect_to_read", cannot_open)
    with open_store(f"sqlite:///{path}", read_only=True) as store:
        assert store.runs() == ["old", "new"]
    assert state(path) == before


@pytest.mark.parametrize("version", sorted(path.stem for path in DATABASES.glob("*.sql")))
def test_an_earlier_database_is_read_from_an_upgraded_copy(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "data" / "evo.db"
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((DATABASES / f"{version}.sql").read_text(encoding="utf-8"))
    before = state(path)
    for name in ("list", "report") if version in ("0001", HEAD) else ("list",):
        assert READERS[name](f"sqlite:///{path}") == 0
        assert state(path) == before
    assert capfd.readouterr().err == ""


def test_a_later_version_and_missing_tables_are_told(database: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def changed(statement: str) -> str:
        with closing(sqlite3.connect(database)) as connection:
            connection.execute(statement)
            connection.commit()
        before = state(database)
        assert READERS["list"](f"sqlite:///{database}") == 1
        assert state(database) == before
        return one_line(capfd.readouterr().err)

    assert "is damaged: it has no choices; bring a copy back" in changed("DROP TABLE choices")
    told = changed(f"UPDATE {schema.VERSION_TABLE} SET version_num = '9999'")
    assert "schema version 9999" in told
    assert "update this program" in told
    assert "no run of this program" in changed(f"DROP TABLE {schema.VERSION_TABLE}")


def test_runs_are_read_beside_the_tables_of_another_optuna(database: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'v3.0.0.d'")
        connection.commit()
    before = state(database)
    assert READERS["list"](f"sqlite:///{database}") == 0
    told = capfd.readouterr()
    assert told.out.splitlines()[1].startswith("old")
    assert told.err.startswith("note: ")
    assert OLD in told.err
    assert READERS["dashboard"](f"sqlite:///{database}") == 1
    with pytest.raises(EvoError, match="optuna storage upgrade"):
        Store(f"sqlite:///{database}")
    assert state(database) == before


def test_a_reader_of_postgresql_cannot_write(postgres: str) -> None:
    with pytest.raises(EvoError, match="there is no run of this program in it; it is empty"):
        Store(postgres, read_only=True)
    with open_store(postgres) as store:
        example_run.begin(store)
    with open_store(postgres, read_only=True) as store:
        assert store.runs() == ["tiny"]
        with store.engine.connect() as connection, pytest.raises(sa.exc.DBAPIError, match="read-only transaction"):
            connection.execute(sa.text("DELETE FROM runs"))
    with open_store(postgres) as store, store.writing() as connection:
        connection.execute(sa.text(f"UPDATE {schema.VERSION_TABLE} SET version_num = '0008'"))
    with pytest.raises(EvoError, match="schema version 0008; a command that writes upgrades them"):
        Store(postgres, read_only=True)
