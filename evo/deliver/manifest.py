"""What a delivered folder says of itself: ``architecture.json``, from the plan of its training to what came of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spaces.atomic_files import DRAFT, write_text
from spaces.export.network_folder import DESCRIPTION
from spaces.files.outputs import check_no_database
from studies.config import DataSection, DeliverSection
from studies.config.renames import renewed
from studies.records import EvoError

Description = dict[str, Any]
"""What ``architecture.json`` says."""


LATER = ("data_sha256", "resize")
"""What folders of release 0.1 do not say."""

LATER_PROVENANCE = ("summed_loss", "summed_over")
"""What the provenance in older folders does not say, though the network may be the one that is chosen so today."""

LATER_SETTINGS = {
    "teacher",
    "teacher_share",
    "teacher_features",
    "add",
    "warmup_start",
    "annealing",
    "jitter",
    "accumulate",
}
LATER_DATA = {"labels", "jitter", "channels", "short_side", "cache"}
BEFORE = {
    "settings": DeliverSection().model_dump(mode="json", include=LATER_SETTINGS),
    "data": DataSection().model_dump(mode="json", include=LATER_DATA),
}
"""What older folders do not say of their training's settings and data: the defaults."""

OPTIONAL = ("start", "teacher", "added")
"""What a plan says of some trainings only."""

FREE = ("formats", "left_out")
"""What a plan says and a later one may say otherwise: the forms of the network, of which some could not be made. Whether there
can be a ``model.py`` follows from the rest."""


def create_or_verify(folder: Path, wanted: Description) -> None:
    """Write the plan into an empty folder, or find that it is the folder's.

    Raises:
        EvoError: the folder holds something else.
        SpaceError: it has the name of what belongs to a database.
    """
    wanted = json.loads(json.dumps(wanted))
    check_no_database(folder)
    if not (folder / DESCRIPTION).exists():
        if folder.exists() and (
            not folder.is_dir() or any(not path.name.startswith(DRAFT) for path in folder.iterdir())
        ):
            raise EvoError(f"{folder} exists and is not a delivered network: choose another folder with --out FOLDER")
        folder.mkdir(parents=True, exist_ok=True)
        write_manifest(folder, wanted)
        return
    there = read_manifest(folder)
    wanted = _as_told_before(wanted, there)
    known = [name for name in dict.fromkeys((*wanted, *OPTIONAL)) if name in there or name not in LATER]
    known = [name for name in known if name not in FREE]
    if differing := [name for name in known if there.get(name) != wanted.get(name)]:
        raise EvoError(
            f"{folder} holds another network, with other {', '.join(differing)}: give another folder with --out FOLDER"
        )


def _as_told_before(wanted: Description, there: Description) -> Description:
    """A plan as an older folder would tell it, if the folder's provenance does not say how its network was chosen, or its
    training's device is a word."""
    if there.get("training", {}).get("device") == "cuda" and wanted["training"]["device"] != "cpu":
        wanted = wanted | {"training": {**wanted["training"], "device": "cuda"}}
    said, origin = there.get("provenance", {}), wanted.get("provenance", {})
    later = [name for name in LATER_PROVENANCE if name in origin]
    if not later or any(name in said for name in later):
        return wanted
    return wanted | {"provenance": {name: value for name, value in origin.items() if name not in later}}


def add_once(folder: Path, name: str, find: Callable[[], Any]) -> None:
    """Add what ``find`` gives to the folder's description, unless it is there: it is found once and no more."""
    description = read_manifest(folder)
    if name not in description:
        write_manifest(folder, description | {name: find()})


def read_manifest(folder: Path) -> Description:
    """What the folder's ``architecture.json`` says; settings of its training are those of today, and called so.

    Raises:
        EvoError: it is no JSON.
    """
    try:
        description: Description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        if not isinstance(description, dict):
            raise ValueError(f"expected an object, found {description!r}")
    except ValueError as error:
        raise EvoError(f"{folder / DESCRIPTION} cannot be read ({error}): give another folder: --out FOLDER") from None
    training = description.get("training", {})
    for name, section in (("settings", "deliver"), ("data", "data")):
        if name in training:
            known, _ = renewed(training[name], lambda _: False, section)
            training[name] = {**BEFORE[name], **known}
    return description


def write_manifest(folder: Path, description: Description) -> None:
    """Replace the folder's ``architecture.json`` in one step."""
    write_text(folder / DESCRIPTION, json.dumps(description, indent=1) + "\n")
