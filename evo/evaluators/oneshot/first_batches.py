"""The first batches of images, again and again: on the device there is one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Protocol

import torch
from torch import Tensor

from evo.data.source import InOrder
from evo.data.streaming import StreamedImages


class Reread(Protocol):
    """Batches of images that can be gone through several times, and how many there are; a list is one."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Tensor]: ...


@dataclass(frozen=True)
class FirstBatches:
    """The first ``count`` batches of ``size`` images, made anew whenever they are gone through: the same bits each time."""

    images: InOrder = field(repr=False)
    size: int
    count: int

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Tensor]:
        return (x for x, _ in islice(self.images.batches(self.size), self.count))


def first_batches(images: InOrder, size: int, count: int) -> FirstBatches:
    """Of images in files, what was decoded is kept in the host's memory, as bytes: it is decoded once."""
    return FirstBatches(_decoded(images, size * count) if isinstance(images, StreamedImages) else images, size, count)


def _decoded(images: StreamedImages, count: int) -> StreamedImages:
    first = images.first(count)
    return replace(first, middles=first.decoded(torch.arange(len(first))))
