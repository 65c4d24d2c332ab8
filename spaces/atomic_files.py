"""Files that are whole or not there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DRAFT = "draft-"
"""How the name begins under which a file is written."""


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Where to write ``path``: it takes its place in one step when the body has ended, and nothing does when it fails.

    A device or a pipe (``/dev/null``, ``/dev/stdout``) keeps its place and is written to.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        yield path
        return
    draft = path.with_name(f"{DRAFT}{path.name}")
    try:
        with usual_permissions(draft):
            yield draft
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def usual_permissions(path: Path) -> Iterator[None]:
    """Gives the file that the body writes the permissions of any new file; safetensors makes its owner's alone."""
    path.touch()
    mode = path.stat().st_mode
    yield
    path.chmod(mode)


def write_text(path: Path, text: str) -> None:
    """A text file in UTF-8. Bytes of names of files that are no text are spelled out."""
    with atomic_write(path) as draft:
        draft.write_text(text, encoding="utf-8", errors="backslashreplace")
