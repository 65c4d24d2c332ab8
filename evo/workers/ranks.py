"""Several processes as one, started by torchrun: rank 0 leads, the others do with it what it says.

Rank 0 runs the command as it would alone, and alone touches the database and the terminal. Every other rank waits in
``serve_rank`` for something to do: a function, which all ranks then run at the same moment, each with its own ``ProcessGroup``.
Between such moments nobody waits for rank 0 with anything but patience; inside one, a rank that is silent for
``COLLECTIVE_TIMEOUT`` is given up.
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
from studies.records import EvoError

T = TypeVar("T")
R = TypeVar("R")

IDLE_TIMEOUT = timedelta(days=365)
COLLECTIVE_TIMEOUT = timedelta(minutes=10)
GRACE_SECONDS = 10.0
"""Seconds that a rank waits, when the others no longer answer, for torchrun to say that one has ended."""


class RankLost(KeyboardInterrupt):
    """A rank has ended or broken off, so nothing that is done together can be finished any more.

    As when a user interrupts, all that was recorded is kept, and nobody may take it for the failure of one evaluation.
    """


@dataclass(frozen=True)
class ProcessGroup:
    """This process among those that work together.

    Attributes:
        sync: whether batch normalisation sees the whole batch where a model is trained together, or each rank its part.
    """

    rank: int = 0
    size: int = 1
    sync: bool = True

    def run_on_all_ranks(self, work: Callable[..., R], **own: Any) -> R:
        """``work(team)`` on every rank at the same moment, each with its own team; rank 0 gets ``own`` as well.

        Called on rank 0. The work is sent as it stands: the others go on from the same weights, momenta and scores.
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
        """Each rank does one of the pieces, as many as there are ranks; the answers in the order of the pieces."""
        answers = self.run_on_all_ranks(_ScatteredWork(work, pieces))
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers  # type: ignore[return-value]

    def batch_slice(self, batch: int) -> slice:
        """The places in a batch of so many images that are this rank's; all ranks' parts together are the batch.

        Raises:
            EvoError: there is less than one image for each.
        """
        if batch < self.size:
            raise EvoError(
                f"a batch of {batch} images cannot be divided among {self.size} processes: "
                "raise batch_size, or start fewer"
            )
        return slice(batch * self.rank // self.size, batch * (self.rank + 1) // self.size)


SINGLE_PROCESS = ProcessGroup()


@dataclass(frozen=True)
class _ScatteredWork:
    """Work in pieces, run on every rank; what one of them raises is an answer, too, so that none is waited for in vain."""

    work: Callable[[Sequence[Any]], list[Any]]
    pieces: Sequence[Sequence[Any]]

    def __call__(self, team: ProcessGroup) -> list[list[Any] | Exception]:
        answer: list[Any] | Exception
        try:
            piece = self.pieces[team.rank]
            answer = self.work(piece) if piece else []
        except EvoError as error:
            answer = error
        except Exception as error:
            answer = RuntimeError(f"{type(error).__name__}: {error} (on rank {team.rank})")
        answers: list[Any] = [None] * team.size
        dist.gather_object(answer, answers if team.rank == 0 else None, dst=0)
        return answers


def current_group() -> ProcessGroup:
    """All processes that torchrun has started; this one alone where there are no others."""
    return (
        ProcessGroup(dist.get_rank(), dist.get_world_size())
        if dist.is_available() and dist.is_initialized()
        else SINGLE_PROCESS
    )


@contextmanager
def as_rank_zero() -> Iterator[None]:
    """Rank 0 among the others, which are let go in the end. After an error they see that this process has gone.

    Raises:
        EvoError: there are more processes here than CUDA devices.
    """

    _install_sigterm_handler()
    _init_process_group()
    yield
    _broadcast(None)
    dist.destroy_process_group()


RANK_ENDED = "another process of this run has ended, or torchrun was stopped"


def _install_sigterm_handler() -> None:
    """Let torchrun's SIGTERM raise ``RankLost``: it sends one to every rank when another has ended.

    Python hears signals between its own steps only. A process that waits inside torch or CUDA for one that has ended is
    deaf, so a thread ends it.
    """

    def ended(*_: object) -> NoReturn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise RankLost(RANK_ENDED)

    def end_the_deaf() -> None:
        while os.read(heard, 1)[0] != signal.SIGTERM:
            pass
        time.sleep(GRACE_SECONDS)
        warn(f"error: {RANK_ENDED}; everything measured so far is kept. Continue with the same command")
        exit_now(1)

    heard, write_end = os.pipe()
    os.set_blocking(write_end, False)
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    Thread(target=end_the_deaf, daemon=True).start()
    signal.signal(signal.SIGTERM, ended)


def serve_rank() -> int:
    """What all other ranks do: what rank 0 says, until it lets them go. They are silent, but where they break."""
    try:
        _init_process_group()
        while (order := _receive_broadcast()) is not None:
            work, sync = order
            work(ProcessGroup(dist.get_rank(), dist.get_world_size(), sync))
    except KeyboardInterrupt:
        exit_now(130)
    except Exception:
        trace = traceback.format_exc()
        time.sleep(GRACE_SECONDS)  # where rank 0 meets the same, or another one broke first, torchrun ends this one now
        warn(f"rank {os.environ['RANK']}: {trace}")
        exit_now(1)
    dist.destroy_process_group()
    return 0


def exit_now(code: int) -> NoReturn:
    """End at once: what is still under way with the others must not keep this process."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _init_process_group() -> None:
    """Meet the other ranks. Each takes the CUDA device of its number on its machine, where there are any."""
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
    """Tell all other ranks what to do; None: nothing any more."""
    file = io.BytesIO()
    torch.save(order, file)  # unlike pickle, it says on which device a tensor was
    dist.broadcast_object_list([file.getvalue()], src=0, device=torch.device("cpu"))


def _receive_broadcast() -> Any:
    """What rank 0 has sent, its tensors on this rank's device. Where it has gone, it has said why."""
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
