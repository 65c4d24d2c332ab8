"""Lists of images in ``.csv`` files: columns ``path``, ``label`` and, optionally, ``split``."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evo.data.folders.entries import suffix_of
from evo.data.folders.part_names import role_of
from evo.data.image_files import NAMED, SUFFIXES, count, printable
from evo.data.image_folders import Photographs
from evo.data.layouts.labelling import Label, read_label
from evo.data.layouts.parts import Labelled
from studies.records import EvoError

SUFFIXES_OF_LISTS = (".csv", ".tsv")
"""Of files that are taken for lists."""

COLUMNS = "expected a first line with the names of columns: path, label and, if there are parts, split"

DELIMITERS = ",;\t|"
"""What may stand between two columns; the first line tells which."""

MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
"""Encodings by the bytes that a file begins with."""


@dataclass(frozen=True)
class _Row:
    line: int
    path: str
    label: str | None
    split: str | None


def read_csv_list(file: Path, labelled: bool) -> Labelled:
    """The images of a list.

    Args:
        labelled: whether their labels are read.

    Raises:
        EvoError: the file is none, or names an image that is not there, twice with different labels, or in two parts.
    """
    title = f"data.path is {printable(str(file))!r}"
    rows = list(_rows(title, _text(title, file), labelled))
    if not rows:
        raise EvoError(f"{title}: it names no images; {COLUMNS}, and a line for each image")
    paths = _paths(title, file.parent, rows)
    labels = _labels(title, rows) if labelled else None
    parts = _parts(title, rows)
    kept, warnings = _without_copies(title, rows, paths, labels, parts)
    return Labelled(
        title,
        Photographs(np.array([paths[i] for i in kept]), below=str(file.parent)),
        None if labels is None else [labels[i] for i in kept],
        None if parts is None else np.array([parts[i] for i in kept]),
        origins={}
        if parts is None
        else {part: f"split {_spelled(rows, parts, part)!r}" for part in sorted(set(parts))},
        warnings=warnings,
    )


# -- text and columns -------------------------------------------------------------------------------------------------


def _text(title: str, file: Path) -> str:
    """The file's text: UTF-8, or UTF-16 where its first bytes say so."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise EvoError(f"{title} cannot be read ({error.strerror}): check its permissions") from None
    encoding = next((name for mark, name in MARKS.items() if content.startswith(mark)), "utf-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise EvoError(
            f"{title}, line {line:,}: the text is no UTF-8 (byte {content[error.start]:#04x}): save the list as UTF-8"
        ) from None


def _rows(title: str, text: str, labelled: bool) -> Iterator[_Row]:
    delimiter = _delimiter(text.partition("\n")[0])
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = [name.strip().casefold() for name in next(reader, [])]
        places = _columns(title, header, labelled)
        for fields in reader:
            if not any(field.strip() for field in fields):
                continue
            if len(fields) != len(header):
                raise EvoError(
                    f"{title}, line {reader.line_num:,}: {len(fields)} fields, and the first line has {len(header)}: put "
                    f'quotes around fields that hold {delimiter!r} or "'
                )
            values = {name: fields[place].strip() for name, place in places.items()}
            yield _Row(reader.line_num, values["path"], values.get("label"), values.get("split"))
    except csv.Error as error:
        raise EvoError(
            f"{title}, line {reader.line_num:,}: this is no line of a csv file ({error}); {COLUMNS}"
        ) from None


def _delimiter(first: str) -> str:
    """What divides the first line into columns, ``path`` among them; else what it has most of."""
    names = {mark: [name.strip(' "\r').casefold() for name in first.split(mark)] for mark in DELIMITERS}
    return max(DELIMITERS, key=lambda mark: ("path" in names[mark], len(names[mark])))


def _columns(title: str, header: Sequence[str], labelled: bool) -> dict[str, int]:
    wanted = ("path", "label") if labelled else ("path",)
    if missing := [name for name in wanted if name not in header]:
        found = ", ".join(printable(name) for name in header[:10]) or "nothing"
        hint = "; images without labels: data.labels = false" if missing == ["label"] else ""
        raise EvoError(f"{title}: there is no column {' and no column '.join(missing)}, found {found}; {COLUMNS}{hint}")
    if twice := [name for name in ("path", "label", "split") if header.count(name) > 1]:
        raise EvoError(f"{title}: there are {header.count(twice[0])} columns {twice[0]}: remove or rename all but one")
    return {name: header.index(name) for name in (*wanted, "split") if name in header}


# -- what the columns say ---------------------------------------------------------------------------------------------


def _paths(title: str, folder: Path, rows: Sequence[_Row]) -> list[str]:
    """Where the images lie: below the folder of the list."""
    for row in rows:
        if not row.path:
            raise EvoError(f"{title}, line {row.line:,}: the path is empty: give one, or remove the line")
        inside = os.path.normpath(row.path)
        if os.path.isabs(inside) or inside.split(os.sep)[0] == os.pardir or "\0" in inside:
            raise EvoError(
                f"{title}, line {row.line:,}: {printable(row.path)} leads out of the folder of the list: expected paths "
                "relative to that folder, and below it; put the list into a folder above all images"
            )
        if suffix_of(row.path) not in SUFFIXES:
            raise EvoError(
                f"{title}, line {row.line:,}: {printable(row.path)} is called like no image; images are read from "
                f"{', '.join(SUFFIXES)}"
            )
    paths = [os.path.join(folder, row.path) for row in rows]
    missing = [row for row, path in zip(rows, paths, strict=True) if not os.path.isfile(path)]
    if missing:
        told = ", ".join(f"{printable(row.path)} (line {row.line:,})" for row in missing[:NAMED])
        more = f" and {len(missing) - NAMED:,} more" if len(missing) > NAMED else ""
        slashes = "; folders are divided by / here, not by \\" if "\\" in missing[0].path else ""
        raise EvoError(
            f"{title}: {count(missing, 'image')} of {len(rows):,} not there: {told}{more}; paths are relative to the folder of "
            f"the list{slashes}: put them there, or remove the lines"
        )
    return paths


def _labels(title: str, rows: Sequence[_Row]) -> list[Label]:
    labels: list[Label] = []
    for row in rows:
        try:
            labels.append(read_label(row.label))
        except ValueError as error:
            raise EvoError(f"{title}, line {row.line:,} ({printable(row.path)}): {error}") from None
    return labels


def _parts(title: str, rows: Sequence[_Row]) -> list[str] | None:
    if rows[0].split is None:
        return None
    parts = []
    for row in rows:
        if (part := role_of(row.split or "")) is None:
            raise EvoError(
                f"{title}, line {row.line:,}: the split is {printable(row.split or '')!r}; expected train, val or test"
            )
        parts.append(part)
    return parts


def _spelled(rows: Sequence[_Row], parts: Sequence[str], part: str) -> str:
    """How the list calls a part."""
    return printable(next(row.split or "" for row, its in zip(rows, parts, strict=True) if its == part))


def _without_copies(
    title: str,
    rows: Sequence[_Row],
    paths: Sequence[str],
    labels: Sequence[Label] | None,
    parts: Sequence[str] | None,
) -> tuple[list[int], tuple[str, ...]]:
    """The places of the images that are named first, and a warning of those that are named again.

    Raises:
        EvoError: one file has two labels, or is in two parts.
    """
    known: dict[str, int] = {}
    again = []
    for i, path in enumerate(paths):
        first = known.setdefault(os.path.realpath(path), i)
        if first == i:
            continue
        for what, values in (("labels", labels), ("splits", parts)):
            if values is not None and values[first] != values[i]:
                raise EvoError(
                    f"{title}: lines {rows[first].line:,} and {rows[i].line:,} are of one file, {printable(rows[i].path)}, "
                    f"with different {what}, {printable(str(values[first]))} and {printable(str(values[i]))}: remove one"
                )
        again.append(i)
    if not again:
        return list(range(len(paths))), ()
    told = ", ".join(f"{printable(rows[i].path)} (line {rows[i].line:,})" for i in again[:NAMED])
    return list(known.values()), (
        f"{count(again, 'line')} of files that earlier lines name, which are left out: {told}",
    )
