"""How much memory this process may use: the system's, or less where it runs in a container or a batch job."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")
"""Where Linux keeps the limits of control groups; a container has one."""

OWN_GROUPS = Path("/proc/self/cgroup")
"""Which groups this process is in."""


def system_memory(groups: Path = GROUPS, own: Path = OWN_GROUPS) -> int | None:
    """Bytes: all that the system has, or the least that a control group of this process may take; None: nobody knows."""
    limits = [*_installed(), *_limits(groups, own)]
    return min(limits) if limits else None


def _installed() -> Iterator[int]:
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # not on Windows
        return
    if memory > 0:
        yield memory


def _limits(groups: Path, own: Path) -> Iterator[int]:
    """What the groups of this process, and those around them, may take (version 2 of control groups, and version 1)."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, place = line.split(":", 2)
        if controllers == "":
            root, name = groups, "memory.max"
        elif "memory" in controllers.split(","):
            root, name = groups / "memory", "memory.limit_in_bytes"
        else:
            continue
        group = root / place.lstrip("/")
        for folder in (group, *group.parents):
            if (limit := _number_in(folder / name)) is not None:
                yield limit
            if folder == root:
                break


def _number_in(file: Path) -> int | None:
    try:
        text = file.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None  # else it is "max"
