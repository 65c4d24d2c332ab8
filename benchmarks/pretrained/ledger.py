"""What work has cost, kept in a file, so that work that was interrupted counts, too."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from spaces.atomic_files import write_text


@dataclass(frozen=True)
class Spent:
    """Seconds of the clock, and multiply-accumulates."""

    seconds: float = 0.0
    macs: float = 0.0

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.seconds + other.seconds, self.macs + other.macs)

    def __sub__(self, other: Spent) -> Spent:
        return Spent(self.seconds - other.seconds, self.macs - other.macs)


NOTHING = Spent()


@dataclass(frozen=True)
class Ledger:
    """Sums by name, in one file."""

    path: Path

    def sum_of(self, name: str) -> Spent:
        """What was spent under a name so far."""
        return Spent(**self._sums().get(name, {}))

    def add(self, name: str, spent: Spent) -> None:
        """Add to a sum."""
        total = self.sum_of(name) + spent
        sums = self._sums() | {name: {"seconds": total.seconds, "macs": total.macs}}
        write_text(self.path, json.dumps(sums))

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Add the seconds of the body, also where it fails."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, Spent(time.perf_counter() - started))

    def _sums(self) -> dict[str, dict[str, float]]:
        found: dict[str, dict[str, float]] = json.loads(self.path.read_text()) if self.path.exists() else {}
        return found
