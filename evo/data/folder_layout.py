"""Where images lie below a folder: which folders are parts (training, validation, test), which are classes, what is neither."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from unicodedata import normalize

from evo.data.image_files import SUFFIXES, name_files, printable
from studies.records import EvoError

ROLES = {
    "train": ("train", "training", "trn", "trainset", "trainingset"),
    "validation": ("val", "valid", "validation", "dev", "eval", "evaluation", "valset", "validset", "validationset"),
    "test": ("test", "testing", "tst", "testset", "testingset"),
}
"""What folders of a part are called, in any case."""

FILLERS = {"set", "sets", "data", "dataset", "images", "image", "imgs", "img", "split", "seg", "photos", "pictures"}
"""Words that may stand beside: ``test_images``, ``seg_train``."""

CLUTTER = {"__macosx", "@eadir", "$recycle.bin", "lost+found", "system volume information", "__pycache__"}
"""Folders that operating systems leave, beside those whose name begins with a dot."""

NO_IMAGES = {
    "", ".txt", ".csv", ".tsv", ".json", ".xml", ".yaml", ".yml", ".toml", ".md", ".html", ".db", ".ini", ".py", ".sh",
    ".log", ".lnk", ".url", ".zip", ".tar", ".gz", ".pdf",
}  # fmt: skip
"""Suffixes that nobody takes for images: such files are counted, and not warned about."""

EXPECTED = "expected PATH/CLASS/IMAGE, or PATH/train/CLASS/IMAGE and PATH/test/CLASS/IMAGE"


@dataclass(frozen=True)
class Ignored:
    """Files and folders that are no part of the data set, by why."""

    other: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()

    def __add__(self, more: Ignored) -> Ignored:
        return Ignored(
            self.other + more.other, self.beside + more.beside, self.hidden + more.hidden, self.folders + more.folders
        )

    def summary(self) -> tuple[str, ...]:
        """What was ignored and why, a few words each."""
        kinds = Counter(suffix_of(path) or "no suffix" for path in self.other)
        counted = ", ".join(f"{printable(kind)} {n:,}" for kind, n in kinds.most_common(5))
        return tuple(
            text
            for files, text in (
                (self.other, f"{_count(self.other, 'file')} of other kinds ({counted})"),
                (self.beside, f"{_count(self.beside, 'image')} outside of class folders"),
                (self.hidden, f"{_count(self.hidden, 'hidden file or folder', 'hidden files and folders')}"),
                (self.folders, f"{_count(self.folders, 'folder')} ({name_files(self.folders)})"),
            )
            if files
        )

    def warnings(self) -> tuple[str, ...]:
        """What should perhaps not have been ignored, a sentence each."""
        unknown = [path for path in self.other if suffix_of(path) not in NO_IMAGES]
        found = []
        if unknown:
            kinds = ", ".join(sorted({printable(suffix_of(path)) for path in unknown})[:10])
            found.append(
                f"{_count(unknown, 'file')} with suffixes that are not read ({kinds}): {name_files(unknown)}; images are "
                f"read from {', '.join(SUFFIXES)}: convert them, if they are images"
            )
        if self.beside:
            found.append(
                f"{_count(self.beside, 'image')} outside of class folders, which belong to no class: "
                f"{name_files(self.beside)}; move or remove them"
            )
        return tuple(found)


def _count(things: Sequence[object], one: str, many: str = "") -> str:
    return f"{len(things):,} {one if len(things) == 1 else many or one + 's'}"


def suffix_of(path: str) -> str:
    """The suffix of a file's name, in small letters."""
    return os.path.splitext(path)[1].lower()


def role_of(name: str) -> str | None:
    """The part that a folder of this name is for; None: it is called like no part."""
    words = [word.rstrip("0123456789") for word in re.split(r"[\W_]+", normalize("NFKC", name).casefold())]
    kept = [word for word in words if word and word not in FILLERS]
    return next((role for role, names in ROLES.items() if len(kept) == 1 and kept[0] in names), None)


# -- parts ------------------------------------------------------------------------------------------------------------


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
    ignored: Ignored = Ignored()
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
    folders, files, hidden = _entries(str(root))
    named = [name for name in folders if role_of(name)]
    filled = [name for name in named if _is_part(str(root / name), alone=len(named) == 1)]
    if not filled:
        if len(named) > 1 or named == folders != []:
            raise EvoError(
                f"{where}, and {_joined(named)} hold no class folders: expected one folder per class inside, "
                f"such as {named[0]}/CLASS/IMAGE"
            )
        return Layout(root, warnings=_other_parts(root))
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
            f"{where}, and there is {_joined(named)} and no folder train: rename the folder of the training images to train, "
            "or give the folder of class folders itself"
        )
    if empty := [name for name in named if name not in filled]:
        raise EvoError(
            f"{where}, and {_joined(empty)} holds no class folders, as {_joined(filled)} does: expected "
            f"{empty[0]}/CLASS/IMAGE; sort its images into class folders, or move it elsewhere"
        )
    others = [name for name in folders if name not in named]
    if others and len(named) == 1 and any(_holds_images(str(root / name)) for name in others):
        raise EvoError(
            f"{where}, and {named[0]} is called like training images, while {_joined(others)} may be classes: rename "
            f"{named[0]}, or move the others elsewhere"
        )
    ignored = Ignored(hidden=tuple(hidden), folders=tuple(others)) + _sort_files(files)
    warnings = [
        f"the folder {printable(name)} beside {_joined(named)} holds images and is not used"
        for name in others
        if _holds_images(str(root / name))
    ]
    places = {role: root / name for role, name in roles.items()}
    return Layout(places["train"], places.get("validation"), places.get("test"), True, ignored, tuple(warnings))


def _other_parts(root: Path) -> tuple[str, ...]:
    """A warning where ``root`` is one of several parts itself, and the others are left out."""
    outer = Path(os.path.abspath(root))
    role = role_of(outer.name)
    if role is None or not os.access(outer.parent, os.R_OK):
        return ()
    others = [name for name in _entries(str(outer.parent))[0] if role_of(name) not in (None, role)]
    if not others:
        return ()
    return (
        f"data.path is the folder {printable(outer.name)}, and {_joined(others)} beside it is not used: give "
        f"{printable(str(root.parent))!r}, the folder above, to use both",
    )


def _joined(names: Sequence[str]) -> str:
    shown = list(map(printable, names[:5]))
    if len(names) > 5:
        return f"{', '.join(shown)} and {len(names) - 5:,} more"
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))


def _entries(folder: str) -> tuple[list[str], list[str], list[str]]:
    """The folders, the files and what is hidden in a folder: names of folders, paths of the others.

    Raises:
        EvoError: it may not be read.
    """
    folders, files, hidden = [], [], []
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        for entry in entries:
            is_folder, is_file = entry.is_dir(), entry.is_file()
            special = not is_folder and not is_file and os.path.exists(entry.path)  # pipes; a broken link is told later
            if special or entry.name.startswith(".") or (is_folder and entry.name.casefold() in CLUTTER):
                hidden.append(entry.path)
            elif is_folder:
                folders.append(entry.name)
            else:
                files.append(entry.path)
    except OSError as error:
        raise EvoError(
            f"{printable(folder)} cannot be read ({error.strerror}): check its permissions, or remove it"
        ) from None
    return folders, files, hidden


def _sort_files(files: Sequence[str]) -> Ignored:
    """Files outside of class folders."""
    images = tuple(path for path in files if suffix_of(path) in SUFFIXES)
    return Ignored(other=tuple(path for path in files if suffix_of(path) not in SUFFIXES), beside=images)


def _is_part(folder: str, alone: bool) -> bool:
    """Whether a folder that is called like a part holds class folders. One beside classes, with images of its own, is a class
    (COCO has a class ``train``)."""
    folders, files, _ = _entries(folder)
    return bool(folders) and not (alone and any(suffix_of(path) in SUFFIXES for path in files))


def _holds_images(folder: str) -> bool:
    return bool(_walk(folder).images)


# -- classes ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ClassFolders:
    """The class folders of one part.

    Attributes:
        images: paths by class, in alphabetical order.
    """

    images: dict[str, list[str]]
    ignored: Ignored
    warnings: tuple[str, ...]

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.images)


@dataclass
class _Found:
    """What lies below a class folder; ``below``: the sub-folders, of the first level, that images lie in."""

    images: list[str] = field(default_factory=list)
    ignored: Ignored = Ignored()
    below: set[str] = field(default_factory=set)


def list_class_folders(folder: Path, inside_part: bool, part: str) -> ClassFolders:
    """The class folders of ``folder`` and their images.

    Args:
        inside_part: whether the folder is one of several parts.
        part: what its images are for, as errors say it.

    Raises:
        EvoError: there are none, only one, or they are no classes.
    """
    where = f"data.path is {printable(str(folder))!r}" if not inside_part else printable(str(folder))
    names, files, hidden = _entries(str(folder))
    found = {name: _walk(os.path.join(folder, name)) for name in names}
    ignored = Ignored(hidden=tuple(hidden)) + _sort_files(files)
    for below in found.values():
        ignored += below.ignored
    filled = [name for name in names if found[name].images]
    if not filled:
        beside = f", and {_count(ignored.beside, 'image')} in no folder" if ignored.beside else ""
        others = f"; {', '.join(ignored.warnings()[:1])}" if ignored.other else ""
        raise EvoError(f"{where}: no {part} images in class folders{beside}; {EXPECTED}{others}")
    if part == "training":
        _check_classes(folder, where, names, found)
    for name in filled:
        if not _is_text(name):
            raise EvoError(f"{where}: the name of the class folder {printable(name)!r} is no UTF-8: rename it")
    return ClassFolders({name: found[name].images for name in filled}, ignored, _warn_of_classes(folder, filled, found))


def _walk(top: str) -> _Found:
    """Everything below a class folder, in the order of torchvision's ImageFolder."""
    found, folders = _Found(), []
    stack = [(top, frozenset({os.path.realpath(top)}))]
    while stack:
        folder, above = stack.pop()
        names, files, hidden = _entries(folder)
        folders.append((folder, files))
        found.ignored += Ignored(hidden=tuple(hidden))
        for name in names:
            path = os.path.join(folder, name)
            if (real := os.path.realpath(path)) not in above:  # a link to a folder above has no end
                stack.append((path, above | {real}))
    for folder, files in sorted(folders):
        images = [path for path in files if suffix_of(path) in SUFFIXES]
        found.images += images
        if images and folder != top:
            found.below.add(os.path.relpath(folder, top).split(os.sep)[0])
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
    for name in names:
        if not found[name].images:
            other = found[name].ignored.other
            kinds = f" ({_count(other, 'file')} of other kinds: {name_files(other)})" if other else ""
            raise EvoError(
                f"{where}: the class folder {printable(name)!r} has no images{kinds}; images are read from "
                f"{', '.join(SUFFIXES)}: add some, or remove the folder"
            )
        if found[name].below and all(role_of(below) for below in found[name].below) and len(found[name].below) > 1:
            raise EvoError(
                f"{where}: the class folder {printable(name)!r} is divided into {_joined(sorted(found[name].below))}; "
                f"expected the parts outside and the classes inside, such as train/{printable(name)}"
            )
    if len(names) > 1:
        return
    (name,) = names
    if found[name].below and _is_deep(name, folder, found[name]):
        raise EvoError(
            f"{where} holds one folder only, {printable(name)!r}, and that holds {_joined(sorted(found[name].below))}: if "
            f"these are the classes, or the parts, they lie one level too deep; give data.path = "
            f"{printable(str(folder / name))!r}"
        )
    raise EvoError(
        f"{where} holds one class only, {printable(name)!r}: expected two or more class folders; every network would be "
        "right about everything"
    )


def _warn_of_classes(folder: Path, names: Sequence[str], found: dict[str, _Found]) -> tuple[str, ...]:
    warnings = []
    if all(_is_deep(name, folder, found[name]) for name in names):
        example = f"{names[0]}/{sorted(found[names[0]].below)[0]}"
        warnings.append(
            f"the images of all classes lie in sub-folders, such as {printable(example)}, and the classes are the outer "
            f"folders, {_joined(names)}: if the inner ones are the classes, move them up by one level"
        )
    return tuple(warnings)
