"""What a database says when it cannot go on, in words: where, why, and what to do.

A transaction that ends so has written nothing: SQLite and PostgreSQL take back all of it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import ExceptionContext

from studies.records import EvoError

DISK_FULL = ("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE", "SQLITE_IOERR_FSYNC", "53100")
CORRUPTED = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "XX001", "XX002")
"""What SQLite calls its errors, or how these names begin; and PostgreSQL's numbers of the same."""


def install_explanations(engine: Engine) -> None:
    """Let ``engine`` say what is wrong with its file as an ``EvoError``, whoever uses it."""
    event.listen(engine, "handle_error", _explain_error)


def _explain_error(context: ExceptionContext) -> None:
    if context.engine is not None and (message := error_message(context.engine, context.original_exception)):
        raise EvoError(message) from None


def error_message(engine: Engine, error: BaseException | None) -> str | None:
    """A database's error, for whoever has to mend it; None where it is another one."""
    name = getattr(error, "sqlite_errorname", None) or getattr(error, "sqlstate", None) or ""
    return repair_advice(engine, name, str(error)) if name.startswith((*DISK_FULL, *CORRUPTED)) else None


def repair_advice(engine: Engine, name: str, message: str) -> str:
    """Where it is that a database found the error ``name``, why, and what to do."""
    if engine.dialect.name != "sqlite":
        place = engine.url.render_as_string(hide_password=True)
        why = "its disk is full" if name in DISK_FULL else "it is damaged"
        return (
            f"{place}: {why} ({message.splitlines()[0]}); nothing was written. Repair it and run the same command again"
        )
    path = Path(engine.url.database or "")
    if name.startswith(DISK_FULL):
        free = shutil.disk_usage(path.absolute().parent).free
        return (
            f"{path} cannot be written ({message}): the disk is full, or a limit is reached. Free there: {free / 1e6:.1f} MB; "
            "a generation needs some megabytes. Nothing of this one was recorded. Make room and run the same command "
            "again: it continues from what was recorded before"
        )
    if name.startswith("SQLITE_NOTADB"):
        return f"--storage: {path} is not a database of SQLite; nothing was written. Name another file"
    return (
        f"{path} is damaged ({message}); nothing was written. Bring a copy back, or save what can be read: "
        f"sqlite3 {path} .recover | sqlite3 saved.db"
    )


def check_integrity(connection: Connection) -> None:
    """Look through the whole of an SQLite file before anything is written to it.

    Raises:
        EvoError: its pages do not fit together.
    """
    if connection.dialect.name == "sqlite":
        report = connection.execute(sa.text("PRAGMA quick_check(1)")).scalar_one()
        if report != "ok":
            raise EvoError(repair_advice(connection.engine, "SQLITE_CORRUPT", " ".join(str(report).split())))
