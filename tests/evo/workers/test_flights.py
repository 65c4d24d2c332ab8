"""Generations begun without waiting: side by side where workers are shared, at once where this process evaluates."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial

import pytest

from evo.workers.executors import local_executor, map_inline
from evo.workers.flights import launcher
from evo.workers.protocol import SharedEvaluate
from tests.evo.workers.worker_tasks import import_little, naps, tenfold


class Meeting(SharedEvaluate):
    """Answers when as many have asked as must meet."""

    def __init__(self, parties: int) -> None:
        self.barrier = threading.Barrier(parties, timeout=10)

    def __call__(self, work, items, /, seconds=None):  # type: ignore[no-untyped-def]
        self.barrier.wait()
        return work(items)


def test_shared_workers_are_asked_side_by_side() -> None:
    meeting = Meeting(3)
    with launcher(meeting, 3) as launch:
        waits = [launch(partial(meeting, tenfold, [n])) for n in range(3)]
        assert [wait() for wait in reversed(waits)] == [[20], [10], [0]]


def test_this_process_measures_when_it_is_asked_and_in_one_call() -> None:
    asked: list[Sequence[int]] = []

    def work(items: Sequence[int]) -> list[int]:
        asked.append(items)
        return tenfold(items)

    with launcher(map_inline, 5) as launch:
        wait = launch(partial(map_inline, work, range(4)))
        assert asked == [range(4)]
        assert wait() == [0, 10, 20, 30]


def test_what_work_raises_is_raised_where_it_is_waited_for() -> None:
    with launcher(Meeting(1), 2) as launch:
        wait = launch(lambda: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            wait()


def interrupted() -> None:
    """Three generations are under way, each of which would take two minutes, when Ctrl-C is pressed."""
    with local_executor(2, 1) as evaluate, launcher(evaluate, 3) as launch:
        for _ in range(3):
            launch(partial(evaluate, naps, [60, 60]))
        raise KeyboardInterrupt


def test_ctrl_c_ends_what_is_under_way() -> None:
    """Also what waits for a worker: a thread that waits for ever would keep the process from ending."""
    import_little()
    before = set(threading.enumerate())
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    for thread in set(threading.enumerate()) - before:
        thread.join(20 if thread.name.startswith("generation") else 0)
        assert not thread.name.startswith("generation") or not thread.is_alive()
