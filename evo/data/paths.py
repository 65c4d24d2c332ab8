"""Where the files that a configuration names may lie, and what is in them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from hashlib import file_digest
from pathlib import Path

_redirected: dict[str, Path] = {}


def redirect(places: Mapping[str, Path]) -> None:
    """From now on these files and folders are where ``places`` says: they are named by work of another machine."""
    _redirected.update(places)


def candidate_paths(path: str) -> list[Path]:
    """The places where the file or folder ``path`` is looked for: as it stands, and below the folder ``EVO_DATA``."""
    if path in _redirected:
        return [_redirected[path]]
    data = os.environ.get("EVO_DATA")
    return [Path(path), *([Path(data) / path] if data else [])]


def candidate_roots(path: str) -> list[Path]:
    """The same for a folder of data sets, which may be the folder ``EVO_DATA`` itself."""
    data = os.environ.get("EVO_DATA")
    return candidate_paths(path) + ([Path(data)] if data and path not in _redirected else [])


def file_hash(path: Path) -> str:
    """sha256 of a file's content."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
