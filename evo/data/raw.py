"""A data set before anything is computed, made of whatever its maker gives, and checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import numpy as np

from evo.data.arrays import (
    Labels,
    check_brightness,
    check_labels,
    check_numbering,
    describe,
    read_class_names,
    read_images_array,
    read_labels,
    warn_of_copies,
    warn_of_rows,
)
from evo.data.class_names import warn_of_alike
from evo.data.image_files import printable
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
        x_validation: images that score candidates, in place of a fraction of the training images; None: there are none.
        class_names: in the order of the labels; one list for all parts. Empty: images have no labels, and all are 0.
        origins: where parts come from, by their names, where that is to be told.
        ignored: what is no part of it, a few words each; ``warnings``: what looks wrong, a sentence each.
    """

    x_train: np.ndarray | Pictures
    y_train: np.ndarray
    x_test: np.ndarray | Pictures
    y_test: np.ndarray
    x_validation: np.ndarray | Pictures | None = None
    y_validation: np.ndarray | None = None
    class_names: tuple[str, ...] = field(kw_only=True)
    origins: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    ignored: tuple[str, ...] = field(default=(), kw_only=True)
    warnings: tuple[str, ...] = field(default=(), kw_only=True)

    @property
    def parts(self) -> tuple[np.ndarray | Pictures, ...]:
        """Training images, their labels, test images, their labels; and the same of validation images, where there are some."""
        validation = (self.x_validation, self.y_validation)
        return self.x_train, self.y_train, self.x_test, self.y_test, *(part for part in validation if part is not None)

    def labelled(self) -> Iterator[tuple[str, np.ndarray | Pictures, np.ndarray]]:
        """Each part's name, its images and their labels."""
        yield "train", self.x_train, self.y_train
        yield "test", self.x_test, self.y_test
        if self.x_validation is not None and self.y_validation is not None:
            yield "validation", self.x_validation, self.y_validation


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
        return _check_dataset(from_arrays(name, *made), section)
    if isinstance(made, tuple) and len(made) == 2 and all(map(is_dataset, made)):
        return _check_dataset(_from_pair(*made, section), section)
    if is_dataset(made) and not isinstance(made, tuple):
        return _check_dataset(_from_one(made, section), section)
    raise EvoError(f"{name} gives {describe(made)}; {EXPECTED}")


def dataset_title(section: DataSection) -> str:
    """What errors call a data set: its name, and its path where one is given."""
    where = "" if section.path == type(section).model_fields["path"].default else f" ({section.path})"
    return f"data set {section.name!r}{where}"


def is_test_image(n: int) -> np.ndarray:
    """Which of ``n`` images are test images if the files do not define it: every sixth."""
    test: np.ndarray = np.arange(n) % 6 == 5
    return test


def every_sixth(where: str, n: int) -> np.ndarray:
    """Which of ``n`` images are test images, where the data set has no part for them.

    Args:
        where: what the error begins with.

    Raises:
        EvoError: there are too few.
    """
    if n < 6:
        raise EvoError(
            f"{where}: {n} images in all, and none for the test, which would be every sixth image: add images, or give test "
            "images of their own"
        )
    return is_test_image(n)


def class_names_of(name: str, classes: Sequence[Any] | np.ndarray | None, y_train: np.ndarray) -> tuple[str, ...]:
    """Names of the classes; where there are none, their numbers.

    Raises:
        EvoError: the names are none, or the labels no numbers of classes.
    """
    if classes is not None:
        return read_class_names(name, classes)
    check_labels(name, "y_train", y_train)
    check_numbering(name, y_train)
    return tuple(map(str, range(1 + max((int(y_train.max()),) if y_train.size else (-1,)))))


# -- what makers give -------------------------------------------------------------------------------------------------


def from_arrays(
    name: str,
    x: Any,
    y: Any,
    x_test: Any,
    y_test: Any,
    classes: Sequence[Any] | np.ndarray | None = None,
    validation: tuple[Any, Any] | None = None,
    ignored: tuple[str, ...] = (),
) -> RawDataset:
    """Arrays of images, and of labels in any form that ``read_labels`` takes.

    Raises:
        EvoError: some are no such arrays; the message names the first.
    """
    given = {"train": (x, y), "test": (x_test, y_test), **({"val": validation} if validation else {})}
    for what, part in (
        (f"{letter}_{part}", array) for part, pair in given.items() for letter, array in zip("xy", pair, strict=True)
    ):
        if not isinstance(part, np.ndarray):
            raise EvoError(f"{name}: {what} is {describe(part)}, expected a numpy array; {EXPECTED}")
    names = None if classes is None else read_class_names(name, classes)
    train = read_labels(name, "y_train", y, names)
    names = _names_of_labels(name, train, names)
    labels = {
        part: train if part == "train" else read_labels(name, f"y_{part}", pair[1], names)
        for part, pair in given.items()
    }
    for part, found in labels.items():
        if found.classes is not None and found.classes != len(names):
            raise EvoError(
                f"{name}: y_{part} is one-hot for {found.classes} classes, and there are {len(names)} ({some_names(names)})"
            )
        if train.names is not None and found.names is None:
            raise EvoError(f"{name}: y_train holds names, and y_{part} numbers: expected the same in both")
    images = {part: read_images_array(name, f"x_{part}", pair[0], len(labels[part].y)) for part, pair in given.items()}
    extra = (images["val"], labels["val"].y) if validation else ()
    return RawDataset(
        images["train"], train.y, images["test"], labels["test"].y, *extra, class_names=names, ignored=ignored,
        origins={"validation": "x_val"} if validation else {},
        warnings=_copies(images),
    )  # fmt: skip


def _copies(images: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    """Warnings of images that two parts share."""
    return tuple(
        text
        for first, second in combinations(images, 2)
        for text in warn_of_copies(f"x_{second}", images[second], f"x_{first}", images[first])
    )


def _names_of_labels(name: str, train: Labels, names: tuple[str, ...] | None) -> tuple[str, ...]:
    if names is None and train.names is None and train.classes is not None:
        return tuple(map(str, range(train.classes)))
    return train.names or class_names_of(name, names, train.y)


def some_names(names: Sequence[str], most: int = 10) -> str:
    """Names, the first ones of many."""
    more = f", ... ({len(names):,} in all)" if len(names) > most else ""
    return ", ".join(map(printable, names[:most])) + more


def _from_pair(train: Any, test: Any, section: DataSection) -> RawDataset:
    classes, others = classes_of(train), classes_of(test)
    if classes and others and classes != others:
        raise EvoError(
            f"{dataset_title(section)}: the classes of the training images are {', '.join(classes)}, and those of the test "
            f"images {', '.join(others)}; expected the same, in one order"
        )
    n = len(train) + len(test)
    (x, y), (x_test, y_test) = _read(train, section, n), _read(test, section, n)
    return RawDataset(x, y, x_test, y_test, class_names=class_names_of(dataset_title(section), classes or others, y))


def _from_one(dataset: Any, section: DataSection) -> RawDataset:
    x, y = _read(dataset, section, len(dataset))
    test = every_sixth(dataset_title(section), len(y))
    train, tested = (x[part] if isinstance(x, np.ndarray) else x.take(part) for part in (~test, test))
    return RawDataset(
        train, y[~test], tested, y[test], class_names=class_names_of(dataset_title(section), classes_of(dataset), y)
    )


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
    return fits_by_default(size) if section.in_memory is None else section.in_memory


def fits_by_default(size: int) -> bool:
    """Whether images of so many bytes are kept in memory where nothing is said."""
    return size < IN_MEMORY


# -- what is wrong with it --------------------------------------------------------------------------------------------


def _check_dataset(raw: RawDataset, section: DataSection) -> RawDataset:
    name = dataset_title(section)
    arrays = {}
    for what, x, y in raw.labelled():
        check_labels(name, f"y_{what}", y)
        if isinstance(x, np.ndarray):
            arrays[f"x_{what}"] = x = read_images_array(name, f"x_{what}", x, len(y))
        if len(x) != len(y):
            raise EvoError(f"{name}: {len(x)} images in x_{what} and {len(y)} labels in y_{what}")
        if not len(x):
            raise EvoError(f"{name} has no {what} images: give some, with their labels")
        if raw.class_names and int(y.max()) >= len(raw.class_names):
            raise EvoError(
                f"{name}: y_{what} counts to {int(y.max())}, and there are {len(raw.class_names)} classes "
                f"({some_names(raw.class_names, 5)}): labels count from 0"
            )
    raw = replace(
        raw,
        x_train=arrays.get("x_train", raw.x_train),
        x_test=arrays.get("x_test", raw.x_test),
        x_validation=arrays.get("x_validation", raw.x_validation),
    )
    unused = _check_classes(name, raw)
    _check_alike(raw, section)
    lines = tuple(text for what, x in arrays.items() for text in warn_of_rows(what, x))
    warnings = (*lines, *check_brightness(name, arrays), *unused, *warn_of_alike(raw.class_names))
    return replace(raw, warnings=raw.warnings + warnings)


def _check_classes(name: str, raw: RawDataset) -> tuple[str, ...]:
    """What is to be known of classes without training images.

    Raises:
        EvoError: only one class has some, or images of another part have none of their class to learn from.
    """
    if not raw.class_names:
        return ()
    counts = np.bincount(raw.y_train.astype(np.int64), minlength=len(raw.class_names))
    if np.count_nonzero(counts) < 2:
        raise EvoError(
            f"{name} has training images of one class only, {printable(raw.class_names[int(counts.argmax())])!r}: expected "
            "two or more; every network would be right about everything"
        )
    for what, _, y in raw.labelled():
        if len(unseen := [label for label in np.unique(y.astype(np.int64)).tolist() if not counts[label]]):
            raise EvoError(
                f"{name}: the {what} images have the class {printable(raw.class_names[unseen[0]])!r}, of which there is no "
                "training image: add some, or remove the class"
            )
    if empty := [known for known, count in zip(raw.class_names, counts.tolist(), strict=True) if not count]:
        return (f"there are no images of {some_names(empty)}: a class that nothing is learned about",)
    return ()


def _check_alike(raw: RawDataset, section: DataSection) -> None:
    """Images of all parts have the same channels, and the same size where they are not resized."""
    size, channels = _shape(raw.x_train)
    for what, x, _ in raw.labelled():
        other_size, other_channels = _shape(x)
        if other_channels != channels:
            raise EvoError(
                f"{dataset_title(section)}: training images have {channels} channels, and {what} images {other_channels}: "
                "give all the same"
            )
        if other_size != size and section.size is None:
            raise EvoError(
                f"{dataset_title(section)}: training images are {size} pixels, and {what} images {other_size}: give the size "
                "that all are resized to, data.size"
            )


def _shape(x: np.ndarray | Pictures) -> tuple[str, int]:
    """Pixels (height x width) and channels."""
    if isinstance(x, np.ndarray):
        return f"{x.shape[1]} x {x.shape[2]}", int(x.shape[3])
    return size_text(x.size) if x.size is not None else "", x.channels
