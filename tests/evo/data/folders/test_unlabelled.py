"""Folders of images without classes: what is read, how it is divided, and which settings take it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from evo.data.fingerprint import forget_data, hash_images
from evo.data.folders.unlabelled import has_no_class_folders
from evo.data.inspection import settle_labels
from evo.data.loading import load_dataset
from evo.data.report import summary
from evo.data.source import Images, ImageSet
from studies.config import DataSection, StudyConfig, check_config
from studies.records import EvoError


def fill(folder: Path, n: int, first: int = 0) -> Path:
    """Images of one grey each, no two alike in all folders of a test."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(first, first + n):
        Image.new("RGB", (8, 8), (i, i, i)).save(folder / f"{i:03}.png")
    return folder


def section(root: Path, **more: object) -> DataSection:
    forget_data()
    return DataSection.model_validate(
        {"name": "images", "path": str(root), "size": 8, "workers": 0, "labels": False} | more
    )


def greys(images: Images, part: ImageSet) -> list[int]:
    """Which images a part holds, by their grey."""
    raw = part.x * torch.tensor(images.std).view(-1, 1, 1) + torch.tensor(images.mean).view(-1, 1, 1)
    return [round(float(value) * 255) for value in raw.mean(dim=(1, 2, 3))]


def test_all_images_are_divided_and_none_is_in_two_parts(tmp_path: Path) -> None:
    found = load_dataset(section(fill(tmp_path / "flat", 60), validation_fraction=0.2))
    train, validation, test = (greys(found, part) for part in (found.train, found.validation, found.test))  # type: ignore[arg-type]
    assert test == list(range(5, 60, 6))
    assert (len(train), len(validation)) == (40, 10)
    assert sorted(train + validation + test) == list(range(60))
    assert validation != sorted(validation)  # drawn at random, not the first ones
    assert (found.class_names, found.classes) == ((), 0)
    assert found.report
    assert (
        "40 training images, 10 validation images (20% of the training images), 10 test images (every sixth image); without "
        in (summary(found.report))
    )
    assert "class" not in summary(found.report)
    assert len(load_dataset(section(tmp_path / "flat", max_images=20)).train) == 16


def test_folders_that_are_called_like_parts_are_parts(tmp_path: Path) -> None:
    for name, first in (("Train", 0), ("val", 20), ("test", 30)):
        fill(tmp_path / name, 10 + 10 * (name == "Train"), first)
    found = load_dataset(section(tmp_path))
    assert sorted(greys(found, found.train)) == list(range(20))  # type: ignore[arg-type]
    assert greys(found, found.validation) == list(range(20, 30))  # type: ignore[arg-type]
    assert greys(found, found.test) == list(range(30, 40))  # type: ignore[arg-type]


def test_the_fingerprint_is_that_of_the_images_and_their_names(tmp_path: Path) -> None:
    here, there = fill(tmp_path / "here", 12), fill(tmp_path / "there", 12)
    same = hash_images(section(here))
    assert hash_images(section(there)) == same
    (there / "003.png").rename(there / "zzz.png")
    assert hash_images(section(there)) != same
    pixels = np.array(Image.open(here / "004.png"))
    pixels[0, 0] += 1
    Image.fromarray(pixels).save(here / "004.png")
    assert hash_images(section(here)) != same


@pytest.mark.parametrize(
    ("folders", "unlabelled"),
    [
        ({".": 3}, True),
        ({"train": 3, "test": 2}, True),
        ({"ant": 3, "bee": 3}, False),
        ({"ant": 3}, False),
        ({".": 3, "ant": 3}, False),
        ({"train/ant": 3, "train/bee": 3, "test/ant": 1}, False),
        ({"train/ant": 3, "test": 2}, False),
        ({}, False),
    ],
)
def test_a_folder_without_class_folders_is_known(tmp_path: Path, folders: dict[str, int], unlabelled: bool) -> None:
    for name, n in folders.items():
        fill(tmp_path / name, n)
    (tmp_path / "notes").mkdir()
    (tmp_path / ".hidden").mkdir()
    assert has_no_class_folders(tmp_path) is unlabelled
    assert not has_no_class_folders(tmp_path / "nowhere")


def test_what_cannot_be_read_is_answered_in_words(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    fill(tmp_path / "two" / "train", 1)
    fill(tmp_path / "two" / "Training", 1)
    for name, said in (
        (
            "empty",
            r"have no labels \(data.labels\), and no image lies in .*empty: expected PATH/IMAGE, or PATH/train/IMAGE",
        ),
        ("two", "and both Training and train are called like its train images: rename one"),
        ("nowhere", "no such folder; expected one of images, PATH/IMAGE"),
    ):
        with pytest.raises(EvoError, match=said):
            load_dataset(section(tmp_path / name))


# -- which settings take it -------------------------------------------------------------------------------------------


def settings(kind: str, root: Path, **data: object) -> StudyConfig:
    space = {"name": "pretrained" if kind == "cuts" else "digits"}
    method = {"method": "evidence" if kind == "cuts" else "fixed"}
    known = {"name": "images", "path": str(root), "size": 8} | data
    return check_config({"space": space, "data": known, "evaluator": {"kind": kind}, "evolution": method}, "test")


def test_labels_are_found_missing_for_what_can_do_without_them(tmp_path: Path) -> None:
    flat, classes = fill(tmp_path / "flat", 6), tmp_path / "classes"
    for name in ("ant", "bee"):
        fill(classes / name, 6)
    assert settle_labels(settings("cuts", flat)) == settings("cuts", flat, labels=False)
    for config in (settings("cuts", classes), settings("oneshot", flat), settings("cuts", flat, labels=True)):
        assert settle_labels(config) is config


@pytest.mark.parametrize("kind", ["oneshot", "scratch"])
def test_what_learns_from_labels_refuses_images_without(tmp_path: Path, kind: str) -> None:
    forget_data()
    with pytest.raises(
        EvoError, match=f"data.labels is false, and evaluator.kind is '{kind}', which learns from labels: expected"
    ):
        settings(kind, fill(tmp_path, 6), labels=False)
    with pytest.raises(
        EvoError, match="no training images in class folders, and 6 images in no folder; expected PATH/CLASS/IM"
    ):
        load_dataset(settings(kind, tmp_path).data)


def test_one_class_is_no_class(tmp_path: Path) -> None:
    fill(tmp_path / "ant", 6)
    for kind in ("oneshot", "cuts"):
        forget_data()
        with pytest.raises(
            EvoError, match="holds one class only, 'ant': expected two .* cut a trained network that has classes"
        ):
            load_dataset(settle_labels(settings(kind, tmp_path)).data)


def test_settings_that_say_other_things_than_no_labels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EvoError, match="data.labels is false: expected data.name = 'images', found 'digits'"):
        settings("cuts", tmp_path, name="digits", labels=False)
    config = settings("cuts", tmp_path, labels=False).model_dump()
    config["deliver"]["teacher"] = "folder"
    with pytest.raises(EvoError, match="deliver.teacher is 'folder': without labels the whole network teaches"):
        check_config(config, "test")
