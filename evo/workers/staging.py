"""File staging: work for a worker on another machine, pickled, with the paths and hashes of the files that it needs.

A worker uses a file in place if it sees one with the same content at that path (shared storage); otherwise the file is sent to
it once. A folder that work writes to, or a folder of photographs, is never sent: all workers must see it.
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

VISIBLE_WITHIN = 10.0
"""Seconds within which shared storage shows a new folder on all machines."""


@dataclass(frozen=True)
class StagedPath:
    """A file or a folder that work needs.

    Attributes:
        name: its name in the work.
        path: where it is on the machine that sends the work.
        files: what must be there: paths below ``path`` ("" for a file itself) with their sha256. Empty: a folder that must
            exist, with any content.
    """

    name: str
    path: str
    files: tuple[tuple[str, str], ...] = ()

    def is_complete_at(self, path: Path) -> bool:
        """Whether all of it is at ``path`` on this machine."""
        if not self.files:
            return path.is_dir()
        return all((path / name).is_file() and content_hash(path / name) == digest for name, digest in self.files)


@dataclass(frozen=True)
class StagedTask:
    """Work, pickled. ``paths``: the files and folders that it names itself; ``settings_paths``: those that its settings
    name; ``plugins``: the user's own code that it needs."""

    content: bytes
    paths: tuple[StagedPath, ...]
    settings_paths: tuple[StagedPath, ...]
    plugins: tuple[Plugin, ...] = ()

    def find_file(self, digest: str) -> Path:
        """The file with this sha256, where the work comes from."""
        paths = (
            Path(place.path) / name
            for place in self.paths + self.settings_paths
            for name, its in place.files
            if its == digest
        )
        return next(paths)


class MissingFilesError(Exception):
    """A worker has not got the files with these sha256; sent to it, they lie in its folder under these names."""

    def __init__(self, digests: tuple[str, ...]) -> None:
        super().__init__(digests)
        self.digests = digests


def serialize(work: Any) -> StagedTask:
    """Work and what it needs, to be opened on any machine. A folder that it names is made here where there is none."""
    buffer = io.BytesIO()
    packer = _TaskPickler(buffer, pickle.HIGHEST_PROTOCOL)
    packer.dump(work)
    return StagedTask(
        buffer.getvalue(), tuple(packer.paths), tuple(dict.fromkeys(packer.settings_paths)), plugins.loaded_plugins()
    )


def deserialize(task: StagedTask, received: Path) -> Any:
    """The work, ready to run on this machine.

    Args:
        received: the folder of files that were sent here.

    Raises:
        MissingFilesError: files that can be sent are not here.
        EvoError: a folder is not here.
    """
    plugins.install_plugins(task.plugins)
    at = [_locate(place, received) for place in task.paths]
    moved = {
        place.name: _locate(place, received, paths.candidate_roots(place.name) if place.files else ())
        for place in task.settings_paths
    }
    if lacking := [digest for located in [*at, *moved.values()] if isinstance(located, tuple) for digest in located]:
        raise MissingFilesError(tuple(dict.fromkeys(lacking)))
    paths.redirect({name: path for name, path in moved.items() if isinstance(path, Path)})
    opener = _TaskUnpickler(io.BytesIO(task.content))
    opener.paths = [path for path in at if isinstance(path, Path)]
    return opener.load()


def store_file(content: bytes, digest: str, received: Path) -> None:
    """Keep a file that was sent: whole, or not at all."""
    received.mkdir(parents=True, exist_ok=True)
    draft = received / f"{digest}.draft-{os.getpid()}"
    draft.write_bytes(content)
    draft.replace(received / digest)


def _locate(place: StagedPath, received: Path, nearby: Sequence[Path] = ()) -> Path | tuple[str, ...]:
    """Where a place is on this machine; the sha256 of what would have to be sent first.

    Raises:
        EvoError: it is a folder, and not here.
    """
    here = next((path for path in (Path(place.path), *nearby) if place.is_complete_at(path)), None)
    if here is not None:
        return here.absolute()
    if not place.files:
        return _wait_for_folder(Path(place.path))
    if lacking := tuple(digest for _, digest in place.files if not (received / digest).is_file()):
        return lacking
    return _lay_out(place, received)


def _wait_for_folder(folder: Path) -> Path:
    """A folder that is not to be seen yet.

    Raises:
        EvoError: nor is it after a while.
    """
    deadline = time.monotonic() + VISIBLE_WITHIN
    while not folder.is_dir():
        if time.monotonic() > deadline:
            raise EvoError(
                f"does not see the folder {folder}: put it on storage that all workers share, mounted at the same path"
            )
        time.sleep(0.1)
    return folder


def _lay_out(place: StagedPath, received: Path) -> Path:
    """A place made of files that were sent, under the names that it has where it comes from."""
    root = received / sha256(repr(place).encode()).hexdigest()[:16] / Path(place.path).name
    for name, digest in place.files:
        target = root / name
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(received / digest, target)
    return root


class _TaskPickler(pickle.Pickler):
    """Pickles paths as numbers of places, and notes what settings name."""

    def __init__(self, file: io.BytesIO, protocol: int) -> None:
        super().__init__(file, protocol)
        self.paths: list[StagedPath] = []
        self.settings_paths: list[StagedPath] = []

    def persistent_id(self, thing: Any) -> int | None:
        if isinstance(thing, (DataSection, EvaluatorSection)):
            self.settings_paths += _files_of_section(thing)
        if not isinstance(thing, Path):
            return None
        path = thing.absolute()
        if not path.exists():
            if path.suffix:
                raise EvoError(f"{path} is missing, and the work to come needs it: put it back, or start another run")
            path.mkdir(parents=True)
        self.paths.append(StagedPath(str(thing), str(path), (("", content_hash(path)),) if path.is_file() else ()))
        return len(self.paths) - 1


class _TaskUnpickler(pickle.Unpickler):
    paths: list[Path]

    def persistent_load(self, number: int) -> Path:
        return self.paths[number]


def _files_of_section(section: DataSection | EvaluatorSection) -> Iterator[StagedPath]:
    """The files that a section names, where they lie here; nothing where there are none."""
    places: list[tuple[str, Path, tuple[str, ...]]]
    if isinstance(section, DataSection):
        location, names = data_files(section)
        places = [(section.path, location, names)] if location is not None else []
    else:
        existing = [(name, path) for name in section.files() for path in paths.candidate_paths(name) if path.is_file()]
        places = [(name, path, ("",)) for name, path in existing[:1]]
    for name, location, names in places:
        root = location.absolute()
        yield StagedPath(name, str(root), tuple((part, content_hash(root / part)) for part in names))


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
