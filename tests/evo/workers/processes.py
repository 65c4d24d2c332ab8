"""Two processes that work together: forked, or started by torchrun."""

from __future__ import annotations

import faulthandler
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main as torchrun

from evo.workers import ranks
from evo.workers.ranks import as_rank_zero, serve_rank
from tests.conftest import ROOT

PROCESSES = 2
LIMIT = 60
"""Seconds after which a process is taken to hang."""


def forked(rank: int, port: int, work: Callable[[], None]) -> int:
    """The process of one rank, which rank 0 leads to do ``work``, and the others follow."""
    if child := os.fork():
        return child
    code = 1
    faulthandler.dump_traceback_later(LIMIT - 5, file=sys.__stderr__)
    with suppress(BaseException):
        os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(PROCESSES), "MASTER_ADDR": "127.0.0.1"}
        os.environ["MASTER_PORT"] = str(port)
        ranks.GRACE_SECONDS = 0.5
        if rank:
            code = serve_rank()
        else:
            with as_rank_zero():
                work()
            code = 0
    os._exit(code)


def commanded(folder: Path, main: Callable[[Sequence[str]], int], words: Sequence[str]) -> list[int]:
    """The processes of a command that torchrun has started twice, whose words go to the file ``said``; the leader's first."""
    port, children = free_port(), []
    for rank in range(PROCESSES):
        if child := os.fork():
            children.append(child)
            continue
        try:
            said = os.open(folder / "said", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(said, 1)
            os.dup2(said, 2)
            sys.stdout = sys.stderr = os.fdopen(2, "w", closefd=False)
            os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(PROCESSES), "MASTER_ADDR": "127.0.0.1"}
            os.environ["MASTER_PORT"] = str(port)
            ranks.GRACE_SECONDS = 0.5
            main(words)
        finally:
            os._exit(70)
    return children


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def ended(child: int) -> int:
    """The exit code of a process, which must not take for ever."""
    for _ in range(LIMIT * 50):
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    raise AssertionError("a process hangs: its stack is on stderr")


def led(work: Callable[[], None]) -> list[int]:
    """The exit codes of two processes."""
    port = free_port()
    children = [forked(rank, port, work) for rank in range(PROCESSES)]
    try:
        return [ended(child) for child in children]
    except AssertionError:
        for child in children:
            with suppress(ProcessLookupError, ChildProcessError):
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
        raise


TORCHRUN = ["--standalone", "--nproc-per-node", str(PROCESSES), "--start-method", "fork", "--run-path"]
"""Its processes are forked, too: torch need not be imported three times."""


def under_torchrun(folder: Path, words: Sequence[str]) -> int:
    """``torchrun evo/round/__main__.py``, whose words go to the file ``said``; gives the launcher's process."""
    if child := os.fork():
        return child
    code = 70
    try:
        said = os.open(folder / "said", os.O_WRONLY | os.O_CREAT)
        os.dup2(said, 1)
        os.dup2(said, 2)
        sys.stdout = sys.stderr = os.fdopen(2, "w", closefd=False)
        os.environ["OMP_NUM_THREADS"] = "1"
        torchrun([*TORCHRUN, f"{ROOT}/evo/round/__main__.py", *words])
        code = 0
    except ChildFailedError:
        code = 1
    finally:
        os._exit(code)


def kill_rank(launcher: int, rank: int) -> None:
    """Ranks are started in their order, as copies of the launcher."""
    family = psutil.Process(launcher)
    copies = [child for child in family.children() if child.cmdline() == family.cmdline()]
    assert len(copies) == PROCESSES
    os.kill(sorted(child.pid for child in copies)[rank], signal.SIGKILL)
