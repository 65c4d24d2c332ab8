"""Data looked at before anything runs: files are checked, images loaded, and what was found is said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from evo.console import Track, untracked
from evo.data.datasets import dataset_folder, maker_of, raw_dataset
from evo.data.folders.unlabelled import has_no_class_folders
from evo.data.image_files import check_files
from evo.data.image_folders import Photographs
from evo.data.loading import load_dataset
from evo.data.report import summary
from evo.data.source import DataReport
from studies.config import DataSection, StudyConfig, change_config


def inspect_data(section: DataSection, device: str, track: Track = untracked) -> DataReport:
    """What the data set that a configuration names holds; its files have been checked.

    Raises:
        EvoError: something stands in the way of using it; the message names the file or the class, and what to do.
    """
    checked = None
    if section.name == "images":
        raw = raw_dataset(section, maker_of(section))
        paths = [path for part in raw.parts if isinstance(part, Photographs) for path in part.paths.tolist()]
        checked = check_files(paths, track) if paths else None
    report = load_dataset(section, device).report
    assert report is not None
    if checked is None:
        return report
    return replace(report, sizes=checked.sizes, warnings=(*report.warnings, *checked.remarks))


def settle_labels(config: StudyConfig) -> StudyConfig:
    """The same settings, with ``data.labels = false`` where they do not say it and no image lies in a class folder; only for
    an evaluator that can do without labels."""
    section = config.data
    if section.name != "images" or section.labels is not None or not config.evaluator.without_labels:
        return config
    if not has_no_class_folders(dataset_folder(section)):
        return config
    return change_config(config, ["data.labels=false"], "settings")


def tell(report: DataReport, say: Callable[[str], None], warn: Callable[[str], None]) -> None:
    """Say what was found, a line, and warn of what looks wrong, a line each."""
    say(summary(report))
    warn_of(report, warn)


def warn_of(report: DataReport, warn: Callable[[str], None]) -> None:
    """Warn of what looks wrong, a line each."""
    for warning in report.warnings:
        warn(f"warning: {report.title}: {warning}")
