"""Bytes of images as normalised floats, batch by batch, on the device."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

WHITE = 255.0
"""The value of white, in bytes."""


@dataclass(frozen=True, eq=False)
class Normaliser:
    """Turns bytes into floats: by ``white``, less ``mean``, by ``std``; all on the images' device.

    Every value is rounded as if all images had been turned at once, on any device: ``white`` is a tensor, for CUDA multiplies
    by the reciprocal of a number.

    Attributes:
        mean, std: per channel, of values from 0 to 1, ``(1, channels, 1, 1)``; ``white``: a number, ``()``.
    """

    mean: Tensor
    std: Tensor
    white: Tensor

    @classmethod
    def of(cls, mean: np.ndarray, std: np.ndarray) -> Normaliser:
        """From mean and deviation of each channel."""
        mean_as, std_as = (torch.tensor(values).float().view(1, -1, 1, 1) for values in (mean, std))
        return cls(mean_as, std_as, torch.tensor(WHITE))

    def __call__(self, images: Tensor) -> Tensor:
        """Images ``(n, channels, height, width)``, uint8, as floats; laid out in memory as they are."""
        return images.float().div_(self.white).sub_(self.mean).div_(self.std)

    def to(self, device: torch.device) -> Normaliser:
        return replace(self, mean=self.mean.to(device), std=self.std.to(device), white=self.white.to(device))
