"""Database URLs, as a user types them to look at what is there."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from studies.records import EvoError


def existing(url: str) -> str:
    """``url`` itself, unless it names an SQLite file that is not there; opening that would create an empty one.

    Raises:
        EvoError: there is no such file, or the text is no database URL.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise EvoError(f"{url!r} is not a database URL; expected one like sqlite:///evo.db") from None
    path = parsed.database
    if parsed.get_backend_name() == "sqlite" and path and path != ":memory:" and not Path(path).is_file():
        raise EvoError(f"no database {path}; expected a run's: python -m evo.round 1 --storage {url} starts one")
    return url


def files_of(storage: str) -> Path:
    """The folder for weights: ``evo_files`` beside an SQLite database, else in the current folder."""
    url = make_url(storage)
    beside = Path(url.database).parent if url.get_backend_name() == "sqlite" and url.database else Path()
    return beside / "evo_files"


def artifacts_of(files: Path) -> Path:
    """Where in ``files_of`` a database the drawings lie that optuna-dashboard shows (its ``--artifact-dir``)."""
    return files / "artifacts"
