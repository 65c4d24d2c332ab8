"""The protocol of all executors: what a piece of work is, how it is sent, and how it can be lost."""

from __future__ import annotations

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

import torch

from spaces.errors import LOST_DEVICE, device_error_in_words, is_lost_device
from studies.records import EvoError

T = TypeVar("T")
R = TypeVar("R")
Work = Callable[[Sequence[T]], list[R]]
"""Gives one answer per item, in order; for example a judge, called with architectures. Must be picklable."""


class Evaluate(Protocol):
    """Maps work over the available workers: ``evaluate(judge, archs)``. ``seconds``: time limit per item; None: unlimited.

    Raises:
        EvaluationsLostError: some items timed out or crashed their workers repeatedly.
    """

    def __call__(self, work: Work[T, R], items: Sequence[T], /, seconds: float | None = None) -> list[R]: ...


class SharedEvaluate(ABC):
    """An ``Evaluate`` that several threads may call at the same time: first come, first served. When its workers are gone,
    calls under way end with an error."""

    @abstractmethod
    def __call__(self, work: Work[T, R], items: Sequence[T], /, seconds: float | None = None) -> list[R]: ...


class Submit(Protocol):
    """Sends a piece of work to a worker, with ``limit`` seconds for it. The future raises ``EvaluationTimeoutError`` if they
    were too few, and ``WorkerDiedError`` if the worker died."""

    def __call__(self, work: Work[T, R], items: Sequence[T], limit: float | None, /) -> Future[list[R]]: ...


class EvaluationTimeoutError(Exception):
    """Work exceeded its time limit; the worker was stopped."""


class WorkerDiedError(Exception):
    """The worker died; the text is the cause: " of SIGKILL"."""


class EvaluationsLostError(EvoError):
    """Items of work that failed: ``reasons`` by index. ``answers`` by index of all others."""

    def __init__(self, reasons: Mapping[int, str], answers: Mapping[int, Any]) -> None:
        super().__init__(
            f"{len(reasons)} of {len(reasons) + len(answers)} items of work failed: {min(reasons.values())}"
        )
        self.reasons, self.answers = reasons, answers


def answer_or_end(work: Work[T, R], items: Sequence[T]) -> list[R]:
    """The answers of ``work`` in a worker process, which ends here where its device has failed: another takes its place."""
    try:
        return work(items)
    except Exception as error:
        if not is_lost_device(error):
            raise
        print(f"a worker ends, and is replaced: {device_error_in_words(error)}", file=sys.stderr, flush=True)
        os._exit(LOST_DEVICE)


def make_deterministic(threads: int) -> None:
    """Make this process compute deterministically: a fixed number of threads, deterministic kernels."""
    torch.set_num_threads(threads)
    if torch.cuda.is_available():  # on a CPU nothing here is left to chance, and asking for it imports a compiler
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
        # nothing reads memory before it is written, and a step of a supernet would fill hundreds of tensors
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
