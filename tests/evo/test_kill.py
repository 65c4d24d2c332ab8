"""``kill -9`` at twenty random moments costs nothing: the run ends as if nothing had happened."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from random import Random
from typing import Any

import optuna

from evo.round import main
from studies.store import opened

KILLS = 20
WORK = ["3", "--quiet", "--set", "evaluator.epochs=3", "--set", "data.limit=300", "--set", "search.trials=18"]
WORK += ["--set", "search.population=6", "--set", "truth.sample=0"]


def state(storage: str) -> list[list[list[Any]]]:
    """Everything that may not differ: results, spaces, fates, and the weights' hashes."""
    queries = (
        "SELECT round, number, arch, judge, accuracy, macs, params FROM results ORDER BY round, number",
        "SELECT number, state, space_json, next_space_json, judge, hypervolume FROM rounds ORDER BY number",
        "SELECT round_id, layer, op, rating, share, fate FROM choices ORDER BY id",
        "SELECT round, kind, sha256 FROM checkpoints ORDER BY round",
        "SELECT judge, canonical, COUNT(*) FROM evaluations GROUP BY judge, canonical ORDER BY judge, canonical",
    )
    with opened(storage) as store:
        return [store.frame(query).values.tolist() for query in queries]


def killed_after(seconds: float, storage: str) -> bool:
    """Work in a process of its own, killed after some time; whether it was still alive then."""
    child = os.fork()
    if child == 0:
        os._exit(main([*WORK, "--storage", storage]))
    time.sleep(seconds)
    finished, _ = os.waitpid(child, os.WNOHANG)
    if finished:
        return False
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def test_twenty_kills_change_nothing(tmp_path: Path) -> None:
    calm, rough = f"sqlite:///{tmp_path}/calm/evo.db", f"sqlite:///{tmp_path}/rough/evo.db"
    (tmp_path / "calm").mkdir()
    (tmp_path / "rough").mkdir()
    started = time.monotonic()
    assert main([*WORK, "--storage", calm]) == 0
    lifetime = (time.monotonic() - started) / KILLS
    rng = Random(0)
    kills = sum(killed_after(rng.uniform(0.0, lifetime), rough) for _ in range(KILLS))
    assert kills >= KILLS - 2  # the machine may have been quicker than it was at first
    assert main([*WORK, "--storage", rough]) == 0
    assert state(rough) == state(calm)
    for number in (1, 2, 3):
        trials = [
            optuna.load_study(study_name=f"digits/round-{number:02d}", storage=storage).trials
            for storage in (calm, rough)
        ]
        assert {trial.state.name for trial in trials[1]} == {"COMPLETE"}
        assert [(t.number, t.params, t.values, t.system_attrs) for t in trials[0]] == [
            (t.number, t.params, t.values, t.system_attrs) for t in trials[1]
        ]
