"""What a data set holds, in a line, and what looks wrong with it: said before anything runs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from evo.data.raw import RawDataset, dataset_title, some_names
from evo.data.source import DataReport, Part, PartReport
from spaces.size import Size, size_text
from studies.config import DataSection

PARTS: tuple[Part, ...] = ("train", "validation", "test")
"""The parts in the order in which they are told."""


def report_of(
    raw: RawDataset, section: DataSection, labels: Mapping[Part, np.ndarray], size: Size, channels: int
) -> DataReport:
    """What there is to say of a data set that was divided.

    Args:
        labels: of each part, as it is used.
        size: of the images as they are used.
    """
    classes = len(raw.class_names)
    counts = {part: np.bincount(labels[part].astype(np.int64), minlength=classes).tolist() for part in PARTS}
    origins: dict[str, str] = dict(raw.origins)
    if raw.y_validation is None:
        origins["validation"] = f"{section.validation_fraction:.0%} of the training images"
    if len(labels["train"]) + (len(labels["validation"]) if raw.y_validation is None else 0) < len(raw.y_train):
        origins["train"] = ", ".join(filter(None, (origins.get("train"), f"data.max_images of {len(raw.y_train):,}")))
    parts = {part: PartReport(tuple(counts[part]), origins.get(part, "")) for part in PARTS}
    warnings = (*raw.warnings, *_few_images(raw.class_names, parts))
    return DataReport(
        dataset_title(section), parts, raw.class_names, channels, size, ignored=raw.ignored, warnings=warnings
    )


def _few_images(names: tuple[str, ...], parts: Mapping[Part, PartReport]) -> list[str]:
    """Classes that a part has no images of, or that one image is to teach, a sentence each; none where there are no labels."""
    if not names:
        return []
    per_class = list(zip(names, *(parts[part].counts for part in PARTS), strict=True))
    untrained = [name for name, train, *others in per_class if not train and any(others)]
    single = [name for name, train, *_ in per_class if train == 1]
    unscored = [name for name, train, validation, _ in per_class if train and not validation]
    found = []
    if untrained:
        found.append(
            f"no image of {some_names(untrained)} is left to train on, and validation or test images are of it: add images"
        )
    if single:
        found.append(f"one image only trains {some_names(single)}: add images, or leave the class out")
    if unscored:
        found.append(f"no validation image is of {some_names(unscored)}: scores say nothing about it; add images")
    return found


def summary(report: DataReport) -> str:
    """What was found, in a line: images of each part, classes, least and most of a class, sizes, where they are kept, what was
    ignored."""
    parts = ", ".join(_part_words(name, report.parts[name]) for name in PARTS)
    trained = report.parts["train"].counts
    least, most = min(trained), max(trained)
    each = f"{least:,}" if least == most else f"{least:,} to {most:,}"
    ignored = f"; ignored: {', '.join(report.ignored)}" if report.ignored else ""
    names = some_names(report.class_names)
    classes = f"{len(report.class_names):,} classes of {each} training images: {names}" if names else "without labels"
    return (
        f"{report.title}: {parts}; {classes}; "
        f"{_pixels(report)}, {report.channels} {'channel' if report.channels == 1 else 'channels'}"
        f"{', ' if report.kept else ''}{report.kept}{ignored}"
    )


def _part_words(name: Part, part: PartReport) -> str:
    called = {"train": "training", "validation": "validation", "test": "test"}[name]
    origin = f" ({part.origin})" if part.origin else ""
    return f"{part.images:,} {called} images{origin}"


def _pixels(report: DataReport) -> str:
    """Sizes of the files, height x width, and what they become."""
    used = size_text(report.size)
    if report.sizes is None:
        return f"{used} pixels"
    (low, high), (narrow, wide) = report.sizes
    least, most = f"{low} x {narrow}", f"{high} x {wide}"
    found = f"{least} pixels" if least == most else f"{least} to {most} pixels"
    return found if least == most == used else f"{found}, scaled and cropped to {used} (data.size)"
