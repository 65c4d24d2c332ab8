"""Which folders below a folder are parts of a data set (training, validation, test), and which is the one of class folders."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evo.data.class_folders import EXPECTED
from evo.data.folder_entries import Ignored, joined, read_entries, sort_files, suffix_of
from evo.data.image_files import SUFFIXES, printable
from evo.data.part_names import role_of, role_within
from studies.records import EvoError

ARCHIVES = {".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar"}
"""Suffixes of files that folders are packed into."""


@dataclass(frozen=True)
class Layout:
    """Which folder is which part.

    Attributes:
        roles: whether there are folders for parts; False: ``train`` is the whole, and holds the class folders.
    """

    train: Path
    validation: Path | None = None
    test: Path | None = None
    roles: bool = False
    ignored: Ignored = field(default_factory=Ignored)
    warnings: tuple[str, ...] = ()


def read_layout(root: Path) -> Layout:
    """Which folders below ``root`` are parts.

    Raises:
        EvoError: there is no folder, or it cannot be told what its parts are.
    """
    where = f"data.path is {printable(str(root))!r}"
    if root.is_file():
        raise EvoError(f"{where}, which is a file; {EXPECTED}: unpack it, if it is an archive")
    if not root.is_dir():
        raise EvoError(f"{where}: no such folder; expected one folder per class, images inside")
    folders, files, hidden, _ = read_entries(str(root))
    named = [name for name in folders if role_of(name)]
    filled = [name for name in named if _is_part(str(root / name), alone=len(named) == 1)]
    if not filled:
        if len(named) > 1 or named == folders != []:
            raise EvoError(
                f"{where}, and {joined(named)} hold no class folders: expected one folder per class inside, "
                f"such as {named[0]}/CLASS/IMAGE"
            )
        return Layout(root, warnings=(*_other_parts(root), *_warn_of_archives(files, ())))
    roles: dict[str, str] = {}
    for name in named:
        role = role_of(name) or ""
        if role in roles:
            raise EvoError(
                f"{where}, and both {roles[role]} and {name} are called like its {role} images: rename or move one"
            )
        roles[role] = name
    if "train" not in roles:
        raise EvoError(
            f"{where}, and there is {joined(named)} and no folder train: rename the folder of the training images to train, "
            "or give the folder of class folders itself"
        )
    if empty := [name for name in named if name not in filled]:
        raise EvoError(
            f"{where}, and {joined(empty)} holds no class folders, as {joined(filled)} does: expected "
            f"{empty[0]}/CLASS/IMAGE; sort its images into class folders, or move it elsewhere"
        )
    others = [name for name in folders if name not in named]
    if others and len(named) == 1 and any(_holds_images(str(root / name)) for name in others):
        if meant := [name for name in others if role_within(name) not in (None, "train")]:
            raise EvoError(
                f"{where}, and {joined(meant)} beside {named[0]} is called like a part, with words that parts do not have: "
                f"rename it to {role_within(meant[0])}, or move it elsewhere"
            )
        raise EvoError(
            f"{where}, and {named[0]} is called like training images, while {joined(others)} may be classes: rename "
            f"{named[0]}, or move the others elsewhere"
        )
    ignored = Ignored(hidden=tuple(hidden), folders=tuple(others)) + sort_files(files)
    warnings = [
        f"the folder {printable(name)} beside {joined(named)} holds images and is not used"
        for name in others
        if _holds_images(str(root / name))
    ]
    warnings += _warn_of_archives(files, roles)
    places = {role: root / name for role, name in roles.items()}
    return Layout(places["train"], places.get("validation"), places.get("test"), True, ignored, tuple(warnings))


def _other_parts(root: Path) -> tuple[str, ...]:
    """A warning where ``root`` is one of several parts itself, and the others are left out."""
    outer = Path(os.path.abspath(root))
    role = role_of(outer.name)
    if role is None or not os.access(outer.parent, os.R_OK):
        return ()
    beside = sorted(path.name for path in outer.parent.iterdir() if os.path.isdir(path))
    others = [name for name in beside if role_of(name) not in (None, role)]
    if not others:
        return ()
    return (
        f"data.path is the folder {printable(outer.name)}, and {joined(others)} beside it is not used: give "
        f"{printable(str(root.parent))!r}, the folder above, to use both",
    )


def _warn_of_archives(files: Sequence[str], roles: Collection[str]) -> list[str]:
    """A warning of each file that is called like a part that is no folder here, and may be packed."""
    named = [(path, role_of(os.path.basename(path).split(".")[0])) for path in files]
    return [
        f"the file {printable(path)} is called like {role} images and is not read: unpack it, or move it elsewhere"
        for path, role in named
        if role is not None and role not in roles and suffix_of(path) in ("", *ARCHIVES)
    ]


def _is_part(folder: str, alone: bool) -> bool:
    """Whether a folder that is called like a part holds class folders. One beside classes, with images of its own, is a class
    (COCO has a class ``train``)."""
    folders, files, *_ = read_entries(folder)
    return bool(folders) and not (alone and any(suffix_of(path) in SUFFIXES for path in files))


def _holds_images(folder: str) -> bool:
    """Whether an image lies below a folder that is not used; links in it are not followed."""
    return any(
        suffix_of(name) in SUFFIXES and not name.startswith(".") for _, _, names in os.walk(folder) for name in names
    )
