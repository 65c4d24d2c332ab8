"""The images of the benchmark, as sections ``data`` of a configuration; what has to be made lies below ``--out``."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from evo.data.image_folders import read_folder

SPLIT_SEED = 0
"""Divides the solar cells into training and test images, for all seeds alike."""

TEST_SHARE = 0.2
"""Part of the solar cells that are test images."""

FEW = 15
"""Images a class for training and validation in ``sign_digits_15``."""

MOST_IMAGES = 2000
"""Training images of CIFAR-10 and Fashion-MNIST, validation images among them; all test images are used."""


def sign_digits(path: Path, folder: Path, seed: int) -> Mapping[str, Any]:
    """Hands that show digits; every sixth image is a test image."""
    return {"name": "images", "path": str(path)}


def sign_digits_15(path: Path, folder: Path, seed: int) -> Mapping[str, Any]:
    """Few images to train on, drawn by ``seed``; the test images are those of ``sign_digits``."""
    target = folder / f"sign_digits_{FEW}-{seed}"
    make_once(target, lambda place: take_few(path, place, FEW, seed))
    return {"name": "images", "path": str(target)}


def elpv(path: Path | None, folder: Path, seed: int) -> Mapping[str, Any]:
    """Solar cells, whole or defective (package ``elpv-dataset``, https://github.com/zae-bayern/elpv-dataset)."""
    make_once(folder / "elpv", _write_elpv)
    return {"name": "images", "path": str(folder / "elpv")}


def cifar10(path: Path, folder: Path, seed: int) -> Mapping[str, Any]:
    """An ``.npz`` file of ``x_train``, ``y_train``, ``x_test``, ``y_test``; images are enlarged."""
    return {"name": "arrays", "path": str(path), "max_images": MOST_IMAGES}


def fashion_mnist(path: Path, folder: Path, seed: int) -> Mapping[str, Any]:
    """The four official files, in or below ``path``; images are enlarged."""
    return {"name": "fashion_mnist", "path": str(path), "max_images": MOST_IMAGES}


DATA: dict[str, Callable[[Any, Path, int], Mapping[str, Any]]] = {
    "sign_digits": sign_digits,
    "sign_digits_15": sign_digits_15,
    "elpv": elpv,
    "cifar10": cifar10,
    "fashion_mnist": fashion_mnist,
}
"""Name -> what makes its section ``data`` from ``--path``, a folder for what is made, and a seed."""

NEED_NO_PATH = ("elpv",)


def make_once(folder: Path, fill: Callable[[Path], None]) -> None:
    """Let ``fill`` make ``folder``, which appears when it is whole; several processes may try."""
    if folder.is_dir():
        return
    draft = folder.with_name(f"{folder.name}.{os.getpid()}.part")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    fill(draft)
    try:
        draft.rename(folder)
    except OSError:  # another process was first
        shutil.rmtree(draft)


def take_few(source: Path, target: Path, number: int, seed: int) -> None:
    """Copy ``number`` training images of each class, drawn by ``seed``, and all test images, as the program divides ``source``.

    Raises:
        ValueError: a class has fewer.
        EvoError: as ``read_folder``.
    """
    found, rng = read_folder(source), np.random.default_rng(seed)
    for label, name in enumerate(found.class_names or ()):
        own = found.x_train.paths[found.y_train == label]
        if len(own) < number:
            raise ValueError(f"class {name} of {source} has {len(own)} training images: expected at least {number}")
        _copy(rng.choice(own, number, replace=False), target / "train" / name)
        _copy(found.x_test.paths[found.y_test == label], target / "test" / name)


def _copy(paths: np.ndarray, folder: Path) -> None:
    folder.mkdir(parents=True)
    for path in paths.tolist():
        shutil.copyfile(path, folder / Path(path).name)


def _write_elpv(folder: Path) -> None:
    from elpv_dataset.utils import load_dataset

    images, probabilities, _ = load_dataset()
    write_cells(images, probabilities, folder)


def write_cells(images: np.ndarray, probabilities: np.ndarray, folder: Path) -> None:
    """Write grey images ``(n, height, width)`` of bytes into class folders below ``train`` and ``test``.

    A cell is defective where the probability, from 0 to 1, is a half or more. Classes are divided alike, by a fixed seed.
    """
    rng = np.random.default_rng(SPLIT_SEED)
    for name, chosen in (("functional", probabilities < 0.5), ("defective", probabilities >= 0.5)):
        order = rng.permutation(np.flatnonzero(chosen))
        held = round(TEST_SHARE * len(order))
        for part, places in (("test", order[:held]), ("train", order[held:])):
            (folder / part / name).mkdir(parents=True)
            for place in places.tolist():
                Image.fromarray(images[place]).save(folder / part / name / f"cell{place:04}.png")
