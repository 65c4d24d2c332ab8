"""What a delivered folder is held to later: the sha256 of each of its files, and of what ``architecture.json`` says."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

from evo.data.paths import file_hash
from evo.deliver.manifest import write_manifest
from evo.deliver.model_card import files_of
from spaces.export.network_folder import DESCRIPTION

FILES, DIGEST = "files", "sha256"
"""Entries of ``architecture.json``."""


def seal(folder: Path) -> None:
    """Note down the sha256 of all files of a folder that is complete."""
    said = written(folder)
    there = [name for name in files_of(said) if name != DESCRIPTION and (folder / name).is_file()]
    said[FILES] = {name: file_hash(folder / name) for name in there}
    write_manifest(folder, said | {DIGEST: digest_of(said)})


def is_sealed(folder: Path) -> bool:
    """Whether that has been done."""
    return DIGEST in written(folder)


def digest_of(said: dict[str, Any]) -> str:
    """sha256 of what a description says, its own digest left out; in any order, with any white space."""
    rest = {name: value for name, value in said.items() if name != DIGEST}
    return sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def written(folder: Path) -> dict[str, Any]:
    """``architecture.json`` as it is written, by whatever version."""
    said: dict[str, Any] = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    return said
