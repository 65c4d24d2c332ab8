"""Folders of images without class folders: their images have no labels."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from evo.data.folders.class_folders import walk_images
from evo.data.folders.entries import Ignored, read_entries, suffix_of
from evo.data.folders.part_names import role_of
from evo.data.image_files import SUFFIXES, printable
from studies.records import EvoError


@dataclass(frozen=True)
class UnlabelledFolder:
    """Images without labels.

    Attributes:
        images: paths by part: ``train``, and ``validation`` and ``test`` where there are folders for them.
        origins: the folder of each part, where it is one of several.
    """

    images: Mapping[str, list[str]]
    origins: Mapping[str, str]
    ignored: Ignored


def list_unlabelled(root: Path) -> UnlabelledFolder:
    """All images below ``root``, at any depth; by parts where it holds folders that are called so, training images among them.

    Raises:
        EvoError: there is no such folder, there are no images, or two folders are called like one part.
    """
    where = f"data.path is {printable(str(root))!r}, whose images have no labels (data.labels)"
    if not root.is_dir():
        raise EvoError(f"data.path is {printable(str(root))!r}: no such folder; expected one of images, PATH/IMAGE")
    folders = _part_folders(root, where) or {"train": root}
    found = {part: walk_images(str(folder)) for part, folder in folders.items()}
    if empty := [str(folders[part]) for part in found if not found[part].images]:
        raise EvoError(
            f"{where}, and no image lies in {printable(empty[0])}: expected PATH/IMAGE, or PATH/train/IMAGE and PATH/test/IMAGE"
        )
    origins = {part: f"{printable(folder.name)}/" for part, folder in folders.items() if folder != root}
    ignored = Ignored()
    for below in found.values():
        ignored += below.ignored
    return UnlabelledFolder({part: below.images for part, below in found.items()}, origins, ignored)


def _part_folders(root: Path, where: str) -> dict[str, Path]:
    """The folders of ``root`` that are called like parts, by these; empty: there is none for training."""
    found: dict[str, Path] = {}
    for name in read_entries(str(root)).folders:
        if (role := role_of(name)) is None:
            continue
        if role in found:
            raise EvoError(
                f"{where}, and both {found[role].name} and {name} are called like its {role} images: rename one"
            )
        found[role] = root / name
    return found if "train" in found else {}


def has_no_class_folders(root: Path) -> bool:
    """Whether images lie in a folder itself, or in that of its training images, and none of them in a folder below."""
    if not root.is_dir():
        return False
    tops = [name for name in read_entries(str(root)).folders if role_of(name) == "train"]
    top = root / tops[0] if tops and not _holds_images(root) else root
    below = (os.path.join(top, name) for name in read_entries(str(top)).folders)
    return _holds_images(top) and not any(walk_images(folder).images for folder in below)


def _holds_images(folder: Path) -> bool:
    return any(suffix_of(path) in SUFFIXES for path in read_entries(str(folder)).files)
