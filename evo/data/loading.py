"""A configured data set, loaded: as tensors on the device where it fits, else left in its files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial

import numpy as np
import torch
from torch.nn import functional as F

from evo.data.datasets import DATASETS
from evo.data.image_folders import files, read
from evo.data.source import Images, Origin, Part, Source, Split
from spaces.size import Size, area, sides
from studies.config import DataSection
from studies.records import EvoError

FOLDER_SIZE = 32
"""Pixels of images from a folder where the configuration says nothing."""

IN_MEMORY = 4 << 30
"""Bytes that a folder's images may take as tensors where the configuration says nothing."""


@lru_cache(maxsize=2)
def load(section: DataSection, device: str = "cpu") -> Images:
    """The data set that a configuration names, on ``device`` (``auto``: CUDA where there is one).

    Raises:
        EvoError: its files are not where the configuration says; the message says which folder to fill.
    """
    if section.in_memory is False and section.name != "images":
        raise EvoError(f"data.in_memory = false is for data.name = 'images', found {section.name!r}; leave it out")
    raw = DATASETS[section.name](section)
    x, y, x_test, y_test = raw.arrays
    order = np.random.default_rng(0).permutation(len(y))  # one split for all runs, so that they can be compared
    order = _interleave(order, y)[: section.max_images]
    x, y = x[order], y[order]
    held = round(len(y) * section.validation_fraction)
    if held < 1 or held >= len(y):
        raise EvoError(
            f"data.validation_fraction={section.validation_fraction} of {len(y)} images leaves none to train on or none "
            "to score by"
        )
    place = _device(device)
    part: Callable[[np.ndarray, np.ndarray], Source]
    if x.dtype.kind != "U":
        moments = _moments(x[held:])
        part = partial(_split, moments=moments, size=section.size, device=place)
    else:
        size = section.size or FOLDER_SIZE
        if _fits(section, (len(x) + len(x_test)) * area(size)):
            x, x_test = read(x, size), read(x_test, size)
            moments = _moments(x[held:])
            part = partial(_split, moments=moments, size=size, device=place)
        else:
            moments = _moments(read(x[held :: len(x) // 500 + 1], size))
            part = partial(files, moments=moments, size=size, device=place, workers=section.workers)
    mean, std = (tuple(values.tolist()) for values in moments)
    given: dict[Part, tuple[np.ndarray, np.ndarray]] = {
        "train": (x[held:], y[held:]),
        "validation": (x[:held], y[:held]),
        "test": (x_test, y_test),
    }
    sources = {
        name: replace(part(*arrays), origin=Origin(load, section, device, name)) for name, arrays in given.items()
    }
    return Images(**sources, class_names=raw.class_names, mean=mean, std=std)


def _fits(section: DataSection, pixels: int) -> bool:
    """Whether images of a folder become tensors, of three channels in single precision."""
    return 4 * 3 * pixels < IN_MEMORY if section.in_memory is None else section.in_memory


def _device(name: str) -> torch.device:
    """What ``device`` in a configuration means on this machine.

    Raises:
        EvoError: CUDA is asked for and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise EvoError("device is 'cuda', and torch finds no CUDA device here; set device to 'auto' or 'cpu'")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def _interleave(order: np.ndarray, y: np.ndarray) -> np.ndarray:
    """``order`` rearranged so that every stretch of it holds all classes alike."""
    place = np.empty(len(order))
    for label in np.unique(y):
        members = np.flatnonzero(y[order] == label)
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    return order[np.argsort(place, kind="stable")]


Moments = tuple[np.ndarray, np.ndarray]


def _moments(x: np.ndarray) -> Moments:
    """Mean and standard deviation per channel, of values in [0, 1]."""
    values = x[:: max(1, len(x) // 5000)].reshape(-1, x.shape[-1]) / 255.0
    return values.mean(axis=0), values.std(axis=0) + 1e-6


def _split(x: np.ndarray, y: np.ndarray, moments: Moments, size: Size | None, device: torch.device) -> Split:
    images = torch.from_numpy(x).permute(0, 3, 1, 2).float().div_(255.0)
    if size is not None and sides(size) != images.shape[2:]:
        images = F.interpolate(images, sides(size), mode="bilinear", antialias=True)
    mean, std = (torch.tensor(values).float().view(1, -1, 1, 1) for values in moments)
    images = images.sub_(mean).div_(std).contiguous(memory_format=torch.channels_last)
    return Split(images, torch.from_numpy(y.astype(np.int64))).to(device)
