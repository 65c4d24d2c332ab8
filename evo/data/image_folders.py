"""Images in class folders: which there are, what they show, and how one is read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import IO, Any

import numpy as np

from evo.data.class_names import normalised
from evo.data.folders.class_folders import ClassFolders, check_links, list_class_folders
from evo.data.folders.layout import read_layout
from evo.data.folders.unlabelled import list_unlabelled
from evo.data.image_files import THREADS, open_image, printable
from evo.data.raw import RawDataset, every_sixth, some_names
from evo.data.source import HASHED_BYTES, HASHED_IMAGES, Coverage
from studies.records import EvoError


@dataclass(frozen=True, eq=False)
class Photographs:
    """``Pictures`` in files.

    Attributes:
        channels: 3, whatever the files have; or 1: all are seen in grey.
        below: the folder that they lie in, at any depth, where they have no labels: names of folders say nothing then.
    """

    paths: np.ndarray
    below: str | None = None
    channels: int = 3

    size = None
    threads = True

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> Any:
        return open_image(str(self.paths[i]), self.channels)

    def name(self, i: int) -> str:
        """The path of a picture."""
        return str(self.paths[i])

    def open(self, i: int) -> IO[bytes]:
        """The file of a picture."""
        return open(self.paths[i], "rb")

    def versions(self) -> Iterator[bytes]:
        """Class folder (or path below ``below``), name, size and time of change of each.

        Raises:
            EvoError: one is not there.
        """
        for path in self.paths.tolist():
            try:
                found = os.stat(path)
            except OSError as error:
                raise EvoError(f"{printable(path)} cannot be read ({error.strerror}): replace or remove it") from None
            yield _named(path, found.st_size, self.below) + str(found.st_mtime_ns).encode()

    def take(self, places: np.ndarray | slice) -> Photographs:
        return replace(self, paths=self.paths[places])

    def joined_with(self, other: Photographs) -> Photographs:
        return replace(self, paths=np.concatenate((self.paths, other.paths)))

    def content(self, coverage: Coverage) -> Iterator[bytes]:
        """Class folder (or path below ``below``), name and size of each, and its content: whole, or a piece of it where there
        are more than ``HASHED_BYTES`` in all.

        Raises:
            EvoError: one cannot be read.
        """
        every, named = max(1, len(self.paths) // HASHED_IMAGES), partial(_named, below=self.below)
        try:
            sampled = every == 1 or coverage == "sample"
            yield from _samples(self.paths, every, named) if sampled else _digests(self.paths.tolist(), named)
        except OSError as error:
            raise EvoError(
                f"{printable(str(error.filename))} cannot be read ({error.strerror}): replace or remove it"
            ) from None


Named = Callable[[str, int], bytes]
"""A file and its size -> what its name and size are in a fingerprint."""


def _samples(paths: np.ndarray, every: int, named: Named) -> Iterator[bytes]:
    """Class folder, name and size of each file, and the content of some."""
    yield repr(("U", paths.shape)).encode()
    for place, path in enumerate(paths.tolist()):
        yield named(path, os.path.getsize(path))
        if place % every == 0:
            yield Path(path).read_bytes()


PIECE = 4096
"""Bytes from the middle of a file that count where all would be too many: pixels, in any format."""

READ_BY_ONE = 100
"""Files that a thread reads before it takes others."""


def _digests(paths: Sequence[str], named: Named) -> Iterator[bytes]:
    """Class folder, name, size and a digest of the content of each file; several are read at once."""
    sizes = list(map(os.path.getsize, paths))
    whole = sum(sizes) <= HASHED_BYTES
    yield repr(("files", 2, len(paths), whole)).encode()
    batches = [paths[start : start + READ_BY_ONE] for start in range(0, len(paths), READ_BY_ONE)]
    with ThreadPoolExecutor(THREADS) as pool:
        found = chain.from_iterable(pool.map(_digests_of_all if whole else _digests_of_pieces, batches))
        for path, size, digest in zip(paths, sizes, found, strict=True):
            yield named(path, size) + digest


def _named(path: str, size: int, below: str | None) -> bytes:
    folder = os.path.basename(os.path.dirname(path))
    name = f"{folder}/{os.path.basename(path)}" if below is None else os.path.relpath(path, below)
    return f"{name} {size}\n".encode("utf-8", "surrogateescape")


def _digests_of_all(paths: Sequence[str]) -> list[bytes]:
    return [sha256(Path(path).read_bytes()).digest() for path in paths]


def _digests_of_pieces(paths: Sequence[str]) -> list[bytes]:
    return list(map(_digest_of_piece, paths))


def _digest_of_piece(path: str) -> bytes:
    with open(path, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - PIECE) // 2)
        return sha256(file.read(PIECE)).digest()


def read_folder(root: Path) -> RawDataset:
    """The images below a folder of class folders, or of folders for training, validation and test with these in each.

    Classes are names, one list for all parts: that of the training images, in alphabetical order. Without a folder for the
    test every sixth training image is a test image; without one for validation there is no validation part.

    Raises:
        EvoError: there is no such folder, or something in it is not where it belongs.
    """
    layout = read_layout(root)
    train = list_class_folders(layout.train, layout.roles, "training")
    names = train.classes
    ignored, warnings = layout.ignored + train.ignored, [*layout.warnings, *train.warnings]
    folders = {"train": train}
    origins = {} if layout.train == root else {"train": f"{printable(layout.train.name)}/"}
    for part, folder in (("validation", layout.validation), ("test", layout.test)):
        if folder is not None:
            folders[part] = list_class_folders(folder, layout.roles, part)
            warnings += _compare_classes(folder, folders[part], names)
            ignored += folders[part].ignored
            origins[part] = f"{printable(folder.name)}/"
    warnings += check_links(root, folders)
    parts = {part: _labelled(found, names) for part, found in folders.items()}
    x, y = parts["train"]
    if "test" not in parts:
        test = every_sixth(f"data.path is {printable(str(root))!r}", len(y))
        x, y, parts["test"] = x.take(~test), y[~test], (x.take(test), y[test])
        origins["test"] = "every sixth image"
    x_validation, y_validation = parts.get("validation", (None, None))
    return RawDataset(
        x, y, *parts["test"], x_validation, y_validation, class_names=names, origins=origins,
        ignored=ignored.summary(), warnings=(*warnings, *ignored.warnings()),
    )  # fmt: skip


def read_unlabelled(root: Path) -> RawDataset:
    """All images below a folder, or those of its folders for training, validation and test; they have no labels.

    Raises:
        EvoError: there is no such folder, or there are no images.
    """
    folder = list_unlabelled(root)
    x = {part: Photographs(np.array(paths), below=str(root)) for part, paths in folder.images.items()}
    origins = dict(folder.origins)
    if "test" not in x:
        test = every_sixth(f"data.path is {printable(str(root))!r}", len(x["train"]))
        x |= {"train": x["train"].take(~test), "test": x["train"].take(test)}
        origins["test"] = "every sixth image"
    y = {part: np.zeros(len(images), int) for part, images in x.items()}
    return RawDataset(
        x["train"], y["train"], x["test"], y["test"], x.get("validation"), y.get("validation"), class_names=(),
        origins=origins, ignored=folder.ignored.summary(), warnings=folder.ignored.warnings(),
    )  # fmt: skip


def _labelled(found: ClassFolders, names: tuple[str, ...]) -> tuple[Photographs, np.ndarray]:
    """Images in the order of the class folders' names, and their places in ``names``."""
    labels = [np.full(len(paths), names.index(name)) for name, paths in found.images.items()]
    return Photographs(np.array([path for paths in found.images.values() for path in paths])), np.concatenate(labels)


def _compare_classes(folder: Path, found: ClassFolders, names: tuple[str, ...]) -> list[str]:
    """What is to be known of a part that lacks some of the classes ``names``.

    Raises:
        EvoError: it has a class more, or spells one otherwise.
    """
    where = printable(str(folder))
    for name in found.classes:
        if name in names:
            continue
        alike = [known for known in names if _folded(known) == _folded(name)]
        if alike:
            raise EvoError(
                f"{where} has the class {printable(name)!r}, and the training images call it {printable(alike[0])!r}: "
                "rename one of the two folders, so that both are spelled alike"
            )
        raise EvoError(
            f"{where} has the class {printable(name)!r}, and the training images have only {some_names(names)}: expected "
            "the same class folders in both; rename or remove it, or give training images of it"
        )
    missing = [name for name in names if name not in found.classes]
    if not missing:
        return []
    return [
        f"{where} has no images of {some_names(missing)}, which the training images have: nothing is measured there for "
        "that; add images, or check the names of the folders"
    ]


def _folded(name: str) -> str:
    return "".join(character for character in normalised(name) if character.isalnum()) or name
