"""Images at another resolution, scaled batch by batch: what cheap first rounds are trained on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from evo.data.source import WHOLE_BATCH, Batch, Source
from spaces.networks.modules import resize_images
from spaces.size import Size


@dataclass(frozen=True)
class Resized:
    """``images``, scaled to ``size`` pixels after they were augmented (bilinear, antialiased)."""

    images: Source
    size: Size

    @property
    def device(self) -> torch.device:
        return self.images.device

    @property
    def y(self) -> Tensor:
        """All labels ``(n,)``."""
        return self.images.y

    def __len__(self) -> int:
        return len(self.images)

    def batches(self, size: int) -> Iterator[Batch]:
        """All of it in order and as it is; the last batch may be smaller."""
        return ((self._scaled(x), y) for x, y in self.images.batches(size))

    def epoch(self, size: int, augment: Sequence[str], seed: int, part: slice = WHOLE_BATCH) -> Iterator[Batch]:
        """Shuffled and augmented by ``seed`` alone; whole batches, of which the places ``part`` are given."""
        return ((self._scaled(x), y) for x, y in self.images.epoch(size, augment, seed, part))

    def _scaled(self, x: Tensor) -> Tensor:
        return resize_images(x, self.size)
