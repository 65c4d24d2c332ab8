"""Ctrl-C at moments when Python itself would answer with a traceback: while a command is imported, and while it ends.

This is imported before anything else by every package that has commands, so that only the start of Python comes before it.
A program that merely imports these packages is left alone.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # what the module signal is made of, there at once
import os
import sys

PACKAGES = ("analysis", "evo", "spaces", "studies")
STATUS = 130
"""The exit status of a command that Ctrl-C has ended."""


def end_at_once(number: int, frame: object, write=os.write, leave=os._exit) -> None:  # type: ignore[no-untyped-def]
    """A signal handler: there is nothing to keep, and nothing to wait for. It needs no module, which may be gone by then."""
    try:
        write(2, b"\ninterrupted\n")
    finally:
        leave(130)


def starts_command() -> bool:
    """Whether Python is looking for the module of ``python -m``, and it is one of ours."""
    given = getattr(sys, "orig_argv", [])
    module = given[given.index("-m") + 1] if "-m" in given[:-1] else ""
    return sys.argv[:1] == ["-m"] and module.partition(".")[0] in PACKAGES


if starts_command() and _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
    _signal.signal(_signal.SIGINT, end_at_once)

import signal  # noqa: E402
import threading  # noqa: E402
from collections.abc import Iterator  # noqa: E402
from contextlib import contextmanager  # noqa: E402


class Interruptions:
    """What came: ``pressed`` is whether Ctrl-C was."""

    pressed = False

    def raise_interrupt(self, number: int, frame: object) -> None:
        """A signal handler, as Python's own."""
        self.pressed = True
        raise KeyboardInterrupt


def may_handle() -> bool:
    """Whether Ctrl-C may be handled here: in the main thread, and where nobody else does."""
    alone = signal.getsignal(signal.SIGINT) in (signal.default_int_handler, end_at_once)
    return alone and threading.current_thread() is threading.main_thread()


@contextmanager
def watched() -> Iterator[Interruptions]:
    """In the body Ctrl-C raises KeyboardInterrupt, and is remembered: some libraries make other exceptions of it."""
    seen = Interruptions()
    if not may_handle():
        yield seen
        return
    before = signal.signal(signal.SIGINT, seen.raise_interrupt)
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, before)


def hand_over() -> None:
    """From here on Ctrl-C raises KeyboardInterrupt, as in any program."""
    if signal.getsignal(signal.SIGINT) is end_at_once:
        signal.signal(signal.SIGINT, signal.default_int_handler)
