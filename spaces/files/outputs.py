"""Files that a command was told to write. What is there is replaced only where such a command has made it: a mistaken path
costs nobody a database, a table or a photo.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spaces.atomic_files import write_text
from spaces.errors import SpaceError

START = 32
"""Pages, and drawings, of every version have these first bytes in common."""

DATABASE = b"SQLite format 3\0"
"""How a database of SQLite begins."""

BESIDE_DATABASE = ("-wal", "-shm", "-journal", ".lock")
"""How the names end of what belongs to a database and lies beside it."""


def write_output(path: Path, text: str) -> None:
    """Write a page or a drawing; an earlier one is replaced, a device or a pipe is written to.

    Raises:
        SpaceError: something else is there, or the file cannot be written.
    """
    with explained(path):
        check_replaceable(path, text.encode("utf-8", "backslashreplace")[:START])
        write_text(path, text)


def check_replaceable(path: Path, start: bytes) -> None:
    """What is about to be written to ``path``, and begins with ``start``, may take that place.

    Raises:
        SpaceError: a folder, a part of a database, or a file that begins otherwise is there.
        OSError: what is there cannot be read.
    """
    check_no_database(path)
    if path.is_dir():
        raise SpaceError(f"cannot write {path}: it is a folder; give the name of a file in it")
    if path.is_file() and (found := _first_bytes(path, len(start))).strip() and found != start:
        raise SpaceError(
            f"cannot write {path}: the file is there, and is nothing that this command has written; give another place, or "
            "remove the file first"
        )


def check_no_database(path: Path) -> None:
    """Raises SpaceError where ``path`` is a database of SQLite, or has the name of what belongs to one beside it."""
    place = path.resolve()
    names = [place.name, *(place.name.removesuffix(end) for end in BESIDE_DATABASE)]
    for database in (place.with_name(name) for name in dict.fromkeys(names) if name):
        if database.is_file() and _first_bytes(database, len(DATABASE)) == DATABASE:
            belongs = "is" if database == place else "belongs to"
            raise SpaceError(f"cannot write {path}: it {belongs} the database {database.name}; give another place")


def _first_bytes(path: Path, count: int) -> bytes:
    with path.open("rb") as file:
        return file.read(count)


@contextmanager
def explained(path: Path, remedy: str = "give another place") -> Iterator[None]:
    """What the system says against writing ``path`` in the body, with what to do.

    Raises:
        SpaceError: instead of any OSError, but for a reader who has gone (``| head``), who is no error.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise SpaceError(f"cannot write {path}: {error.strerror or error}; {remedy}") from None
