"""Several processes as one, started by torchrun: rank 0 leads, and the other ranks run the functions that it sends.

Rank 0 runs the command as it would alone; only rank 0 touches the database and the terminal. Every other rank waits in
``serve_rank`` for a function, which all ranks then run at the same time, each with its own ``ProcessGroup``. Between two
functions a rank waits up to ``IDLE_TIMEOUT``. While one runs, a rank that is silent for ``COLLECTIVE_TIMEOUT`` is given up.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from threading import Thread
from typing import Any, NoReturn, TypeVar

import torch
import torch.distributed as dist

from evo.console import warn
from spaces.errors import UserError, device_error_in_words
from studies.records import EvoError

T = TypeVar("T")
R = TypeVar("R")

IDLE_TIMEOUT = timedelta(days=365)
COLLECTIVE_TIMEOUT = timedelta(minutes=10)
GRACE_SECONDS = 10.0
"""Seconds that a rank waits for torchrun's signal after the other ranks stop answering."""


class RankLost(KeyboardInterrupt):
    """A rank has ended or broken off, so no collective work can be finished.

    A ``KeyboardInterrupt``: all that was recorded is kept, and no handler mistakes it for the failure of one evaluation.
    """


@dataclass(frozen=True)
class ProcessGroup:
    """The place of this process among those that work together.

    Attributes:
        rank: the number of this process, from 0; ``size``: the number of processes.
        sync: whether batch normalisation uses the whole batch when the ranks train a model together, or each its part.
    """

    rank: int = 0
    size: int = 1
    sync: bool = True

    def run_on_all_ranks(self, work: Callable[..., R], **own: Any) -> R:
        """Run ``work(group)`` on every rank at the same time, each with its own group; rank 0 also gets ``own``.

        Called on rank 0, and returns rank 0's result. ``work`` is sent with its state: all ranks start from the same
        weights, momenta and scores.
        """
        if self.size == 1:
            return work(self, **own)
        try:
            _broadcast((work, self.sync))
            return work(self, **own)
        except RuntimeError as error:
            time.sleep(GRACE_SECONDS)
            raise RankLost(f"{self.size} processes broke off their work together: {_first_line(error)}") from None

    def scatter_map(self, work: Callable[[Sequence[T]], list[R]], pieces: Sequence[Sequence[T]]) -> list[list[R]]:
        """Map ``work`` over ``pieces``, one per rank; the answers come in the order of the pieces."""
        answers = self.run_on_all_ranks(_ScatteredWork(work, pieces))
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers  # type: ignore[return-value]

    def batch_slice(self, batch: int) -> slice:
        """The slice of a batch of ``batch`` images that this rank computes; the slices of all ranks make up the batch.

        Raises:
            EvoError: the batch has fewer images than there are ranks.
        """
        if batch < self.size:
            raise EvoError(
                f"a batch of {batch} images cannot be divided among {self.size} processes: "
                "raise batch_size, or start fewer"
            )
        return slice(batch * self.rank // self.size, batch * (self.rank + 1) // self.size)

    def piece_size(self, batch: int, piece: int, pieces: int) -> int:
        """The images of piece ``piece`` (from 0) of this rank's part of a batch, cut as ``torch.tensor_split`` cuts."""
        part = self.batch_slice(batch)
        images, larger = divmod(part.stop - part.start, pieces)
        return int(images + (piece < larger))


SINGLE_PROCESS = ProcessGroup()


@dataclass(frozen=True)
class _ScatteredWork:
    """Work in pieces, run on every rank. An exception is returned as an answer, so that no rank waits for a missing one."""

    work: Callable[[Sequence[Any]], list[Any]]
    pieces: Sequence[Sequence[Any]]

    def __call__(self, group: ProcessGroup) -> list[list[Any] | Exception]:
        answer: list[Any] | Exception
        try:
            piece = self.pieces[group.rank]
            answer = self.work(piece) if piece else []
        except EvoError as error:
            answer = error
        except Exception as error:
            where, told = f"(on rank {group.rank})", device_error_in_words(error)
            answer = EvoError(f"{told} {where}") if told else RuntimeError(f"{type(error).__name__}: {error} {where}")
        answers: list[Any] = [None] * group.size
        dist.gather_object(answer, answers if group.rank == 0 else None, dst=0)
        return answers


def current_group() -> ProcessGroup:
    """The group of all processes that torchrun has started; ``SINGLE_PROCESS`` without torchrun."""
    return (
        ProcessGroup(dist.get_rank(), dist.get_world_size())
        if dist.is_available() and dist.is_initialized()
        else SINGLE_PROCESS
    )


@contextmanager
def as_rank_zero() -> Iterator[None]:
    """Lead the other ranks while the body runs, and dismiss them after it. After an error in the body they notice that this
    process has ended.

    Raises:
        EvoError: this machine runs more processes than it has CUDA devices.
    """

    _install_sigterm_handler()
    _init_process_group()
    yield
    _broadcast(None)
    dist.destroy_process_group()


RANK_ENDED = "another process of this run has ended, or torchrun was stopped"


def _install_sigterm_handler() -> None:
    """Let torchrun's SIGTERM raise ``RankLost``: it sends one to every rank when another has ended.

    Python handles signals only between its own instructions. A process that waits inside torch or CUDA for a rank that has
    ended never gets there, so a thread ends the process.
    """

    def raise_rank_lost(*_: object) -> NoReturn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise RankLost(RANK_ENDED)

    def exit_when_blocked() -> None:
        while os.read(read_end, 1)[0] != signal.SIGTERM:
            pass
        time.sleep(GRACE_SECONDS)
        warn(f"error: {RANK_ENDED}; everything measured so far is kept. Continue with the same command")
        exit_now(1)

    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    Thread(target=exit_when_blocked, daemon=True).start()
    signal.signal(signal.SIGTERM, raise_rank_lost)


def serve_rank() -> int:
    """Run what rank 0 sends until it dismisses this rank; gives the exit code. Prints nothing but errors."""
    try:
        _init_process_group()
        while (order := _receive_broadcast()) is not None:
            work, sync = order
            work(ProcessGroup(dist.get_rank(), dist.get_world_size(), sync))
    except KeyboardInterrupt:
        exit_now(130)
    except Exception as error:
        told = _in_words(error)
        time.sleep(GRACE_SECONDS)  # if rank 0 or another rank failed first, torchrun ends this one now
        warn(told)
        exit_now(1)
    dist.destroy_process_group()
    return 0


def _in_words(error: Exception) -> str:
    """What is said of an error on a rank that does not lead."""
    told = str(error) if isinstance(error, UserError) else device_error_in_words(error)
    if told is None:
        return f"rank {os.environ['RANK']}: {traceback.format_exc()}"
    return f"error: {told} (on rank {os.environ['RANK']})"


def exit_now(code: int) -> NoReturn:
    """End at once, without waiting for unfinished collective work."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _init_process_group() -> None:
    """Join the other ranks. Each takes the CUDA device with its local number, if the machine has any."""
    here, place = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), int(os.environ.get("LOCAL_RANK", "0"))
    if torch.cuda.is_available():
        if torch.cuda.device_count() < here:
            raise EvoError(
                f"torchrun has started {here} processes here, and torch finds {torch.cuda.device_count()} CUDA devices: "
                "start one for each, or hide them with CUDA_VISIBLE_DEVICES= and use the CPU"
            )
        torch.cuda.set_device(place)
    dist.init_process_group("gloo", timeout=IDLE_TIMEOUT)


def _broadcast(order: object) -> None:
    """Send ``order`` to all other ranks; None dismisses them."""
    file = io.BytesIO()
    torch.save(order, file)  # unlike pickle, it keeps each tensor's device
    dist.broadcast_object_list([file.getvalue()], src=0, device=torch.device("cpu"))


def _receive_broadcast() -> Any:
    """What rank 0 has sent, with tensors on this rank's device. Exits silently if rank 0 has ended: it printed why."""
    sent: list[Any] = [None]
    try:
        dist.broadcast_object_list(sent, src=0, device=torch.device("cpu"))
    except RuntimeError:
        exit_now(1)
    return torch.load(io.BytesIO(sent[0]), _map_location, weights_only=False)


def _map_location(storage: Any, location: str) -> Any:
    return storage.cuda() if location.startswith("cuda") else storage


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
