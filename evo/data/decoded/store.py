"""Decoded images on disk: bytes in slots of one file, and their sizes and checksums in another.

Both are mapped into memory and shared by all processes. Any of them writes an image, its pixels first; whatever was written in
part, or damaged, has another checksum, counts as not there, and is written again. Slots that nobody has written take no space.
"""

from __future__ import annotations

import os
import shutil
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

ENTRY = np.dtype([("checksum", "<u4"), ("height", "<u2"), ("width", "<u2")])
"""What is known of a slot; zeros: nothing is in it."""

PAGE = 4096
"""Slots begin at multiples of so many bytes."""

KEPT_FREE = 0.05
"""The share of a disk that is left free: beyond, nothing more is written."""


@dataclass(frozen=True)
class DecodedStore:
    """Up to ``count`` images of ``channels`` channels and at most ``largest`` bytes.

    Attributes:
        path: that of both files, without their suffixes.
    """

    path: str
    count: int
    largest: int
    channels: int

    @classmethod
    def create(cls, folder: Path, name: str, count: int, largest: int, channels: int) -> DecodedStore | None:
        """The store of that name, as it is or empty; None: it cannot be written there."""
        store = cls(str(folder / name), count, largest, channels)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for suffix, size in ((".pixels", count * store._slot), (".index", count * ENTRY.itemsize)):
                if not os.path.exists(store.path + suffix):
                    _mapped.cache_clear()  # another file may have had this name
                with open(store.path + suffix, "ab") as file:
                    if os.fstat(file.fileno()).st_size < size:
                        os.truncate(file.fileno(), size)  # longer, by what takes no space
        except OSError:
            return None
        return store

    @property
    def _slot(self) -> int:
        return -(-self.largest // PAGE) * PAGE

    def get(self, i: int) -> np.ndarray | None:
        """Image ``i``, ``(height, width, channels)`` of uint8, mapped; None: it is not there whole."""
        mapped = _mapped(self)
        if mapped is None:
            return None
        pixels, index = mapped
        checksum, height, width = index[i].tolist()
        size = height * width * self.channels
        if not 0 < size <= self.largest:
            return None
        found = pixels[i * self._slot : i * self._slot + size]
        image: np.ndarray = found.reshape(height, width, self.channels)
        return image if zlib.crc32(found.data) == checksum else None

    def put(self, i: int, image: np.ndarray) -> bool:
        """Write an image, unless the disk is full; whether it is there now."""
        image = np.ascontiguousarray(image)
        entry = np.array((zlib.crc32(image.data), *image.shape[:2]), ENTRY)
        try:
            disk = shutil.disk_usage(self.path + ".pixels")
            if disk.free - image.nbytes < KEPT_FREE * disk.total:
                return False
            _write(self.path + ".pixels", i * self._slot, image.data.cast("B"))
            _write(self.path + ".index", i * ENTRY.itemsize, entry.tobytes())
        except OSError:
            return False
        return True

    def missing(self) -> np.ndarray:
        """The places of all images that were never written; whether the others are whole is found out when they are read."""
        mapped = _mapped(self)
        return np.arange(self.count) if mapped is None else np.flatnonzero(mapped[1]["height"] == 0)


def _write(path: str, offset: int, content: bytes | memoryview) -> None:
    """
    Raises:
        OSError: it was not written whole.
    """
    with open(path, "r+b", buffering=0) as file:
        if os.pwrite(file.fileno(), content, offset) < len(content):
            raise OSError("written in part")


@lru_cache(maxsize=16)
def _mapped(store: DecodedStore) -> tuple[np.ndarray, np.ndarray] | None:
    """The pixels and the index of a store; None: they are not on this machine, or are no longer whole."""
    try:
        pixels = np.memmap(store.path + ".pixels", np.uint8, "r")
        index = np.memmap(store.path + ".index", ENTRY, "r")
    except (OSError, ValueError):
        return None
    return (pixels, index) if len(index) >= store.count and len(pixels) >= store.count * store._slot else None


def cache_folder() -> Path:
    """Where stores lie: the folder that the environment variable ``EVO_CACHE`` names, else one of the user's."""
    if named := os.environ.get("EVO_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "evo-nas"
