"""The form of a delivered network in 8 bits: by which images it is made, and what is noted down of it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from evo.data.source import Images
from evo.deliver.manifest import Description
from spaces.networks.modules import resize_images
from spaces.size import Size

MOST, BATCH = 512, 64
"""Training images at most, half of them for ranges and half to check by; images of a batch."""


def quantise_form(images: Images, size: Size, most: float, source: Path, path: Path) -> Description:
    """Write the network of an ONNX file in 8 bits; gives what became of its layers.

    Args:
        images: of the run; the training images are looked at.
        size: pixels of the images that the network takes.
        most: share of images that may be decided otherwise.
    """
    from spaces.export.int8 import write_int8  # seconds to import

    calibration, check = training_images(images, size)
    found: Description = asdict(write_int8(source, path, calibration, check, most))
    return found | {"checked": sum(map(len, check)), "most": most}


def training_images(images: Images, size: Size) -> tuple[list[Tensor], list[Tensor]]:
    """Training images as the network takes them, from 0 to 1, in batches: those that give ranges, and others to check by."""
    number = min(MOST, len(images.train))
    x, _ = images.train.take(torch.arange(number) * len(images.train) // number)
    mean, std = (torch.tensor(values, device=x.device).float().view(-1, 1, 1) for values in (images.mean, images.std))
    shown = resize_images(x * std + mean, size).cpu()
    ranges, check = (list(torch.split(half.contiguous(), BATCH)) for half in (shown[::2], shown[1::2]))
    return ranges, check
