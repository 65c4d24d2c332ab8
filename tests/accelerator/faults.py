"""Faults, planted in the program for a moment: a guard that never fails guards nothing."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import pytest


@dataclass(frozen=True)
class Fault:
    """A line of the program, written otherwise.

    Attributes:
        what: the fault in words.
        place: the function or method it is in, e.g. ``evo.data.source:ImageSet.epoch``.
        line: what stands there; ``instead``: the fault.
        caught_by: the test that must fail, a function of ``test_steps`` or ``whole_runs``; ``given``: some of its arguments.
    """

    what: str
    place: str
    line: str
    instead: str
    caught_by: Callable[..., None]
    given: tuple[tuple[str, Any], ...] = ()

    def plant(self, patch: pytest.MonkeyPatch) -> None:
        """Compile the function anew, with the fault, at the lines that it has in its file."""
        module_name, _, path = self.place.partition(":")
        module = import_module(module_name)
        *outer, name = path.split(".")
        owner: Any = module
        for part in outer:
            owner = getattr(owner, part)
        lines, first = inspect.getsourcelines(getattr(owner, name))
        source = textwrap.dedent("".join(lines))
        assert source.count(self.line) == 1, f"{self.place} has no line {self.line!r}"
        code = compile("\n" * (first - 1) + source.replace(self.line, self.instead), str(module.__file__), "exec")
        found: dict[str, Any] = {}
        exec(code, vars(module), found)
        patch.setattr(getattr(owner, name), "__code__", found[name].__code__)  # wherever it was imported to

    def is_caught(self, fixtures: Mapping[str, Any]) -> None:
        """Run the test, which must fail: by what it finds, or by what a device refuses."""
        known = {**fixtures, **dict(self.given)}
        wanted = {name: known[name] for name in inspect.signature(self.caught_by).parameters}
        with pytest.raises((AssertionError, RuntimeError)):
            self.caught_by(**wanted)
