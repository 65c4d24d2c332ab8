"""The only module that prints."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

Advance = Callable[[int], None]
Track = Callable[[str, int], AbstractContextManager[Advance]]
"""``with track("training", steps) as advance: ... advance(1)``: progress, seen by whoever is looking."""


@contextmanager
def untracked(label: str, total: int) -> Iterator[Advance]:
    """Nobody is looking."""
    yield lambda n: None


@contextmanager
def bar(label: str, total: int) -> Iterator[Advance]:
    """A progress bar with the time left, on a terminal; gone when it is done."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("  {task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    screen = Console(stderr=True)
    with Progress(*columns, transient=True, disable=not screen.is_terminal, console=screen) as progress:
        task = progress.add_task(label, total=total)
        yield lambda n: progress.update(task, advance=n)


def say(text: str = "") -> None:
    """A line for the reader."""
    print(text, flush=True)


def complain(text: str) -> None:
    """A line for the reader, about something that went wrong."""
    print(text, file=sys.stderr, flush=True)


def row(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Cells right-aligned under their headings."""
    return "  ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))


def nothing(text: str = "") -> None:
    """A line that nobody wants."""


def short(number: float) -> str:
    """A count for people, to three digits: 950, 12.3k, 301M, 1.55e+27."""
    for limit, unit, suffix in ((1e3, 1, ""), (1e6, 1e3, "k"), (1e9, 1e6, "M"), (1e12, 1e9, "G")):
        if number < 0.9995 * limit or (limit == 1e3 and number < limit):
            return f"{number / unit:.3g}{suffix}"
    return f"{number:.2e}"
