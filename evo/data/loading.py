"""A configured data set, loaded: divided, normalised, as tensors on the device where it fits, else left where it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from evo.data.arrays import highest
from evo.data.datasets import maker_of, raw_dataset
from evo.data.decoded.kept import KeptPictures, are_encoded, keep_middles, keep_scaled
from evo.data.normalising import Normaliser
from evo.data.raw import DatasetMaker, RawDataset, dataset_title, fits_in_memory
from evo.data.report import report_of
from evo.data.source import Images, ImageSet, Origin, Part, Pictures, Resize
from evo.data.streaming import StreamedImages, read_images, stream_images
from spaces.size import Size, as_size, both_sides, pixel_count
from studies.config import DataSection
from studies.records import EvoError

Kept = np.ndarray | Pictures
"""Images before they are normalised."""

Moments = tuple[np.ndarray, np.ndarray]
"""Mean and standard deviation per channel, of values from 0 to 1."""

FOLDER_SIZE = 32
"""Pixels of images from a folder where the configuration says nothing."""


def load_dataset(section: DataSection, device: str = "cpu") -> Images:
    """The data set that a configuration names, on ``device`` (``auto``: CUDA where there is one).

    Raises:
        EvoError: its files are not where the configuration says; the message says which folder to fill. Or it is none that
            can be used.
    """
    return _load_cached(section, device, maker_of(section))


def forget_datasets() -> None:
    """Let files be read anew: since the last command of this process (a notebook's), they may have changed."""
    _load_cached.cache_clear()


@lru_cache(maxsize=2)
def _load_cached(section: DataSection, device: str, maker: DatasetMaker) -> Images:
    kept = raw_dataset(section, maker)
    if section.short_side is not None:
        kept = _scaled_once(kept, section)
    if section.in_memory is False and isinstance(kept.x_train, np.ndarray):
        raise EvoError(
            f"data.in_memory = false is for data.name = 'images' or a data set of torch, found {section.name!r}: leave it out"
        )
    x, y = _divided(kept, section)
    is_chosen, x = not isinstance(x["train"], np.ndarray), _in_memory(x, section)
    moments, source = _source_of(x, section, resolve_device(device))
    sources: dict[str, Any] = {
        name: replace(source(x[name], y[name]), origin=Origin(load_dataset, section, device, name)) for name in x
    }
    mean, std = (tuple(values.tolist()) for values in moments)
    report = report_of(kept, section, y, sources["train"].size, sources["train"].channels)
    if is_chosen:
        where = "read into memory" if isinstance(x["train"], np.ndarray) else "read from their files in every epoch"
        report = replace(report, kept=f"{where} (data.in_memory)")
    return Images(
        **sources,
        class_names=kept.class_names,
        mean=mean,
        std=std,
        resize=_resize_of(kept.x_train, section),
        report=report,
    )


def _scaled_once(kept: RawDataset, section: DataSection) -> RawDataset:
    """The data set with images of ``data.short_side``, from which all else is cut.

    Raises:
        EvoError: the images are not encoded, or larger ones are wanted.
    """
    short_side, wanted = section.short_side, max(both_sides(section.size or FOLDER_SIZE))
    assert short_side is not None
    if short_side < wanted:
        raise EvoError(
            f"data.short_side is {short_side}, and images of {wanted} pixels are cut from it (data.size): expected {wanted} or "
            "more"
        )
    parts: dict[str, Any] = {}
    for name in ("x_train", "x_test", "x_validation"):
        if (x := getattr(kept, name)) is not None:
            if not are_encoded(x):
                raise EvoError(
                    f"data.short_side is for images in files, and those of {dataset_title(section)} are not encoded: leave it "
                    "out"
                )
            parts[name] = keep_scaled(x, short_side, section.cache)
    return replace(kept, **parts)


def _divided(kept: RawDataset, section: DataSection) -> tuple[dict[Part, Kept], dict[Part, np.ndarray]]:
    """Images and labels of the three parts. Validation images are those that the data set has for it, else a fraction of the
    training images."""
    x: dict[Part, Kept]
    if kept.x_validation is not None and kept.y_validation is not None:
        order = np.random.default_rng(0).permutation(len(kept.y_train))
        train = _interleave(order, kept.y_train)[: section.max_images]
        x = {"train": _take(kept.x_train, train), "validation": kept.x_validation, "test": kept.x_test}
        return x, {"train": kept.y_train[train], "validation": kept.y_validation, "test": kept.y_test}
    train, validation = _validation_split(kept.y_train, section)
    x = {"train": _take(kept.x_train, train), "validation": _take(kept.x_train, validation), "test": kept.x_test}
    return x, {"train": kept.y_train[train], "validation": kept.y_train[validation], "test": kept.y_test}


def _resize_of(x: Kept, section: DataSection) -> Resize:
    if isinstance(x, np.ndarray):
        return "none" if section.size is None or both_sides(section.size) == x.shape[1:3] else "stretch"
    return "none" if x.size is not None and section.size in (None, x.size) else "cover"


def _validation_split(y: np.ndarray, section: DataSection) -> tuple[np.ndarray, np.ndarray]:
    """The places of the training images that train, and of those that validate: the same in all runs, so that they can be
    compared."""
    order = np.random.default_rng(0).permutation(len(y))
    order = _interleave(order, y)[: section.max_images]
    held = round(len(order) * section.validation_fraction)
    if held < 1 or held >= len(order):
        raise EvoError(
            f"data.validation_fraction={section.validation_fraction} of {len(order)} images leaves none to train on or none "
            "to score by"
        )
    return order[held:], order[:held]


def _take(x: Kept, places: np.ndarray) -> Kept:
    return x[places] if isinstance(x, np.ndarray) else x.take(places)


def _in_memory(x: dict[Part, Kept], section: DataSection) -> dict[Part, Kept]:
    """Pictures that fit are read; others are left as they are."""
    train = x["train"]
    if isinstance(train, np.ndarray):
        return x
    size = _size(train, section)
    if not fits_in_memory(section, 4 * image_values(train, section, sum(map(len, x.values())))):
        return x
    return {
        name: part if isinstance(part, np.ndarray) else read_images(part, size, section.workers)
        for name, part in x.items()
    }


def image_values(pictures: Pictures, section: DataSection, count: int) -> int:
    """Numbers of so many images as they are used."""
    return pictures.channels * pixel_count(_size(pictures, section)) * count


def _size(pictures: Pictures, section: DataSection) -> Size:
    return section.size or pictures.size or FOLDER_SIZE


def _source_of(
    x: dict[Part, Kept], section: DataSection, device: torch.device
) -> tuple[Moments, Callable[[Any, np.ndarray], ImageSet | StreamedImages]]:
    """Mean and deviation of the training images, and what makes a source of images and labels."""
    train = x["train"]
    if isinstance(train, np.ndarray):
        moments = _channel_moments(train)
        normalise = Normaliser.of(*moments, as_size(list(train.shape[1:3])), device)
        return moments, partial(_image_set, normalise=normalise, moments=moments, size=section.size, device=device)
    size = _size(train, section)
    middles = {id(part): _middles(part, size, section) for part in x.values() if not isinstance(part, np.ndarray)}
    some = (middles[id(train)] or train).take(slice(None, None, (len(train) + len(x["validation"])) // 500 + 1))
    moments = _channel_moments(read_images(some, size))

    def streamed(pictures: Pictures, y: np.ndarray) -> StreamedImages:
        return stream_images(pictures, y, moments, size, device, section.workers, middles[id(pictures)])

    return moments, streamed


def _middles(pictures: Pictures, size: Size, section: DataSection) -> KeptPictures | None:
    """Pictures as they are measured, decoded once, where that is wanted and decoding is work."""
    return keep_middles(pictures, size) if section.cache and are_encoded(pictures) else None


def resolve_device(name: str) -> torch.device:
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


def _channel_moments(x: np.ndarray) -> Moments:
    """Mean and standard deviation per channel, of values in [0, 1]."""
    values = x[:: max(1, len(x) // 5000)].reshape(-1, x.shape[-1]) / highest(x)
    return values.mean(axis=0), values.std(axis=0) + 1e-6


def _image_set(
    x: np.ndarray, y: np.ndarray, normalise: Normaliser, moments: Moments, size: Size | None, device: torch.device
) -> ImageSet:
    """Bytes stay bytes; floats, and what has to be resized, are normalised once."""
    labels = torch.from_numpy(y.astype(np.int64)).to(device)
    images = torch.from_numpy(x).permute(0, 3, 1, 2)
    resized = size is not None and both_sides(size) != images.shape[2:]
    if images.dtype == torch.uint8 and not resized:
        kept = images.to(torch.uint8, copy=True).contiguous(memory_format=torch.channels_last)
        return ImageSet(kept.to(device), labels, normalise)
    images = images.to(torch.float32, copy=True).div_(highest(x))
    if resized and size is not None:
        images = F.interpolate(images, both_sides(size), mode="bilinear", antialias=True)
    mean, std = (torch.tensor(values).float().view(1, -1, 1, 1) for values in moments)
    images = images.sub_(mean).div_(std).contiguous(memory_format=torch.channels_last)
    return ImageSet(images.to(device), labels)
