"""Database errors in words: where it happened, why, and what to do.

A transaction that fails has written nothing: SQLite and PostgreSQL roll it back.
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
"""Names, or prefixes of names, of SQLite's errors, and PostgreSQL's codes of the same errors."""


def install_explanations(engine: Engine) -> None:
    """Make ``engine`` raise an ``EvoError`` that explains a full disk or a damaged database."""
    event.listen(engine, "handle_error", _explain_error)


def _explain_error(context: ExceptionContext) -> None:
    if context.engine is not None and (message := error_message(context.engine, context.original_exception)):
        raise EvoError(message) from None


def error_message(engine: Engine, error: BaseException | None) -> str | None:
    """The explanation of a full disk or a damaged database; None for any other error."""
    name = getattr(error, "sqlite_errorname", None) or getattr(error, "sqlstate", None) or ""
    return repair_advice(engine, name, str(error)) if name.startswith((*DISK_FULL, *CORRUPTED)) else None


def repair_advice(engine: Engine, name: str, message: str) -> str:
    """Explain the database's error ``name``: where, why, and what to do. ``message``: the driver's own text."""
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
    """Check a whole SQLite file before anything is written to it.

    Raises:
        EvoError: the file is damaged.
    """
    if connection.dialect.name == "sqlite":
        report = connection.execute(sa.text("PRAGMA quick_check(1)")).scalar_one()
        if report != "ok":
            raise EvoError(repair_advice(connection.engine, "SQLITE_CORRUPT", " ".join(str(report).split())))
