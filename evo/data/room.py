"""Where images of a run are kept: in memory, if there is room, else in their files.

It is part of a run's settings, for it is part of its results: random crops of an image that was scaled down already are others
than those of its file, and the numbers that are drawn are others. So it is decided once, when a run begins, and a run goes on so
wherever it is continued.
"""

from __future__ import annotations

import numpy as np
import torch

from evo.data.decoded.kept import are_encoded
from evo.data.loading import image_values, resolve_device
from evo.data.raw import RawDataset, fits_by_default
from evo.system_memory import system_memory
from studies.config import DataSection

SHARE = 0.25
"""The share of the memory that there is that images may fill: a step, and reading them, take much of the rest."""

FLOAT = 4
"""Bytes of a number that is no byte."""

CROP = "resized_crop"
"""The change of images that is better made from their files: it cuts out parts of them."""


def room_for_images(device: str) -> int | None:
    """Bytes that images may take, here and on the device; None: nobody knows."""
    found, here = resolve_device(device), system_memory()
    there = torch.cuda.get_device_properties(found).total_memory if found.type == "cuda" else here
    known = [memory for memory in (here, there) if memory is not None]
    return round(SHARE * min(known)) if known else None


def kept_where(section: DataSection, raw: RawDataset, device: str) -> bool | None:
    """``data.in_memory`` of a run that begins; None: as the settings have it, or as it is where they say nothing.

    Images are read into memory if there is room; where parts of them are cut out at random, only those that always were.
    """
    train, room = raw.x_train, room_for_images(device)
    if section.in_memory is not None or isinstance(train, np.ndarray) or room is None:
        return None
    values = image_values(train, section, image_count(raw, section))
    usual = fits_by_default(FLOAT * values)
    fits = (values if are_encoded(train) else FLOAT * values) <= room and (usual or CROP not in section.augment)
    return None if fits == usual else fits


def image_count(raw: RawDataset, section: DataSection) -> int:
    """Images of all parts."""
    trained = len(raw.y_train) if section.max_images is None else min(section.max_images, len(raw.y_train))
    return trained + len(raw.y_test) + (0 if raw.y_validation is None else len(raw.y_validation))
