"""Encoded images that lie inside of larger files: each is read by its place, in any order."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Protocol

import numpy as np

from evo.data.image_files import open_bytes
from evo.data.source import HASHED_BYTES, HASHED_IMAGES, Coverage

PIECE = 4096
"""Bytes from the middle of an image that count for a fingerprint where all would be too many."""


class Store(Protocol):
    """Encoded images by number. It may be sent to other processes, which open the files themselves.

    Attributes:
        sizes: bytes of each.
    """

    @property
    def sizes(self) -> np.ndarray: ...

    def name(self, i: int) -> str:
        """What messages call an image, and what a fingerprint knows it by: it says nothing about where the files lie."""
        ...

    def file(self, i: int) -> str:
        """The file that an image lies in."""
        ...

    def read(self, i: int, start: int = 0, most: int | None = None) -> bytes:
        """The bytes of an image, or at most so many from ``start`` on.

        Raises:
            EvoError: they cannot be read.
        """
        ...


@dataclass(frozen=True, eq=False)
class StoredPictures:
    """``Pictures`` in a store.

    Attributes:
        places: of each picture its number in the store.
        channels: 3, or 1: all are seen in grey.
    """

    store: Store
    places: np.ndarray
    channels: int = 3

    size = None
    threads = True

    @classmethod
    def of(cls, store: Store) -> StoredPictures:
        """All images of a store."""
        return cls(store, np.arange(len(store.sizes)))

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, i: int) -> Any:
        place = int(self.places[i])
        return open_bytes(self.store.read(place), self.store.name(place), self.channels)

    def name(self, i: int) -> str:
        """What messages call a picture."""
        return self.store.name(int(self.places[i]))

    def open(self, i: int) -> io.BytesIO:
        """The encoded picture, as a file."""
        return io.BytesIO(self.store.read(int(self.places[i])))

    def versions(self) -> Iterator[bytes]:
        """Name, size and time of change of each."""
        changed: dict[str, int] = {}
        for place in self.places.tolist():
            if (file := self.store.file(place)) not in changed:
                changed[file] = os.stat(file).st_mtime_ns
            told = f"{self.store.name(place)} {self.store.sizes[place]} {changed[file]}\n"
            yield told.encode("utf-8", "surrogateescape")

    def take(self, places: np.ndarray | slice) -> StoredPictures:
        return replace(self, places=self.places[places])

    def joined_with(self, other: StoredPictures) -> StoredPictures:
        return replace(self, places=np.concatenate((self.places, other.places)))

    def content(self, coverage: Coverage) -> Iterator[bytes]:
        """Name, size and a digest of each: of all its bytes, or of a piece where there are more than ``HASHED_BYTES`` in all;
        as a sample, of some only."""
        sizes = self.store.sizes[self.places]
        whole = int(sizes.sum()) <= HASHED_BYTES
        every = max(1, len(self) // HASHED_IMAGES) if coverage == "sample" else 1
        yield repr(("stored", 1, len(self), whole)).encode()
        for i, (place, size) in enumerate(zip(self.places.tolist(), sizes.tolist(), strict=True)):
            yield f"{self.store.name(place)} {size}\n".encode("utf-8", "surrogateescape")
            if i % every == 0:
                start, most = (0, None) if whole else (max(0, size - PIECE) // 2, PIECE)
                yield sha256(self.store.read(place, start, most)).digest()
