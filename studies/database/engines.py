"""Connections to a database: how they are made, and what is done when its server is away for a while.

A server restarts, a network is cut: a run that has measured for hours waits and asks again. A function under
``retry_while_unavailable`` must be idempotent: it reads, or looks first what is there, since a COMMIT may have been obeyed and
the answer lost.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import sqlalchemy as sa
from optuna.exceptions import StorageInternalError
from sqlalchemy import Connection, Engine, event

from studies.database import errors
from studies.database.urls import parse_url, redacted
from studies.records import EvoError

P = ParamSpec("P")
R = TypeVar("R")

RETRY_SECONDS = 60.0
"""Seconds to wait for a database server that has gone."""

RETRY_DELAYS = (0.1, 5.0)
"""Seconds before the second attempt, and at the most between two."""

CUT_WHILE_OPENED = ("terminating connection due to", "server closed the connection unexpectedly")
"""What PostgreSQL's driver says of a connection that was cut before it was open: there is no other sign of it."""

MAX_CUTS = (0.1, 0.5, 1.0, 2.0, 5.0)
"""Seconds before each retry of work whose connection was cut."""

TIMEOUTS: dict[str, dict[str, Any]] = {
    "sqlite": {"timeout": 60},  # waits for other writers
    # Seconds to connect; milliseconds until a peer that acknowledges nothing is given up: the network itself takes hours.
    "postgresql": {"connect_timeout": 10, "tcp_user_timeout": 30_000, "keepalives_idle": 30},
    "mysql": {"connect_timeout": 10},
}


def open_engine(text: str) -> Engine:
    """An engine for the URL ``text``; nothing is connected yet.

    Raises:
        EvoError: it is no URL, or there is no such driver.
    """
    url = parse_url(text)
    backend = url.get_backend_name()
    try:
        engine = sa.create_engine(url, connect_args=connect_args(url), pool_pre_ping=backend != "sqlite")
    except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ValueError):
        raise EvoError(f"--storage {redacted(text)}: no such kind of database; e.g. sqlite:///evo.db") from None
    except ImportError as error:
        what = "'.[postgresql]'" if url.drivername == "postgresql+psycopg" else error.name
        raise EvoError(f"--storage {redacted(text)}: its driver is not installed: pip install {what}") from None
    if backend == "sqlite":
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    errors.install_explanations(engine)
    return engine


def open_reader(text: str) -> Engine:
    """An engine that cannot write, and leaves nothing beside an SQLite file; nothing is connected yet.

    Raises:
        EvoError: as ``open_engine``.
    """
    url = parse_url(text)
    if not is_sqlite_file(url):
        engine = open_engine(text)
        return engine.execution_options(postgresql_readonly=True) if engine.dialect.name == "postgresql" else engine
    path = Path(str(url.database))
    engine = sa.create_engine(url, creator=lambda: _connect_to_read(path))
    event.listen(engine, "begin", _begin_sqlite)
    errors.install_explanations(engine)
    return engine


def is_sqlite_file(url: sa.URL) -> bool:
    """Whether a database is a file of SQLite's."""
    return url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:")


def read_only_uri(path: Path) -> str:
    """The URI by which SQLite reads a file and leaves nothing beside it.

    A file with a log (WAL) needs the log's two files even to be read. A connection that may not write would make them and
    leave them there; one that may removes them, and ``query_only`` keeps it from writing. Where they cannot be made and
    there is no log, nobody is writing: SQLite is told that the file does not change.
    """
    mode = "ro"
    if _has_log(path) and not Path(f"{path}-wal").exists():
        mode = "rw" if is_writable(path) else "ro&immutable=1"
    return f"{path.absolute().as_uri()}?mode={mode}"


def is_writable(path: Path) -> bool:
    """Whether an SQLite file can be written: itself, and its folder, where SQLite keeps what it needs beside it."""
    return all(os.access(place, os.W_OK) for place in (path, path.absolute().parent))


def _has_log(path: Path) -> bool:
    """Whether an SQLite file is in WAL mode, by its header."""
    try:
        with path.open("rb") as file:
            return file.read(20)[18:20] == b"\2\2"
    except OSError:
        return False


def _connect_to_read(path: Path) -> sqlite3.Connection:
    seconds = TIMEOUTS["sqlite"]["timeout"]
    connection = sqlite3.connect(
        read_only_uri(path), timeout=seconds, uri=True, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA query_only=ON")
    return connection


def connect_args(url: sa.URL) -> dict[str, Any]:
    """The driver's connection arguments; those in the URL take precedence."""
    known = TIMEOUTS.get(url.get_backend_name(), {})
    return {key: value for key, value in known.items() if key not in url.query}


def write_transaction(engine: Engine) -> AbstractContextManager[Connection]:
    """A transaction that may write. SQLite gives it the pen at once: one that had read before would be turned away, not made
    to wait, when another process or the heartbeat of a lease wrote in between."""
    return engine.execution_options(writing=True).begin()


def retry_while_unavailable(work: Callable[P, R]) -> Callable[P, R]:
    """Decorate ``work`` so that it is retried until the database's server answers.

    Raises:
        EvoError: it did not come back for ``RETRY_SECONDS`` seconds.
    """

    @wraps(work)
    def again(*args: P.args, **kwargs: P.kwargs) -> R:
        gone, pause = None, RETRY_DELAYS[0]
        while True:
            try:
                return work(*args, **kwargs)
            except (sa.exc.DBAPIError, StorageInternalError) as error:
                if not is_unavailable(error):
                    raise
                if gone is None:
                    gone = time.monotonic()
                    log_line(
                        f"the database does not answer; trying again for {RETRY_SECONDS:g} seconds ({first_line(error)})"
                    )
                elif time.monotonic() - gone > RETRY_SECONDS:
                    raise EvoError(
                        f"the database has not answered for {RETRY_SECONDS:g} seconds ({first_line(error)}). All that was "
                        "recorded is kept: run the same command again when it is back; it continues from there"
                    ) from None
            time.sleep(pause)
            pause = min(2 * pause, RETRY_DELAYS[1])

    return again


def retry_if_cut(work: Callable[P, R]) -> Callable[P, R]:
    """Decorate ``work`` so that it is retried if its connection was cut. A server that never answered is an error at once."""

    @wraps(work)
    def again(*args: P.args, **kwargs: P.kwargs) -> R:
        for pause in MAX_CUTS:
            try:
                return work(*args, **kwargs)
            except (sa.exc.DBAPIError, StorageInternalError) as error:
                if not was_cut(error):
                    raise
            time.sleep(pause)
        return work(*args, **kwargs)

    return again


def was_cut(error: BaseException) -> bool:
    """Whether a connection was cut: one that was in use, or one that PostgreSQL was still opening."""
    error = database_error(error)
    if not isinstance(error, sa.exc.DBAPIError):
        return False
    return error.connection_invalidated or any(words in str(error.orig) for words in CUT_WHILE_OPENED)


def is_unavailable(error: BaseException) -> bool:
    """Whether the cause of an error is a server that cannot be reached or accepts no connections. Never for SQLite."""
    error = database_error(error)
    if isinstance(error, sa.exc.PendingRollbackError):  # Optuna has gone on after an error of this kind, in vain
        return True
    if not isinstance(error, sa.exc.DBAPIError) or isinstance(error.orig, sqlite3.Error):
        return False
    return error.connection_invalidated or isinstance(error, (sa.exc.OperationalError, sa.exc.InterfaceError))


def database_error(error: BaseException) -> BaseException:
    """SQLAlchemy's error behind one of Optuna's."""
    return error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error


def first_line(error: BaseException) -> str:
    """What the driver says, on one line, without the statement, its values, and passwords."""
    error = database_error(error)
    return redacted(" ".join(str(error.orig if isinstance(error, sa.exc.DBAPIError) else error).split()))


def log_line(words: str) -> None:
    """A line for the user, in every command."""
    print(words, file=sys.stderr, flush=True)


def _begin_sqlite(connection: Connection) -> None:
    writing = connection.get_execution_options().get("writing")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def _configure_sqlite(connection: Any, _: Any) -> None:
    """Readers (the dashboard) never block the writer, and a commit costs one fsync per checkpoint of the log.

    Python's driver would commit before every CREATE TABLE; left alone, it lets a migration be one transaction.
    """
    connection.isolation_level = None
    _log_ahead(connection)
    for pragma in ("synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _log_ahead(connection: Any) -> None:
    """Switch to a log (WAL). SQLite itself does not wait here for another process that looks at a file without one."""
    (patience,) = connection.execute("PRAGMA busy_timeout").fetchone()
    end = time.monotonic() + patience / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(0.01)
