"""What lies in a folder, and what of it is no part of a data set."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from evo.data.image_files import SUFFIXES, count, is_image, name_files, printable
from studies.records import EvoError

CLUTTER = {"__macosx", "@eadir", "$recycle.bin", "lost+found", "system volume information", "__pycache__"}
"""Folders that operating systems leave, beside those whose name begins with a dot."""

NO_IMAGES = {
    ".txt", ".csv", ".tsv", ".json", ".xml", ".yaml", ".yml", ".toml", ".md", ".html", ".db", ".ini", ".py", ".sh",
    ".log", ".lnk", ".url", ".zip", ".tar", ".gz", ".pdf",
}  # fmt: skip
"""Suffixes that nobody takes for images: such files are counted, and not warned about."""

NO_CLASSES = {
    "readme", "license", "licence", "changelog", "changes", "authors", "contributing", "notice", "copying", "citation",
    "makefile", "dockerfile", "version", "todo", "latest", "last", "best", "current", "checkpoint", "checkpoints", "logs",
    "cache", "tmp", "weights",
}  # fmt: skip
"""Names without a suffix that nobody gives to a class."""

SUFFIX = re.compile(r"\.\w*[a-z][\w-]*")
"""A suffix that says of what kind a file is; that of ``St. Bernard`` or ``n.01`` does not."""

LOOKED_AT, MANY = 20, 10
"""Files without a suffix: of so many the content is looked at; more than so many are warned about, whatever they are."""


@dataclass(frozen=True)
class Ignored:
    """Files and folders that are no part of the data set, by why."""

    other: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()

    def __add__(self, more: Ignored) -> Ignored:
        return Ignored(
            self.other + more.other,
            self.beside + more.beside,
            self.hidden + more.hidden,
            self.folders + more.folders,
            self.broken + more.broken,
        )

    def summary(self) -> tuple[str, ...]:
        """What was ignored and why, a few words each."""
        kinds = Counter(suffix_of(path) or "no suffix" for path in self.other)
        counted = ", ".join(f"{printable(kind)} {n:,}" for kind, n in kinds.most_common(5))
        return tuple(
            text
            for files, text in (
                (self.other, f"{count(self.other, 'file')} of other kinds ({counted})"),
                (self.beside, f"{count(self.beside, 'image')} outside of class folders"),
                (self.hidden, f"{count(self.hidden, 'hidden file or folder', 'hidden files and folders')}"),
                (self.folders, f"{count(self.folders, 'folder')} ({name_files(self.folders)})"),
                (self.broken, f"{count(self.broken, 'broken link')}"),
            )
            if files
        )

    def warnings(self) -> tuple[str, ...]:
        """What should perhaps not have been ignored, a sentence each."""
        unknown = [path for path in self.other if suffix_of(path) not in ("", *NO_IMAGES)]
        found = []
        if unknown:
            kinds = ", ".join(sorted({printable(suffix_of(path)) for path in unknown})[:10])
            found.append(
                f"{count(unknown, 'file')} with suffixes that are not read ({kinds}): {name_files(unknown)}; images are "
                f"read from {', '.join(SUFFIXES)}: convert them, if they are images"
            )
        found += _warn_of_no_suffix([path for path in self.other if not suffix_of(path)])
        if self.beside:
            found.append(
                f"{count(self.beside, 'image')} outside of class folders, which belong to no class: "
                f"{name_files(self.beside)}; move or remove them"
            )
        if self.broken:
            found.append(
                f"{count(self.broken, 'link')} with nothing behind: {name_files(self.broken)}; put back what should be there, "
                "if it belongs to the data set"
            )
        return tuple(found)


def _warn_of_no_suffix(paths: Sequence[str]) -> list[str]:
    """A warning of files without a suffix, where some are images or there are many."""
    images = [path for path in paths[:: max(1, len(paths) // LOOKED_AT)] if is_image(path)]
    if not images and len(paths) <= MANY:
        return []
    say = f"some are images, such as {name_files(images[:2])}" if images else f"such as {name_files(paths[:2])}"
    return [
        f"{count(paths, 'file')} without a suffix, which are not read ({say}): images are read from {', '.join(SUFFIXES)}; "
        "give them a suffix, if they are images"
    ]


class Entries(NamedTuple):
    """What lies in a folder: names of folders, paths of the others.

    Attributes:
        hidden: what is none of anybody's business; ``linked``: whether any folder or file is a link.
        broken: links that lead nowhere, but for those that are called like an image or a file that is none: such are taken for
            files, and an image is told with all that cannot be read.
    """

    folders: list[str]
    files: list[str]
    hidden: list[str]
    linked: bool
    broken: list[str]


def read_entries(folder: str) -> Entries:
    """The folders, the files and what is hidden in a folder, in alphabetical order.

    Raises:
        EvoError: it may not be read.
    """
    folders, files, hidden, links, broken = [], [], [], 0, []
    try:
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            is_link = entry.is_symlink()
            links += is_link
            is_broken = is_link and not os.path.exists(entry.path)
            is_folder, is_file = not is_broken and entry.is_dir(), not is_broken and entry.is_file()
            is_special = not is_folder and not is_file and not is_broken  # pipes
            if is_special or entry.name.startswith(".") or (is_folder and entry.name.casefold() in CLUTTER):
                hidden.append(entry.path)
            elif is_folder:
                folders.append(entry.name)
            elif is_broken and suffix_of(entry.name) not in (*SUFFIXES, *NO_IMAGES):
                broken.append(entry.path)
            else:
                files.append(entry.path)
    except OSError as error:
        raise EvoError(
            f"{printable(folder)} cannot be read ({error.strerror}): check its permissions, or remove it"
        ) from None
    return Entries(folders, files, hidden, links > 0, broken)


def check_broken(links: Sequence[str]) -> None:
    """Broken links among which none may be that would be missed.

    Raises:
        EvoError: there is one.
    """
    if links:
        more = f" (so with {name_files(links[1:])})" if links[1:] else ""
        raise EvoError(
            f"{printable(links[0])} is a link to {printable(os.readlink(links[0]))!r}, and nothing that can be read is there"
            f"{more}: put back what it leads to, or remove it"
        )


def may_be_class(path: str) -> bool:
    """Whether a broken link is called like a folder of images."""
    return not SUFFIX.fullmatch(suffix_of(path)) and os.path.basename(path).casefold() not in NO_CLASSES


def sort_files(files: Sequence[str]) -> Ignored:
    """Files outside of class folders."""
    images = tuple(path for path in files if suffix_of(path) in SUFFIXES)
    return Ignored(other=tuple(path for path in files if suffix_of(path) not in SUFFIXES), beside=images)


def suffix_of(path: str) -> str:
    """The suffix of a file's name, in small letters."""
    return os.path.splitext(path)[1].lower()


def joined(names: Sequence[str]) -> str:
    """The first of some names, as in a sentence."""
    shown = list(map(printable, names[:5]))
    if len(names) > 5:
        return f"{', '.join(shown)} and {len(names) - 5:,} more"
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))
