"""Work that tests give to other processes, which import it from here."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from evo.data.loading import load_dataset
from evo.workers import pool
from studies.config import DataSection
from studies.records import EvoError


def tenfold(numbers: Sequence[int]) -> list[int]:
    return [10 * number for number in numbers]


def processes(items: Sequence[int]) -> list[int]:
    """Who does it, a little slowly."""
    time.sleep(0.05)
    return [os.getpid() for _ in items]


def variable(names: Sequence[str]) -> list[str]:
    """What variables of the environment are in the process that is asked; empty where there is none."""
    return [os.environ.get(name, "") for name in names]


def import_little() -> None:
    """Processes that this one starts from now on are copies of one that has imported no evaluator."""
    pool.IMPORTED = ("evo.workers.pool",)


def own_devices(items: Sequence[int]) -> list[tuple[str, bool]]:
    """The GPUs that a process may use, and whether it has begun to use one."""
    return [(os.environ["CUDA_VISIBLE_DEVICES"], torch.cuda.is_initialized()) for _ in items]


def some_kind() -> str:
    """A kind of machine that no other process has."""
    return f"a CPU ({os.getpid()})"


def deaf_to_ctrl_c(items: Sequence[int]) -> list[bool]:
    return [signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ()) for _ in items]


def complains(items: Sequence[int]) -> list[int]:
    raise EvoError(f"cannot do {items[0]}")


def naps(seconds: Sequence[int]) -> list[int]:
    for second in seconds:
        time.sleep(second)
    return list(seconds)


@dataclass(frozen=True)
class Reader:
    """Reads a file and a data set that it names."""

    path: Path
    data: DataSection

    def __call__(self, items: Sequence[int]) -> list[tuple[str, int]]:
        return [(self.path.read_text(), len(load_dataset(self.data).train)) for _ in items]
