"""Generations in flight: begun without waiting for their answers, on any executor.

Workers of a pool or of a cluster are shared by all generations in flight: each is measured by a thread of this process, which
waits for workers. Where this process evaluates itself, alone or with torchrun's others, a generation is measured when it is
begun: it could not be done sooner, and what a judge computes once for many architectures stays computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol, TypeVar

from evo.workers.protocol import Evaluate, SharedEvaluate

R = TypeVar("R")


class Launch(Protocol):
    """Begins work; what it gives waits for the answer, and raises what the work has raised."""

    def __call__(self, work: Callable[[], R], /) -> Callable[[], R]: ...


@contextmanager
def launcher(evaluate: Evaluate, count: int) -> Iterator[Launch]:
    """How up to ``count`` generations are begun whose work asks ``evaluate``. After an error in the body nobody waits for those
    that are under way: they end with the workers."""
    if count == 1 or not isinstance(evaluate, SharedEvaluate):
        yield launch_at_once
        return
    threads = ThreadPoolExecutor(count, "generation")
    try:
        yield lambda work: threads.submit(work).result
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


def launch_at_once(work: Callable[[], R], /) -> Callable[[], R]:
    """Do the work before anything else."""
    answer = work()
    return lambda: answer
