"""A pool of worker processes: one that takes too long is killed, and one that has died is replaced.

A worker has one piece of work at a time, so a lost worker identifies the lost work. No worker outlives the coordinator: an idle
one ends when its pipe closes, and a thread ends a busy one. On Linux workers are forked from one process that has imported what
evaluators need, so a start takes hundredths of a second; elsewhere each worker imports it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from pickle import PicklingError
from queue import SimpleQueue
from typing import Any

from evo.workers.gpus import own_gpu, visible_gpus
from evo.workers.protocol import EvaluationTimeoutError, R, T, Work, WorkerDiedError, answer_or_end, make_deterministic
from studies import plugins
from studies.plugins import Plugin
from studies.records import EvoError

CONTEXT: Any = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")

IMPORTED = ("evo.evaluators.registry", "evo.workers.pool", "torch._dynamo")
"""Modules that the forked process imports. Importing them must not compute or touch a GPU: a fork could do neither then.
(The first step of any optimizer imports ``torch._dynamo``, which takes as long as torch itself.)"""

MAX_START_ATTEMPTS = 10
"""How many processes in a row may die during start-up."""


class WorkerPool:
    """``count`` workers with ``threads`` threads each. Workers start with their first work; GPUs are dealt out in turn."""

    def __init__(self, count: int, threads: int) -> None:
        CONTEXT.set_forkserver_preload(list(IMPORTED))
        gpus = visible_gpus()
        self.workers = [Worker(threads, own_gpu(number, gpus)) for number in range(count)]
        self._idle: SimpleQueue[Worker] = SimpleQueue()
        for worker in self.workers:
            self._idle.put(worker)
        self._threads = ThreadPoolExecutor(count, "crew")
        self._closed = False

    def submit(self, work: Work[T, R], items: Sequence[T], limit: float | None) -> Future[list[R]]:
        """A future of the answers; it raises ``EvaluationTimeoutError`` or ``WorkerDiedError`` if the worker was lost."""
        return self._threads.submit(self._run_on_idle_worker, work, items, limit)

    def _run_on_idle_worker(self, work: Work[T, R], items: Sequence[T], limit: float | None) -> list[R]:
        if self._closed:
            raise CancelledError
        worker = self._idle.get()
        try:
            return worker.run(work, items, limit)
        finally:
            self._idle.put(worker)

    def shutdown(self) -> None:
        """End all work at once. Who waits for it gets an error: futures that are cancelled while they wait for a worker would
        let ``as_completed`` wait for ever."""
        self._closed = True
        self._threads.shutdown(wait=False)
        for worker in self.workers:
            worker.shutdown()
        self._threads.shutdown()


class Worker:
    """A worker process, replaced when it is lost. Used by one thread at a time."""

    def __init__(self, threads: int, environment: Mapping[str, str]) -> None:
        self.threads, self.environment = threads, environment
        self.process: multiprocessing.process.BaseProcess | None = None
        self.is_shut_down = False

    def run(self, work: Work[T, R], items: Sequence[T], limit: float | None) -> list[R]:
        """Run ``work`` on ``items`` in the process; gives its answers, or raises what it raises.

        Raises:
            EvaluationTimeoutError: it took more than ``limit`` seconds, not counting the start of the process and the
                opening of data and weights.
            WorkerDiedError: the process died.
        """
        self._begin(work, items)
        try:
            if not self.pipe.poll(limit):
                self._end()
                raise EvaluationTimeoutError
            right, answer = self.pipe.recv()
        except (EOFError, ConnectionError):
            raise WorkerDiedError(self._end()) from None
        if not right:
            raise answer
        answers: list[R] = answer
        return answers

    def shutdown(self) -> None:
        """End the process; a thread that waits for it gets ``WorkerDiedError``."""
        self.is_shut_down = True
        if (process := self.process) is not None:
            _kill(process)

    def _begin(self, work: Work[T, R], items: Sequence[T]) -> None:
        """Send the work to the process and wait until it is ready; a process that dies before is replaced."""
        how = ""
        for _ in range(MAX_START_ATTEMPTS):
            try:
                if self.process is None:
                    self._start()
                self.pipe.send((work, items))
                self.pipe.recv()
                return
            except (EOFError, ConnectionError):
                how = self._end()
            if self.is_shut_down:
                raise WorkerDiedError(how)
        raise EvoError(
            f"worker processes crash during start-up ({MAX_START_ATTEMPTS} attempts, the last one died{how}); "
            "is there enough memory?"
        )

    def _start(self) -> None:
        self.pipe, theirs = CONTEXT.Pipe()
        with theirs:  # closed here, it ends with the process
            environment = os.environ | self.environment
            process = CONTEXT.Process(target=serve_coordinator, args=(theirs, self.threads, environment), name="worker")
            with _without_ctrl_c():
                process.start()
        self.process = process
        with suppress(ConnectionError):  # of one that has died already
            self.pipe.send(plugins.loaded_plugins())
        if self.is_shut_down:
            _kill(process)

    def _end(self) -> str:
        """Kill the process and forget it; gives the cause of its death for a message."""
        self.pipe.close()
        if self.process is None:
            return " before it was there"
        _kill(self.process)
        self.process.join()
        code, self.process = self.process.exitcode or 0, None
        return f" of {signal.Signals(-code).name}" if code < 0 else f" with exit status {code}"


@contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Processes started in the body ignore Ctrl-C: the coordinator handles it and ends them.

    Python's resource tracker, which comes with the first of them, would let Ctrl-C through again; so it is started before.
    """
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _kill(process: multiprocessing.process.BaseProcess) -> None:
    """Kill a process that is alive; the pid of a dead one may belong to another process by now."""
    if process.is_alive():
        process.kill()


def serve_coordinator(pipe: Connection, threads: int, environment: Mapping[str, str]) -> None:
    """The loop of a worker, until the pipe closes: receive work, prepare for it, send None when ready, then send the answer."""
    os.environ.clear()  # inherited from the forked process; the coordinator's may have changed since
    os.environ.update(environment)
    threading.Thread(target=_end_with_the_coordinator, daemon=True).start()
    make_deterministic(threads)
    with suppress(EOFError, ConnectionError):
        broken = _load_plugins(pipe.recv())
        while True:
            work, items = _receive_work(pipe)
            work = broken or work
            with suppress(Exception):  # it will be raised again
                work([])
            pipe.send(None)
            answer = _run_work(work, items)
            try:
                pipe.send(answer)
            except (TypeError, AttributeError, PicklingError) as error:
                pipe.send((False, EvoError(f"a worker's answer cannot be sent ({error}): {answer[1]!r}")))


def _load_plugins(needed: Sequence[Plugin]) -> Work[Any, Any] | None:
    """Load the coordinator's plugins; if that fails, gives work that raises the reason."""
    try:
        plugins.install_plugins(needed)
    except EvoError as error:
        return _Raise(error)
    return None


@dataclass(frozen=True)
class _Raise:
    """Work that raises ``error``."""

    error: Exception

    def __call__(self, items: Sequence[Any]) -> list[Any]:
        raise self.error


def _receive_work(pipe: Connection) -> tuple[Work[Any, Any], Sequence[Any]]:
    """The next piece of work; if it cannot be unpickled, work that raises the reason."""
    try:
        work, items = pipe.recv()
    except (EOFError, ConnectionError):
        raise
    except Exception as error:
        return _Raise(error), []
    return work, items


def _run_work(work: Work[Any, Any], items: Sequence[Any]) -> tuple[bool, Any]:
    """(True, answers), or (False, the exception that was raised)."""
    try:
        return True, answer_or_end(work, items)
    except Exception as error:
        error.add_note(traceback.format_exc())
        return False, error


def _end_with_the_coordinator() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
