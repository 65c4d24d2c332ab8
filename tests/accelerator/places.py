"""Which line of the program is running."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
ROOMS = tuple(f"{ROOT / room}/" for room in ("evo", "spaces", "studies", "analysis"))

AUTOGRAD = "autograd"
"""Where no line of the program is: the backward pass runs by itself."""


def running_line() -> str:
    """The innermost line of the program that is running, e.g. ``evo/training/loop.py:206``."""
    frame = sys._getframe(1)
    while frame is not None:
        if (name := frame.f_code.co_filename).startswith(ROOMS):
            return f"{Path(name).relative_to(ROOT)}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return AUTOGRAD


def line_of(file: str, text: str) -> str:
    """The first line of a file of the program that holds ``text``, as ``running_line`` gives it."""
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    return f"{file}:{next(number for number, line in enumerate(lines, start=1) if text in line)}"
