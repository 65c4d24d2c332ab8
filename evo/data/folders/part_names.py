"""What folders are called that are parts of a data set: training, validation, test."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from unicodedata import normalize

ROLES = {
    "train": ("train", "training", "trn", "trainset", "trainingset"),
    "validation": ("val", "valid", "validation", "dev", "eval", "evaluation", "valset", "validset", "validationset"),
    "test": ("test", "testing", "tst", "testset", "testingset"),
}
"""What folders of a part are called, in any case."""

FILLERS = {"set", "sets", "data", "dataset", "images", "image", "imgs", "img", "split", "seg", "photos", "pictures"}
"""Words that may stand beside: ``test_images``, ``seg_train``."""

ROLE_OF_WORD = {word: role for role, words in ROLES.items() for word in words}

DIVISIONS = {
    "fold", "folds", "kfold", "cv", "subset", "partition", "batch", "dataset", "split", "holdout", "source", "target",
    "seen", "unseen", "labelled", "labeled", "unlabelled", "unlabeled", "original", "augmented", "gallery", "query",
}  # fmt: skip
"""Other words for parts, most of them of folds or of pairs (``source`` and ``target``): nobody calls classes so."""

YEAR = re.compile(r"(19|20)\d\d([\W_]\d\d?){0,2}")
"""What a folder of a year, a month or a day is called."""

GLUED = {*FILLERS, "daten", "datensatz", "bilder", "fotos"}
"""Words that may be one with the part's: ``traindata``, ``Trainingsdaten``."""

CHANGES = re.compile(r"(?<=[^\W\d_A-Z])(?=[A-Z])|(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])|[\W_]+")
"""Where one word ends and another begins: ``trainA``, ``train2``, ``my_train``."""


def role_of(name: str) -> str | None:
    """The part that a folder of this name is for; None: it is called like no part."""
    words = [word.rstrip("0123456789") for word in re.split(r"[\W_]+", normalize("NFKC", name).casefold())]
    kept = [word for word in words if word and word not in FILLERS]
    return ROLE_OF_WORD.get(kept[0]) if len(kept) == 1 else None


@dataclass(frozen=True)
class NamedParts:
    """Folders whose names are the same but for the part's word.

    Attributes:
        folders: by part; ``train`` is one of them.
        rest: the other words; "": there are none that say anything.
    """

    folders: dict[str, str]
    rest: str


def find_parts(names: Sequence[str]) -> NamedParts | None:
    """The first names that differ in the word for their part only (``cats_train`` and ``cats_test``); None: there are none.

    A word that is called like a part proves nothing alone: ``train``, ``test tube``.
    """
    groups: dict[str, dict[str, str]] = {}
    for name in names:
        if (role := role_within(name)) is not None:
            rest = " ".join(word for word in _words(name) if word not in ROLE_OF_WORD and word not in GLUED)
            groups.setdefault(rest, {}).setdefault(role, name)
    return next(
        (NamedParts(found, rest) for rest, found in groups.items() if "train" in found and len(found) > 1), None
    )


def suggest_parts(names: Sequence[str]) -> bool:
    """Whether all of these names differ only as those of parts do: ``fold1`` and ``fold2``, ``source`` and ``target``, years.

    Numbers and letters alone suggest nothing, for classes are called so: ``0`` and ``1``, ``class1`` and ``class2``.
    """
    if all(map(YEAR.fullmatch, names)):
        return True
    words = [[word for word in _words(name) if not word.isdecimal() and len(word) > 1] for name in names]
    known = {*ROLE_OF_WORD, *DIVISIONS}
    rests = {tuple(word for word in found if word not in known and word not in GLUED) for found in words}
    return len(rests) == 1 and all(not known.isdisjoint(found) for found in words)


def role_within(name: str) -> str | None:
    """The part that one of a name's words is for: of ``x_test``, ``testA``, ``test tube``; None: none is, or several are."""
    roles = [ROLE_OF_WORD[word] for word in _words(name) if word in ROLE_OF_WORD]
    return roles[0] if len(roles) == 1 else None


def _words(name: str) -> list[str]:
    parts = (_unglued(word.casefold()) for word in CHANGES.split(normalize("NFKC", name)) if word)
    return [word for words in parts for word in words]


def _unglued(word: str) -> tuple[str, ...]:
    """A word; in two, where one is a part's and the other may be one with it."""
    for known in ROLE_OF_WORD:
        for other in (word.removeprefix(known), word.removesuffix(known)):
            if other != word and {other, other.removeprefix("s")} & GLUED:
                return known, other.removeprefix("s") if other not in GLUED else other
    return (word,)
