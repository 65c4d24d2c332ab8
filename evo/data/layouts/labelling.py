"""Labels that are read from files: names of classes or whole numbers, numbered from 0."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from evo.data.image_files import printable
from evo.data.raw import some_names
from studies.records import EvoError

Label = str | int
"""A class as files give it: its name, or its number."""

EXPECTED = "expected the name of a class, or a whole number"

NUMBER = re.compile(r"[+-]?\d+(\.0*)?")
"""A text that is a whole number; ``3.0``, too, which tables with gaps have."""

FRACTION = re.compile(r"[+-]?(\d+\.\d*|\.?\d+)(e[+-]?\d+)?", re.IGNORECASE)
"""A text that is another number."""

NOTHING = {"", "nan", "none", "null", "na", "n/a", "<na>"}
"""Texts that tables have in place of what is not known."""


def read_label(value: Any) -> Label:
    """A label as it stands in a file.

    Raises:
        ValueError: it is neither a name nor a whole number.
    """
    if isinstance(value, bool) or not isinstance(value, (str, int, float, np.integer, np.floating)):
        raise ValueError(f"its label is {_shortened(value)}; {EXPECTED}")
    if isinstance(value, str):
        return _read_text(value)
    if value != value or value != int(value):
        raise ValueError(f"its label is {value}; {EXPECTED}")
    return _checked_number(int(value))


def _read_text(text: str) -> Label:
    text = text.strip()
    if text.casefold() in NOTHING:
        raise ValueError(f"it has no label ({text!r}); {EXPECTED}: give one, or remove the image")
    if NUMBER.fullmatch(text):
        return _checked_number(int(text.partition(".")[0]))
    if FRACTION.fullmatch(text) or text[0] in "[{":
        raise ValueError(f"its label is {_shortened(text)}; {EXPECTED}")
    return text


def _checked_number(number: int) -> int:
    if number < 0:
        raise ValueError(
            f"its label is {number}, and numbers of classes are not below 0: give one, or remove the image"
        )
    return number


def _shortened(value: Any) -> str:
    text = repr(value)
    return printable(text if len(text) <= 40 else f"{text[:40]}...")


def number_labels(
    title: str, labels: Mapping[str, Sequence[Label]], names: Sequence[str] | None
) -> tuple[dict[str, np.ndarray], tuple[str, ...], list[str]]:
    """Labels of each part from 0, the names of the classes, and what is to be known of them, a sentence each.

    Classes are those of the training images, in alphabetical order; where all are numbers, in that of numbers.

    Args:
        title: what errors begin with.
        labels: by part, ``train`` among them.
        names: of the classes, where the files tell them: numbers are places in it. None: they do not.

    Raises:
        EvoError: names and numbers are mixed, or a label is no class of the training images.
    """
    _check_kinds(title, labels)
    if names is None:
        known: list[Label] = sorted(set(labels["train"]))
        places: dict[Label, int] = {label: place for place, label in enumerate(known)}
        told = tuple(map(str, known))
    else:
        told = tuple(names)
        places = {name: place for place, name in enumerate(told)} | {place: place for place in range(len(told))}
    numbers, warnings = {}, []
    for part, found in labels.items():
        if strange := sorted({label for label in found if label not in places}, key=str):
            raise EvoError(
                f"{title}: {part} images have the class {printable(str(strange[0]))!r}, and the classes are "
                f"{some_names(told)}: expected the classes of the training images; correct it, or give training images of it"
            )
        numbers[part] = np.array([places[label] for label in found], np.int64)
        missing = [name for place, name in enumerate(told) if place not in set(numbers[part].tolist())]
        if part != "train" and missing and names is None:
            warnings.append(f"there are no {part} images of {some_names(missing)}: nothing is measured there for that")
    return numbers, told, warnings


def _check_kinds(title: str, labels: Mapping[str, Sequence[Label]]) -> None:
    everything = [label for found in labels.values() for label in found]
    words = [label for label in everything if isinstance(label, str)]
    if words and len(words) < len(everything):
        number = next(label for label in everything if not isinstance(label, str))
        raise EvoError(
            f"{title}: some labels are names, such as {printable(words[0])!r}, and some are numbers, such as {number}: "
            "expected either for all images"
        )
