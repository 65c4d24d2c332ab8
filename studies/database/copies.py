"""A copy of an SQLite database in a temporary folder, for reading what cannot be read where it lies."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import sqlalchemy as sa

from studies.records import EvoError

BESIDE = ("", "-wal", "-journal")
"""A database is its file and what SQLite may have left beside it."""


@contextmanager
def copied(database: Path) -> Iterator[sa.URL]:
    """The URL of a copy that may be changed; it is gone afterwards.

    Raises:
        EvoError: it cannot be made.
    """
    with TemporaryDirectory(prefix="evo-") as folder:
        copy = Path(folder) / database.name
        try:
            for suffix in BESIDE:
                if os.path.exists(f"{database}{suffix}"):
                    shutil.copyfile(f"{database}{suffix}", f"{copy}{suffix}")
            with closing(sqlite3.connect(copy)) as connection:
                connection.execute("SELECT count(*) FROM sqlite_master")
        except (sqlite3.Error, OSError) as error:
            raise EvoError(f"--storage: {database} cannot be read from a copy in {folder}: {error}") from None
        yield sa.URL.create("sqlite", database=str(copy))
