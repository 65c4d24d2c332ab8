"""Class folders: which there are, what lies in them, and what is none."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evo.data.class_names import normalised
from evo.data.folders.entries import Ignored, check_broken, joined, may_be_class, read_entries, sort_files, suffix_of
from evo.data.folders.part_names import find_parts, role_of, suggest_parts
from evo.data.image_files import SUFFIXES, count, name_files, printable
from studies.records import EvoError

EXPECTED = "expected PATH/CLASS/IMAGE, or PATH/train/CLASS/IMAGE and PATH/test/CLASS/IMAGE"

NO_LABELS = (
    "; images without labels (PATH/IMAGE) are enough to cut a trained network that has classes: --config pretrained"
)
"""What can be done without class folders."""

MASKS = {"mask", "masks", "annotations", "segmentation", "segmentations", "groundtruth", "ground_truth"}
"""What folders are called whose images are answers, not photos."""


@dataclass(frozen=True)
class ClassFolders:
    """The class folders of one part.

    Attributes:
        images: paths by class, in alphabetical order.
        linked: whether links lead to some of them.
    """

    folder: Path
    images: dict[str, list[str]]
    ignored: Ignored
    warnings: tuple[str, ...]
    linked: bool

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.images)


@dataclass
class _Found:
    """What lies below a class folder.

    Attributes:
        below: the sub-folders, of the first level, that images lie in; ``deepest``: how many levels down images lie.
    """

    images: list[str] = field(default_factory=list)
    ignored: Ignored = field(default_factory=Ignored)
    below: set[str] = field(default_factory=set)
    deepest: int = 0
    linked: bool = False


def list_class_folders(folder: Path, inside_part: bool, part: str) -> ClassFolders:
    """The class folders of ``folder`` and their images.

    Args:
        inside_part: whether the folder is one of several parts.
        part: what its images are for, as errors say it.

    Raises:
        EvoError: there are none, only one, or they are no classes; or a link that may be one leads nowhere.
    """
    where = f"data.path is {printable(str(folder))!r}" if not inside_part else printable(str(folder))
    names, files, hidden, linked, broken = read_entries(str(folder))
    check_broken(list(filter(may_be_class, broken)))
    found = {name: walk_images(os.path.join(folder, name)) for name in names}
    ignored = Ignored(hidden=tuple(hidden), broken=tuple(broken)) + sort_files(files)
    for below in found.values():
        ignored += below.ignored
    filled = [name for name in names if found[name].images]
    if not filled:
        beside = f", and {count(ignored.beside, 'image')} in no folder" if ignored.beside else ""
        others = f"; {', '.join(ignored.warnings()[:1])}" if ignored.other else ""
        raise EvoError(
            f"{where}: no {part} images in class folders{beside}; {EXPECTED}{others}{NO_LABELS * bool(beside)}"
        )
    if part == "training":
        _check_classes(folder, where, names, found)
    for name in filled:
        if not _is_text(name):
            raise EvoError(f"{where}: the name of the class folder {printable(name)!r} is no UTF-8: rename it")
    return ClassFolders(
        folder,
        {name: found[name].images for name in filled},
        ignored,
        _warn_of_classes(folder, filled, found),
        linked=linked or folder.is_symlink() or any(below.linked for below in found.values()),
    )


def walk_images(top: str) -> _Found:
    """Everything below a class folder, in the order of torchvision's ImageFolder.

    Raises:
        EvoError: a link leads to a folder that the class folder lies in, or nowhere.
    """
    found, folders = _Found(), []
    real_top = os.path.realpath(top)
    stack = [(top, frozenset({real_top}))]
    while stack:
        folder, above = stack.pop()
        names, files, hidden, linked, broken = read_entries(folder)
        check_broken(broken)
        folders.append((folder, files))
        found.ignored += Ignored(hidden=tuple(hidden))
        found.linked |= linked
        for name in names:
            path = os.path.join(folder, name)
            real = os.path.realpath(path)
            if real_top.startswith(os.path.join(real, "")):
                raise EvoError(
                    f"{printable(path)} is a link to {printable(real)}, a folder that the class folder itself lies in, with "
                    "images of other classes: remove it"
                )
            if real not in above:  # a link to a folder above has no end
                stack.append((path, above | {real}))
    for folder, files in sorted(folders):
        images = [path for path in files if suffix_of(path) in SUFFIXES]
        found.images += images
        if images and folder != top:
            below = os.path.relpath(folder, top).split(os.sep)
            found.below.add(below[0])
            found.deepest = max(found.deepest, len(below))
        if len(images) < len(files):
            found.ignored += Ignored(other=tuple(path for path in files if suffix_of(path) not in SUFFIXES))
    return found


def _is_text(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _is_deep(name: str, folder: Path, found: _Found) -> bool:
    """Whether all images of a class folder lie in sub-folders."""
    direct = os.path.join(folder, name)
    return all(os.path.dirname(path) != direct for path in found.images)


def _check_classes(folder: Path, where: str, names: Sequence[str], found: dict[str, _Found]) -> None:
    _check_names(where, names, {name for name in names if _is_deep(name, folder, found[name])})
    for name in names:
        if not found[name].images:
            other = found[name].ignored.other
            kinds = f" ({count(other, 'file')} of other kinds: {name_files(other)})" if other else ""
            raise EvoError(
                f"{where}: the class folder {printable(name)!r} has no images{kinds}; images are read from "
                f"{', '.join(SUFFIXES)}: add some, or remove the folder"
            )
        if _is_divided(found[name]) and (len(names) > 1 or found[name].deepest == 1):
            raise EvoError(
                f"{where}: the class folder {printable(name)!r} is divided into {joined(sorted(found[name].below))}; "
                f"expected the parts outside and the classes inside, such as train/{printable(name)}"
            )
    if len(names) > 1:
        _check_inner_folders(folder, where, names, found)
        return
    (name,) = names
    if found[name].below and _is_deep(name, folder, found[name]):
        raise EvoError(
            f"{where} holds one folder only, {printable(name)!r}, and that holds {joined(sorted(found[name].below))}: if "
            f"these are the classes, or the parts, they lie one level too deep; give data.path = "
            f"{printable(str(folder / name))!r}"
        )
    raise EvoError(
        f"{where} holds one class only, {printable(name)!r}: expected two or more class folders; every network would be "
        f"right about everything{NO_LABELS}"
    )


def _is_divided(found: _Found) -> bool:
    return len(found.below) > 1 and all(map(role_of, found.below))


def _check_names(where: str, names: Sequence[str], deep: Collection[str]) -> None:
    """Names of parts are no names of classes.

    Args:
        deep: those of them that hold class folders.
    """
    if (parts := find_parts(names)) is None:
        return
    called = list(parts.folders.values())
    if parts.rest and not set(called) <= set(deep):
        places = joined([f"{role}/{parts.rest}" for role in parts.folders])
        do = f"move their images to {places}"
    else:
        do = f"rename them to {joined(list(parts.folders))}, with class folders inside"
    raise EvoError(
        f"{where}: {joined(called)} are called like parts, {joined(list(parts.folders))}, of the same images, and would be "
        f"classes; expected the parts outside and the classes inside: {do}; or rename one, if they are classes"
    )


def _check_inner_folders(folder: Path, where: str, names: Sequence[str], found: dict[str, _Found]) -> None:
    """Folders that are called like parts and all hold the same folders are no classes. Others may be: sessions, days, cameras
    and magnifications divide classes, too."""
    inner = {frozenset(map(normalised, found[name].below)) for name in names}
    below = sorted(found[names[0]].below)
    if len(inner) > 1 or len(below) < 2 or not suggest_parts(names):
        return
    if all(_is_deep(name, folder, found[name]) for name in names):
        raise EvoError(
            f"{where}: {joined(names)} are called like parts, and all hold the folders {joined(below)}, which look like the "
            f"classes; expected the parts outside, called train, val and test, such as train/{printable(below[0])}, or one "
            f"folder for each class: rename or merge them; if {joined(names)} are the classes, move their images out of the "
            "inner folders"
        )


def _warn_of_classes(folder: Path, names: Sequence[str], found: dict[str, _Found]) -> tuple[str, ...]:
    if not all(_is_deep(name, folder, found[name]) for name in names):
        return ()
    example = f"{names[0]}/{sorted(found[names[0]].below)[0]}"
    told = (
        f"the images of all classes lie in sub-folders, such as {printable(example)}, and the classes are the outer "
        f"folders, {joined(names)}: if that is meant, leave it so; if the inner ones are the classes, give each of them one "
        "folder for all its images, or, where the outer ones are parts, call these train, val and test"
    )
    masks = [f"{name}/{below}" for name in names for below in sorted(found[name].below) if below.casefold() in MASKS]
    if not masks:
        return (told,)
    return told, f"images in {joined(masks)} are read like all others: if they are masks, move them elsewhere"


# -- links ------------------------------------------------------------------------------------------------------------


def check_links(root: Path, parts: Mapping[str, ClassFolders]) -> tuple[str, ...]:
    """A warning of images that links bring into a class twice.

    Raises:
        EvoError: links make one file an image of two classes, or of two parts.
    """
    if not any(found.linked for found in parts.values()):
        return ()
    known: dict[str, tuple[str, str, str]] = {}
    folders: dict[str, str] = {}
    twice = []
    for part, found in parts.items():
        for name, path in ((name, path) for name, paths in found.images.items() for path in paths):
            other_path, other_part, other_name = known.setdefault(_real_path(path, folders), (path, part, name))
            if (other_part, other_name) != (part, name):
                first, second = (other_name, name) if other_name != name else (other_part, part)
                kind = "classes" if other_name != name else "parts"
                raise EvoError(
                    f"{printable(path)} and {printable(other_path)} are one file{_by_link(root, path, other_path)}, and of "
                    f"different {kind}, {printable(first)} and {printable(second)}: remove one of them, or the link"
                )
            if other_path != path:
                twice.append(path)
    if not twice:
        return ()
    return (f"{count(twice, 'image')} that links bring into a class twice: {name_files(twice)}; remove the links",)


def _real_path(path: str, folders: dict[str, str]) -> str:
    """Where a file lies; ``folders`` remembers that of folders."""
    folder, name = os.path.split(path)
    if folder not in folders:
        folders[folder] = os.path.realpath(folder)
    return os.path.realpath(path) if os.path.islink(path) else os.path.join(folders[folder], name)


def _by_link(root: Path, *paths: str) -> str:
    """Which link leads to one of ``paths``, in words."""
    for path in paths:
        for place in (Path(path), *Path(path).parents):
            if place == root:
                break
            if place.is_symlink():
                return f" ({printable(str(place))} is a link to {printable(os.readlink(place))!r})"
    return ""
