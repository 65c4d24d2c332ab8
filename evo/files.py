"""Where the files that a configuration names may lie."""

from __future__ import annotations

import os
from pathlib import Path

moved: dict[str, Path] = {}
"""Where files and folders lie on this machine that are named by another one's work (``evo.parcels``)."""


def named(path: str) -> list[Path]:
    """The places where the file or folder ``path`` is looked for: as it stands, and below the folder ``EVO_DATA``."""
    if path in moved:
        return [moved[path]]
    data = os.environ.get("EVO_DATA")
    return [Path(path), *([Path(data) / path] if data else [])]


def roots(path: str) -> list[Path]:
    """The same for a folder of data sets, which may be the folder ``EVO_DATA`` itself."""
    data = os.environ.get("EVO_DATA")
    return named(path) + ([Path(data)] if data and path not in moved else [])
