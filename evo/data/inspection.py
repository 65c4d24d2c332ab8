"""Data looked at before anything runs: files are checked, images loaded, and what was found is said.

What settings leave open is decided when a run begins. Whether images are read into memory is part of its results: random crops
of an image that was scaled down already are others than those of its file, and the numbers that are drawn are others. So a run
goes on as it began, wherever it is continued.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import torch

from evo.console import Track, untracked
from evo.data.datasets import dataset_place, encoded_parts, maker_of, raw_dataset
from evo.data.decoded.filling import fill
from evo.data.decoded.kept import KeptPictures, are_encoded
from evo.data.fingerprint import reads_images
from evo.data.folders.unlabelled import has_no_class_folders
from evo.data.image_files import are_grey, check_images
from evo.data.loading import image_values, load_dataset, resolve_device
from evo.data.raw import RawDataset, fits_by_default
from evo.data.report import summary
from evo.data.source import DataReport
from evo.data.streaming import StreamedImages
from evo.system_memory import system_memory
from studies.config import DataSection, StudyConfig, change_config

SHARE = 0.25
"""The share of the memory that there is that images may fill: a step, and reading them, take much of the rest."""

FLOAT = 4
"""Bytes of a number that is no byte."""

CROP = "resized_crop"
"""The change of images that is better made from their files: it cuts out parts of them."""


def inspect_data(section: DataSection, device: str, track: Track = untracked) -> DataReport:
    """What the data set that a configuration names holds; its files have been checked.

    Raises:
        EvoError: something stands in the way of using it; the message names the file or the class, and what to do.
    """
    checked = None
    if section.name == "images":
        raw = raw_dataset(section, maker_of(section))
        encoded = encoded_parts(raw)
        checked = check_images(encoded, track) if encoded else None
    report = load_dataset(section, device).report
    assert report is not None
    if checked is None:
        return report
    return replace(report, sizes=checked.sizes, warnings=(*report.warnings, *checked.remarks))


def decode_ahead(section: DataSection, device: str, track: Track = untracked) -> int:
    """Decode the images that stay in their files and are kept decoded: those that score candidates, and with
    ``data.short_side`` those that train, too. How many were decoded now.

    Raises:
        EvoError: an image cannot be read.
    """
    images, decoded = load_dataset(section, device), 0
    for source in (images.validation, images.train):
        if not isinstance(source, StreamedImages):
            continue
        if isinstance(source.pictures, KeptPictures):
            decoded += fill(source.pictures, section.workers, track)
        elif isinstance(source.middles, KeptPictures) and source is images.validation:
            decoded += fill(source.middles, section.workers, track)
    return decoded


def settle_labels(config: StudyConfig) -> StudyConfig:
    """The same settings, with ``data.labels = false`` where they do not say it and no image lies in a class folder; only for
    an evaluator that can do without labels."""
    section = config.data
    if section.name != "images" or section.labels is not None or not config.evaluator.without_labels:
        return config
    if not has_no_class_folders(dataset_place(section)):
        return config
    return change_config(config, ["data.labels=false"], "settings")


def settle_data(config: StudyConfig, earlier: StudyConfig | None = None, track: Track = untracked) -> StudyConfig:
    """The settings of a run that begins: what they leave open is decided by the images, and is the run's from then on.

    Args:
        earlier: those of the run that it continues.

    Raises:
        EvoError: the images cannot be read.
    """
    config = settle_labels(config)
    if config.data.name != "images" or not reads_images(config):
        return config
    section, raw = config.data, cache(lambda: raw_dataset(config.data, maker_of(config.data)))
    settled: dict[str, object] = {}
    if section.channels is None:
        settled["channels"] = _settled_channels(config, raw, track) if earlier is None else earlier.data.channels
    if section.in_memory is None:
        settled["in_memory"] = kept_where(section, raw(), config.device) if earlier is None else earlier.data.in_memory
    changes = [f"data.{name}={json.dumps(value)}" for name, value in settled.items() if value is not None]
    return change_config(config, changes, "settings") if changes else config


def _settled_channels(config: StudyConfig, raw: Callable[[], RawDataset], track: Track) -> int | None:
    """1 where all images are grey files, unless a network or a space is made for colours; None: as the settings have it."""
    if _sees_three(config):
        return None
    encoded = encoded_parts(raw())
    return 1 if encoded and are_grey(encoded, track) else None


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


def _sees_three(config: StudyConfig) -> bool:
    """Whether settings name a trained network, or a space that may be made for three channels."""
    if config.space.path is not None or config.space.channels is not None:
        return True
    teacher = getattr(config.evaluator, "teacher", None)
    trained = teacher is not None and (teacher.model is not None or teacher.weights is not None)
    return config.evaluator.starts_networks or trained or config.deliver.teacher not in (None, config.evaluator.teaches)


def tell(report: DataReport, say: Callable[[str], None], warn: Callable[[str], None]) -> None:
    """Say what was found, a line, and warn of what looks wrong, a line each."""
    say(summary(report))
    warn_of(report, warn)


def warn_of(report: DataReport, warn: Callable[[str], None]) -> None:
    """Warn of what looks wrong, a line each."""
    for warning in report.warnings:
        warn(f"warning: {report.title}: {warning}")
