"""Labelled images as the rest of the program sees them: an interface, tensors behind it, a data set of three parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, Self

import numpy as np
import torch
from torch import Tensor

from evo.data.augmentation import augmentation
from evo.data.normalising import Normaliser
from evo.transfer import to_device
from spaces.size import Size, as_size
from studies.config import DataSection

Batch = tuple[Tensor, Tensor]
"""Normalised images ``(n, channels, height, width)``, channels last in memory, and labels ``(n,)``, on the device."""

WHOLE_BATCH = slice(None)
"""All places of a batch."""

Part = Literal["train", "validation", "test"]
"""What a data set is divided into."""

Resize = Literal["cover", "stretch", "none"]
"""How images come to their size: scaled until they cover it and cut to the middle, stretched, or not at all."""


@dataclass(frozen=True)
class PartReport:
    """One part: how many images each class has there, in the order of the labels; and where they come from, in words."""

    counts: tuple[int, ...]
    origin: str = ""

    @property
    def images(self) -> int:
        return sum(self.counts)


@dataclass(frozen=True)
class DataReport:
    """What was found where images were read.

    Attributes:
        sizes: least and most of height and of width in the files, in pixels; ``size``: of the images as they are used.
        ignored: what is no part of the data set, a few words each; ``warnings``: what looks wrong, a sentence each.
        kept: where images in files are kept, in words; empty: there is no choice.
    """

    title: str
    parts: Mapping[Part, PartReport]
    class_names: tuple[str, ...]
    channels: int
    size: Size
    sizes: tuple[tuple[int, int], tuple[int, int]] | None = None
    ignored: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    kept: str = ""


class InOrder(Protocol):
    """What a model is measured by, batch by batch: pairs of inputs and what should become of them."""

    @property
    def device(self) -> torch.device: ...

    def __len__(self) -> int: ...

    def batches(self, size: int) -> Iterator[Batch]:
        """All of it in order and as it is; the last batch may be smaller."""
        ...


class Batches(InOrder, Protocol):
    """What a model learns from, too."""

    def epoch(self, size: int, augment: Sequence[str], seed: int, part: slice = WHOLE_BATCH) -> Iterator[Batch]:
        """Shuffled and augmented by ``seed`` alone; whole batches. Of each, the places ``part`` are given: the same images
        that would stand there in the whole batch. ``augment``: as ``evo.data.augmentation.spelled`` gives it."""
        ...


class Source(Batches, Protocol):
    """Labelled images, wherever they are kept; batches come out on ``device``."""

    @property
    def channels(self) -> int: ...

    @property
    def size(self) -> Size:
        """Height and width in pixels."""
        ...

    @property
    def y(self) -> Tensor:
        """All labels ``(n,)``."""
        ...

    def joined_with(self, other: Self) -> Self:
        """These images, and behind them those of ``other``."""
        ...

    def first(self, count: int) -> Self:
        """The first images, or all there are; among training images all classes are represented alike."""
        ...

    def take(self, chosen: Tensor) -> Batch:
        """The images at the positions ``chosen``, as they are."""
        ...


Coverage = Literal["usual", "sample"]
"""What a fingerprint covers: all pictures in files, and all items where decoding them takes seconds; or, as in release 0.1, a
sample of many."""

HASHED_IMAGES = 1000
"""Pictures whose content a sampled fingerprint covers, spread evenly; of fewer than twice as many it covers all."""

HASHED_BYTES = 4 << 30
"""Pictures of up to so many bytes count for a fingerprint whole: reading a hundred gigabytes before every round would take too
long."""


class Pictures(Protocol):
    """Images that are decoded one by one, when they are asked for.

    Attributes:
        size: that of all of them; None: they differ, and have to be resized.
        threads: whether several threads may ask at once.
    """

    @property
    def channels(self) -> int: ...

    @property
    def size(self) -> Size | None: ...

    @property
    def threads(self) -> bool: ...

    def __len__(self) -> int: ...

    def __getitem__(self, i: int) -> Any:
        """A PIL image, or a tensor ``(channels, height, width)``: uint8, or floats from 0 to 1."""
        ...

    def take(self, places: np.ndarray | slice) -> Self:
        """Those at ``places``, in that order."""
        ...

    def joined_with(self, other: Self) -> Self:
        """These, and behind them ``other``."""
        ...

    def content(self, coverage: Coverage) -> Iterator[bytes]:
        """What a fingerprint is made of; of fewer than twice ``HASHED_IMAGES`` it is the same for each ``coverage``."""
        ...


@dataclass(frozen=True)
class Origin:
    """Where images came from: one part of a data set. They are sent to other processes as this, and loaded there.

    Attributes:
        load: gives the data set that a section names, on a device (``evo.data.loading.load_dataset``).
    """

    load: Callable[[DataSection, str], Images]
    section: DataSection
    device: str
    part: Part

    def open(self) -> Source:
        """The images, loaded in this process."""
        return self.load(self.section, self.device).part(self.part)


@dataclass(frozen=True)
class JoinedOrigin:
    """Where images came from that are those of one part, and behind them those of another."""

    first: Origin
    second: Origin

    def open(self) -> Source:
        """The images, loaded in this process."""
        return self.first.open().joined_with(self.second.open())


def join_origins(first: Origin | JoinedOrigin | None, second: Origin | JoinedOrigin | None) -> JoinedOrigin | None:
    """Where the images of two parts came from; None: it is not known."""
    if isinstance(first, Origin) and isinstance(second, Origin):
        return JoinedOrigin(first, second)
    return None


@dataclass(frozen=True)
class ImageSet:
    """Images that are one tensor.

    Attributes:
        kept: ``(n, channels, height, width)``: bytes where ``normalise`` turns them into floats, else normalised floats.
        y: labels ``(n,)``.
    """

    kept: Tensor
    y: Tensor
    normalise: Normaliser | None = field(default=None, repr=False, compare=False)
    origin: Origin | JoinedOrigin | None = field(default=None, repr=False, compare=False)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return (type(self.origin).open, (self.origin,)) if self.origin else super().__reduce_ex__(protocol)

    @property
    def x(self) -> Tensor:
        """All images as floats: with ``y`` a ``Batch`` of all of them."""
        return self._floats(self.kept)

    @property
    def device(self) -> torch.device:
        return self.kept.device

    @property
    def channels(self) -> int:
        return int(self.kept.shape[1])

    @property
    def size(self) -> Size:
        return as_size([int(side) for side in self.kept.shape[2:]])

    def __len__(self) -> int:
        return len(self.y)

    def to(self, device: torch.device) -> ImageSet:
        """The same images and labels, on ``device``."""
        return ImageSet(self.kept.to(device), self.y.to(device), self.normalise and self.normalise.to(device))

    def joined_with(self, other: ImageSet) -> ImageSet:
        y, origin = torch.cat((self.y, other.y)), join_origins(self.origin, other.origin)
        if self.normalise is not None and self.normalise is other.normalise:
            return ImageSet(torch.cat((self.kept, other.kept)), y, self.normalise, origin)
        return ImageSet(torch.cat((self.x, other.x)), y, origin=origin)

    def first(self, count: int) -> ImageSet:
        return ImageSet(self.kept[:count], self.y[:count], self.normalise)

    def take(self, chosen: Tensor) -> Batch:
        chosen = to_device(chosen, self.device)  # once, and not for images and labels each
        return self._floats(self.kept[chosen]), self.y[chosen]

    def batches(self, size: int) -> Iterator[Batch]:
        return zip(map(self._floats, torch.split(self.kept, size)), torch.split(self.y, size), strict=True)

    def _floats(self, kept: Tensor) -> Tensor:
        return kept if self.normalise is None else self.normalise(kept)

    def epoch(self, size: int, augment: Sequence[str], seed: int, part: slice = WHOLE_BATCH) -> Iterator[Batch]:
        rng = torch.Generator(self.device).manual_seed(seed)  # where the images are: no step waits for the host
        size = min(size, len(self))
        order = torch.randperm(len(self), generator=rng, device=self.device)
        for start in range(0, len(order) - size + 1, size):
            x, y = self.take(order[start : start + size])
            for name in augment:
                x = augmentation(name)(x, rng)
            yield x[part].contiguous(memory_format=torch.channels_last), y[part]


@dataclass(frozen=True)
class Images:
    """A data set on its way through a search.

    ``train`` trains, ``validation`` (a part of the training images that never trains) scores candidates, ``test`` is touched
    once, when a delivered network is measured. A delivered network itself is trained on ``train`` and ``validation``
    together: nothing is chosen by the latter any more.

    Attributes:
        mean, std: per channel, of values from 0 to 1: what all images were normalised by.
        class_names: in the order of the labels; empty: the images have no labels, and all are 0.
        resize: how all images came to their size.
        report: what was found where the images were read.
    """

    train: Source
    validation: Source
    test: Source
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: Resize = "none"
    report: DataReport | None = field(default=None, repr=False, compare=False)

    @property
    def classes(self) -> int:
        return len(self.class_names)

    @property
    def channels(self) -> int:
        return self.train.channels

    @property
    def size(self) -> Size:
        return self.train.size

    def part(self, name: Part) -> Source:
        """One of the three, by its name."""
        parts: dict[Part, Source] = {"train": self.train, "validation": self.validation, "test": self.test}
        return parts[name]
