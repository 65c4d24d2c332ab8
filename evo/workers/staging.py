"""Work on its way to a worker on another machine: pickled, beside what it names that a pickle does not hold, its files.

A file is taken where it lies, if the worker sees one of the same content there (shared storage); else from what was sent to
this worker, once. A folder that work writes to, or a folder of photographs, is never sent: it must be seen by all workers.
"""

from __future__ import annotations

import io
import os
import pickle
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from evo.data import paths
from evo.data.datasets import data_files
from studies import plugins
from studies.config import DataSection, EvaluatorSection
from studies.plugins import Plugin
from studies.records import EvoError

SHOWN_WITHIN = 10.0
"""Seconds after which shared storage shows everybody a folder that somebody has made."""


@dataclass(frozen=True)
class Place:
    """A file or a folder that work needs.

    Attributes:
        name: what the work calls it.
        path: where it lies for whoever sends the work.
        files: what must lie there: paths below ``path`` ("" for a file itself) with their sha256. Empty: a folder that
            must be there, whatever is in it.
    """

    name: str
    path: str
    files: tuple[tuple[str, str], ...] = ()

    def whole(self, path: Path) -> bool:
        """Whether all of it lies at ``path`` on this machine."""
        if not self.files:
            return path.is_dir()
        return all((path / name).is_file() and content_hash(path / name) == digest for name, digest in self.files)


@dataclass(frozen=True)
class Parcel:
    """Work, pickled; ``places`` are what it names by a path of its own, ``settings`` what its settings name, ``plugins`` the
    user's own code that it needs."""

    content: bytes
    places: tuple[Place, ...]
    settings: tuple[Place, ...]
    plugins: tuple[Plugin, ...] = ()

    def path_of(self, digest: str) -> Path:
        """The file with this sha256, where the work comes from."""
        found = (
            Path(place.path) / name
            for place in self.places + self.settings
            for name, its in place.files
            if its == digest
        )
        return next(found)


class MissingFilesError(Exception):
    """A worker has not got the files with these sha256; sent to it, they lie in its folder under these names."""

    def __init__(self, digests: tuple[str, ...]) -> None:
        super().__init__(digests)
        self.digests = digests


def pack(work: Any) -> Parcel:
    """Work and what it needs, to be opened on any machine. A folder that it names is made here where there is none."""
    buffer = io.BytesIO()
    packer = _Packer(buffer, pickle.HIGHEST_PROTOCOL)
    packer.dump(work)
    return Parcel(buffer.getvalue(), tuple(packer.places), tuple(dict.fromkeys(packer.settings)), plugins.loaded())


def unpack(parcel: Parcel, received: Path) -> Any:
    """The work, ready to run on this machine.

    Args:
        received: the folder of files that were sent here.

    Raises:
        MissingFilesError: files that can be sent are not here.
        EvoError: a folder is not here.
    """
    plugins.install(parcel.plugins)
    at = [_located(place, received) for place in parcel.places]
    moved = {
        place.name: _located(place, received, paths.roots(place.name) if place.files else ())
        for place in parcel.settings
    }
    if lacking := [digest for found in [*at, *moved.values()] if isinstance(found, tuple) for digest in found]:
        raise MissingFilesError(tuple(dict.fromkeys(lacking)))
    paths.redirect({name: path for name, path in moved.items() if isinstance(path, Path)})
    opener = _Opener(io.BytesIO(parcel.content))
    opener.places = [path for path in at if isinstance(path, Path)]
    return opener.load()


def receive(content: bytes, digest: str, received: Path) -> None:
    """Keep a file that was sent: whole, or not at all."""
    received.mkdir(parents=True, exist_ok=True)
    draft = received / f"{digest}.draft-{os.getpid()}"
    draft.write_bytes(content)
    draft.replace(received / digest)


def _located(place: Place, received: Path, nearby: Sequence[Path] = ()) -> Path | tuple[str, ...]:
    """Where a place is on this machine; the sha256 of what would have to be sent first.

    Raises:
        EvoError: it is a folder, and not here.
    """
    here = next((path for path in (Path(place.path), *nearby) if place.whole(path)), None)
    if here is not None:
        return here.absolute()
    if not place.files:
        return _shown(Path(place.path))
    if lacking := tuple(digest for _, digest in place.files if not (received / digest).is_file()):
        return lacking
    return _laid_out(place, received)


def _shown(folder: Path) -> Path:
    """A folder that is not to be seen yet.

    Raises:
        EvoError: nor is it after a while.
    """
    deadline = time.monotonic() + SHOWN_WITHIN
    while not folder.is_dir():
        if time.monotonic() > deadline:
            raise EvoError(
                f"does not see the folder {folder}: put it on storage that all workers share, mounted at the same path"
            )
        time.sleep(0.1)
    return folder


def _laid_out(place: Place, received: Path) -> Path:
    """A place made of files that were sent, under the names that it has where it comes from."""
    root = received / sha256(repr(place).encode()).hexdigest()[:16] / Path(place.path).name
    for name, digest in place.files:
        target = root / name
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(received / digest, target)
    return root


class _Packer(pickle.Pickler):
    """Pickles paths as numbers of places, and notes what settings name."""

    def __init__(self, file: io.BytesIO, protocol: int) -> None:
        super().__init__(file, protocol)
        self.places: list[Place] = []
        self.settings: list[Place] = []

    def persistent_id(self, thing: Any) -> int | None:
        if isinstance(thing, (DataSection, EvaluatorSection)):
            self.settings += _named_in(thing)
        if not isinstance(thing, Path):
            return None
        path = thing.absolute()
        if not path.exists():
            if path.suffix:
                raise EvoError(f"{path} is missing, and the work to come needs it: put it back, or start another run")
            path.mkdir(parents=True)
        self.places.append(Place(str(thing), str(path), (("", content_hash(path)),) if path.is_file() else ()))
        return len(self.places) - 1


class _Opener(pickle.Unpickler):
    places: list[Path]

    def persistent_load(self, number: int) -> Path:
        return self.places[number]


def _named_in(section: DataSection | EvaluatorSection) -> Iterator[Place]:
    """The files that a section names, where they lie here; nothing where there are none."""
    places: list[tuple[str, Path, tuple[str, ...]]]
    if isinstance(section, DataSection):
        found, names = data_files(section)
        places = [(section.path, found, names)] if found is not None else []
    else:
        existing = [(name, path) for name in section.files() for path in paths.named(name) if path.is_file()]
        places = [(name, path, ("",)) for name, path in existing[:1]]
    for name, found, names in places:
        root = found.absolute()
        yield Place(name, str(root), tuple((part, content_hash(root / part)) for part in names))


def content_hash(path: Path) -> str:
    """sha256 of a file; read again only when the file has changed."""
    known = path.stat()
    return _content_hash(path, known.st_size, known.st_mtime_ns)


@lru_cache(maxsize=1024)
def _content_hash(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as file:
        digest = sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
