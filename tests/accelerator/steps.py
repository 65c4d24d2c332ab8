"""Work on a device, compared with the same work elsewhere, and what each of its steps waited for."""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import _lru_cache_wrapper
from itertools import pairwise
from typing import Any, Protocol

import torch

from evo.console import Advance
from tests.accelerator.device import PretendedDevice, Wait
from tests.accelerator.places import line_of, running_line

EPOCH_ENDS = ("evo/training/checkpoints.py:", line_of("evo/training/loop.py", "torch.isfinite(total)"))
"""Where an epoch ends: its loss is looked at, and progress is written."""

SYNCHRONISES = "called a synchronizing CUDA operation"
"""What torch warns of where a program waits for a GPU (``torch.cuda.set_sync_debug_mode``)."""


@dataclass
class Watch:
    """What a device was waited for while work went on: ``track`` is handed to trainings.

    Attributes:
        waits: of the device, so far.
    """

    waits: Counter[Wait] = field(default_factory=Counter)
    seen: dict[str, list[Counter[Wait]]] = field(default_factory=dict)

    @contextmanager
    def track(self, label: str, total: int) -> Iterator[Advance]:
        """An ``evo.console.Track``."""
        seen = self.seen.setdefault(label, [])
        yield lambda steps: seen.append(Counter(self.waits))

    @contextmanager
    def during(self, label: str) -> Iterator[None]:
        """Watch what the body does, as ``label``."""
        before = Counter(self.waits)
        yield
        self.seen[label] = [Counter(), Counter(), self.waits - before]

    def steps(self, label: str) -> list[Counter[Wait]]:
        """Per step of the training whose label holds ``label``, its waits, without those that end an epoch; the first step
        of a training is left out: its beginning is not told apart from what goes before."""
        (seen,) = (found for name, found in self.seen.items() if label in name)
        return [
            Counter({wait: times for wait, times in (after - before).items() if not wait[1].startswith(EPOCH_ENDS)})
            for before, after in pairwise(seen[1:])
        ]

    def most(self, label: str) -> int:
        """How often the step that waited most often did."""
        return max(step.total() for step in self.steps(label))


class Device(Protocol):
    """Where tests run: ``word`` is the setting ``device``."""

    word: str

    def compare(self, work: Callable[[str, Watch], Any]) -> Watch:
        """What was seen of ``work(word, watch)`` on the device, whose result is as it must be."""
        ...


class Pretended:
    """The pretended device, whose results are those of the CPU."""

    word = "cuda"

    def compare(self, work: Callable[[str, Watch], Any]) -> Watch:
        expected = fresh(work, "cpu", Watch())
        with PretendedDevice() as device:
            watch = Watch(device.waits)
            assert_same(fresh(work, self.word, watch), expected)
        return watch


class Real:
    """A GPU, whose results are the same every time; an operation without a deterministic kernel is an error."""

    word = "cuda"

    def compare(self, work: Callable[[str, Watch], Any]) -> Watch:
        expected, watch = fresh(work, self.word, Watch()), Watch()
        with counted_synchronisations(watch.waits):
            assert_same(fresh(work, self.word, watch), expected)
        return watch


@contextmanager
def counted_synchronisations(waits: Counter[Wait]) -> Iterator[None]:
    """Count where the body waits for a GPU; with torch's mode "error" the first wait that is allowed would end it."""

    def count(message: Warning | str, *_: Any) -> None:
        assert SYNCHRONISES in str(message), message
        waits["synchronises", running_line()] += 1

    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.showwarning = count
            yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


def fresh(work: Callable[[str, Watch], Any], word: str, watch: Watch) -> Any:
    """The result of ``work``; nothing is kept from one device to the next."""
    forget()
    try:
        return work(word, watch)
    finally:
        forget()


def forget() -> None:
    """Empty all caches of the program."""
    for name, module in list(sys.modules.items()):
        if name.startswith("evo."):
            for value in vars(module).values():
                if isinstance(value, _lru_cache_wrapper):
                    value.cache_clear()


def assert_same(found: Any, expected: Any) -> None:
    """To the bit; tensors are compared where they are not."""
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        for name in expected:
            assert_same(found[name], expected[name])
    elif isinstance(expected, list):
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    elif isinstance(expected, torch.Tensor):
        assert torch.equal(found.cpu(), expected.cpu())
    else:
        assert found == expected
