"""Tables for a terminal: cells under their headings."""

from __future__ import annotations

from collections.abc import Container, Sequence


def format_row(cells: Sequence[str], widths: Sequence[int], left: Container[int] = ()) -> str:
    """One line of a table; the columns ``left`` are aligned to the left, all others to the right."""
    return "  ".join(
        cell.ljust(width) if i in left else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ).rstrip()


def format_table(lines: Sequence[Sequence[str]], left: Container[int] = ()) -> str:
    """Lines of a table, each column as wide as its longest cell."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(format_row(line, widths, left) for line in lines)
