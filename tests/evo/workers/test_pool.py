"""Worker processes of this machine: what each is given, and what is left when one of them is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from multiprocessing import forkserver
from subprocess import PIPE

import psutil
import pytest
import torch

from evo.workers import pool
from evo.workers.executors import deterministic_torch, local_executor
from evo.workers.gpus import own_gpu, visible_gpus
from evo.workers.pool import WorkerPool
from evo.workers.protocol import EvaluationTimeoutError, WorkerDiedError
from tests.conftest import ROOT
from tests.evo.workers.worker_tasks import naps, own_devices, processes, tenfold, variable


@pytest.fixture(scope="module", autouse=True)
def server() -> Iterator[None]:
    """Workers are copies of a process that these tests alone use: it is killed, and need not have what evaluators import."""
    own = forkserver.ForkServer()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "IMPORTED", ("evo.workers.pool",))
        for name in ("ensure_running", "connect_to_new_process", "set_forkserver_preload"):
            patch.setattr(forkserver, name, getattr(own, name))
        yield
        own._stop()  # type: ignore[attr-defined]


@pytest.fixture
def crew(monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkerPool]:
    """Three workers beside two GPUs."""
    monkeypatch.setattr(pool, "visible_gpus", lambda: ["4", "MIG-7"])
    crew = WorkerPool(3, 1)
    yield crew
    crew.shutdown()


def pid_of(crew: WorkerPool, number: int) -> int:
    """The process id of one worker, which starts where it has not."""
    return crew.workers[number].run(processes, [0], None)[0]


# -- GPUs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "count", "gpus"),
    [
        ({}, 3, ["0", "1", "2"]),
        ({}, 0, []),
        ({"CUDA_VISIBLE_DEVICES": "2, 5"}, 8, ["2", "5"]),
        ({"CUDA_VISIBLE_DEVICES": "GPU-8932f937,MIG-5b6c"}, 2, ["GPU-8932f937", "MIG-5b6c"]),
        ({"CUDA_VISIBLE_DEVICES": ""}, 0, []),
    ],
)
def test_the_gpus_that_there_are(environment: dict[str, str], count: int, gpus: list[str]) -> None:
    assert visible_gpus(environment, lambda: count) == gpus


def test_gpus_are_dealt_out_in_turn() -> None:
    names = [own_gpu(worker, ["4", "7"]).get("CUDA_VISIBLE_DEVICES") for worker in range(5)]
    assert names == ["4", "7", "4", "7", "4"]
    assert own_gpu(3, []) == {}


def test_each_worker_has_a_gpu_of_its_own_before_it_looks_for_one(crew: WorkerPool) -> None:
    """And the next process in its place has the same."""
    found = [worker.run(own_devices, [0], None)[0] for worker in crew.workers]
    assert found == [("4", False), ("MIG-7", False), ("4", False)]
    os.kill(pid_of(crew, 1), signal.SIGKILL)
    assert crew.workers[1].run(own_devices, [0], None) == [("MIG-7", False)]


# -- processes --------------------------------------------------------------------------------------------------------


def test_a_worker_sees_the_environment_that_its_coordinator_has_by_then(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("one", "two"):
        monkeypatch.setenv("EVO_TEST", value)
        with local_executor(2, 1) as evaluate:
            assert evaluate(variable, ["EVO_TEST"]) == [value]
    monkeypatch.delenv("EVO_TEST")
    with local_executor(2, 1) as evaluate:
        assert evaluate(variable, ["EVO_TEST"]) == [""]


def test_a_worker_that_takes_too_long_or_dies_is_replaced(crew: WorkerPool) -> None:
    worker, late = crew.workers[0], pid_of(crew, 0)
    with pytest.raises(EvaluationTimeoutError):
        worker.run(naps, [60], 0.1)
    assert not psutil.pid_exists(late)
    victim = pid_of(crew, 0)
    killer = threading.Timer(0.2, os.kill, [victim, signal.SIGKILL])
    killer.start()
    with pytest.raises(WorkerDiedError, match=" of SIGKILL"):
        worker.run(naps, [60], None)
    assert worker.run(tenfold, [1, 2], None) == [10, 20]


def test_workers_go_on_when_the_process_that_they_are_copies_of_is_killed(crew: WorkerPool) -> None:
    before = pid_of(crew, 0)
    server = psutil.Process(before).parent()
    assert server is not None
    if server.pid == os.getpid():
        pytest.skip("needs Linux: elsewhere each worker starts by itself")
    server.kill()
    assert pid_of(crew, 0) == before
    assert crew.workers[1].run(tenfold, [3], None) == [30]
    os.kill(before, signal.SIGKILL)
    assert pid_of(crew, 0) != before


DEAF = """
from evo.workers import pool
from evo.workers.executors import deterministic_torch, local_executor
from tests.evo.workers.worker_tasks import deaf_to_ctrl_c
pool.IMPORTED = ("evo.workers.pool",)
if __name__ == "__main__":
    with local_executor(2, 1) as evaluate:
        print(evaluate(deaf_to_ctrl_c, [0]))
"""

COORDINATOR = """
import sys
from evo.workers import pool
from evo.workers.executors import deterministic_torch, local_executor
from tests.evo.workers.worker_tasks import naps
pool.IMPORTED = ("evo.workers.pool",)  # there is nothing to evaluate
if __name__ == "__main__":
    with local_executor(2, 1) as evaluate:
        print("ready", flush=True)
        evaluate(naps, [600, 601])
"""


def test_a_worker_is_deaf_to_ctrl_c_from_its_first_moment() -> None:
    """In a process of its own: the first worker of a process brings Python's resource tracker with it."""
    said = subprocess.run([sys.executable, "-c", DEAF], cwd=ROOT, stdout=PIPE, check=True, timeout=120).stdout
    assert said == b"[True]\n"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_no_worker_outlives_its_coordinator(how: signal.Signals) -> None:
    """Ctrl-C goes to all processes of a terminal at once; one says so."""
    command = subprocess.Popen(
        [sys.executable, "-c", COORDINATOR], cwd=ROOT, stdout=PIPE, stderr=PIPE, start_new_session=True
    )
    assert command.stdout is not None
    assert command.stdout.readline() == b"ready\n"
    family: Sequence[psutil.Process] = []
    until = time.monotonic() + 60
    while len(family) < 4 and time.monotonic() < until:  # two workers, what they are copies of, and Python's own helper
        family = psutil.Process(command.pid).children(recursive=True)
        time.sleep(0.05)
    if how == signal.SIGKILL:
        command.kill()
    else:
        os.killpg(command.pid, how)
    _, said = command.communicate(timeout=60)
    assert said.decode().count("Traceback") == (how == signal.SIGINT)
    assert not psutil.wait_procs(family, timeout=30)[1]


def test_a_gpu_computes_deterministically_wherever_networks_are_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a program that uses this one is left as it was."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    before, threads = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    with deterministic_torch(1):
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert torch.are_deterministic_algorithms_enabled() == before
    assert torch.get_num_threads() == threads
