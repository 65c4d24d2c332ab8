"""Arrays as people save them: labels in every usual form, and mistakes that are called by their names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evo.data.inspection import inspect_data, tell
from evo.data.loading import _load_cached, load_dataset
from evo.data.source import Images, ImageSet
from evo.round.new_run import first_space
from studies.config import DataSection, check_config
from studies.records import EvoError

N = 24
X = np.random.default_rng(0).integers(0, 256, (N, 6, 8), np.uint8)
Y = np.arange(N) % 3
NAMES = np.array(["ant", "bee", "cat"])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mine.npz"


def save(path: Path, **other: Any) -> DataSection:
    """Right arrays but for ``other``; None: not there."""
    arrays = {"x_train": X, "y_train": Y, "x_test": X[:6], "y_test": Y[:6]} | other
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    _load_cached.cache_clear()
    return DataSection(name="arrays", path=str(path))


def load(path: Path, **other: Any) -> Images:
    return load_dataset(save(path, **other))


def labels(images: Images) -> list[list[int]]:
    return [part.y.tolist() for part in (images.train, images.validation, images.test)]


FORMS: dict[str, tuple[np.ndarray, tuple[str, ...]]] = {
    "a column, as Keras gives them": (Y[:, None], ("0", "1", "2")),
    "bytes": (Y.astype(np.uint8), ("0", "1", "2")),
    "floats": (Y.astype(float), ("0", "1", "2")),
    "big-endian": (Y.astype(">i4"), ("0", "1", "2")),
    "one-hot": (np.eye(3, dtype=np.uint8)[Y], ("0", "1", "2")),
    "one-hot floats": (np.eye(3)[Y], ("0", "1", "2")),
    "one-hot truth values": (np.eye(3, dtype=bool)[Y], ("0", "1", "2")),
    "names": (NAMES[Y], ("ant", "bee", "cat")),
    "a column of names": (NAMES[Y][:, None], ("ant", "bee", "cat")),
    "names as bytes": (NAMES[Y].astype("S"), ("ant", "bee", "cat")),
}


@pytest.mark.parametrize("form", FORMS)
def test_labels_may_have_any_usual_form(path: Path, form: str) -> None:
    y, names = FORMS[form]
    images = load(path, y_train=y, y_test=y[:6])
    assert images.class_names == names
    assert labels(images) == labels(load(path))


def test_names_and_numbers_belong_together(path: Path) -> None:
    assert load(path, classes=NAMES).class_names == ("ant", "bee", "cat")
    other_order = load(path, y_train=NAMES[Y], y_test=NAMES[Y][:6], classes=NAMES[::-1])
    assert other_order.class_names == ("cat", "bee", "ant")
    assert labels(other_order) == [[2 - label for label in part] for part in labels(load(path))]
    assert load(path, classes=NAMES.astype("S")).class_names == ("ant", "bee", "cat")
    assert load(path, y_train=np.eye(4)[Y], y_test=Y[:6]).classes == 4  # the fourth class has no images: told


def test_validation_images_of_the_file_are_used(path: Path) -> None:
    images = load(path, x_val=X[:4], y_val=Y[:4], notes=np.zeros(3))
    assert labels(images)[1:] == [Y[:4].tolist(), Y[:6].tolist()]
    assert len(images.train) == N
    assert images.report
    assert images.report.ignored == ("arrays notes",)


def test_floats_of_any_width_and_byte_order_are_the_same_images(path: Path) -> None:
    plain = load(path).train
    for dtype in ("<f4", ">f4", "<f8", ">f8", np.longdouble):
        other = load(path, x_train=(X / 255).astype(dtype), x_test=(X[:6] / 255).astype(dtype)).train
        assert isinstance(plain, ImageSet)
        assert isinstance(other, ImageSet)
        np.testing.assert_allclose(plain.x.numpy(), other.x.numpy(), atol=1e-4)


def test_rectangular_images_are_counted_as_they_are(path: Path) -> None:
    section = save(path)
    config = check_config(
        {
            "space": {"name": "digits"}, "data": section.model_dump(), "evaluator": {"kind": "scratch"},
            "evolution": {"method": "fixed"},
        },
        "test",
    )  # fmt: skip
    assert first_space(config).stem.size == (6, 8)


MISTAKES: list[tuple[dict[str, Any], str]] = [
    (
        {"x_train": np.zeros((N, 3, 6, 8), np.uint8)},
        r"shape \(24, 3, 6, 8\), .*: this looks like channels first; move them",
    ),
    (
        {"x_train": np.zeros((N, 1, 6, 8), np.uint8)},
        "this looks like channels first; move them to the end, numpy.moveaxis",
    ),
    ({"x_train": X.reshape(N, -1)}, r"shape \(24, 48\), .*: the pixels of each image lie in one row; reshape them"),
    (
        {"x_train": np.moveaxis(X, 0, -1)},
        "the images are counted by the last axis; move it to the front, numpy.moveaxis",
    ),
    (
        {"x_train": np.moveaxis(np.stack([X] * 3, 3), 0, -1)},
        "the images are counted by the last axis; move it to the fr",
    ),
    ({"x_train": X.astype(np.int64)}, r"its values are from 0 to 255; give x.astype\(numpy.uint8\)"),
    ({"x_train": X.astype(np.uint16) * 200}, r"its values are from 0 to 51000; scale them to floats from 0 to 1"),
    ({"x_train": X > 9}, r"x_train is bool of shape .*: give x.astype\(float\)"),
    ({"x_train": X.astype(np.float32)}, "from 0 to 255, expected floats from 0 to 1 .*: divide them by 255"),
    ({"x_test": X[:6] / 127.5 - 1}, "the values of x_test are from -.*: scale them back to 0 to 1"),
    ({"x_test": np.full((6, 6, 8), np.nan)}, "the values of x_test are from nan to nan, .*: some are no numbers"),
    ({"x_test": np.full((6, 6, 8), np.inf)}, "the values of x_test are from inf to inf"),
    ({"x_train": X.astype(str)}, r"x_train is <U\d+ of shape \(24, 6, 8, 1\), expected images \(n, height, width"),
    ({"x_train": np.array(1)}, r"x_train is int64 of shape \(\), expected images"),
    ({"x_train": X[:9]}, "9 images in x_train and 24 labels in y_train"),
    ({"x_test": X[:6, :4]}, "training images are 6 x 8 pixels, and test images 4 x 8: give the size"),
    (
        {"x_val": X[:6, :4], "y_val": Y[:6]},
        "are 6 x 8 pixels, and validation images 4 x 8: give the size that all are res",
    ),
    (
        {"x_val": np.stack([X[:6]] * 3, 3), "y_val": Y[:6]},
        "training images have 1 channels, and validation images 3: give",
    ),
    (
        {"x_train": X.reshape(N, 1, 1, -1)},
        r"shape \(24, 1, 1, 48\), .*: images of one pixel; if a row holds the pixels",
    ),
    ({"x_train": X.reshape(N, 1, 1, -1)[..., :3]}, "images of one pixel"),
    ({"x_train": X * 0}, "the images of x_train are black, no value is above 0; expected images"),
    ({"x_test": X[:6] * 1e-45}, "the images of x_test are black, no value is above 2.55e-43"),
    ({"x_val": X[:6] / 1e12, "y_val": Y[:6]}, "the images of x_validation are black, no value is above 2.5"),
    ({"x_train": X / 254}, r"from 0 to 1\.00394, expected floats from 0 to 1 .*: cut off what is beyond, numpy\.clip"),
    ({"x_train": X / 250 - 0.01}, r"from -0\.01 to 1\.01, .*: cut off what is beyond"),
    ({"x_test": np.stack([X[:6]] * 3, 3)}, "training images have 1 channels, and test images 3"),
    ({"x_test": X[:0], "y_test": Y[:0]}, "has no test images"),
    ({"x_train": X[:0], "y_train": Y[:0]}, "has no train images"),
    (
        {"y_train": Y + 1, "y_test": Y[:6] + 1},
        r"y_train are 3 numbers from 1 to 3, and labels count from 0 without gaps: num",
    ),
    ({"y_train": Y * 100}, "y_train are 3 numbers from 0 to 200, and labels count from 0 without gaps"),
    ({"y_train": Y * 10**15}, "y_train are 3 numbers from 0 to 2,000,000,000,000,000, and labels count from 0"),
    ({"y_train": Y - 1}, "y_train has the label -1; labels count from 0"),
    ({"y_train": Y / 2}, r"y_train is float64 of shape \(24,\), expected whole numbers.*; it holds 0.5"),
    ({"y_train": np.where(Y == 1, np.inf, Y)}, "expected whole numbers.*; it holds inf"),
    ({"y_train": np.where(Y == 1, np.nan, Y)}, "expected whole numbers.*; it holds nan"),
    ({"y_train": np.ones((N, 3), int)}, "its rows are not one-hot .*: they give several classes for an image"),
    ({"y_train": np.full((N, 2), 0.5)}, "its rows are not one-hot .*: they give parts of classes"),
    ({"y_train": Y[None]}, r"y_train is int64 of shape \(1, 24\), one row; .*: y_train.reshape\(-1\)"),
    ({"y_train": np.zeros((N, 2, 2))}, r"y_train is float64 of shape \(24, 2, 2\), expected whole numbers"),
    ({"y_train": np.zeros(N, complex)}, r"y_train is complex128 of shape \(24,\), expected whole numbers"),
    ({"y_train": np.array(3)}, r"y_train is int64 of shape \(\), expected whole numbers"),
    ({"y_train": Y.astype(object)}, r"y_train holds Python objects, which are not read: .* \(array.astype\(str\)\)"),
    (
        {"y_train": np.zeros(N, int), "y_test": Y[:6] * 0},
        "training images of one class only, '0': expected two or more",
    ),
    ({"y_test": Y[:6] + 1}, "y_test counts to 3, and there are 3 classes"),
    ({"y_test": np.eye(4)[Y[:6]]}, r"y_test is one-hot for 4 classes, and there are 3 \(0, 1, 2\)"),
    ({"y_train": NAMES[Y]}, "y_train holds names, and y_test numbers: expected the same in both"),
    (
        {"y_train": NAMES[Y], "y_test": np.array(["Ant "] * 6)},
        "y_test has the class 'Ant ', and the classes are ant, bee, cat: is it 'ant'. Spell both alike",
    ),
    (
        {"y_train": NAMES[Y], "y_test": np.array(["owl"] * 6)},
        "y_test has the class 'owl', and the classes are ant, bee, cat",
    ),
    ({"y_train": np.where(Y == 1, "", NAMES[Y])}, "y_train has a class without a name"),
    (
        {"y_train": Y % 2, "y_test": Y[:6] % 3, "classes": NAMES},
        "test images have the class 'cat', of which there is no tr",
    ),
    ({"classes": np.array(["ant", "bee"])}, r"y_train counts to 2, and there are 2 classes \(ant, bee\)"),
    ({"classes": np.array(["ant", "bee", "ant"])}, "classes has the name 'ant' twice"),
    ({"classes": np.array("ant, bee")}, "expected one name for each class"),
    ({"y_train": None, "y_test": None, "labels": Y}, "it lacks y_train, y_test and holds x_train, x_test, labels"),
    ({"x_val": X}, "it holds x_val alone: expected both of x_val and y_val, or neither"),
]


@pytest.mark.parametrize(("other", "message"), MISTAKES)
def test_a_mistake_is_called_by_its_name(path: Path, other: dict[str, Any], message: str) -> None:
    with pytest.raises(EvoError, match=message) as raised:
        load(path, **other)
    assert "mine.npz" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_damaged_file_is_answered(path: Path, tmp_path: Path) -> None:
    section = save(path)
    whole = path.read_bytes()
    middle = whole[:300] + b"\xff\x00" * 20 + whole[340:]
    for content in (
        b"",
        b"PK\3\4",
        whole[:1000],
        whole[: len(whole) // 2],
        middle,
        b"x_train,y_train",
        b"\x93NUMPY\1\0",
    ):
        path.write_bytes(content)
        _load_cached.cache_clear()
        with pytest.raises(EvoError, match=r"mine\.npz': (expected an .npz file|x_train is damaged)"):
            load_dataset(section)
    np.save(tmp_path / "one.npy", X)
    with pytest.raises(EvoError, match=r"found one array \(\.npy\): save all with numpy\.savez"):
        load_dataset(DataSection(name="arrays", path=str(tmp_path / "one.npy")))
    with pytest.raises(EvoError, match=r"nowhere\.npz': expected an \.npz file .* \(No such file or directory\)"):
        load_dataset(DataSection(name="arrays", path=str(tmp_path / "nowhere.npz")))


def warnings(path: Path, **other: Any) -> list[str]:
    said: list[str] = []
    tell(inspect_data(save(path, **other), "cpu"), lambda text: None, said.append)
    return [text.partition("mine.npz): ")[2] for text in said]


NEW = np.random.default_rng(1).integers(0, 256, (6, 6, 8), np.uint8)
"""Test images that are no training images."""

LOOKS: list[tuple[dict[str, Any], list[str]]] = [
    ({}, []),
    ({"x_train": X / 255, "x_test": NEW / 255}, []),
    ({"x_train": X / 255}, []),  # bytes beside floats are alike
    ({"x_train": X // 4, "x_test": NEW}, []),
    (
        {"x_train": (X > 99).astype(np.uint8), "y_train": Y % 2, "y_test": Y[:6] % 2, "classes": NAMES},
        ["the values of x_train are bytes from 0 to 1, and white is 255", "there are no images of cat: a class that nothing"],
    ),
    ({"x_train": X / 255, "x_test": NEW / 255 / 255}, ["the values of x_test are floats from 0 to 0.0039, and white is 1"]),
    (
        {"x_train": X / 255**2, "x_test": NEW / 255**2},
        ["the values of x_train are floats from 0 to 0.0039", "the values of x_test are floats from 0 to 0.0039"],
    ),
    (
        {"x_val": NEW // 16, "y_val": Y[:6]},
        ["the mean of x_train is 0.49 of white, and that of x_validation 0.029: are both scaled alike?"],
    ),
    ({"x_test": NEW * 0 + 7}, ["all pixels of x_test have the value 7: nothing can be learned from them"]),
    ({"x_test": np.concatenate((NEW[:4], X[3:5]))}, ["2 of 6 images of x_test are in x_train, too: what is measured on"]),
    ({"x_test": X, "y_test": Y}, ["24 of 24 images of x_test are in x_train, too"]),
    ({"x_test": X / 255, "y_test": Y}, []),
    ({"x_val": NEW, "y_val": Y[:6]}, ["6 of 6 images of x_val are in x_test, too"]),
    (
        {"x_train": X.reshape(N, -1, 1), "x_test": NEW.reshape(6, -1, 1)},
        ["the images of x_train are lines of 48 x 1 pixels: if a line holds the pixels of an", "the images of x_test"],
    ),
    (
        {"x_train": X.reshape(N, 1, -1, 1), "x_test": NEW.reshape(6, 1, -1)},
        ["the images of x_train are lines of 1 x 48 pixels: if a line", "the images of x_test are lines of 1 x 48 pixels"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("other", "begins"), LOOKS)
def test_what_looks_wrong_is_warned_about(path: Path, other: dict[str, Any], begins: list[str]) -> None:
    found = warnings(path, **{"x_test": NEW} | other)
    assert [text[: len(begin)] for text, begin in zip(found, begins, strict=True)] == begins


ALIKE = [
    ("Bee", "bee", "'Bee' and 'bee'"),
    ("bee", "bee ", "'bee' and 'bee '"),
    ("a  bee", "a bee", "'a  bee' and 'a bee'"),
    ("abe\u0301ille", "ab\u00e9ille", r"'abe\u0301ille' and 'abéille'"),
]


@pytest.mark.parametrize(("one", "other", "told"), ALIKE)
def test_names_that_people_take_for_the_same_are_warned_about(path: Path, one: str, other: str, told: str) -> None:
    names = np.array(["ant", one, other])
    for given in ({"y_train": names[Y], "y_test": names[Y][:6]}, {"classes": names}):
        assert [text[:80].partition(":")[0] for text in warnings(path, x_test=NEW, **given)] == [
            f"the classes {told} are taken for different ones"
        ]


def test_an_overshoot_that_resizing_leaves_is_cut_off(path: Path) -> None:
    exact, over = X / 255, X / 255
    over[0, 0, 0], over[1, 0, 0] = 1 + 1e-7, -9e-4
    exact[0, 0, 0], exact[1, 0, 0] = 1, 0
    plain, cut = (load(path, x_train=x, x_test=NEW / 255).train for x in (exact, over))
    assert isinstance(plain, ImageSet)
    assert isinstance(cut, ImageSet)
    assert np.array_equal(plain.x.numpy(), cut.x.numpy())
