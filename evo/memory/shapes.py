"""Images without numbers: a ``Source`` that gives batches of the right shapes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from evo.data.source import WHOLE_BATCH, Batch
from spaces.size import Size, both_sides

DEVICE = torch.device("meta")

STEPS = 2
"""Batches of an epoch: in the second, all that a step leaves behind is there."""


@dataclass(frozen=True)
class ShapesOnly:
    """So many images of one shape.

    Args:
        count: how many there are; an epoch has ``STEPS`` batches all the same.
        target: what stands beside each image instead of a label: the shape of a feature map ``(c, height, width)``.
    """

    count: int
    channels: int
    size: Size
    target: tuple[int, ...] | None = None

    @property
    def device(self) -> torch.device:
        return DEVICE

    def __len__(self) -> int:
        return self.count

    @property
    def y(self) -> Tensor:
        return torch.empty(self.count, dtype=torch.long, device=DEVICE)

    def batch(self, number: int) -> Batch:
        """So many images, and what stands beside them."""
        x = torch.empty(number, self.channels, *both_sides(self.size), device=DEVICE)
        if self.target is None:
            y = torch.empty(number, dtype=torch.long, device=DEVICE)
        else:
            y = torch.empty(number, *self.target, device=DEVICE)
        return x.to(memory_format=torch.channels_last), y

    def batches(self, size: int) -> Iterator[Batch]:
        for start in range(0, self.count, size):
            yield self.batch(min(size, self.count - start))

    def epoch(self, size: int, augment: Sequence[str], seed: int, part: slice = WHOLE_BATCH) -> Iterator[Batch]:
        for _ in range(STEPS):
            x, y = self.batch(min(size, self.count))
            yield x[part], y[part]

    def take(self, chosen: Tensor) -> Batch:
        return self.batch(len(chosen))

    def first(self, count: int) -> ShapesOnly:
        return replace(self, count=min(count, self.count))

    def joined_with(self, other: ShapesOnly) -> ShapesOnly:
        return replace(self, count=self.count + other.count)


@dataclass(frozen=True)
class ImageShapes:
    """The images of a run: how many there are to train on and to score by, and their shape.

    Attributes:
        kept: bytes of images that lie on the device all the time.
    """

    train: int
    validation: int
    channels: int
    size: Size
    classes: int
    kept: int = 0

    def source(self, count: int) -> ShapesOnly:
        """``count`` of them."""
        return ShapesOnly(count, self.channels, self.size)
