"""Images and labels by part, and the data set that is made of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from evo.data.folders.part_names import role_of, role_within
from evo.data.image_files import printable
from evo.data.layouts.labelling import Label, number_labels
from evo.data.raw import RawDataset, every_sixth
from evo.data.source import Pictures
from studies.records import EvoError


@dataclass(frozen=True, eq=False)
class Labelled:
    """The images of a layout.

    Attributes:
        pictures: of all parts.
        labels: one for each image; None: there are none.
        parts: of each image the part, ``train``, ``validation`` or ``test``; None: all are training images.
        names: of the classes, where the files tell them.
        origins: where parts come from, in words.
    """

    title: str
    pictures: Pictures
    labels: Sequence[Label] | None
    parts: np.ndarray | None = None
    names: tuple[str, ...] | None = None
    origins: Mapping[str, str] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def assemble(found: Labelled) -> RawDataset:
    """The data set. Without test images every sixth training image is one.

    Raises:
        EvoError: there are no training images, or labels do not fit.
    """
    n, origins = len(found.pictures), dict(found.origins)
    parts = np.full(n, "train", "<U10") if found.parts is None else found.parts.astype("<U10")
    if not (parts == "train").any():
        others = sorted(set(parts.tolist()))
        told = f"all are called {' or '.join(others)}" if others else "there is none at all"
        raise EvoError(f"{found.title}: there are no training images, {told}: expected images whose part is train")
    if not (parts == "test").any():
        train = np.flatnonzero(parts == "train")
        parts[train[every_sixth(found.title, len(train))]] = "test"
        origins["test"] = "every sixth image"
    places = {part: np.flatnonzero(parts == part) for part in ("train", "test", "validation")}
    y, names, warnings = _numbered(found, places)
    x = {part: found.pictures.take(places[part]) for part in places}
    validation = (x["validation"], y["validation"]) if len(places["validation"]) else ()
    return RawDataset(
        x["train"], y["train"], x["test"], y["test"], *validation, class_names=names, origins=origins,
        ignored=found.ignored, warnings=(*found.warnings, *warnings),
    )  # fmt: skip


def _numbered(
    found: Labelled, places: Mapping[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], tuple[str, ...], list[str]]:
    if found.labels is None:
        return {part: np.zeros(len(chosen), np.int64) for part, chosen in places.items()}, (), []
    labels = {part: [found.labels[i] for i in chosen.tolist()] for part, chosen in places.items() if len(chosen)}
    return number_labels(found.title, labels, found.names)


def parts_of_files(title: str, names: Sequence[str], kind: str) -> list[str]:
    """The part that each of some files is for, by its folder or its name: ``train/0.tar``, ``data/test-00000.parquet``.

    Args:
        names: paths below the folder that was given.
        kind: what errors call such a file.

    Raises:
        EvoError: some are called like parts and some are not, or one is called like several.
    """
    roles = [_role_of_path(name) for name in names]
    if not any(roles):
        return ["train"] * len(names)
    unclear = [name for name, role in zip(names, roles, strict=True) if role is None]
    if unclear:
        clear = next(name for name, role in zip(names, roles, strict=True) if role)
        raise EvoError(
            f"{title}: {printable(clear)} is called like a part, and {printable(unclear[0])} is not: expected train, val or "
            f"test in the name of every {kind}, or of none; rename or remove it"
        )
    return [role or "" for role in roles]


def _role_of_path(name: str) -> str | None:
    """The part that a file's name, or else a folder above it, is called like."""
    *folders, file = name.split("/")
    return role_within(file.split(".")[0]) or next(filter(None, map(role_of, reversed(folders))), None)


def origins_of(parts: Iterable[str], names: Sequence[str]) -> dict[str, str]:
    """In which files each part lies, in words; nothing where there is one part only."""
    by_part: dict[str, list[str]] = {}
    for part, name in zip(parts, names, strict=True):
        by_part.setdefault(part, []).append(printable(name))
    if len(by_part) < 2:
        return {}
    return {part: found[0] if len(found) == 1 else f"{len(found):,} files" for part, found in by_part.items()}
