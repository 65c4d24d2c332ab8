"""Random parts of decoded images, stretched to one size: bytes in, bytes out."""

from __future__ import annotations

from math import exp, log, sqrt
from random import Random

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

AREAS, RATIO, TRIES = (0.08, 1.0), 4 / 3, 10
"""Inception's crop (https://arxiv.org/abs/1409.4842): shares of the area, how far proportions may differ, and how often it is
tried to find a part that lies inside."""

Box = tuple[int, int, int, int]
"""Top, left, height and width of a part, in pixels."""


def random_box(size: tuple[int, int], wanted: tuple[int, int], rng: Random) -> Box:
    """A random part of an image of ``size``, nearly of the proportions of ``wanted`` (height, width)."""
    (height, width), proportion = size, wanted[1] / wanted[0]
    for _ in range(TRIES):
        area = height * width * rng.uniform(*AREAS)
        ratio = proportion * exp(rng.uniform(-log(RATIO), log(RATIO)))
        rows, columns = round(sqrt(area / ratio)), round(sqrt(area * ratio))
        if 0 < rows <= height and 0 < columns <= width:
            return rng.randint(0, height - rows), rng.randint(0, width - columns), rows, columns
    return middle_box(size, (proportion / RATIO, proportion * RATIO))


def middle_box(size: tuple[int, int], ratios: tuple[float, float]) -> Box:
    """The largest part in the middle whose width is from ``ratios[0]`` to ``ratios[1]`` of its height."""
    height, width = size
    rows, columns = min(height, round(width / ratios[0])), min(width, round(height * ratios[1]))
    return (height - rows) // 2, (width - columns) // 2, rows, columns


def middle_of(size: tuple[int, int], wanted: tuple[int, int]) -> Box:
    """The largest part in the middle that has the proportions of ``wanted``: what just covers it when it is scaled."""
    (height, width), (rows, columns) = size, wanted
    scale = min(height / rows, width / columns)
    rows, columns = min(height, round(rows * scale)), min(width, round(columns * scale))
    return round((height - rows) / 2), round((width - columns) / 2), rows, columns


def stretch(image: np.ndarray, box: Box, out: Tensor, mirrored: bool = False) -> None:
    """Put a part of an image ``(height, width, channels)`` into ``out`` ``(height, width, channels)``, scaled (bilinear,
    antialiased), and mirrored left to right."""
    top, left, rows, columns = box
    cut = image[top : top + rows, left : left + columns]
    pixels = np.array(cut[:, ::-1] if mirrored else cut)  # its own: what is mapped may not be written to
    part = torch.from_numpy(pixels).permute(2, 0, 1).unsqueeze(0)
    if part.shape[2:] == out.shape[:2]:
        out.copy_(part[0].permute(1, 2, 0))
        return
    scaled = F.interpolate(part, tuple(out.shape[:2]), mode="bilinear", antialias=True)
    out.copy_(scaled[0].permute(1, 2, 0))
