"""Where the files that a configuration names may lie."""

from __future__ import annotations

import os
from pathlib import Path


def roots(path: str) -> list[Path]:
    """The places where ``path`` is looked for: as it stands, below the folder ``EVO_DATA``, and that folder itself."""
    data = os.environ.get("EVO_DATA")
    return [Path(path)] + ([Path(data) / path, Path(data)] if data else [])
