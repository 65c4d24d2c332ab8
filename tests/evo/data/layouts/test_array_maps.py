"""Images in ``.npy`` files: what arrays in an ``.npz`` file give, without being read whole."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from evo.data.fingerprint import forget_data, hash_images
from evo.data.layouts.array_maps import MappedImages
from evo.data.layouts.reading import read_layout_at
from evo.data.loading import load_dataset
from evo.data.source import ImageSet
from evo.data.streaming import StreamedImages
from studies.config import DataSection
from tests.evo.data.layouts.examples import load, refused

X = np.random.default_rng(0).integers(0, 256, (60, 6, 8), np.uint8)
Y = np.arange(60) % 3


def write(folder: Path, x: np.ndarray = X, y: np.ndarray = Y) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "images.npy", x)
    np.save(folder / "labels.npy", y)
    return folder


def test_maps_are_what_the_same_arrays_are(tmp_path: Path) -> None:
    test = np.arange(60) % 6 == 5
    np.savez(tmp_path / "a.npz", x_train=X[~test], y_train=Y[~test], x_test=X[test], y_test=Y[test])
    expected = load_dataset(DataSection(name="arrays", path=str(tmp_path / "a.npz")))
    for in_memory, kind in ((True, ImageSet), (False, StreamedImages), (None, ImageSet)):
        found = load(write(tmp_path / "maps"), in_memory=in_memory, size=None)
        assert isinstance(found.train, kind)
        assert (found.channels, found.size, found.class_names, found.resize) == (1, (6, 8), ("0", "1", "2"), "none")
        for part in ("train", "validation", "test"):
            ours, theirs = found.part(part), expected.part(part)  # type: ignore[arg-type]
            assert torch.equal(ours.y, theirs.y)
            for (x, _), (other, _) in zip(ours.batches(9), theirs.batches(9), strict=True):
                torch.testing.assert_close(x, other, rtol=0, atol=1e-6)


def test_folders_may_be_parts(tmp_path: Path) -> None:
    for name, places in (("train", range(40)), ("valid", range(40, 50)), ("test", range(50, 60))):
        write(tmp_path / name, X[places], np.array(["ant", "bee", "cat"])[Y[places]])
    images = load(tmp_path, size=None)
    assert [len(images.part(part)) for part in ("train", "validation", "test")] == [40, 10, 10]  # type: ignore[arg-type]
    assert images.class_names == ("ant", "bee", "cat")
    write(tmp_path / "val")
    refused(tmp_path, r"both val and valid are called like its validation images|both valid and val are called")


def test_images_stay_in_their_file(tmp_path: Path) -> None:
    raw = read_layout_at(write(tmp_path), True)
    assert raw is not None
    x = raw.x_train
    assert isinstance(x, MappedImages)
    assert len(pickle.dumps(x)) < X.nbytes
    again = pickle.loads(pickle.dumps(x))
    assert torch.equal(again[3], x[3])
    assert isinstance(again.arrays[0].base, np.memmap)


def test_what_is_in_the_files_counts_for_the_fingerprint(tmp_path: Path) -> None:
    def digest() -> str:
        forget_data()
        return hash_images(DataSection(name="images", path=str(tmp_path)))

    write(tmp_path)
    first = digest()
    assert digest() == first
    changed = X.copy()
    changed[17, 2, 3] ^= 1
    write(tmp_path, changed)
    assert digest() != first


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (X.astype(float), Y, r"images.npy holds float64 of shape \(60, 6, 8\); expected images.npy of uint8"),
        (X.reshape(60, -1), Y, r"images.npy holds uint8 of shape \(60, 48\)"),
        (
            np.zeros((60, 3, 8, 9), np.uint8),
            Y,
            r"images of 9 channels; .*channels come last: numpy.moveaxis\(x, 1, -1\)",
        ),
        (X, Y[:50], r"labels.npy has the shape \(50,\), and there are 60 images"),
        (X, Y + 0.5, r"labels.npy, image 0: its label is 0.5; expected the name of a class, or a whole number"),
        (X, Y - 1, r"labels.npy, image 0: its label is -1"),
        (X, np.array([""] * 60), r"labels.npy, image 0: it has no label"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, x: np.ndarray, y: np.ndarray, message: str) -> None:
    refused(write(tmp_path, x, y), message)


def test_files_that_are_missing_or_cut_short_are_told(tmp_path: Path) -> None:
    write(tmp_path)
    whole = (tmp_path / "images.npy").read_bytes()
    (tmp_path / "images.npy").write_bytes(whole[:900])
    refused(tmp_path, r"images.npy cannot be read as an .npy file, or is cut short")
    refused(tmp_path / "images.npy", r"one array: give the folder in which images.npy and labels.npy lie")
    (tmp_path / "images.npy").write_bytes(whole)
    (tmp_path / "labels.npy").unlink()
    refused(tmp_path, r"labels.npy is missing, and the images beside it need labels")
    assert load(tmp_path, labels=False).class_names == ()
    refused(tmp_path, r"data.channels is 3, which is for encoded images", channels=3, labels=False)
