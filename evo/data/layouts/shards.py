"""WebDataset shards: ``.tar`` files in which ``KEY.jpg`` and ``KEY.cls`` (or ``KEY.json`` with a ``label``) are an image.

Archives are listed once; then images are read by their places in them, in any order. Nothing is unpacked.
"""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np

from evo.data.folders.entries import suffix_of
from evo.data.image_files import SUFFIXES, count, printable
from evo.data.layouts.labelling import Label, read_label
from evo.data.layouts.parts import Labelled, origins_of, parts_of_files
from evo.data.layouts.stored import StoredPictures
from studies.records import EvoError

EXPECTED = "expected KEY.jpg beside KEY.cls, or beside KEY.json with a label, for each image"

PACKED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
"""Of archives that cannot be read in any order."""

BLOCK = 512
"""Bytes of a block; a whole archive has one of zeros behind its last member."""


@dataclass(frozen=True, eq=False)
class TarImages:
    """Images in archives: a ``Store``.

    Attributes:
        files: the archives, and ``shown``: what they are called below the folder that was given.
        archives, offsets, sizes, keys: of each image, ``(n,)``.
    """

    files: tuple[str, ...]
    shown: tuple[str, ...]
    archives: np.ndarray = field(repr=False)
    offsets: np.ndarray = field(repr=False)
    sizes: np.ndarray = field(repr=False)
    keys: np.ndarray = field(repr=False)

    def name(self, i: int) -> str:
        return f"{self.shown[self.archives[i]]}/{self.keys[i]}"

    def file(self, i: int) -> str:
        return self.files[int(self.archives[i])]

    def read(self, i: int, start: int = 0, most: int | None = None) -> bytes:
        wanted = min(int(self.sizes[i]) - start, int(self.sizes[i]) if most is None else most)
        try:
            with open(self.files[self.archives[i]], "rb", buffering=0) as file:
                content = os.pread(file.fileno(), wanted, int(self.offsets[i]) + start)
        except OSError as error:
            raise EvoError(
                f"{printable(self.name(i))} cannot be read ({error.strerror}): put the archive back"
            ) from None
        if len(content) < wanted:
            raise EvoError(f"{printable(self.name(i))} cannot be read: its archive is shorter than it was; put it back")
        return content


@dataclass
class _Sample:
    """What an archive has under one key: the image's member and place, and its label."""

    image: str = ""
    offset: int = 0
    size: int = 0
    labels: dict[str, Label] = field(default_factory=dict)


def read_shards(given: Path, files: Sequence[Path], labelled: bool) -> Labelled:
    """The images of archives.

    Args:
        given: what ``data.path`` names: one of them, or the folder in which they lie.
        labelled: whether their labels are read.

    Raises:
        EvoError: one is damaged or cut short, or holds images without labels.
    """
    title = f"data.path is {printable(str(given))!r}"
    shown = [file.name if file == given else file.relative_to(given).as_posix() for file in files]
    parts = parts_of_files(title, shown, "archive")
    stamps = tuple((str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files)
    store, labels, others = _list_archives(stamps, tuple(shown), labelled)
    if not len(store.sizes):
        raise EvoError(f"{title}: there are no images in {count(files, 'archive')}; {EXPECTED}")
    return Labelled(
        title,
        StoredPictures.of(store),
        labels,
        np.array(parts)[store.archives],
        origins=origins_of(parts, shown),
        ignored=(f"{others:,} other members of archives",) if others else (),
    )


@lru_cache(maxsize=1)
def _list_archives(
    stamps: tuple[tuple[str, int, int], ...], shown: tuple[str, ...], labelled: bool
) -> tuple[TarImages, list[Label] | None, int]:
    """The images of all archives, their labels, and how many members are ignored. A command asks several times; archives that
    have not changed are listed once.

    Args:
        stamps: the archives, with their sizes and times of change.
    """
    samples: list[tuple[int, _Sample]] = []
    others = 0
    for number, (file, _, _) in enumerate(stamps):
        found, ignored = _list_archive(Path(file), labelled)
        samples += ((number, sample) for sample in found)
        others += ignored
    images = [sample for _, sample in samples]
    store = TarImages(
        tuple(file for file, _, _ in stamps),
        shown,
        np.array([number for number, _ in samples], np.int64),
        np.array([sample.offset for sample in images], np.int64),
        np.array([sample.size for sample in images], np.int64),
        np.array([sample.image for sample in images]),
    )
    return store, [next(iter(sample.labels.values())) for sample in images] if labelled else None, others


def _list_archive(file: Path, labelled: bool) -> tuple[list[_Sample], int]:
    """The images of one archive in its order, and how many members are ignored."""
    samples: dict[str, _Sample] = {}
    ignored = 0
    with open(file, "rb") as stream:
        for member in _members(file, stream):
            where = f"{printable(str(file))}: {printable(member.name)}"
            folder, name = os.path.split(member.name)
            if not member.isreg() or name.startswith(".") or "__MACOSX" in folder:
                if member.issym() or member.islnk():
                    raise EvoError(
                        f"{where} is a link: expected images and labels themselves; pack the archive without links"
                    )
                ignored += not member.isdir()
                continue
            key, _, extension = name.partition(".")
            sample = samples.setdefault(os.path.join(folder, key), _Sample())
            if suffix_of(name) in SUFFIXES:
                _add_image(where, sample, member)
            elif labelled and extension.lower() in ("cls", "json"):
                _add_label(where, sample, extension.lower(), _content(stream, member))
            else:
                ignored += 1
    found = [sample for sample in samples.values() if sample.image]
    if labelled and (bare := [sample.image for sample in found if not sample.labels]):
        raise EvoError(
            f"{printable(str(file))}: {count(bare, 'image')} without a label, such as {printable(bare[0])}; {EXPECTED}; images "
            "without labels: data.labels = false"
        )
    if alone := [key for key, sample in samples.items() if sample.labels and not sample.image]:
        raise EvoError(
            f"{printable(str(file))}: {count(alone, 'label')} without an image, such as {printable(alone[0])}; {EXPECTED}, "
            "with one key, all in one archive"
        )
    for sample in found:  # .cls is the label, where .json is there, too
        sample.labels = {kind: sample.labels[kind] for kind in ("cls", "json") if kind in sample.labels}
    return found, ignored


def _members(file: Path, stream: BinaryIO) -> Iterator[tarfile.TarInfo]:
    """The members of an archive.

    Raises:
        EvoError: it is none, or damaged, or cut short.
    """
    where, end = printable(str(file)), os.fstat(stream.fileno()).st_size
    try:
        with tarfile.open(fileobj=stream, mode="r:") as archive:
            for member in archive:
                if member.offset_data + member.size > end:
                    raise tarfile.ReadError("unexpected end of data")
                if member.issparse():
                    raise tarfile.ReadError(f"the member {member.name} is sparse")
                yield member
            behind = archive.offset
        if os.pread(stream.fileno(), BLOCK, behind) != bytes(BLOCK):
            raise tarfile.ReadError("unexpected end of data")
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise EvoError(
            f"{where} is no tar archive, is damaged, or is cut short ({error}); fetch or pack it again"
        ) from None


def _content(stream: BinaryIO, member: tarfile.TarInfo) -> bytes:
    return os.pread(stream.fileno(), member.size, member.offset_data)


def _add_image(where: str, sample: _Sample, member: tarfile.TarInfo) -> None:
    if sample.image:
        raise EvoError(
            f"{where} and {printable(sample.image)} have one key: expected one image for each key; {EXPECTED}"
        )
    sample.image, sample.offset, sample.size = member.name, member.offset_data, member.size


def _add_label(where: str, sample: _Sample, kind: str, content: bytes) -> None:
    if kind in sample.labels:
        raise EvoError(f"{where}: its key has two labels: remove one of them")
    try:
        sample.labels[kind] = _label_of(kind, content.decode("utf-8"))
    except ValueError as error:
        raise EvoError(f"{where}: {error}") from None


def _label_of(kind: str, text: str) -> Label:
    """The label in a ``.cls`` file (its whole text) or a ``.json`` file (the value of ``label``)."""
    if kind == "cls":
        return read_label(text)
    try:
        told = json.loads(text)
    except ValueError as error:
        raise ValueError(f"it is no JSON ({error})") from None
    if not isinstance(told, dict) or "label" not in told:
        raise ValueError('there is no label in it: expected an object with a label, such as {"label": 3}')
    return read_label(told["label"])
