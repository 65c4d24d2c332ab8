"""A run with several generations in flight: the same with any workers and after ``kill -9``; Optuna shows what is measured."""

from __future__ import annotations

import itertools
import os
import signal
from dataclasses import astuple
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from evo.round.__main__ import main
from evo.round.in_flight import generations_in_flight, planned_workers
from evo.round.options import RunOptions
from evo.strategy.effects import UNKNOWN
from studies.database.rows import Choice
from studies.database.store import Store, open_store
from tests.evo.workers.test_own_code import forked
from tests.evo.workers.test_ranks import ended

pytestmark = pytest.mark.usefixtures("unpublished")

WORTH = {"a": 0.05, "b": 0.11, "c": 0.12, "d": 0.2}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a table of 256 networks and settings that search it."""
    monkeypatch.chdir(tmp_path)
    rows = []
    for arch in itertools.product(WORTH, repeat=4):
        macs = sum((1 + "abcd".index(op)) * (place + 1) for place, op in enumerate(arch))
        rows.append(
            f"{'~'.join(arch)},{0.1 + sum(WORTH[op] for op in arch) - 0.03 * (arch[0] == arch[1]):.4f},{macs},1"
        )
    Path("table.csv").write_text("arch,accuracy,macs,params\n" + "\n".join(rows))
    Path("flight.toml").write_text(
        'space = { name = "table" }\n'
        'evaluator = { kind = "tabular", path = "table.csv", separator = "~", macs_column = "macs", params_column = "params"'
        " }\nsearch = { evaluations = 48, population = 6 }\n"
        'evolution = { method = "evidence" }\n'
    )
    return tmp_path


def command(name: str, *words: str) -> list[str]:
    return ["1", "--config", "flight.toml", "--storage", f"sqlite:///{name}.db", "--quiet", *words]


def rows(name: str) -> list[list[Any]]:
    query = "SELECT round, number, arch, accuracy FROM results WHERE run = 'flight' ORDER BY round, number"
    with open_store(f"sqlite:///{name}.db") as store:
        return store.frame(query).values.tolist()


def trials(name: str) -> list[FrozenTrial]:
    return optuna.load_study(study_name="flight/round-01", storage=f"sqlite:///{name}.db").trials


THREE = ("--set", "search.in_flight=3")


def test_workers_change_nothing(folder: Path) -> None:
    for workers in "1", "4":
        assert main(command(f"by{workers}", "--workers", workers, *THREE)) == 0
    assert rows("by1") == rows("by4")
    assert main(command("barrier", "--set", "search.in_flight=1")) == 0
    assert rows("barrier") != rows("by1")
    assert [t.user_attrs["arch"] for t in trials("by4")] == [row[2] for row in rows("by1")]
    assert {t.state for t in trials("by4")} == {TrialState.COMPLETE}


def killed_when_it_would_record(generation: int) -> None:
    """From now on this process is killed when it would record the generation."""
    record = Store.record

    def record_until(store: Store, run: Any, row: Any, proposals: Any) -> None:
        if proposals[0].generation == generation:
            os.kill(os.getpid(), signal.SIGKILL)
        record(store, run, row, proposals)

    Store.record = record_until  # type: ignore[method-assign]


def test_a_killed_run_leaves_running_trials_and_takes_them_up(folder: Path) -> None:
    assert main(command("calm", *THREE)) == 0
    assert ended(forked(command("killed", *THREE), lambda: killed_when_it_would_record(4))) == -signal.SIGKILL
    left = trials("killed")
    in_flight = [t for t in left if t.state == TrialState.RUNNING]
    assert len(in_flight) == 3 * 6  # three generations of six
    assert [t.number for t in left] == [t.user_attrs["proposal"] for t in left] == list(range(len(left)))
    assert all(t.values is None and t.params for t in in_flight)
    assert main(command("killed", "--workers", "2", *THREE)) == 0
    assert rows("killed") == rows("calm")
    after, calm = trials("killed"), trials("calm")
    assert [t.user_attrs["arch"] for t in after[: len(left)]] == [t.user_attrs["arch"] for t in left]
    assert [(t.number, t.state, t.values, t.params, t.user_attrs, t.system_attrs) for t in after] == [
        (t.number, t.state, t.values, t.params, t.user_attrs, t.system_attrs) for t in calm
    ]
    assert [t.datetime_start for t in after[:3]] == [t.datetime_start for t in left[:3]]


def test_trials_are_those_of_a_run_without_a_crash_and_without_others_in_flight(folder: Path) -> None:
    """What RUNNING trials become is what is written where none were: Optuna reads the same of both."""
    assert main(command("flight", *THREE)) == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "announce", lambda *_: None)
        assert main(command("silent", *THREE)) == 0
    shown, plain = trials("flight"), trials("silent")
    assert [(t.values, t.params, t.distributions, t.user_attrs, t.system_attrs) for t in shown] == [
        (t.values, t.params, t.distributions, t.user_attrs, t.system_attrs) for t in plain
    ]


def test_trials_in_flight_that_nobody_comes_back_for_are_gone_when_the_round_ends(folder: Path) -> None:
    assert ended(forked(command("late", *THREE), lambda: killed_when_it_would_record(4))) == -signal.SIGKILL
    with open_store("sqlite:///late.db") as store:
        run = store.run("flight")
        (row,) = store.rounds(run)
        assert not store.mirror_round(run, row).finished
        fate = Choice(0, "a", None, None, "kept", "by hand", *astuple(UNKNOWN))
        store.finish_round(row, row.space, [fate], judge="table", hypervolume=0.0, stats={})
    assert {t.state for t in trials("late")} == {TrialState.COMPLETE}


def test_how_many_are_in_flight_is_decided_once(folder: Path) -> None:
    """By the workers with which the run begins; the run, its seeds and its arms go on so with any workers."""
    assert main(command("once", "--workers", "6")) == 0
    with open_store("sqlite:///once.db") as store:
        assert store.run("flight").config.search.in_flight == 3
    assert main(command("once", "--control", "random")) == 0
    with open_store("sqlite:///once.db") as store:
        assert store.run("flight-random").config.search.in_flight == 3
    assert main(command("again", *THREE)) == 0
    assert rows("again") == rows("once")[: len(rows("again"))]
    assert main(command("once", "--set", "search.in_flight=2")) == 1


def test_few_workers_wait_for_the_end_of_a_generation() -> None:
    """With half as many as a generation has architectures results are those of one worker; more never wait."""
    assert [generations_in_flight(workers, 10) for workers in (1, 2, 4, 5, 6, 10, 20)] == [1, 1, 1, 1, 2, 3, 4]
    assert generations_in_flight(300, 20) == 24
    assert generations_in_flight(300, 1000) == 1


def test_the_plan_says_how_many_are_in_flight(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    queue = Path("queue.toml")
    queue.write_text('adapt = [1, 20]\n[slurm]\nprocesses = 2\nqueue = "gpu"\n')
    for words, told in (
        ([], "in generations of 6\n"),
        (["--workers", "12"], "in generations of 6, 4 of them in flight"),
        (["--cluster", "queue.toml"], "in generations of 6, 11 of them in flight"),
        (
            ["--cluster", "tcp://10.0.0.1:8786"],
            "as many are in flight as keep the workers busy with which the run begins",
        ),
    ):
        assert main(["2", "--config", "flight.toml", "--plan", *words]) == 0
        assert told in capsys.readouterr().out
    assert planned_workers(RunOptions(1, cluster="local:7")) == 7
