"""Data sets from their official files."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from evo.data.datasets import IDX
from evo.data.loading import _load_cached, load_dataset
from studies.config import DataSection
from studies.records import EvoError


def packed(folder: Path, name: str, values: np.ndarray) -> None:
    header = bytes((0, 0, 8, values.ndim)) + struct.pack(f">{values.ndim}i", *values.shape)
    (folder / f"{name}-ubyte.gz").write_bytes(gzip.compress(header + values.astype(np.uint8).tobytes()))


@pytest.fixture
def section(tmp_path: Path) -> DataSection:
    """Twenty training and ten test images of 28 x 28 pixels, packed as the official files are."""
    folder = tmp_path / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for images, labels, n in ((IDX[0], IDX[1], 20), (IDX[2], IDX[3], 10)):
        packed(folder, images, rng.integers(0, 256, (n, 28, 28)))
        packed(folder, labels, np.arange(n) % 10)
    return DataSection(name="fashion_mnist", path=str(tmp_path), download=False)


def test_fashion_mnist_is_read_from_its_packed_files(section: DataSection) -> None:
    images = load_dataset(section)
    assert (len(images.train), len(images.validation), len(images.test)) == (16, 4, 10)
    assert (images.channels, images.size, images.classes) == (1, 28, 10)
    assert images.test.y.tolist() == list(range(10))


def test_a_damaged_file_is_named(section: DataSection) -> None:
    broken = Path(section.path) / "FashionMNIST" / "raw" / f"{IDX[0]}-ubyte.gz"
    broken.write_bytes(broken.read_bytes()[:100])
    _load_cached.cache_clear()
    with pytest.raises(
        EvoError, match=r"train-images-idx3-ubyte\.gz is not a packed idx file, or is damaged .*fetch it"
    ):
        load_dataset(section)


def test_fashion_mnist_s_classes_have_their_names(section: DataSection) -> None:
    _load_cached.cache_clear()
    assert load_dataset(section).class_names[7:] == ("Sneaker", "Bag", "Ankle boot")


def arrays(path: Path, **more: object) -> DataSection:
    x, y = np.full((20, 4, 4), 9, np.uint8), np.arange(20) % 3
    np.savez(path, x_train=x, y_train=y, x_test=x, y_test=y, **more)  # type: ignore[arg-type]
    return DataSection(name="arrays", path=str(path))


def test_arrays_name_their_classes_or_number_them(tmp_path: Path) -> None:
    assert load_dataset(arrays(tmp_path / "a.npz")).class_names == ("0", "1", "2")
    assert load_dataset(arrays(tmp_path / "b.npz", classes=["ant", "bee", "cat"])).class_names == ("ant", "bee", "cat")
    with pytest.raises(
        EvoError, match=r"'arrays' \(.*c.npz\): y_train counts to 2, and there are 2 classes \(ant, bee\)"
    ):
        load_dataset(arrays(tmp_path / "c.npz", classes=["ant", "bee"]))


def test_the_real_files_hold_seventy_thousand_images(data_dir: Path) -> None:
    images = load_dataset(DataSection(name="fashion_mnist", path=str(data_dir), size=14, max_images=1000))
    assert len(images.test) == 10_000
    assert images.test.y[:5].tolist() == [9, 2, 1, 1, 6]
