"""The only module that prints."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from html import escape
from typing import Any

Advance = Callable[[int], None]
Track = Callable[[str, int], AbstractContextManager[Advance]]
"""``with track("training", steps) as advance: ... advance(1)``: progress, shown to the user."""


@contextmanager
def untracked(label: str, total: int) -> Iterator[Advance]:
    """A ``Track`` that shows nothing."""
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

    screen = Console(stderr=True)
    columns = (
        TextColumn("  {task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, transient=True, disable=not screen.is_terminal, console=screen) as progress:
        task = progress.add_task(label, total=total)
        yield lambda n: progress.update(task, advance=n)


REFRESH = 0.2
"""Seconds between two updates of a notebook's progress bar."""


class NotebookBar:
    """HTML's own progress bar above the other output of a notebook's cell, one for all that is done in it.

    What rich shows in a notebook needs ipywidgets.
    """

    def __init__(self) -> None:
        self._handle: Any = None

    @contextmanager
    def __call__(self, label: str, total: int) -> Iterator[Advance]:
        began, done, drawn = time.monotonic(), 0, 0.0

        def advance(n: int) -> None:
            nonlocal done, drawn
            done += n
            if (now := time.monotonic()) - drawn >= REFRESH:
                drawn = now
                self._show(_progress(label, done, total, now - began))

        advance(0)
        try:
            yield advance
        finally:
            self._show({"text/html": "", "text/plain": ""})

    def _show(self, bundle: dict[str, str]) -> None:
        from IPython.display import display

        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)


def _progress(label: str, done: int, total: int, seconds: float) -> dict[str, str]:
    """A progress bar for a notebook, and plain text where HTML is not shown."""
    left = f", {seconds / done * (total - done):.0f} s left" if done else ""
    text = f"{label}: {done}/{total}, {seconds:.0f} s{left}"
    bar = f'<progress value="{done}" max="{max(total, 1)}" style="vertical-align: middle"></progress>'
    return {"text/html": f"<div>{bar} <small>{escape(text)}</small></div>", "text/plain": text}


def say(text: str = "") -> None:
    """Print a line on standard output; a closed pipe (``| head``) is no error."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  (it lives as long as the process)


def warn(text: str) -> None:
    """Print a line on standard error."""
    print(text, file=sys.stderr, flush=True)


def discard(text: str = "") -> None:
    """A ``say`` that prints nothing."""


@dataclass(frozen=True)
class Reporter:
    """Where the lines and the progress of some work are shown."""

    say: Callable[[str], None] = discard
    track: Track = untracked


SILENT = Reporter()
TERMINAL = Reporter(say, bar)
"""Lines on standard output, and progress bars beside them on a terminal."""


def reporter(progress: bool) -> Reporter:
    """Shows lines and progress bars wherever this process has them seen: on a terminal, or in a notebook."""
    from rich.console import Console

    if not progress:
        return SILENT
    return Reporter(say, NotebookBar()) if Console().is_jupyter else TERMINAL
