"""Worker processes that may be lost: one that takes too long is killed, one that has died is replaced.

Each works on one piece at a time, so it is known whose work was lost. Nobody outlives the coordinator: not one that is
idle, whose pipe ends, nor one in the middle of its work.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from multiprocessing.connection import Connection
from queue import SimpleQueue

from evo.executors import DiedError, LateError, R, T, Work, settle
from studies.records import EvoError

CONTEXT = multiprocessing.get_context("spawn")

STARTS = 5
"""So many processes in a row may die while they start."""


class Crew:
    """``count`` workers with ``threads`` threads each; they start when there is something to do."""

    def __init__(self, count: int, threads: int) -> None:
        self.workers = [Worker(threads) for _ in range(count)]
        self._idle: SimpleQueue[Worker] = SimpleQueue()
        for worker in self.workers:
            self._idle.put(worker)
        self._threads = ThreadPoolExecutor(count, "crew")

    def submit(self, work: Work[T, R], items: Sequence[T], limit: float | None) -> Future[list[R]]:
        """The answers in time; the future ends with ``LateError`` or ``DiedError`` where whoever worked on them was lost."""
        return self._threads.submit(self._done, work, items, limit)

    def _done(self, work: Work[T, R], items: Sequence[T], limit: float | None) -> list[R]:
        worker = self._idle.get()
        try:
            return worker.do(work, items, limit)
        finally:
            self._idle.put(worker)

    def dismiss(self) -> None:
        """End all work at once."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for worker in self.workers:
            worker.dismiss()
        self._threads.shutdown()


class Worker:
    """A process, and the next one when it is lost. One thread at a time asks it."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.process: multiprocessing.process.BaseProcess | None = None
        self.dismissed = False

    def do(self, work: Work[T, R], items: Sequence[T], limit: float | None) -> list[R]:
        """What ``work`` gives, or raises.

        Raises:
            LateError: it took more than ``limit`` seconds, not counting what comes before the first item: the start of a
                process, opening data and weights.
            DiedError: the process is gone.
        """
        try:
            if self.process is None:
                self._start()
            self.pipe.send((work, items))
            self.pipe.recv()  # it is ready
            if not self.pipe.poll(limit):
                self._end()
                raise LateError
            right, answer = self.pipe.recv()
        except (EOFError, ConnectionError):
            raise DiedError(self._end()) from None
        if not right:
            raise answer
        found: list[R] = answer
        return found

    def dismiss(self) -> None:
        """End the process; whoever waits for it is told that it died."""
        self.dismissed = True
        if (process := self.process) is not None:
            process.kill()

    def _start(self) -> None:
        """Start a process; one that dies before it has begun says nothing about the work."""
        for _ in range(STARTS):
            self.pipe, theirs = CONTEXT.Pipe()
            self.process = CONTEXT.Process(target=serve, args=(theirs, self.threads), name="worker")
            self.process.start()
            theirs.close()  # now it ends with the process
            if self.dismissed:
                self.process.kill()
            try:
                self.pipe.recv()
                return
            except (EOFError, ConnectionError):
                how = self._end()
        raise EvoError(f"worker processes die as soon as they start: {STARTS} of them did, the last{how}")

    def _end(self) -> str:
        """Let go of the process; gives what it died of."""
        assert self.process is not None
        self.process.kill()
        self.process.join()
        code, self.process = self.process.exitcode or 0, None
        self.pipe.close()
        return f" of {signal.Signals(-code).name}" if code < 0 else f" with exit status {code}"


def serve(pipe: Connection, threads: int) -> None:
    """What a worker does until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the coordinator, who ends us
    threading.Thread(target=_end_with_the_coordinator, daemon=True).start()
    settle(threads)
    pipe.send(None)
    while True:
        try:
            work, items = pipe.recv()
            with suppress(Exception):  # it will be raised again
                work([])
            pipe.send(None)
            answer = True, work(items)
        except EOFError:
            return
        except Exception as error:
            error.add_note(traceback.format_exc())
            answer = False, error
        try:
            pipe.send(answer)
        except ConnectionError:
            return
        except Exception as error:  # it cannot be pickled
            pipe.send((False, EvoError(f"a worker's answer cannot be sent: {error!r}; it is {answer[1]!r}")))


def _end_with_the_coordinator() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
