"""Evaluating on a Dask cluster (https://distributed.dask.org): its workers compute, this process alone decides and records.

Workers know nothing that they were not told with a piece of work, so one that dies costs that piece: Dask gives it to another
one. Their answers depend on architectures alone, so the result is that of one process, given the same software.
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
from threading import Lock
from typing import Any, TypeVar

import torch
from distributed import Client, KilledWorker, Worker, get_worker
from distributed.diagnostics.plugin import WorkerPlugin

from evo import __version__
from evo.console import complain
from evo.workers.cluster_spec import Machines, machines
from evo.workers.executors import cut
from evo.workers.pool import Crew
from evo.workers.protocol import DiedError, LateError, LostError, Work, settle
from evo.workers.staging import MissingFilesError, Parcel, pack, receive, unpack
from studies.records import EvoError

T = TypeVar("T")
R = TypeVar("R")

BRISK = 2.0
"""Seconds that a piece of work should take: long beside handing it out, short beside doing it again when a worker dies."""

GLANCE = 1.0
"""Seconds without an answer after which it is asked whether anybody works."""

LARGEST = 2 << 30
"""Bytes of a file that is sent to workers."""

RESENT = 5
"""Times that something is sent before it is given up."""


@contextmanager
def cluster(where: str, threads: int) -> Iterator[Cluster]:
    """An ``Evaluate`` on the cluster that ``--cluster`` names; each worker computes with ``threads`` threads.

    Raises:
        EvoError: it cannot be reached or started, or its workers run other software than this process.
    """
    settle(threads)
    with machines(where) as (client, found):
        hands = Cluster(client, found, threads)
        hands.meet()
        try:
            yield hands
        finally:
            hands.tidy()


class Cluster:
    """An ``Evaluate`` on the workers that there are at the moment."""

    def __init__(self, client: Client, machines: Machines, threads: int) -> None:
        self.client = client
        self.machines = machines
        self.threads = threads
        self.executor: Executor = client.get_executor(pure=False, resources=dict(machines.resources) or None)
        self.pace: dict[type, float] = {}
        self.sent: set[str] = set()

    def __len__(self) -> int:
        """How many workers there are."""
        return len(self._workers())

    def __call__(self, work: Work[T, R], items: Sequence[T], /, seconds: float | None = None) -> list[R]:
        """One answer per item, in order; each may take ``seconds``, if that is limited.

        Raises:
            LostError: items over which several workers have died, or that took too long.
            EvoError: what the work raises; there have been no workers for too long; the scheduler is gone.
        """
        self.machines.revive()
        parcel = pack(work)
        found: dict[int, R] = {}
        reasons: dict[int, str] = {}
        paces: list[float] = []
        inbox: SimpleQueue[Future[Any]] = SimpleQueue()
        waiting: dict[Future[Any], tuple[list[int], int]] = {}

        def hand_out(piece: list[int], again: int = 0) -> None:
            told = [items[place] for place in piece]
            future: Future[Any] = self.executor.submit(
                pickle.loads, called(errand, parcel, told, software(), self.threads, seconds)
            )
            waiting[future] = piece, again
            future.add_done_callback(inbox.put)

        try:
            for piece in cut(items, piece_size(self.pace.get(type(work)), len(items), len(self))):
                hand_out(piece)
            while waiting:
                future = self._next(inbox)
                piece, again = waiting.pop(future)
                try:
                    answers, took = self._result(future)
                except MissingFilesError as missing:
                    if again == RESENT:
                        raise EvoError(f"{self.machines.name}: a worker does not keep the files sent to it") from None
                    self._send(parcel, missing.digests)
                    hand_out(piece, again + 1)
                except (LateError, DiedError) as lost:
                    if piece[1:]:
                        for place in piece:
                            hand_out([place])
                    else:
                        late = isinstance(lost, LateError)
                        reasons[piece[0]] = f"took longer than {seconds:g} seconds" if late else str(lost)
                else:
                    found.update(zip(piece, answers, strict=True))
                    paces.append(took / len(piece))
        finally:
            for future in waiting:
                future.cancel()
        if reasons:
            raise LostError(reasons, found)
        if paces:
            self.pace[type(work)] = sorted(paces)[len(paces) // 2]
        return [_arrived(found[place]) for place in range(len(items))]

    def meet(self) -> None:
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
        for address, found in self._asked(software).items():
            _compare(found, software(), address)
        kinds = sorted(set(self._asked(hardware).values()))
        if len(kinds) > 1:
            complain(
                f"note: workers compute with {' and '.join(kinds)}: "
                "numbers may differ in their last digits from one to the next"
            )

    def tidy(self) -> None:
        """Take back what was left with the scheduler."""
        for digest in self.sent:
            with suppress(Exception):  # a scheduler that is gone keeps nothing
                self.client.unregister_worker_plugin(_Sent.named(digest))

    def _asked(self, question: Callable[[], R]) -> dict[str, R]:
        """What every worker answers, by its address. One that dies over it is left out: it will be asked when it works.

        Raises:
            EvoError: one cannot understand the question.
        """
        answers = self.client.run(question, workers=list(self._workers()), on_error="return")
        for address, answer in answers.items():
            if isinstance(answer, Exception) and not isinstance(answer, OSError):
                raise EvoError(
                    f"worker {address} cannot run evo ({_brief(answer)}): install the same version there as here"
                )
        return {address: answer for address, answer in answers.items() if not isinstance(answer, OSError)}

    def _workers(self) -> Mapping[str, int]:
        """Address -> threads of every worker that may be given work."""
        needed = self.machines.resources
        try:
            found: Mapping[str, int] = self.client.nthreads()
            if not needed:
                return found
            known = self.client.scheduler_info(n_workers=-1)["workers"]
        except (OSError, RuntimeError, ValueError) as error:
            raise EvoError(f"{self.machines.name}: the scheduler is gone ({_brief(error)}){KEPT}") from None
        return {
            address: found[address]
            for address, worker in known.items()
            if address in found and all(worker["resources"].get(name, 0) >= least for name, least in needed.items())
        }

    def _wait_for_workers(self) -> None:
        """Until there is one. Says so once.

        Raises:
            EvoError: none has come for as long as these machines are waited for.
        """
        if self._workers():
            return
        patience = self.machines.patience
        whose = f" with {dict(self.machines.resources)}" if self.machines.resources else ""
        complain(f"{self.machines.name} has no workers{whose}: waiting up to {patience:g} seconds for one")
        deadline = time.monotonic() + patience
        while not self._workers():
            self.machines.revive()
            if time.monotonic() > deadline:
                raise EvoError(f"{self.machines.name} has had no workers{whose} for {patience:g} seconds{KEPT}")
            time.sleep(min(GLANCE, patience))

    def _next(self, inbox: SimpleQueue[Future[Any]]) -> Future[Any]:
        """The next piece that has ended, whichever way."""
        while True:
            try:
                return inbox.get(timeout=GLANCE)
            except Empty:
                self.machines.revive()
                self._wait_for_workers()

    def _result(self, future: Future[Any]) -> tuple[list[Any], float]:
        """What a worker has answered, and in how many seconds."""
        try:
            answers, seconds = future.result()
        except KilledWorker:
            raise DiedError("workers died over it, one after the other, most likely for want of memory") from None
        except ModuleNotFoundError as error:
            raise EvoError(f"a worker cannot run evo ({error}): install the same version there as here{KEPT}") from None
        except CancelledError:
            raise EvoError(f"{self.machines.name}: the scheduler is gone, and its work with it{KEPT}") from None
        return answers, seconds

    def _send(self, parcel: Parcel, digests: Sequence[str]) -> None:
        """Give files to all workers, those to come too."""
        for digest in set(digests) - self.sent:
            path = parcel.path_of(digest)
            if (size := path.stat().st_size) > LARGEST:
                raise EvoError(
                    f"workers do not see {path}, which is too large to send ({size / (1 << 30):.1f} GiB): "
                    "put it on storage that all workers share, mounted at the same path"
                )
            content = path.read_bytes()
            if sha256(content).hexdigest() != digest:
                raise EvoError(f"{path} has changed while it was in use{KEPT}")
            for _ in range(RESENT):
                with suppress(OSError):  # of a worker that died over it
                    self.client.register_plugin(_Sent(digest, content), name=_Sent.named(digest))
                    break
            self.sent.add(digest)


def called(function: Callable[..., Any], *args: Any) -> bytes:
    """A call, pickled: whoever loads it makes it. A scheduler unpickles what it hands on (Dask 2026), but not these bytes:
    it needs neither this program nor torch."""
    return pickle.dumps(_Call(function, args), pickle.HIGHEST_PROTOCOL)


@dataclass(frozen=True)
class _Call:
    function: Callable[..., Any]
    args: tuple[Any, ...]

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.function, self.args


def piece_size(pace: float | None, count: int, workers: int) -> int:
    """How many of ``count`` items a piece has: as many as are brisk at so many seconds each (None: nobody knows yet, so
    that it is one), and never so many that a worker would get none."""
    brisk = round(BRISK / pace) if pace else 1
    return max(1, min(brisk, -(-count // max(1, workers))))


KEPT = "; what was recorded is kept: start workers, and run the same command again"


# -- on a worker ------------------------------------------------------------------------------------------------------

_alone = Lock()
"""Held by the piece of work that this process does: torch's random numbers and our caches are for one at a time."""


def errand(
    parcel: Parcel, items: Sequence[Any], expected: Mapping[str, str], threads: int, limit: float | None
) -> tuple[list[Any], float]:
    """Do work that has come to this worker: the answers, and the seconds that they took.

    Where an item has a ``limit`` in seconds, a process of its own does the work: this one can be told to stop by nobody.

    Raises:
        MissingFilesError: files have to be sent first.
        LateError: it took too long.
        DiedError: the process is gone.
        EvoError: what the work raises, and whose worker it was; this one runs other software than it should.
    """
    address = get_worker().address
    with _alone:
        _compare(software(), expected, address)
        multiprocessing.current_process().daemon = (
            False  # under Dask's nanny it is, and may not start any that read images
        )
        settle(threads)
        try:
            work = _opened(parcel, _received(get_worker()))
            started = time.perf_counter()
            answers = work(items) if limit is None else _crew(threads).submit(work, items, limit * len(items)).result()
        except EvoError as error:
            raise EvoError(f"worker {address}: {error}") from None
        return answers, time.perf_counter() - started


@lru_cache(maxsize=1)
def _crew(threads: int) -> Crew:
    """A process that may be stopped. It ends with this worker."""
    return Crew(1, threads)


@lru_cache(maxsize=4)
def _opened(parcel: Parcel, received: Path) -> Any:
    return unpack(parcel, received)


def _received(worker: Worker) -> Path:
    """Where files lie that were sent to a worker; Dask deletes it when the worker ends."""
    return Path(worker.local_directory) / "evo"


class _Sent(WorkerPlugin):
    """A file for every worker, on its way."""

    def __init__(self, digest: str, content: bytes) -> None:
        self.digest = digest
        self.content = content

    @staticmethod
    def named(digest: str) -> str:
        return f"evo-file-{digest}"

    def setup(self, worker: Worker) -> None:
        receive(self.content, self.digest, _received(worker))
        self.content = b""  # the worker keeps this object as long as it lives


@lru_cache(maxsize=1)
def software() -> dict[str, str]:
    """What results depend on, and Dask itself: names and versions."""
    root = Path(__file__).resolve().parents[2]
    source = sha256()
    for room in ("spaces", "studies", "evo"):
        for path in sorted((root / room).rglob("*.py")):
            source.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    python = ".".join(platform.python_version_tuple()[:2])
    found = {"evo": f"{__version__} ({source.hexdigest()[:8]})", "python": python}
    return found | {name: version(name).split("+")[0] for name in ("torch", "torchvision", "numpy", "distributed")}


def hardware() -> str:
    """What this process computes on."""
    if torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    return f"a CPU ({platform.machine()}, {torch.backends.cpu.get_cpu_capability()})"


def _compare(found: Mapping[str, str], expected: Mapping[str, str], address: str) -> None:
    """Tell of other software on a worker.

    Raises:
        EvoError: there is some; results would not be those of the seed.
    """
    other = [f"{name} {found.get(name)} instead of {its}" for name, its in expected.items() if found.get(name) != its]
    if other:
        raise EvoError(f"worker {address} runs {', '.join(other)}: install the same there as here, and start it again")


def _arrived(answer: R) -> R:
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


def _brief(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__
