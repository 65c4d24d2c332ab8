"""Evaluating on a Dask cluster (https://distributed.dask.org): its workers compute; this process decides and records.

A worker keeps no state between pieces of work, so one that dies costs one piece, which Dask gives to another worker. Answers
depend on architectures alone, so the result is that of a single process with the same software.
"""

from __future__ import annotations

import multiprocessing
import pickle
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Executor, Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock, RLock
from typing import Any, TypeVar

import torch
from distributed import Client, KilledWorker, Worker, get_worker
from distributed.diagnostics.plugin import WorkerPlugin

from evo import __version__
from evo.console import warn
from evo.workers.cluster_spec import ClusterSpec, connect_client
from evo.workers.executors import chunk
from evo.workers.pool import WorkerPool
from evo.workers.protocol import (
    EvaluationsLostError,
    EvaluationTimeoutError,
    SharedEvaluate,
    Work,
    WorkerDiedError,
    answer_or_end,
    make_deterministic,
)
from evo.workers.staging import MissingFilesError, StagedTask, deserialize, serialize, store_file
from studies.records import EvoError

T = TypeVar("T")
R = TypeVar("R")

TARGET_TASK_SECONDS = 2.0
"""Seconds that a piece of work should take: long beside handing it out, short beside doing it again when a worker dies."""

POLL_SECONDS = 1.0
"""Seconds without an answer after which it is asked whether anybody works."""

MAX_FILE_BYTES = 2 << 30
"""Bytes of a file that is sent to workers."""

MAX_SENDS = 5
"""Times that something is sent before it is given up."""


@contextmanager
def cluster_executor(where: str, threads: int) -> Iterator[DaskExecutor]:
    """An ``Evaluate`` on the cluster that ``--cluster`` names; each worker computes with ``threads`` threads.

    Raises:
        EvoError: it cannot be reached or started, or its workers run other software than this process.
    """
    make_deterministic(threads)
    with connect_client(where) as (client, spec):
        executor = DaskExecutor(client, spec, threads)
        executor.verify_workers()
        try:
            yield executor
        finally:
            executor.close()


class DaskExecutor(SharedEvaluate):
    """An ``Evaluate`` on the workers that there are at the moment."""

    def __init__(self, client: Client, machines: ClusterSpec, threads: int) -> None:
        self.client = client
        self.cluster_spec = machines
        self.threads = threads
        self.executor: Executor = client.get_executor(pure=False, resources=dict(machines.resources) or None)
        self.pace: dict[type, float] = {}
        self.sent: set[str] = set()
        self._caring = RLock()  # one thread at a time looks after workers and files
        self._closed = False

    def __len__(self) -> int:
        """How many workers there are."""
        return len(self._workers())

    def __call__(self, work: Work[T, R], items: Sequence[T], /, seconds: float | None = None) -> list[R]:
        """One answer per item, in order; each may take ``seconds``, if that is limited.

        Raises:
            EvaluationsLostError: items over which several workers have died, or that took too long.
            EvoError: what the work raises; there have been no workers for too long; the scheduler is gone.
        """
        self._restart_lost()
        task = serialize(work)
        answers_by_place: dict[int, R] = {}
        reasons: dict[int, str] = {}
        paces: list[float] = []
        inbox: SimpleQueue[Future[Any]] = SimpleQueue()
        waiting: dict[Future[Any], tuple[list[int], int]] = {}

        def hand_out(piece: list[int], again: int = 0) -> None:
            chosen = [items[place] for place in piece]
            future: Future[Any] = self.executor.submit(
                pickle.loads, pickle_call(run_task, task, chosen, software_versions(), self.threads, seconds)
            )
            waiting[future] = piece, again
            future.add_done_callback(inbox.put)

        try:
            for piece in chunk(items, chunk_size(self.pace.get(type(work)), len(items), len(self))):
                hand_out(piece)
            while waiting:
                future = self._next_finished(inbox)
                piece, again = waiting.pop(future)
                try:
                    answers, took = self._result(future)
                except MissingFilesError as missing:
                    if again == MAX_SENDS:
                        raise EvoError(
                            f"{self.cluster_spec.name}: a worker does not keep the files sent to it"
                        ) from None
                    self._send_files(task, missing.digests)
                    hand_out(piece, again + 1)
                except (EvaluationTimeoutError, WorkerDiedError) as lost:
                    if piece[1:]:
                        for place in piece:
                            hand_out([place])
                    else:
                        late = isinstance(lost, EvaluationTimeoutError)
                        reasons[piece[0]] = f"took longer than {seconds:g} seconds" if late else str(lost)
                else:
                    answers_by_place.update(zip(piece, answers, strict=True))
                    paces.append(took / len(piece))
        finally:
            for future in waiting:
                future.cancel()
        if reasons:
            raise EvaluationsLostError(reasons, answers_by_place)
        if paces:
            self.pace[type(work)] = sorted(paces)[len(paces) // 2]
        return [_wait_for_file(answers_by_place[place]) for place in range(len(items))]

    def verify_workers(self) -> None:
        """Wait for workers, and see whether they are what results need them to be.

        Raises:
            EvoError: they run other software, or several pieces of work at once.
        """
        self._wait_for_workers()
        crowded = {address: count for address, count in self._workers().items() if count != 1}
        if crowded:
            address, count = next(iter(crowded.items()))
            raise EvoError(
                f"worker {address} has {count} threads, and torch's random numbers are one stream per process: start "
                f"workers with --nthreads 1 (several per machine: --nworkers), found {len(crowded)} with more"
            )
        for address, versions in self._ask_workers(software_versions).items():
            _check_software(versions, software_versions(), address)
        kinds = sorted(set(self._ask_workers(hardware_name).values()))
        if len(kinds) > 1:
            warn(
                f"note: workers compute with {' and '.join(kinds)}: "
                "numbers may differ in their last digits from one to the next"
            )

    def close(self) -> None:
        """Let calls under way end, and take back what was left with the scheduler."""
        self._closed = True
        with self._caring:  # nobody starts workers any more
            self.unregister_files()

    def unregister_files(self) -> None:
        """Take back what was left with the scheduler."""
        for digest in self.sent:
            with suppress(Exception):  # a scheduler that is gone keeps nothing
                self.client.unregister_worker_plugin(_FileUpload.plugin_name(digest))

    def _ask_workers(self, question: Callable[[], R]) -> dict[str, R]:
        """What every worker answers, by its address. One that dies over it is left out: it will be asked when it works.

        Raises:
            EvoError: one cannot understand the question.
        """
        answers = self.client.run(question, workers=list(self._workers()), on_error="return")
        for address, answer in answers.items():
            if isinstance(answer, Exception) and not isinstance(answer, OSError):
                raise EvoError(
                    f"worker {address} cannot run evo ({_first_line(answer)}): install the same version there as here"
                )
        return {address: answer for address, answer in answers.items() if not isinstance(answer, OSError)}

    def _workers(self) -> Mapping[str, int]:
        """Address -> threads of every worker that may be given work."""
        needed = self.cluster_spec.resources
        try:
            threads: Mapping[str, int] = self.client.nthreads()
            if not needed:
                return threads
            known = self.client.scheduler_info(n_workers=-1)["workers"]
        except (OSError, RuntimeError, ValueError) as error:
            raise EvoError(
                f"{self.cluster_spec.name}: the scheduler is gone ({_first_line(error)}){RECORDED_IS_KEPT}"
            ) from None
        return {
            address: threads[address]
            for address, worker in known.items()
            if address in threads and all(worker["resources"].get(name, 0) >= least for name, least in needed.items())
        }

    def _wait_for_workers(self) -> None:
        """Until there is one. Says so once.

        Raises:
            EvoError: none has come for as long as these machines are waited for.
        """
        with self._caring:
            if not self._workers():
                self._wait_for_one()

    def _wait_for_one(self) -> None:
        """Until there is one, while others wait for this thread."""
        patience = self.cluster_spec.worker_timeout
        whose = f" with {dict(self.cluster_spec.resources)}" if self.cluster_spec.resources else ""
        warn(f"{self.cluster_spec.name} has no workers{whose}: waiting up to {patience:g} seconds for one")
        deadline = time.monotonic() + patience
        while not self._workers():
            self._restart_lost()
            if time.monotonic() > deadline:
                raise EvoError(
                    f"{self.cluster_spec.name} has had no workers{whose} for {patience:g} seconds{RECORDED_IS_KEPT}"
                )
            time.sleep(min(POLL_SECONDS, patience))

    def _next_finished(self, inbox: SimpleQueue[Future[Any]]) -> Future[Any]:
        """The next piece that has ended, whichever way."""
        while True:
            try:
                return inbox.get(timeout=POLL_SECONDS)
            except Empty:
                self._restart_lost()
                self._wait_for_workers()

    def _restart_lost(self) -> None:
        """Start again what has ended unasked.

        Raises:
            CancelledError: nobody waits for answers any more.
        """
        with self._caring:
            if self._closed:
                raise CancelledError
            self.cluster_spec.restart_lost()

    def _result(self, future: Future[Any]) -> tuple[list[Any], float]:
        """What a worker has answered, and in how many seconds."""
        try:
            answers, seconds = future.result()
        except KilledWorker:
            raise WorkerDiedError("workers died over it, one after the other, most likely for want of memory") from None
        except ModuleNotFoundError as error:
            raise EvoError(
                f"a worker cannot run evo ({error}): install the same version there as here{RECORDED_IS_KEPT}"
            ) from None
        except CancelledError:
            raise EvoError(
                f"{self.cluster_spec.name}: the scheduler is gone, and its work with it{RECORDED_IS_KEPT}"
            ) from None
        return answers, seconds

    def _send_files(self, task: StagedTask, digests: Sequence[str]) -> None:
        """Give files to all workers, those to come too."""
        with self._caring:
            self._send_new_files(task, digests)

    def _send_new_files(self, task: StagedTask, digests: Sequence[str]) -> None:
        for digest in set(digests) - self.sent:
            path = task.find_file(digest)
            if (size := path.stat().st_size) > MAX_FILE_BYTES:
                raise EvoError(
                    f"workers do not see {path}, which is too large to send ({size / (1 << 30):.1f} GiB): "
                    "put it on storage that all workers share, mounted at the same path"
                )
            content = path.read_bytes()
            if sha256(content).hexdigest() != digest:
                raise EvoError(f"{path} has changed while it was in use{RECORDED_IS_KEPT}")
            for _ in range(MAX_SENDS):
                with suppress(OSError):  # of a worker that died over it
                    self.client.register_plugin(_FileUpload(digest, content), name=_FileUpload.plugin_name(digest))
                    break
            self.sent.add(digest)


def pickle_call(function: Callable[..., Any], *args: Any) -> bytes:
    """A call as pickled bytes; unpickling them makes the call. A scheduler unpickles what it hands on (Dask 2026), but not
    these bytes, so it needs neither this program nor torch."""
    return pickle.dumps(_Call(function, args), pickle.HIGHEST_PROTOCOL)


@dataclass(frozen=True)
class _Call:
    function: Callable[..., Any]
    args: tuple[Any, ...]

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.function, self.args


def chunk_size(pace: float | None, count: int, workers: int) -> int:
    """How many of ``count`` items make a piece: as many as take about ``TARGET_TASK_SECONDS``, and few enough that every worker
    gets one.

    Args:
        pace: seconds per item; None: unknown, so a piece has one item.
    """
    target = round(TARGET_TASK_SECONDS / pace) if pace else 1
    return max(1, min(target, -(-count // max(1, workers))))


RECORDED_IS_KEPT = "; what was recorded is kept: start workers, and run the same command again"


# -- on a worker ------------------------------------------------------------------------------------------------------

_one_at_a_time = Lock()
"""Held while this process runs a piece of work: torch's random numbers and our caches are not thread-safe."""


def run_task(
    task: StagedTask, items: Sequence[Any], expected: Mapping[str, str], threads: int, limit: float | None
) -> tuple[list[Any], float]:
    """Run a piece of work on this worker; gives the answers and the seconds that they took.

    With a ``limit`` in seconds per item, a process of its own runs the work, since this one cannot be interrupted.

    Raises:
        MissingFilesError: files have to be sent first.
        EvaluationTimeoutError: the work exceeded the limit.
        WorkerDiedError: the process died.
        EvoError: the work raised it (the worker's address is added), or this worker runs other software than expected.
    """
    address = get_worker().address
    with _one_at_a_time:
        _check_software(software_versions(), expected, address)
        multiprocessing.current_process().daemon = (
            False  # under Dask's nanny it is, and may not start any that read images
        )
        make_deterministic(threads)
        try:
            work = _deserialize(task, _files_folder(get_worker()))
            started = time.perf_counter()
            answers = (
                answer_or_end(work, items)
                if limit is None
                else _killable_worker(threads).submit(work, items, limit * len(items)).result()
            )
        except EvoError as error:
            raise EvoError(f"worker {address}: {error}") from None
        return answers, time.perf_counter() - started


@lru_cache(maxsize=1)
def _killable_worker(threads: int) -> WorkerPool:
    """A process that may be stopped. It ends with this worker."""
    return WorkerPool(1, threads)


@lru_cache(maxsize=4)
def _deserialize(task: StagedTask, received: Path) -> Any:
    return deserialize(task, received)


def _files_folder(worker: Worker) -> Path:
    """Where files lie that were sent to a worker; Dask deletes it when the worker ends."""
    return Path(worker.local_directory) / "evo"


class _FileUpload(WorkerPlugin):
    """A file for every worker, on its way."""

    def __init__(self, digest: str, content: bytes) -> None:
        self.digest = digest
        self.content = content

    @staticmethod
    def plugin_name(digest: str) -> str:
        return f"evo-file-{digest}"

    def setup(self, worker: Worker) -> None:
        store_file(self.content, self.digest, _files_folder(worker))
        self.content = b""  # the worker keeps this object as long as it lives


@lru_cache(maxsize=1)
def software_versions() -> dict[str, str]:
    """What results depend on, and Dask itself: names and versions."""
    root = Path(__file__).resolve().parents[2]
    source = sha256()
    for room in ("spaces", "studies", "evo"):
        for path in sorted((root / room).rglob("*.py")):
            source.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    python = ".".join(platform.python_version_tuple()[:2])
    versions = {"evo": f"{__version__} ({source.hexdigest()[:8]})", "python": python}
    return versions | {name: version(name).split("+")[0] for name in ("torch", "torchvision", "numpy", "distributed")}


def hardware_name() -> str:
    """What this process computes on."""
    if torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    return f"a CPU ({platform.machine()}, {torch.backends.cpu.get_cpu_capability()})"


def _check_software(installed: Mapping[str, str], expected: Mapping[str, str], address: str) -> None:
    """Tell of other software on a worker.

    Raises:
        EvoError: there is some; results would not be those of the seed.
    """
    other = [
        f"{name} {installed.get(name)} instead of {its}" for name, its in expected.items() if installed.get(name) != its
    ]
    if other:
        raise EvoError(f"worker {address} runs {', '.join(other)}: install the same there as here, and start it again")


def _wait_for_file(answer: R) -> R:
    """An answer; where it is a file that a worker has written, once it is to be seen here.

    Raises:
        EvoError: it is not.
    """
    deadline = time.monotonic() + 60  # shared storage may show a file late
    while isinstance(answer, Path) and not answer.exists():
        if time.monotonic() > deadline:
            raise EvoError(f"a worker has written {answer}, which is not to be seen here: put it on shared storage")
        time.sleep(0.5)
    return answer


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__
