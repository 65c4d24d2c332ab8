"""Executors: run evaluations in this process, or wherever ``Submit`` sends them.

An answer depends on its architecture alone. So it does not matter how a generation is cut into pieces, in which order they come
back, and which of them were lost and repeated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch

from evo.workers.protocol import (
    Evaluate,
    EvaluationsLostError,
    EvaluationTimeoutError,
    R,
    SharedEvaluate,
    Submit,
    T,
    Work,
    WorkerDiedError,
    make_deterministic,
)
from evo.workers.ranks import ProcessGroup, current_group
from studies import plugins
from studies.plugins import Plugin
from studies.records import EvoError

if TYPE_CHECKING:
    from evo.workers.pool import WorkerPool

MAX_CRASHES = 3
"""How many processes may die at one item before the item counts as the cause."""


@contextmanager
def local_executor(count: int, threads: int, limited: bool = False) -> Iterator[Evaluate]:
    """An ``Evaluate`` on ``count`` processes, each with ``threads`` threads. With ``count=1`` the current process
    evaluates, unless time is ``limited``: a process cannot interrupt itself reliably. Under torchrun, torchrun's processes
    evaluate.

    Raises:
        EvoError: time is limited under torchrun, whose processes end together.
    """
    with deterministic_torch(threads):
        if (ranks := current_group()).size > 1:
            if limited:
                raise EvoError(
                    "evaluator.timeout is set, and torchrun ends all processes when one is stopped: leave it out"
                )
            ranks.run_on_all_ranks(partial(_prepare_rank, threads, plugins.loaded_plugins()))
            yield partial(map_on_ranks, ranks)
        elif count == 1 and not limited:
            yield map_inline
        else:
            with _pool_executor(count, threads) as evaluate:
                yield evaluate


@contextmanager
def _pool_executor(count: int, threads: int) -> Iterator[Evaluate]:
    """An ``Evaluate`` on ``count`` worker processes of this machine."""
    from evo.workers.pool import WorkerPool

    pool = WorkerPool(count, threads)
    try:
        yield PoolEvaluate(pool, count)
    finally:
        pool.shutdown()


@dataclass(frozen=True)
class PoolEvaluate(SharedEvaluate):
    """An ``Evaluate`` on the ``count`` processes of a pool."""

    pool: WorkerPool
    count: int

    def __call__(self, work: Work[T, R], items: Sequence[T], /, seconds: float | None = None) -> list[R]:
        return map_on_pool(self.pool.submit, self.count, work, items, seconds)


@contextmanager
def deterministic_torch(threads: int) -> Iterator[None]:
    """torch computes deterministically in the body, with ``threads`` threads, and as before after it."""
    before, forced = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    warns = torch.is_deterministic_algorithms_warn_only_enabled()
    make_deterministic(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        if torch.are_deterministic_algorithms_enabled() != forced:
            torch.use_deterministic_algorithms(forced, warn_only=warns)


def _prepare_rank(threads: int, needed: Sequence[Plugin], _: ProcessGroup) -> None:
    plugins.install_plugins(needed)
    make_deterministic(threads)


def map_inline(work: Work[T, R], items: Sequence[T], /, seconds: float | None = None) -> list[R]:
    """Map ``work`` over ``items`` in this process, without a time limit."""
    return work(items) if items else []


def map_on_pool(
    submit: Submit, count: int, work: Work[T, R], items: Sequence[T], seconds: float | None = None
) -> list[R]:
    """Map ``work`` over ``items`` in ``count`` worker processes, in chunks of alphabetical neighbours: neighbours share
    prefixes, which a supernet computes once.

    The items of a chunk that was lost are tried one by one, so that only the item that caused the loss fails.

    Raises:
        EvaluationsLostError: items took longer than ``seconds``, or crashed ``MAX_CRASHES`` processes.
    """
    pieces = chunk(items, -(-len(items) // count) or 1)
    results: dict[int, R] = {}
    reasons: dict[int, str] = {}
    deaths: Counter[int] = Counter()
    while pieces:
        futures: dict[Future[list[R]], list[int]] = {
            submit(work, [items[place] for place in piece], None if seconds is None else seconds * len(piece)): piece
            for piece in pieces
        }
        pieces = []
        for future in as_completed(futures):
            first, *others = piece = futures[future]
            try:
                results.update(zip(piece, future.result(), strict=True))
            except (EvaluationTimeoutError, WorkerDiedError) as lost:
                deaths[first] += isinstance(lost, WorkerDiedError) and not others
                if others:
                    pieces += [[place] for place in piece]
                elif isinstance(lost, EvaluationTimeoutError):
                    reasons[first] = f"took longer than {seconds:g} seconds"
                elif deaths[first] == MAX_CRASHES:
                    reasons[first] = f"its process died{lost}, every time"
                else:
                    pieces.append(piece)
    if reasons:
        raise EvaluationsLostError(reasons, results)
    return [results[place] for place in range(len(items))]


def map_on_ranks(group: ProcessGroup, work: Work[T, R], items: Sequence[T], /, seconds: float | None = None) -> list[R]:
    """Map ``work`` over all ranks of ``group``, one chunk of ``items`` each, without a time limit."""
    places = chunk(items, -(-len(items) // group.size) or 1)
    pieces = [[items[place] for place in piece] for piece in places]
    answers = group.scatter_map(work, pieces + [[]] * (group.size - len(pieces))) if items else []
    results = {
        place: answer
        for piece, piece_answers in zip(places, answers, strict=False)
        for place, answer in zip(piece, piece_answers, strict=True)
    }
    return [results[place] for place in range(len(items))]


def chunk(items: Sequence[T], size: int) -> list[list[int]]:
    """The indices of ``items`` in chunks of ``size`` alphabetical neighbours; the last chunk may be smaller."""
    order = sorted(range(len(items)), key=lambda place: str(items[place]))
    return [order[start : start + size] for start in range(0, len(order), size)]
