"""Names of files that hold weights or progress: made of everything that the content depends on, and of nothing else.

A file that another run, another data set or another setting left behind has another name and is never taken for ours. The
name is explicit and versioned: ``identity("supernet", 1, space=..., settings=...)``. A new setting does not change the names
of runs that leave it at its default. ``tests/evo/training/test_identity.py`` holds golden values: a change of
what a name is made of, or of a default, must raise the version there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import is_dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from spaces.layer import written_fields
from spaces.space import SearchSpace
from studies.config import Section


def identity(kind: str, version: int, **parts: object) -> str:
    """64 hexadecimal digits for everything that a file depends on.

    Args:
        kind: what the file holds, e.g. ``"supernet"``.
        version: of the meaning of ``parts`` and of the defaults in them.
        parts: settings sections, spaces, frozen dataclasses, mappings, sequences, strings and numbers.

    Raises:
        TypeError: a part is of another type, whose text may not be stable.
    """
    content = {"kind": kind, "version": version, **{name: _to_json(part) for name, part in parts.items()}}
    return sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def weights_path(folder: Path, name: str, digest: str, legacy: str | None, *beside: str, begun: bool = False) -> Path:
    """``folder / name``, with ``{}`` in it replaced by the digest; where work of release 0.1 lies there, that file's path.

    Args:
        legacy: the digest that release 0.1 gave it; None: it cannot have made this file.
        beside: other names with ``{}`` that release 0.1 may have written before the file itself.
        begun: whether the run was begun by release 0.1, and goes on with its names.
    """
    if legacy is not None:
        for old in (name, *beside):
            path = folder / old.format(legacy)
            if begun or path.exists() or path.with_suffix(".progress").exists():
                return folder / name.format(legacy)
    return folder / name.format(f"v1-{digest[:12]}")


def _to_json(part: object) -> Any:
    """A part as JSON knows it."""
    if isinstance(part, Section):
        return {
            name: _to_json(value)
            for name in sorted(type(part).model_fields)
            if name not in part.unrelated and (value := getattr(part, name)) != type(part).model_fields[name].default
        }
    if isinstance(part, SearchSpace):
        return json.loads(part.to_json())
    if is_dataclass(part) and not isinstance(part, type):
        return {name: _to_json(value) for name, value in written_fields(part).items()}
    if isinstance(part, Mapping):
        return {str(key): _to_json(value) for key, value in part.items()}
    if isinstance(part, (list, tuple)):
        return [_to_json(value) for value in part]
    if isinstance(part, (set, frozenset)):
        return sorted(_to_json(value) for value in part)
    if part is None or isinstance(part, (str, int, float)):
        return part
    raise TypeError(f"cannot be part of an identity: {part!r}")
