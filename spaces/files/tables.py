"""Tables in csv files: their columns by name, their numbers checked. Every fault is told with file, line and column."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TypeVar

from spaces.errors import SpaceError
from spaces.files.text import read_text

T = TypeVar("T")

INVISIBLE = "\ufeff\u200b\u200e\u200f"
"""Signs that nobody sees, which programs leave at the ends of names."""


@dataclass(frozen=True)
class Table:
    """A csv file as text.

    Attributes:
        columns: names, without spaces around them.
        cells: a row's, one for each column; ``lines``: the line of the file in which each row ends, the header being in line 1.
    """

    path: Path
    columns: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]

    def place(self, column: str) -> int:
        """Where a column stands.

        Raises:
            SpaceError: there is no such column, or there are two.
        """
        name = plain_name(column)
        if (found := self.columns.count(name)) == 1:
            return self.columns.index(name)
        if found > 1:
            raise SpaceError(f"{self.path} has {found} columns {name!r}, expected one")
        raise SpaceError(
            f"{self.path} has no column {column!r}; its columns: {shown(self.columns)}{_separator_hint(self.columns)}"
        )

    def texts(self, column: str) -> list[str]:
        """A column's cells, without spaces around them."""
        place = self.place(column)
        return [row[place].strip() for row in self.cells]

    def rows(self) -> Iterator[Row]:
        """Row by row."""
        return (Row(self, i) for i in range(len(self.cells)))

    def where(self, row: int, column: str) -> str:
        """Words for a cell: its file, line and column."""
        return f"{self.path}, line {self.lines[row]}: {plain_name(column)}"


@dataclass(frozen=True)
class Row:
    """One row of a table."""

    table: Table
    index: int

    def text(self, column: str) -> str:
        """What stands in a column, without spaces around it."""
        return self.table.cells[self.index][self.table.place(column)].strip()

    def number(self, column: str, least: float = 0.0) -> float:
        """The number in a column.

        Raises:
            SpaceError: it is none, is not finite, or is less than ``least``.
        """
        return read_number(self.text(column), self.table.where(self.index, column), least)

    def parse(self, column: str, read: Callable[[str], T], expected: str) -> T:
        """What ``read`` makes of a column's text.

        Raises:
            SpaceError: it refuses; ``expected`` says in words what should stand there.
        """
        text = self.text(column)
        try:
            return read(text)
        except (ValueError, IndexError, KeyError):
            where = self.table.where(self.index, column)
            raise SpaceError(f"{where} is {text!r}, expected {expected}") from None

    def integer(self, column: str, least: int = 0) -> int:
        """The whole number in a column; ``4.0``, as spreadsheets may write it, is one.

        Raises:
            SpaceError: it is none, or less than ``least``.
        """
        return self.parse(column, lambda text: whole_number(text, least), f"a whole number from {least} on")


def read_number(text: str, where: str, least: float = -math.inf) -> float:
    """A number that a user has written.

    Args:
        where: words for its place.

    Raises:
        SpaceError: it is none, is not finite, or is less than ``least``.
    """
    try:
        number = float(text)
    except ValueError:
        raise number_error(text, where, least) from None
    if not (math.isfinite(number) and number >= least):
        raise number_error(text, where, least)
    return number


def number_error(text: str, where: str, least: float = -math.inf) -> SpaceError:
    """What is said of a text that is no number, not finite, or less than ``least``."""
    try:
        finite = math.isfinite(float(text))
    except ValueError:
        finite = True
    kind = "a number" if finite else "a finite number"
    return SpaceError(f"{where} is {text!r}, expected {kind}{f' from {least:g} on' if least > -math.inf else ''}")


def whole_number(text: str, least: int = 0) -> int:
    """``4``, or ``4.0``.

    Raises:
        ValueError: it is no whole number, or less than ``least``.
    """
    number = int(text.removesuffix(".0"))
    if number < least:
        raise ValueError(text)
    return number


def plain_name(name: str) -> str:
    """A column's name without spaces and invisible signs around it."""
    return name.strip(" \t\n\r\f\v\xa0" + INVISIBLE)


def shown(names: Sequence[str]) -> str:
    """Names of columns for people: what could not be seen is spelled out."""
    return ", ".join(name if name and name.isprintable() else repr(name) for name in names) or "none"


def _separator_hint(columns: Sequence[str]) -> str:
    """A question, where a header of one column looks as if something else than commas stood between its names."""
    only = columns[0] if len(columns) == 1 else ""
    other = next((mark for mark in (";", "\t", "|") if mark in only), None)
    return f"; is it separated by {other!r}? Expected commas" if other else ""


COMMAS_FOLLOW = ["sep=", ""]
"""The line ``sep=,``, by which spreadsheets are told what stands between columns."""


def read_table(path: Path, ragged: bool = False) -> Table:
    """A csv file, or a compressed one. Empty lines are skipped.

    Args:
        ragged: whether rows may end before the last column; what they lack is empty then.

    Raises:
        SpaceError: it cannot be read, or a row has not as many columns as the header names.
    """
    reader = csv.reader(StringIO(read_text(path)), strict=True)
    header, cells, lines = list[str](), [], []
    try:
        filled = (row for row in reader if any(cell.strip() for cell in row))
        header = [plain_name(name) for name in next(filled, [])]
        if header == COMMAS_FOLLOW:
            header = [plain_name(name) for name in next(filled, [])]
        for row in filled:
            if len(row) < len(header) and ragged:
                row += [""] * (len(header) - len(row))
            if len(row) < len(header) or any(row[len(header) :]):
                raise SpaceError(
                    f"{path}, line {reader.line_num}: found {len(row)} columns, expected the {len(header)} that the first "
                    f"line names{_separator_hint(header)}"
                )
            cells.append(tuple(row[: len(header)]))
            lines.append(reader.line_num)
    except csv.Error as error:
        hint = _separator_hint(header)
        raise SpaceError(f"{path}, line {reader.line_num}: cannot be read as csv: {error}{hint}") from None
    columns = tuple(name or f"Unnamed: {i}" for i, name in enumerate(header))
    return Table(path, columns, tuple(cells), tuple(lines))
