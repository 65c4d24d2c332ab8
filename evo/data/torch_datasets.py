"""Data sets of torch, map-style: items of an image and a label, which any code may give."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor

from evo.data.arrays import OVERSHOOT
from evo.data.source import HASHED_IMAGES, Coverage
from spaces.export.preprocessing import as_shown
from spaces.size import Size, as_size, as_text
from studies.records import EvoError

IMAGE = (
    "expected a PIL image, an array (height, width[, channels]) or a tensor ([channels, ]height, width): uint8, or floats "
    "from 0 to 1"
)

DECODED_ITEMS, DECODED_BYTES, LOOKED_AT = 5000, 1 << 30, 20
"""Up to so many items, and so many bytes of pixels, are decoded for a fingerprint at each command, one after another: that
takes seconds. How many bytes there are is estimated from so many items. A clock decides nothing: fingerprints would differ."""


@dataclass(frozen=True, eq=False)
class DatasetItems:
    """``Pictures`` that are items of data sets of torch.

    Attributes:
        title: what errors call the whole.
        places: ``(n, 2)``, of each picture the number of its data set and of its item.
        channels: of all pictures; 0: whatever an item has.
    """

    title: str
    datasets: tuple[Any, ...]
    places: np.ndarray
    channels: int = 0
    size: Size | None = None

    threads = False

    @classmethod
    def of(cls, title: str, dataset: Any) -> DatasetItems:
        """All items of ``dataset``, which has some; they have the first one's channels and size.

        Raises:
            EvoError: the first is not an image and a label, or is another one when it is read again.
        """
        places = np.stack((np.zeros(len(dataset), int), np.arange(len(dataset))), axis=1)
        items = cls(title, (dataset,), places)
        first, again = items[0], items[0]
        if first.shape != again.shape or not torch.equal(first, again):
            raise EvoError(
                f"{title}: item 0 is another image when it is read again; leave random changes to data.augment"
            )
        return replace(items, channels=len(first), size=size_of(first))

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, i: int) -> Tensor:
        return self.item(i)[0]

    def item(self, i: int) -> tuple[Tensor, int]:
        """An image ``(channels, height, width)``, uint8 or floats from 0 to 1, and its label.

        Raises:
            EvoError: it is something else, or has other channels or another size than all.
        """
        part, place = self.places[i].tolist()
        try:
            image, label = self.datasets[part][place]
        except EvoError:
            raise
        except Exception as error:
            raise EvoError(
                f"{self.title}, item {place}: {type(error).__name__}: {error}; expected (image, label)"
            ) from error
        try:
            x = as_image(image, grey=self.channels == 1)
            self._check(x)
            return x, as_label(label)
        except ValueError as error:
            raise EvoError(f"{self.title}, item {place}: {error}") from None

    def _check(self, x: Tensor) -> None:
        if self.channels and len(x) != self.channels:
            raise ValueError(f"it has {len(x)} channels, and item 0 has {self.channels}")
        if self.size is not None and size_of(x) != self.size:
            raise ValueError(
                f"it has {as_text(size_of(x))} pixels, and item 0 has {as_text(self.size)}: images of several sizes need "
                "data.size"
            )

    def labels(self) -> np.ndarray:
        """All labels: the data set's ``targets``, where they are those of some items, else read one by one."""
        known = np.asarray(getattr(self.datasets[0], "targets", ()))
        some = range(0, len(self), max(1, len(self) // 10))
        if known.shape == (len(self),) and known.dtype.kind in "iu" and all(known[i] == self.item(i)[1] for i in some):
            return known
        return np.array([self.item(i)[1] for i in range(len(self))])

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """All images ``(n, height, width, channels)``, and their labels."""
        first = self[0]
        x = np.empty((len(self), *first.shape[1:], len(first)), first.numpy().dtype)
        y = np.empty(len(self), int)
        for i in range(len(self)):
            image, y[i] = self.item(i)
            if image.dtype != first.dtype:
                raise EvoError(f"{self.title}, item {i}: it holds {image.dtype}, and item 0 {first.dtype}")
            x[i] = image.permute(1, 2, 0).numpy()
        return x, y

    def take(self, places: np.ndarray | slice) -> DatasetItems:
        return replace(self, places=self.places[places])

    def joined_with(self, other: DatasetItems) -> DatasetItems:
        moved = other.places + np.array([len(self.datasets), 0])
        return replace(self, datasets=self.datasets + other.datasets, places=np.concatenate((self.places, moved)))

    def content(self, coverage: Coverage) -> Iterator[bytes]:
        """How many items there are, and all of them; some, where decoding all would take long."""
        every = max(1, len(self) // HASHED_IMAGES)
        if every > 1 and coverage == "usual" and self._are_decoded_soon():
            every = 1
        yield repr(("I", len(self))).encode()
        for i in range(0, len(self), every):
            x = self[i]
            yield repr((str(x.dtype), tuple(x.shape))).encode() + x.contiguous().numpy().tobytes()

    def _are_decoded_soon(self) -> bool:
        if len(self) > DECODED_ITEMS:
            return False
        some = [self[i].numpy().nbytes for i in range(0, len(self), max(1, len(self) // LOOKED_AT))]
        return sum(some) / len(some) * len(self) <= DECODED_BYTES


def as_image(image: Any, grey: bool) -> Tensor:
    """An item's image as a tensor ``(channels, height, width)``: uint8, or floats from 0 to 1.

    Args:
        grey: whether a PIL image is seen in one channel, whatever it has; it is upright and without transparency.

    Raises:
        ValueError: it is no image.
    """
    if isinstance(image, Image):
        shown = as_shown(image)
        image = np.asarray(shown.convert("L" if grey or shown.mode in ("1", "L") else "RGB"))
    if isinstance(image, np.ndarray):
        image = torch.tensor(image.transpose(2, 0, 1) if image.ndim == 3 else image)
    if not isinstance(image, Tensor):
        raise ValueError(f"its image is a {type(image).__name__}; {IMAGE}")
    x = image.detach().cpu()
    x = x.unsqueeze(0) if x.ndim == 2 else x
    if x.ndim != 3 or not x.numel():
        raise ValueError(f"its image has the shape {tuple(image.shape)}; {IMAGE}")
    if x.is_floating_point() and not (float(x.min()) >= -OVERSHOOT and float(x.max()) <= 1 + OVERSHOOT):
        raise ValueError(f"its values are from {float(x.min()):.6g} to {float(x.max()):.6g}; {IMAGE}")
    if not x.is_floating_point() and x.dtype != torch.uint8:
        raise ValueError(f"its values are {x.dtype}; {IMAGE}")
    return x.float().clamp(0, 1) if x.is_floating_point() else x


def as_label(label: Any) -> int:
    """An item's label.

    Raises:
        ValueError: it is no whole number.
    """
    try:
        return operator.index(label)
    except TypeError:
        raise ValueError(f"its label is {label!r}; expected a whole number from 0 on") from None


def size_of(x: Tensor) -> Size:
    """Height and width of an image ``(channels, height, width)``."""
    return as_size([int(side) for side in x.shape[1:]])


def is_dataset(thing: Any) -> bool:
    """Whether it is map-style: items by number, and how many there are."""
    return hasattr(thing, "__getitem__") and hasattr(thing, "__len__") and not isinstance(thing, (np.ndarray, str))


def classes_of(dataset: Any) -> tuple[str, ...] | None:
    """The names of the classes, where the data set, or the one that it is a part of, has some in ``classes``."""
    named = getattr(dataset, "classes", None) or getattr(getattr(dataset, "dataset", None), "classes", None)
    return tuple(map(str, named)) if isinstance(named, Sequence) and not isinstance(named, str) else None
