"""Which folders below a folder are parts of a data set (training, validation, test), and which is the one of class folders."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from evo.data.folders.class_folders import EXPECTED
from evo.data.folders.entries import Ignored, check_broken, joined, may_be_class, read_entries, sort_files, suffix_of
from evo.data.folders.part_names import role_of, role_within
from evo.data.image_files import SUFFIXES, printable
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
        raise EvoError(
            f"{where}: no such folder; expected one folder per class, images inside: name it with --set data.path=FOLDER"
        )
    folders, files, hidden, _, broken = read_entries(str(root))
    check_broken([path for path in broken if role_of(os.path.basename(path))])
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
    unused = [name for name in others if not _lies_in(root / name, root, named) and _holds_images(str(root / name))]
    if unused and len(named) == 1:
        _refuse_beside(root, where, named[0], unused)
    ignored = Ignored(hidden=tuple(hidden), folders=tuple(others), broken=tuple(broken)) + sort_files(files)
    warnings = [f"the folder {printable(name)} beside {joined(named)} holds images and is not used" for name in unused]
    warnings += _warn_of_archives(files, roles)
    places = {role: root / name for role, name in roles.items()}
    return Layout(places["train"], places.get("validation"), places.get("test"), True, ignored, tuple(warnings))


def _refuse_beside(root: Path, where: str, train: str, unused: Sequence[str]) -> NoReturn:
    """Folders of images beside a single part are parts with other words, or classes.

    Raises:
        EvoError: always.
    """
    parts = [name for name in unused if role_within(name) not in (None, "train") and _is_part(str(root / name), True)]
    if parts:
        raise EvoError(
            f"{where}, and {joined(parts)} beside {train} is called like a part, with words that parts do not have: rename it "
            f"to {role_within(parts[0])}, or move it elsewhere; if {train} is a class, rename that"
        )
    raise EvoError(
        f"{where}, and {train} is called like training images, while {joined(unused)} may be classes: rename {train}, or "
        "move the others elsewhere"
    )


def _lies_in(place: Path, root: Path, named: Sequence[str]) -> bool:
    """Whether a folder is a link to a part, or to something in one: its images are used already."""
    real = place.resolve()
    return any(real.is_relative_to((root / name).resolve()) for name in named)


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
    folders, files, _, _, broken = read_entries(folder)
    inside = bool(folders) or any(map(may_be_class, broken))
    return inside and not (alone and any(suffix_of(path) in SUFFIXES for path in files))


def _holds_images(folder: str) -> bool:
    """Whether an image lies below a folder that is not used; links in it are not followed."""
    return any(
        suffix_of(name) in SUFFIXES and not name.startswith(".") for _, _, names in os.walk(folder) for name in names
    )
