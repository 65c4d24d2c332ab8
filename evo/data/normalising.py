"""Bytes of images as normalised floats, batch by batch, on the device."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from spaces.size import Size, both_sides

WHITE = 255.0
"""The value of white, in bytes."""

LARGE = 1 << 14
"""Values of an image that is turned by itself."""


@dataclass(frozen=True, eq=False)
class Normaliser:
    """Turns bytes into floats: by ``white``, less ``mean``, by ``std``; all on the images' device.

    Every value is rounded as if all images had been turned at once, on any device: ``white`` is a tensor, for CUDA multiplies
    by the reciprocal of a number.

    Attributes:
        mean, std: per channel, of values from 0 to 1, as ``spread`` gives them; ``white``: a number, ``()``.
    """

    mean: Tensor
    std: Tensor
    white: Tensor

    @classmethod
    def of(cls, mean: np.ndarray, std: np.ndarray, size: Size, device: torch.device) -> Normaliser:
        """From mean and deviation of each channel, for images of ``size``."""
        mean_as, std_as = (spread(values, size, device) for values in (mean, std))
        return cls(mean_as, std_as, torch.tensor(WHITE, device=device))

    def __call__(self, images: Tensor) -> Tensor:
        """Images ``(n, channels, height, width)``, uint8, as floats; laid out in memory as they are."""
        return bytes_to_floats(images, self.white, self.mean, self.std)

    def to(self, device: torch.device) -> Normaliser:
        return replace(self, mean=self.mean.to(device), std=self.std.to(device), white=self.white.to(device))


def bytes_to_floats(images: Tensor, white: Tensor | float, mean: Tensor, std: Tensor) -> Tensor:
    """Images ``(n, channels, height, width)``, uint8, by ``white``, less ``mean``, by ``std``; laid out in memory as they are.

    On a CPU large ones are turned one after another: each stays in the processor's cache until it is done.
    """
    if images.device.type != "cpu" or not len(images) or images[0].numel() < LARGE:
        return images.float().div_(white).sub_(mean).div_(std)
    floats = torch.empty_like(images, dtype=torch.float32)
    for image, out in zip(torch.split(images, 1), torch.split(floats, 1), strict=True):
        out.copy_(image).div_(white).sub_(mean).div_(std)
    return floats


def spread(values: np.ndarray, size: Size, device: torch.device) -> Tensor:
    """A number per channel as a tensor that is subtracted from images or divides them, ``(1, channels, 1, 1)``.

    On a CPU it is of the images' size, ``(1, channels, height, width)``, channels last: several times as fast, with the same
    results.
    """
    one = torch.tensor(values, device=device).float().view(1, -1, 1, 1)
    if device.type != "cpu":
        return one
    return one.expand(1, -1, *both_sides(size)).contiguous(memory_format=torch.channels_last)
