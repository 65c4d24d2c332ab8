"""Where evaluations run: in this process, or on any ``concurrent.futures.Executor``.

An answer depends on its architecture alone, so how a generation is cut into pieces, and in which order they come back,
changes nothing.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from functools import partial
from typing import Protocol, TypeVar

import torch

from evo.ranks import Team, team

T = TypeVar("T")
R = TypeVar("R")
Work = Callable[[Sequence[T]], list[R]]
"""One answer per item, in order; a judge, say, and its architectures. It is pickled to whoever does it."""


class Evaluate(Protocol):
    """Does some work, by whoever is there: ``evaluate(judge, archs)``."""

    def __call__(self, work: Work[T, R], items: Sequence[T], /) -> list[R]: ...


@contextmanager
def workers(count: int, threads: int) -> Iterator[Evaluate]:
    """An ``Evaluate`` on ``count`` processes (1: this one), each with ``threads`` threads.

    Under torchrun it is on the processes that there are.
    """
    settle(threads)
    if (ranks := team()).size > 1:
        ranks.together(partial(_settle_all, threads))
        yield partial(among, ranks)
        return
    if count == 1:
        yield here
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, context, initializer=settle, initargs=(threads,)) as pool:
        try:
            yield lambda work, items: on(pool, count, work, items)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def settle(threads: int) -> None:
    """Make what this process computes depend on its inputs alone: a fixed number of threads, deterministic kernels."""
    torch.set_num_threads(threads)
    if torch.cuda.is_available():  # on a CPU nothing here is left to chance, and asking for it imports a compiler
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)


def _settle_all(threads: int, _: Team) -> None:
    settle(threads)


def here(work: Work[T, R], items: Sequence[T], /) -> list[R]:
    """In this process."""
    return work(items) if items else []


def on(executor: Executor, count: int, work: Work[T, R], items: Sequence[T]) -> list[R]:
    """On an executor, in ``count`` pieces of neighbours in the alphabet: they share prefixes, which a supernet uses."""
    futures: dict[Future[list[R]], list[int]] = {
        executor.submit(work, [items[place] for place in piece]): piece
        for piece in cut(items, -(-len(items) // count) or 1)
    }
    found: dict[int, R] = {}
    for future in as_completed(futures):
        found.update(zip(futures[future], future.result(), strict=True))
    return [found[place] for place in range(len(items))]


def among(ranks: Team, work: Work[T, R], items: Sequence[T], /) -> list[R]:
    """On all ranks of a team, one piece each."""
    places = cut(items, -(-len(items) // ranks.size) or 1)
    pieces = [[items[place] for place in piece] for piece in places]
    answers = ranks.share(work, pieces + [[]] * (ranks.size - len(pieces))) if items else []
    found = {
        place: answer
        for piece, said in zip(places, answers, strict=False)
        for place, answer in zip(piece, said, strict=True)
    }
    return [found[place] for place in range(len(items))]


def cut(items: Sequence[T], size: int) -> list[list[int]]:
    """The places of items in pieces of ``size`` neighbours in the alphabet; the last piece may be smaller."""
    order = sorted(range(len(items)), key=lambda place: str(items[place]))
    return [order[start : start + size] for start in range(0, len(order), size)]
