"""A data set before anything is computed, made of whatever its maker gives, and checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from evo.data.source import Pictures
from evo.data.torch_datasets import DatasetItems, classes_of, is_dataset
from spaces.size import size_text
from studies.config import DataSection
from studies.records import EvoError

IN_MEMORY = 4 << 30
"""Bytes that images may take in memory where the configuration says nothing."""

EXPECTED = (
    "expected arrays (x_train, y_train, x_test, y_test[, classes]), a torch Dataset of (image, label), or two of them: "
    "(train, test)"
)


@dataclass(frozen=True, eq=False)
class RawDataset:
    """A data set as it is kept. Labels count from 0.

    Attributes:
        x_train, x_test: images ``(n, height, width, channels)``, uint8 or floats from 0 to 1; or pictures.
        class_names: in the order of the labels; one list for training and test images.
    """

    x_train: np.ndarray | Pictures
    y_train: np.ndarray
    x_test: np.ndarray | Pictures
    y_test: np.ndarray
    class_names: tuple[str, ...] = field(kw_only=True)

    @property
    def parts(self) -> tuple[np.ndarray | Pictures, ...]:
        """Training images, their labels, test images, their labels."""
        return self.x_train, self.y_train, self.x_test, self.y_test


DatasetMaker = Callable[[DataSection], Any]
"""Makes a data set of the section ``[data]``: ``RawDataset``, or what ``as_raw`` turns into it."""


def as_raw(made: Any, section: DataSection) -> RawDataset:
    """What a maker has given, checked.

    Args:
        made: ``RawDataset``; numpy arrays ``(x_train, y_train, x_test, y_test[, classes])``; a map-style ``Dataset`` of
            torch, of whose items every sixth is a test image; or two of them, for training and for the test.

    Raises:
        EvoError: it is none of these, or parts of it do not fit; the message says what was found and what was expected.
    """
    name = dataset_title(section)
    if isinstance(made, RawDataset):
        return _check_dataset(made, section)
    if isinstance(made, tuple) and len(made) in (4, 5):
        return _check_dataset(_from_arrays(name, *made), section)
    if isinstance(made, tuple) and len(made) == 2 and all(map(is_dataset, made)):
        return _check_dataset(_from_pair(*made, section), section)
    if is_dataset(made) and not isinstance(made, tuple):
        return _check_dataset(_from_one(made, section), section)
    raise EvoError(f"{name} gives {_describe(made)}; {EXPECTED}")


def dataset_title(section: DataSection) -> str:
    """What errors call a data set: its name, and its path where one is given."""
    where = "" if section.path == type(section).model_fields["path"].default else f" ({section.path})"
    return f"data set {section.name!r}{where}"


def is_test_image(n: int) -> np.ndarray:
    """Which of ``n`` images are test images if the files do not define it: every sixth."""
    test: np.ndarray = np.arange(n) % 6 == 5
    return test


def with_channels(x: Any) -> Any:
    """Images ``(n, height, width)`` with one channel; others as they are."""
    return x[..., None] if isinstance(x, np.ndarray) and x.ndim == 3 else x


def class_names_of(classes: Sequence[Any] | None, *labels: np.ndarray) -> tuple[str, ...]:
    """Names of the classes; where there are none, their numbers."""
    if classes is None:
        return tuple(map(str, range(1 + max((int(y.max()) for y in labels if y.size), default=-1))))
    return tuple(map(str, classes))


# -- what makers give -------------------------------------------------------------------------------------------------


def _from_arrays(
    name: str, x: Any, y: Any, x_test: Any, y_test: Any, classes: Sequence[Any] | None = None
) -> RawDataset:
    for what, part in {"x_train": x, "y_train": y, "x_test": x_test, "y_test": y_test}.items():
        if not isinstance(part, np.ndarray):
            raise EvoError(f"{name}: {what} is {_describe(part)}, expected a numpy array; {EXPECTED}")
    for what, labels in {"y_train": y, "y_test": y_test}.items():
        _check_labels(name, what, labels)
    return RawDataset(
        with_channels(x), y, with_channels(x_test), y_test, class_names=class_names_of(classes, y, y_test)
    )


def _from_pair(train: Any, test: Any, section: DataSection) -> RawDataset:
    classes, others = classes_of(train), classes_of(test)
    if classes and others and classes != others:
        raise EvoError(
            f"{dataset_title(section)}: the classes of the training images are {', '.join(classes)}, and those of the test "
            f"images {', '.join(others)}; expected the same, in one order"
        )
    n = len(train) + len(test)
    (x, y), (x_test, y_test) = _read(train, section, n), _read(test, section, n)
    return RawDataset(x, y, x_test, y_test, class_names=class_names_of(classes or others, y, y_test))


def _from_one(dataset: Any, section: DataSection) -> RawDataset:
    x, y = _read(dataset, section, len(dataset))
    test = is_test_image(len(y))
    train, tested = (x[part] if isinstance(x, np.ndarray) else x.take(part) for part in (~test, test))
    return RawDataset(train, y[~test], tested, y[test], class_names=class_names_of(classes_of(dataset), y))


def _read(dataset: Any, section: DataSection, n: int) -> tuple[np.ndarray | Pictures, np.ndarray]:
    """A data set's images and labels: images of one size, which are not resized, as one array where all ``n`` of training
    and test fit in memory."""
    if not len(dataset):
        raise EvoError(f"{dataset_title(section)} is empty; {EXPECTED}")
    items = DatasetItems.of(dataset_title(section), dataset)
    if section.size is not None:
        items = DatasetItems(items.title, items.datasets, items.places, items.channels)
    elif fits_in_memory(section, n * items[0].numpy().nbytes):
        return items.arrays()
    return items, items.labels()


def fits_in_memory(section: DataSection, size: int) -> bool:
    """Whether images of so many bytes are kept in memory."""
    return size < IN_MEMORY if section.in_memory is None else section.in_memory


# -- what is wrong with it --------------------------------------------------------------------------------------------


def _check_dataset(raw: RawDataset, section: DataSection) -> RawDataset:
    name = dataset_title(section)
    for what, x, y in (("train", raw.x_train, raw.y_train), ("test", raw.x_test, raw.y_test)):
        _check_labels(name, f"y_{what}", y)
        if isinstance(x, np.ndarray):
            _check_images(name, f"x_{what}", x)
        if len(x) != len(y):
            raise EvoError(f"{name}: {len(x)} images in x_{what} and {len(y)} labels in y_{what}")
        if not len(x):
            raise EvoError(f"{name} has no {what} images")
        if int(y.max()) >= len(raw.class_names):
            raise EvoError(
                f"{name}: y_{what} counts to {int(y.max())}, and there are {len(raw.class_names)} classes "
                f"({', '.join(raw.class_names[:5])}{', ...' if len(raw.class_names) > 5 else ''}): labels count from 0"
            )
    _check_alike(raw, section)
    return raw


def _check_labels(name: str, what: str, y: np.ndarray) -> None:
    if y.ndim != 1 or y.dtype.kind not in "iubf" or (y.dtype.kind == "f" and (y != np.rint(y)).any()):
        raise EvoError(f"{name}: {what} is {_describe(y)}, expected whole numbers, one for each image")
    if y.size and int(y.min()) < 0:
        raise EvoError(f"{name}: {what} has the label {int(y.min())}; labels count from 0")


def _check_images(name: str, what: str, x: np.ndarray) -> None:
    if x.ndim != 4 or not all(x.shape[1:]) or (x.dtype != np.uint8 and x.dtype.kind != "f"):
        raise EvoError(
            f"{name}: {what} is {_describe(x)}, expected images (n, height, width[, channels]) of uint8 or floats "
            "from 0 to 1"
        )
    if x.dtype.kind == "f" and x.size and not (x.min() >= 0 and x.max() <= 1):
        raise EvoError(
            f"{name}: the values of {what} are from {x.min():.3g} to {x.max():.3g}, expected floats from 0 to 1 "
            "(images are normalised later, by the training images)"
        )


def _check_alike(raw: RawDataset, section: DataSection) -> None:
    """Training and test images have the same channels, and the same size where they are not resized."""
    (size, channels), (test_size, test_channels) = map(_shape, (raw.x_train, raw.x_test))
    if channels != test_channels:
        raise EvoError(
            f"{dataset_title(section)}: training images have {channels} channels, and test images {test_channels}"
        )
    if size != test_size and section.size is None:
        raise EvoError(
            f"{dataset_title(section)}: training images are {size} pixels, and test images {test_size}: give the size that "
            "both are resized to, data.size"
        )


def _shape(x: np.ndarray | Pictures) -> tuple[str, int]:
    """Pixels (height x width) and channels."""
    if isinstance(x, np.ndarray):
        return f"{x.shape[1]} x {x.shape[2]}", int(x.shape[3])
    return size_text(x.size) if x.size is not None else "", x.channels


def _describe(thing: Any) -> str:
    if isinstance(thing, np.ndarray):
        return f"{thing.dtype} of shape {thing.shape}"
    if isinstance(thing, tuple):
        return f"a tuple of {len(thing)} ({', '.join(type(part).__name__ for part in thing)})"
    return f"a {type(thing).__name__}"
