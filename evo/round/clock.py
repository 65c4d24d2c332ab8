"""Where the time of a round goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


@dataclass
class Clock:
    """Seconds by purpose. What is timed inside something else counts for itself alone."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def time(self, what: str) -> Iterator[None]:
        started, inside = time.perf_counter(), sum(self.seconds.values())
        try:
            yield
        finally:
            inside = sum(self.seconds.values()) - inside
            self.seconds[what] = self.seconds.get(what, 0.0) + time.perf_counter() - started - inside

    def timed(self, what: str, function: Callable[P, R]) -> Callable[P, R]:
        """``function``, timed whenever it is called."""

        def timed(*args: P.args, **kwargs: P.kwargs) -> R:
            with self.time(what):
                return function(*args, **kwargs)

        return timed
