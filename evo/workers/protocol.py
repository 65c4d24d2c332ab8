"""What a piece of work is, whoever does it: how it is sent, and how it is lost."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

import torch

from studies.records import EvoError

T = TypeVar("T")
R = TypeVar("R")
Work = Callable[[Sequence[T]], list[R]]
"""One answer per item, in order; a judge, say, and its architectures. It is pickled to whoever does it."""


class Evaluate(Protocol):
    """Does some work, by whoever is there: ``evaluate(judge, archs)``. ``seconds``: what an item may take, if that is limited.

    Raises:
        EvaluationsLostError: some items could not be done, however often they were tried.
    """

    def __call__(self, work: Work[T, R], items: Sequence[T], /, seconds: float | None = None) -> list[R]: ...


class Submit(Protocol):
    """Sends a piece of work to a worker that has ``limit`` seconds for it. The future ends with ``EvaluationTimeoutError``
    where that was too little, and with ``WorkerDiedError`` where the worker is gone."""

    def __call__(self, work: Work[T, R], items: Sequence[T], limit: float | None, /) -> Future[list[R]]: ...


class EvaluationTimeoutError(Exception):
    """Work took longer than it may; whoever was at it has been stopped."""


class WorkerDiedError(Exception):
    """Whoever was at it is gone: " of SIGKILL"."""


class EvaluationsLostError(EvoError):
    """Items of work that nobody could do: place -> why. ``answers`` are those for all others."""

    def __init__(self, reasons: Mapping[int, str], answers: Mapping[int, Any]) -> None:
        super().__init__(
            f"{len(reasons)} of {len(reasons) + len(answers)} items of work failed: {min(reasons.values())}"
        )
        self.reasons, self.answers = reasons, answers


def make_deterministic(threads: int) -> None:
    """Make what this process computes depend on its inputs alone: a fixed number of threads, deterministic kernels."""
    torch.set_num_threads(threads)
    if torch.cuda.is_available():  # on a CPU nothing here is left to chance, and asking for it imports a compiler
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
