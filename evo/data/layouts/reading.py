"""Which layout lies at a path, and the data set that is read from it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from evo.data.folders.entries import read_entries, suffix_of
from evo.data.folders.part_names import role_of
from evo.data.image_files import SUFFIXES, printable
from evo.data.layouts.array_maps import map_folders, read_maps
from evo.data.layouts.columns import read_tables
from evo.data.layouts.csv_list import SUFFIXES_OF_LISTS, read_csv_list
from evo.data.layouts.parts import Labelled, assemble
from evo.data.layouts.shards import PACKED, read_shards
from evo.data.raw import RawDataset
from studies.records import EvoError

Reader = Callable[[bool], Labelled]
"""Reads images, and their labels if that is asked for."""

INNER = {"data", "shards"}
"""What folders of shards and tables are called, beside those of parts."""


def read_layout_at(path: Path, labelled: bool) -> RawDataset | None:
    """The images at a path that is no folder of class folders; None: it is one, or nothing is there.

    Args:
        labelled: whether their labels are read.

    Raises:
        EvoError: they cannot be read.
    """
    reader = _reader_of_file(path) if path.is_file() else _reader_of_folder(path) if path.is_dir() else None
    return None if reader is None else assemble(reader(labelled))


def _reader_of_file(path: Path) -> Reader | None:
    suffix, name = suffix_of(path.name), path.name.lower()
    if suffix in SUFFIXES_OF_LISTS:
        return lambda labelled: read_csv_list(path, labelled)
    if suffix == ".tar":
        return lambda labelled: read_shards(path, [path], labelled)
    if suffix in (".parquet", ".arrow"):
        return lambda labelled: read_tables(path, [path], labelled)
    where = f"data.path is {printable(str(path))!r}"
    if name.endswith(PACKED):
        raise EvoError(
            f"{where}, a packed archive, which cannot be read in any order: unpack it to a .tar, or to its files"
        )
    if suffix == ".npz":
        raise EvoError(f"{where}, a file of arrays: these are read with data.name = 'arrays'")
    if suffix == ".npy":
        raise EvoError(f"{where}, one array: give the folder in which images.npy and labels.npy lie")
    return None


def _reader_of_folder(path: Path) -> Reader | None:
    """A folder that holds shards, tables or maps, and no image in a folder of its own."""
    if map_folders(path):
        return lambda labelled: read_maps(path, labelled)
    archives, tables = _files_below(path, ".tar"), _files_below(path, ".parquet") + _files_below(path, ".arrow")
    if not (archives or tables) or _holds_class_folders(path):
        return None
    if archives and tables:
        raise EvoError(
            f"data.path is {printable(str(path))!r}, and both archives ({printable(archives[0].name)}) and tables "
            f"({printable(tables[0].name)}) lie there: expected one of the two; give the one that counts"
        )
    if archives:
        return lambda labelled: read_shards(path, archives, labelled)
    return lambda labelled: read_tables(path, tables, labelled)


def _files_below(path: Path, suffix: str) -> list[Path]:
    """Files of a kind in a folder and in those of its folders that are called like parts, or as folders of shards are."""
    entries = read_entries(str(path))
    found = [Path(file) for file in entries.files if suffix_of(file) == suffix]
    for name in entries.folders:
        if role_of(name) or name.casefold() in INNER:
            found += (Path(file) for file in read_entries(str(path / name)).files if suffix_of(file) == suffix)
    return sorted(file for file in found if not file.name.startswith("cache-"))  # which ``datasets`` leaves


def _holds_class_folders(path: Path) -> bool:
    """Whether an image lies in a folder below; links in it are not followed."""
    return any(
        suffix_of(name) in SUFFIXES and not name.startswith(".")
        for folder, _, names in os.walk(path)
        if folder != str(path)
        for name in names
    )
