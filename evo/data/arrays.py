"""Arrays of images and labels, checked whole; the likely mistakes are called by their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np

from evo.data.image_files import printable
from studies.records import EvoError

OVERSHOOT = 1e-3
"""Floats so little below 0 or above 1 are clipped: resizing by a cubic and rounding leave them, a quarter of a byte's step."""

BLACK = 1e-6
"""Images without a float above this are black: normalising adds as much to their deviation."""

DARK = 1.5 / 255
"""Images without a float above this were divided by 255 once too often, or nearly nothing is to be seen in them."""

APART = 8
"""Parts whose means differ by this factor are hardly scaled alike."""

IMAGES = "expected images (n, height, width[, channels]) of uint8 or floats from 0 to 1"
LABELS = "expected whole numbers, one for each image: (n,), (n, 1), one-hot (n, classes), or the names of classes"


@dataclass(frozen=True, eq=False)
class Labels:
    """Labels of one part as numbers.

    Attributes:
        y: whole numbers from 0, ``(n,)``.
        names: those of the classes, where the labels are text; in the order of the numbers.
        classes: how many there are by the shape of one-hot rows.
    """

    y: np.ndarray
    names: tuple[str, ...] | None = None
    classes: int | None = None


def describe(thing: Any) -> str:
    """What something is, in a few words."""
    if isinstance(thing, np.ndarray):
        return f"{thing.dtype} of shape {thing.shape}"
    if isinstance(thing, tuple):
        return f"a tuple of {len(thing)} ({', '.join(type(part).__name__ for part in thing)})"
    return f"a {type(thing).__name__}"


# -- labels -----------------------------------------------------------------------------------------------------------


def read_labels(name: str, what: str, labels: np.ndarray, names: Sequence[str] | None = None) -> Labels:
    """Labels in any of their forms: numbers ``(n,)`` or ``(n, 1)``, one-hot rows ``(n, classes)``, or names of classes.

    Args:
        name, what: what errors call the data set, and these labels.
        names: of the classes, where they are known; None: text is numbered in alphabetical order.

    Raises:
        EvoError: they are something else, or a text is none of ``names``.
    """
    y = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if y.ndim == 2 and y.dtype.kind in "iubf":
        return Labels(_from_one_hot(name, what, y), classes=y.shape[1])
    if y.ndim == 1 and y.dtype.kind in "USOT":
        return _from_text(name, what, y, names)
    check_labels(name, what, y)
    return Labels(y)


def _from_one_hot(name: str, what: str, y: np.ndarray) -> np.ndarray:
    if y.shape[0] == 1 < y.shape[1]:
        raise EvoError(f"{name}: {what} is {describe(y)}, one row; {LABELS}: {what}.reshape(-1)")
    if not (((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all()):
        ones = "several classes for an image" if ((y == 0) | (y == 1)).all() else "parts of classes"
        raise EvoError(
            f"{name}: {what} is {describe(y)}, and its rows are not one-hot (one 1, the rest 0): they give {ones}; {LABELS}"
        )
    labels: np.ndarray = y.argmax(axis=1)
    return labels


def _from_text(name: str, what: str, y: np.ndarray, names: Sequence[str] | None) -> Labels:
    texts = [value.decode("utf-8", "replace") if isinstance(value, bytes) else value for value in y.tolist()]
    if strange := [value for value in texts if not isinstance(value, str)]:
        raise EvoError(f"{name}: {what} holds {strange[0]!r} ({type(strange[0]).__name__}); {LABELS}")
    known = tuple(sorted(set(texts))) if names is None else tuple(names)
    places = {text: place for place, text in enumerate(known)}
    for text in sorted(set(texts)):
        if text not in places:
            raise EvoError(
                f"{name}: {what} has the class {printable(text)!r}, and the classes are "
                f"{', '.join(map(printable, known[:10]))}{', ...' if len(known) > 10 else ''}{_alike(text, known)}"
            )
        if not text.strip():
            raise EvoError(f"{name}: {what} has a class without a name ({text!r}); {LABELS}")
    return Labels(np.array([places[text] for text in texts], np.int64), known)


def _alike(text: str, known: Sequence[str]) -> str:
    by_folded = {" ".join(name.casefold().split()): name for name in known}
    close = get_close_matches(" ".join(text.casefold().split()), by_folded, n=1)
    return f": is it {printable(by_folded[close[0]])!r}? Spell both alike" if close else ": expected one of these"


def check_labels(name: str, what: str, y: np.ndarray) -> None:
    """Let whole numbers from 0 pass, ``(n,)``.

    Raises:
        EvoError: they are something else.
    """
    if y.ndim != 1 or y.dtype.kind not in "iubf":
        raise EvoError(f"{name}: {what} is {describe(y)}, {LABELS}")
    if y.dtype.kind == "f" and not (np.isfinite(y).all() and (y == np.rint(y)).all()):
        odd = y[~(np.isfinite(y) & (y == np.rint(y)))][0]
        raise EvoError(f"{name}: {what} is {describe(y)}, {LABELS}; it holds {odd}")
    if y.size and int(y.min()) < 0:
        raise EvoError(f"{name}: {what} has the label {int(y.min())}; labels count from 0")


def check_numbering(name: str, y: np.ndarray) -> None:
    """Let numbers pass that are those of classes without names.

    Raises:
        EvoError: they begin at 1, or most of the numbers up to the highest are no label: they were no numbers of classes.
    """
    used = np.unique(y)
    if not used.size:
        return
    least, most = int(used[0]), int(used[-1])
    if least > 0 or most + 1 > 2 * len(used):
        raise EvoError(
            f"{name}: the labels in y_train are {len(used):,} numbers from {least:,} to {most:,}, and labels count from 0 "
            "without gaps: number them anew (numpy.unique(y_train, return_inverse=True)), or name all classes in 'classes'"
        )


# -- images -----------------------------------------------------------------------------------------------------------


def read_images_array(name: str, what: str, x: np.ndarray, n: int) -> np.ndarray:
    """Images ``(n, height, width, channels)``, uint8 or floats from 0 to 1, which torch can take; a tiny overshoot is clipped.

    Args:
        n: how many labels there are.

    Raises:
        EvoError: they are something else.
    """
    x = x[..., None] if x.ndim == 3 else x
    _check_shape(name, what, x, n)
    _check_values(name, what, x)
    if x.dtype.kind == "f" and (not x.dtype.isnative or x.dtype.itemsize > 8):
        x = x.astype(np.float64 if x.dtype.itemsize > 8 else x.dtype.newbyteorder("="))
    if x.dtype.kind == "f" and x.size and not (x.min() >= 0 and x.max() <= 1):
        x = x.clip(0, 1)
    return np.ascontiguousarray(x) if any(stride < 0 for stride in x.strides) else x


def _check_shape(name: str, what: str, x: np.ndarray, n: int) -> None:
    hint = ""
    if x.ndim == 2:
        hint = ": the pixels of each image lie in one row; reshape them, such as x.reshape(n, height, width)"
    elif x.ndim == 4 and x.shape[0] != n and n in (x.shape[3], x.shape[2] if x.shape[3] == 1 else -1):
        hint = ": the images are counted by the last axis; move it to the front, numpy.moveaxis(x, -1, 0)"
    elif x.ndim == 4 and x.shape[1] <= 4 < x.shape[3] and x.shape[1] < x.shape[2]:
        hint = ": this looks like channels first; move them to the end, numpy.moveaxis(x, 1, -1)"
    elif x.ndim == 4 and x.shape[1:3] == (1, 1):
        hint = ": images of one pixel; if a row holds the pixels of an image, reshape it, such as x.reshape(n, height, width)"
    if hint or x.ndim != 4 or not all(x.shape[1:]):
        raise EvoError(f"{name}: {what} is {describe(x)}, {IMAGES}{hint}")


def _check_values(name: str, what: str, x: np.ndarray) -> None:
    if x.dtype != np.uint8 and x.dtype.kind != "f":
        raise EvoError(f"{name}: {what} is {describe(x)}, {IMAGES}{_dtype_hint(x)}")
    if x.dtype.kind != "f" or not x.size:
        return
    if np.isnan(x).any():
        raise EvoError(
            f"{name}: the values of {what} are from nan to nan, expected floats from 0 to 1: some are no numbers"
        )
    least, most = float(x.min()), float(x.max())
    if not (least >= -OVERSHOOT and most <= 1 + OVERSHOOT):
        raise EvoError(
            f"{name}: the values of {what} are from {least:.6g} to {most:.6g}, expected floats from 0 to 1 "
            f"(images are normalised later, by the training images): {_range_hint(least, most)}"
        )


def _range_hint(least: float, most: float) -> str:
    if least > -0.5 and most < 1.5:
        return "cut off what is beyond, numpy.clip(x, 0, 1), if resizing made it"
    return "divide them by 255" if least >= 0 and most <= 255 else "scale them back to 0 to 1"


def _dtype_hint(x: np.ndarray) -> str:
    if x.dtype.kind == "b":
        return ": give x.astype(float)"
    if x.dtype.kind not in "iu" or not x.size:
        return ""
    least, most = int(x.min()), int(x.max())
    if least >= 0 and most <= 255:
        return f": its values are from {least} to {most}; give x.astype(numpy.uint8)"
    return f": its values are from {least} to {most}; scale them to floats from 0 to 1"


def check_brightness(name: str, parts: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    """What looks wrong with images that can be used, a sentence each.

    Args:
        parts: images by what errors call them, the training images first.

    Raises:
        EvoError: those of a part are black.
    """
    warnings, means = [], {}
    for what, x in parts.items():
        if float(x.max()) <= (BLACK if x.dtype.kind == "f" else 0):
            raise EvoError(
                f"{name}: the images of {what} are black, no value is above {float(x.max()):.3g}; {IMAGES}: look at how they "
                "were scaled and saved"
            )
        if found := _faint(what, x):
            warnings.append(found)
        else:
            means[what] = float(x[:: max(1, len(x) // 5000)].mean(dtype=np.float64)) / highest(x)
    (first, mean), *others = means.items() if means else [("", 0.0)]
    warnings += [
        f"the mean of {first} is {mean:.2g} of white, and that of {what} {other:.2g}: are both scaled alike?"
        for what, other in others
        if max(mean, other) > APART * min(mean, other)
    ]
    return tuple(warnings)


def _faint(what: str, x: np.ndarray) -> str:
    """What is wrong with images of a part in which hardly anything is to be seen; "": nothing is."""
    least, most = x.min(), x.max()
    if least == most:
        return f"all pixels of {what} have the value {least}: nothing can be learned from them"
    if x.dtype == np.uint8 and most == 1:
        return (
            f"the values of {what} are bytes from 0 to 1, and white is 255: they are nearly black; were they floats from 0 "
            "to 1 before they became uint8?"
        )
    if x.dtype.kind == "f" and most < DARK:
        return (
            f"the values of {what} are floats from {least:.2g} to {most:.2g}, and white is 1: they are nearly black; were they "
            "divided by 255 twice?"
        )
    return ""


def highest(x: np.ndarray) -> float:
    """The value of white."""
    return 255.0 if x.dtype == np.uint8 else 1.0


def warn_of_rows(what: str, x: np.ndarray) -> tuple[str, ...]:
    """A warning where images are a line of pixels."""
    if 1 not in x.shape[1:3]:
        return ()
    return (
        f"the images of {what} are lines of {x.shape[1]} x {x.shape[2]} pixels: if a line holds the pixels of an image, "
        "reshape it, such as x.reshape(n, height, width)",
    )


def warn_of_copies(what: str, x: np.ndarray, others: str, of: np.ndarray) -> tuple[str, ...]:
    """A warning where images of one part are those of another, bit for bit."""
    if x.dtype != of.dtype or x.shape[1:] != of.shape[1:]:
        return ()
    known = {hash(image.tobytes()) for image in of}
    if not (copies := sum(hash(image.tobytes()) in known for image in x)):
        return ()
    return (
        f"{copies:,} of {len(x):,} images of {what} are in {others}, too: what is measured on them is not what the network "
        "does on new images; take them out of one of the two",
    )


# -- names of classes -------------------------------------------------------------------------------------------------


def read_class_names(name: str, classes: Sequence[Any] | np.ndarray) -> tuple[str, ...]:
    """Names of classes as text, each of them once.

    Raises:
        EvoError: they are no list of names, or some are alike or empty.
    """
    if isinstance(classes, str | bytes) or (isinstance(classes, np.ndarray) and classes.ndim != 1):
        raise EvoError(f"{name}: classes is {describe(classes)}, expected one name for each class")
    names = tuple(value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value) for value in classes)
    if twice := [known for place, known in enumerate(names) if known in names[:place] or not known.strip()]:
        raise EvoError(
            f"{name}: classes has the name {printable(twice[0])!r} twice, or it is empty: name each class once"
        )
    return names
