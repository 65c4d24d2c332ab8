"""Pictures that are decoded once, and then come from a store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from typing import Any, Protocol, TypeGuard

import numpy as np
import PIL
import torch
from PIL import Image, features
from torch import Tensor

from evo.data.decoded.store import DecodedStore, cache_folder
from evo.data.source import Coverage, Pictures
from spaces.export.preprocessing import cover, covering_size
from spaces.size import Size, both_sides

LONGEST = 2
"""Of an image that is longer, in short sides, the middle is kept."""


class EncodedPictures(Pictures, Protocol):
    """``Pictures`` in files."""

    def versions(self) -> Iterator[bytes]:
        """Name, size and time of change of each, without opening it."""
        ...


def are_encoded(pictures: Any) -> TypeGuard[EncodedPictures]:
    """Whether pictures lie in files, so that decoding them is work."""
    return hasattr(pictures, "versions")


@dataclass(frozen=True, eq=False)
class DecodedPart:
    """Encoded pictures, what is made of each, and where that is kept."""

    pictures: Pictures
    make: Callable[[Any], Image.Image]
    store: DecodedStore | None

    def get(self, i: int) -> np.ndarray:
        """What is made of picture ``i``, ``(height, width, channels)`` of uint8."""
        if self.store is not None and (kept := self.store.get(i)) is not None:
            return kept
        return self.decode(i)[0]

    def decode(self, i: int) -> tuple[np.ndarray, bool]:
        """The same, decoded now; and whether it is in the store from now on."""
        image: np.ndarray = np.asarray(self.make(self.pictures[i]))
        image = image[..., None] if image.ndim == 2 else image
        return image, self.store is not None and self.store.put(i, image)


@dataclass(frozen=True, eq=False)
class KeptPictures:
    """``Pictures`` that are decoded once.

    Attributes:
        places: ``(n, 2)``, of each picture the number of its part and its place there.
        short_side: to which all are scaled; None: all are the middles, of one size.
    """

    parts: tuple[DecodedPart, ...]
    places: np.ndarray
    channels: int
    short_side: int | None = None

    size = None
    threads = True

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, i: int) -> Tensor:
        return torch.from_numpy(np.array(self.array(i))).permute(2, 0, 1)

    def array(self, i: int) -> np.ndarray:
        """Picture ``i``, ``(height, width, channels)`` of uint8; it is not written to."""
        part, place = self.places[i].tolist()
        image: np.ndarray = self.parts[part].get(place)
        return image

    def take(self, places: np.ndarray | slice) -> KeptPictures:
        return replace(self, places=self.places[places])

    def joined_with(self, other: KeptPictures) -> KeptPictures:
        moved = other.places + np.array([len(self.parts), 0])
        return replace(self, parts=self.parts + other.parts, places=np.concatenate((self.places, moved)))

    def content(self, coverage: Coverage) -> Iterator[bytes]:
        """That of the encoded pictures."""
        for part in self.parts:
            yield from part.pictures.content(coverage)


def keep_scaled(pictures: EncodedPictures, short_side: int, cached: bool) -> KeptPictures:
    """Pictures scaled until their shorter side has so many pixels.

    Args:
        cached: whether they are kept on disk; they are the same if not.
    """
    largest = LONGEST * short_side**2 * pictures.channels
    store = _store_of(pictures, ("scaled", short_side, LONGEST), largest) if cached else None
    return _kept(pictures, partial(scale, short_side=short_side), store, short_side)


def keep_middles(pictures: EncodedPictures, size: Size) -> KeptPictures:
    """The middles of pictures, as they are measured."""
    height, width = both_sides(size)
    store = _store_of(pictures, ("middles", height, width), height * width * pictures.channels)
    return _kept(pictures, partial(cover, size=(height, width)), store, None)


def _kept(
    pictures: Pictures, make: Callable[[Any], Image.Image], store: DecodedStore | None, short_side: int | None
) -> KeptPictures:
    places = np.stack((np.zeros(len(pictures), int), np.arange(len(pictures))), axis=1)
    return KeptPictures((DecodedPart(pictures, make, store),), places, pictures.channels, short_side)


def _store_of(pictures: EncodedPictures, made: tuple[object, ...], largest: int) -> DecodedStore | None:
    """The store of pictures: named by the files, what is made of them, and the libraries that decode."""
    libraries = (PIL.__version__, *(features.version(name) for name in ("jpg", "zlib", "webp", "libtiff")))
    digest = sha256(repr((1, made, pictures.channels, libraries)).encode())
    for version in pictures.versions():
        digest.update(version)
    return DecodedStore.create(cache_folder(), digest.hexdigest()[:32], len(pictures), largest, pictures.channels)


def scale(image: Image.Image, short_side: int) -> Image.Image:
    """An image scaled until its shorter side has so many pixels; of a longer side the middle."""
    rows, columns = covering_size((image.height, image.width), (short_side, short_side))
    scaled = image.resize((columns, rows), Image.Resampling.BILINEAR)
    most = LONGEST * short_side
    top, left = max(0, rows - most) // 2, max(0, columns - most) // 2
    return scaled.crop((left, top, left + min(columns, most), top + min(rows, most)))
