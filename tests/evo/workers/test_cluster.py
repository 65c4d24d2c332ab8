"""A cluster gives the results of one process, whatever happens to its workers; and says in one line what is wrong."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import nullcontext
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Any

import dask
import psutil
import pytest
from distributed import KilledWorker, Scheduler, SpecCluster, Worker

from evo.round.__main__ import main
from evo.workers import cluster_spec as machinery
from evo.workers import dask_cluster as clusters
from evo.workers.cluster_spec import connect_client, quiet_dask
from evo.workers.dask_cluster import (
    DaskExecutor,
    chunk_size,
    cluster_executor,
    pickle_call,
    run_task,
    software_versions,
)
from evo.workers.pool import CONTEXT, IMPORTED
from evo.workers.protocol import EvaluationsLostError, WorkerDiedError
from evo.workers.staging import serialize
from studies.config import DataSection
from studies.database.store import open_store
from studies.records import EvoError
from tests.conftest import ROOT
from tests.evo.workers import own_code
from tests.evo.workers.worker_tasks import Reader, complains, import_little, naps, processes, some_kind, tenfold
from tests.registries import restored

pytestmark = pytest.mark.usefixtures("unpublished")


LOCAL = {"host": "127.0.0.1", "dashboard": False, "dashboard_address": "127.0.0.1:0"}


@pytest.fixture(scope="module")
def hands() -> Iterator[DaskExecutor]:
    """Two worker processes on this machine: forked from one that has imported what they need, here alone."""
    with (
        pytest.MonkeyPatch.context() as patch,
        dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"}),
    ):
        patch.setattr("distributed.utils._forkserver_preload_set", True)
        CONTEXT.set_forkserver_preload([*IMPORTED, "evo.workers.dask_cluster"])
        with cluster_executor("local:2", 1) as hands:
            yield hands


def kill_one(hands: DaskExecutor) -> int:
    """The process id of a worker, as it was."""
    victim = max(hands.client.run(os.getpid).values())
    os.kill(victim, signal.SIGKILL)
    return int(victim)


def kill_one_at_work(hands: DaskExecutor) -> None:
    """Wait until somebody has work, and kill a worker."""
    while not any(hands.client.processing().values()):
        time.sleep(0.005)
    kill_one(hands)


def test_nothing_listens_beyond_this_machine(hands: DaskExecutor) -> None:
    family = [psutil.Process(), *psutil.Process().children(recursive=True)]
    listening = [
        connection.laddr.ip
        for process in family
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 3
    assert set(listening) == {"127.0.0.1"}


def test_answers_come_in_order_from_all_workers(hands: DaskExecutor) -> None:
    assert len(hands) == 2
    assert hands(tenfold, range(20)) == [10 * n for n in range(20)]
    assert len(set(hands(processes, range(8)))) == 2
    assert hands(tenfold, []) == []


def test_pieces_become_as_large_as_work_is_quick() -> None:
    sizes = [chunk_size(pace, count=100, workers=2) for pace in (None, 3600.0, 0.5, 0.001)]
    assert sizes == [1, 1, 4, 50]
    assert chunk_size(0.001, count=100, workers=1000) == 1


def test_what_work_says_is_told_with_its_worker(hands: DaskExecutor) -> None:
    with pytest.raises(EvoError, match=r"^worker tls://127\.0\.0\.1:\d+: cannot do 1$"):
        hands(complains, [1])


def test_other_software_on_a_worker_is_refused(hands: DaskExecutor) -> None:
    other = software_versions() | {"torch": "1.0"}
    with pytest.raises(EvoError, match=r"runs torch \S+ instead of 1\.0: install the same there as here"):
        hands.executor.submit(pickle.loads, pickle_call(run_task, serialize(tenfold), [1], other, 1, None)).result()


def test_a_file_that_workers_do_not_see_is_sent_once(
    hands: DaskExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("weights").write_text("heavy")
    unseen = Reader(Path("/proc/self/cwd/weights"), DataSection())  # which is another file in another process
    for _ in range(2):
        assert hands(unseen, range(4)) == [("heavy", 1198)] * 4
    assert len(hands.sent) == 1
    kill_one(hands)
    assert hands(unseen, range(8)) == [("heavy", 1198)] * 8
    hands.unregister_files()


def test_work_that_kills_one_worker_after_the_other_is_given_up(hands: DaskExecutor) -> None:
    future: Future[Any] = Future()
    future.set_exception(KilledWorker("errand", None, 3))
    with pytest.raises(WorkerDiedError, match="workers died over it, one after the other"):
        hands._result(future)


def test_work_that_takes_too_long_is_stopped_and_the_rest_done(hands: DaskExecutor) -> None:
    hands.client.run(import_little)
    with pytest.raises(EvaluationsLostError) as lost:
        hands(naps, [0, 60], 0.5)
    assert lost.value.reasons == {1: "took longer than 0.5 seconds"}
    assert lost.value.answers == {0: 0}


def results(storage: str) -> list[list[list[Any]]]:
    queries = (
        "SELECT round, number, arch, judge, accuracy, macs FROM results ORDER BY round, number",
        "SELECT number, space_json, next_space_json, hypervolume FROM rounds ORDER BY number",
        "SELECT round_number, kind, sha256 FROM checkpoints ORDER BY round_number",
    )
    with open_store(storage) as store:
        return [store.frame(query).values.tolist() for query in queries]


def test_a_run_is_the_same_on_a_cluster_that_loses_a_worker(
    hands: DaskExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A supernet's scores with three generations in flight, and networks trained alone (``ground_truth.sample``)."""
    work = [
        "1",
        "--quiet",
        "--set",
        "evaluator.epochs=1",
        "--set",
        "data.max_images=300",
        "--set",
        "search.evaluations=20",
    ]
    work += ["--set", "search.population=4", "--set", "ground_truth.sample=2", "--set", "search.in_flight=3"]
    storages = [f"sqlite:///{tmp_path / name}.db" for name in ("alone", "cluster")]
    assert main([*work, "--storage", storages[0]]) == 0
    monkeypatch.setattr(clusters, "connect_client", lambda where: nullcontext((hands.client, hands.cluster_spec)))
    killer = threading.Thread(target=kill_one_at_work, args=[hands])
    killer.start()
    assert main([*work, "--storage", storages[1], "--cluster", "local:2"]) == 0
    killer.join()
    assert results(storages[0]) == results(storages[1])
    assert capfd.readouterr().err == ""


def test_a_users_own_code_runs_on_a_cluster(
    hands: DaskExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its workers are sent an operation, an evaluator and a data set that no module of theirs has."""
    folders = [tmp_path / name for name in ("alone", "cluster")]
    monkeypatch.setattr(clusters, "connect_client", lambda where: nullcontext((hands.client, hands.cluster_spec)))
    for folder, words in zip(folders, ([], ["--cluster", "local:2"]), strict=True):
        folder.mkdir()
        with restored():
            assert main(own_code.command(folder, *words)) == 0
    assert own_code.state(folders[0]) == own_code.state(folders[1])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # dask-jobqueue kills, and does not wait
def test_a_queue_gives_workers(tmp_path: Path) -> None:
    path = tmp_path / "queue.toml"
    path.write_text('jobs = 1\n[local]\ncores = 1\nmemory = "4GB"\n')
    with connect_client(str(path)) as (client, found):
        assert client.submit(sum, [1, 2]).result(timeout=60) == 3
        assert set(client.nthreads().values()) == {1}
        assert found.worker_timeout == 86400
    gc.collect()  # what dask-jobqueue leaves open is complained about here, and not in another test


def test_no_process_outlives_the_command() -> None:
    code = (
        "from evo.workers.cluster_spec import connect_client\n"
        "if __name__ == '__main__':\n"
        "    with connect_client('local:2') as (client, _): print('ready', flush=True); client.wait_for_workers(9)\n"
    )
    command = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=PIPE, stderr=DEVNULL, start_new_session=True
    )
    assert command.stdout is not None
    assert command.stdout.readline() == b"ready\n"
    family = psutil.Process(command.pid).children(recursive=True)
    assert len(family) >= 2
    os.killpg(command.pid, signal.SIGINT)
    command.wait(30)
    command.stdout.close()
    assert not psutil.wait_procs(family, timeout=30)[1]


# -- what can be wrong --------------------------------------------------------------------------------------------------


@pytest.fixture
def empty() -> Iterator[SpecCluster]:
    """A scheduler without workers."""
    with quiet_dask(), SpecCluster(workers={}, scheduler={"cls": Scheduler, "options": {**LOCAL, "port": 0}}) as found:
        yield found


def file_for(found: SpecCluster, folder: Path) -> str:
    """A file that names a running scheduler, for those who have little patience."""
    path = folder / "cluster.toml"
    path.write_text(f'patience = 0.2\n[scheduler]\naddress = "{found.scheduler_address}"\n')
    return str(path)


def test_nobody_is_waited_for_for_ever(empty: SpecCluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = "has had no workers for 0.2 seconds; what was recorded is kept"
    with pytest.raises(EvoError, match=message), cluster_executor(file_for(empty, tmp_path), 1):
        pass
    assert "has no workers: waiting up to 0.2 seconds for one" in capsys.readouterr().err


def test_workers_do_one_thing_at_a_time(empty: SpecCluster, tmp_path: Path) -> None:
    empty.worker_spec["crowded"] = {"cls": Worker, "options": {**LOCAL, "nthreads": 3}}
    empty.sync(empty._correct_state)
    with (
        pytest.raises(EvoError, match="has 3 threads, .*start workers with --nthreads 1"),
        cluster_executor(file_for(empty, tmp_path), 1),
    ):
        pass


def test_a_scheduler_that_is_gone_is_told(empty: SpecCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machinery, "CONNECT_TIMEOUT", 2)
    empty.worker_spec["slow"] = {"cls": Worker, "options": {**LOCAL, "nthreads": 1}}
    empty.sync(empty._correct_state)
    with cluster_executor(file_for(empty, tmp_path), 1) as hands:
        assert hands(tenfold, [1]) == [10]
        empty.close()
        with pytest.raises(EvoError, match="the scheduler is gone.*; what was recorded is kept"):
            hands(tenfold, [1])


def test_a_scheduler_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machinery, "CONNECT_TIMEOUT", 0.3)
    started = time.monotonic()
    with (
        pytest.raises(EvoError, match="no Dask scheduler answers at tcp://127.0.0.1:1 within 0.3 seconds"),
        cluster_executor("tcp://127.0.0.1:1", 1),
    ):
        pass
    assert time.monotonic() - started < 5


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of what dask-jobqueue half made
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("jobs = ", "cannot be read as TOML"),
        ("jobs = 2", r"expected one table, \[scheduler\] or one of \[slurm\], \[pbs\].*; found none"),
        ("jobs = 2\n[torque]", r"found \[torque\]"),
        ("job = 2\n[local]", "unknown key 'job'; allowed outside .local.: adapt, jobs, patience"),
        ("[local]", r"expected one of jobs = 20 and adapt = \[1, 20\]"),
        ("jobs = 0\n[local]", "jobs is 0: expected a whole number from 1"),
        ("adapt = [3]\n[local]", r"adapt is \[3\]: expected the least and the most jobs"),
        ("jobs = 1\npatience = 'long'\n[local]", "patience is 'long': expected seconds"),
        ("jobs = 1\n[local]\ncores = 1\nmemory = '1GB'\nqueu = 'x'", "Got unexpected keyword argument 'queu'$"),
        ("jobs = 1\n[slurm]\ncores = 1", r"needs the command sbatch, which is not here"),
        ("[scheduler]\naddress = 'localhost'", r"expected \[scheduler\] with address = \"tcp://HOST:8786\""),
        ("[scheduler]\naddress = 'tcp://h:1'\nresources = 'GPU'", "resources is 'GPU': expected amounts by name"),
    ],
)
def test_a_file_that_cannot_be_is_told(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    path = tmp_path / "queue.toml"
    path.write_text(text)
    with pytest.raises(EvoError, match=message), cluster_executor(str(path), 1):
        pass
    gc.collect()


@pytest.mark.parametrize("where", ["scheduler", "local:0", "local:many", "tcp://host"])
def test_a_cluster_that_cannot_be_is_told_before_anything_runs(where: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["1", "--cluster", where])
    assert f"processes here (local:4), or a TOML file that names a queue (slurm.toml), found '{where}'" in (
        capsys.readouterr().err
    )


def test_without_dask_the_command_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "evo.workers.dask_cluster", None)
    storage = f"sqlite:///{tmp_path}/evo.db"
    assert main(["1", "--quiet", "--storage", storage, "--cluster", "local:2"]) == 1
    assert capsys.readouterr().err.endswith("pip install '.[cluster]'\n")


def test_workers_of_several_kinds_are_told(
    hands: DaskExecutor, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(clusters, "hardware_name", some_kind)
    hands.verify_workers()
    assert "numbers may differ in their last digits" in capsys.readouterr().err
