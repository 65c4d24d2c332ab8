"""Database URLs, as a user types them. A password in one is for the driver alone: ``redacted`` is what may be told."""

from __future__ import annotations

import os.path
import re
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from spaces import shell
from studies.records import EvoError
from studies.run_names import is_storable

STORAGE = "sqlite:///evo.db"
"""The database where none is named."""

DRIVERS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}
"""The drivers that the extras of this project install, for URLs that name none."""

_PASSWORD = re.compile(r"((?<!/)//[^/:@]*:).*(?=@)", re.DOTALL)
_SECRET = re.compile(r"([?&][^=&]*(?:password|passwd|passphrase)=)[^&]*", re.IGNORECASE)


def redacted(text: str) -> str:
    """A URL, or what was meant to be one, with ``***`` in the place of passwords."""
    return _SECRET.sub(r"\1***", _PASSWORD.sub(r"\1***", text))


def parse_url(text: str) -> URL:
    """The URL in ``text``, with its driver.

    Raises:
        EvoError: it is none; the message shows no password.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise EvoError(
            f"--storage {redacted(text)}: not a database URL; expected one like sqlite:///evo.db or "
            "postgresql://user@host/database"
        ) from None
    if not is_storable(text):
        raise EvoError(
            f"--storage {redacted(text)}: expected a name that is text in UTF-8; rename the file or its folder"
        )
    if "@" in (url.host or ""):
        raise EvoError(f"--storage {redacted(text)}: an @ in a name or password is written %40 there, a / %2F, a % %25")
    if url.get_backend_name() == "sqlite" and url.database and os.path.isdir(url.database):
        file = url.set(database=os.path.join(url.database, "evo.db")).render_as_string()
        raise EvoError(f"--storage {text}: that is a folder, expected a database's file, such as {file}")
    return url.set(drivername=DRIVERS.get(url.drivername, url.drivername))


def command_on(storage: str, *words: str) -> str:
    """A command of this program on a database, as it can be pasted into a shell, but for a password, which is ``***``."""
    return shell.command_line(*words, *([] if storage == STORAGE else ["--storage", shown_url(storage)]))


def shown_url(storage: str) -> str:
    """A database's URL, as it may be shown and typed again."""
    return redacted(parse_url(storage).render_as_string(hide_password=True))


def require_existing(text: str) -> str:
    """``text`` itself, unless it names an SQLite file that is not there; opening that would create an empty one.

    Raises:
        EvoError: there is no such file, or the text is no database URL.
    """
    url = parse_url(text)
    path = url.database
    if url.get_backend_name() == "sqlite" and path and path != ":memory:" and not os.path.isfile(path):
        raise EvoError(f"no database {path}; expected a run's: {command_on(text, 'evo.round', '1')} starts one")
    return text


def files_folder(storage: str) -> Path:
    """The folder for weights: ``evo_files`` beside an SQLite database, else in the current folder."""
    url = parse_url(storage)
    beside = Path(url.database).parent if url.get_backend_name() == "sqlite" and url.database else Path()
    return beside / "evo_files"


def artifacts_folder(files: Path) -> Path:
    """Where in ``files_folder`` a database the drawings lie that optuna-dashboard shows (its ``--artifact-dir``)."""
    return files / "artifacts"
