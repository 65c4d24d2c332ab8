"""The only module that prints."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
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
    """A line for the reader; one who has gone (``| head``) is no error."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  (it lives as long as the process)


def complain(text: str) -> None:
    """A line for the reader, about something that went wrong."""
    print(text, file=sys.stderr, flush=True)


def nothing(text: str = "") -> None:
    """A line that nobody wants."""
