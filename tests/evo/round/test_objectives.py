"""Runs with more than two objectives: what is searched, stored and shown."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import optuna
import pytest

import evo
from analysis.compare import main as compare
from analysis.report import main as report
from evo.round.__main__ import main
from evo.strategy.generations import SearchTask, search_round
from spaces.costs.table import CostTable
from spaces.space import SearchSpace
from studies.config import ConfigError, LimitsSection, SearchSection, load_config
from studies.pareto import hypervolume
from studies.records import Proposal
from tests.evo.conftest import made_up

OPERATIONS = ("a", "b", "c", "d")
COSTS = {"a": (1, 8), "b": (2, 4), "c": (4, 2), "d": (8, 1)}
"""Operation -> MACs, parameters: what is cheap in one is dear in the other."""
WORTH = {"a": 0.05, "b": 0.11, "c": 0.12, "d": 0.2}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a table of 256 networks and a run's settings."""
    monkeypatch.chdir(tmp_path)
    rows = []
    for arch in itertools.product(OPERATIONS, repeat=4):
        macs, params = (sum(COSTS[op][i] * (place + 1) for place, op in enumerate(arch)) for i in (0, 1))
        accuracy = 0.1 + sum(WORTH[op] for op in arch) - 0.02 * (arch[0] == arch[1])
        rows.append(f"{'~'.join(arch)},{accuracy:.4f},{macs},{params}")
    Path("table.csv").write_text("arch,accuracy,macs,params\n" + "\n".join(rows))
    Path("three.toml").write_text(
        'space = { name = "table" }\n'
        'evaluator = { kind = "tabular", path = "table.csv", separator = "~", macs_column = "macs", params_column = "params"'
        " }\n"
        'search = { objectives = ["accuracy", "macs", "params"], evaluations = 40 }\n'
        'evolution = { method = "pad_nas" }\n'
    )
    return tmp_path


def test_a_round_searches_stores_and_shows_three_objectives(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["2", "--config", "three.toml", "--run", "three"]) == 0
    assert "front of round 2" in capsys.readouterr().out
    run = evo.Run("three")
    first = run.results().query("round == 1")
    (study,) = [
        optuna.load_study(study_name=name, storage="sqlite:///evo.db")
        for name in optuna.get_all_study_names("sqlite:///evo.db")
        if name.endswith("round-01")
    ]
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE", "MINIMIZE"]
    assert study.metric_names == ["accuracy", "macs", "params"]
    values = {tuple(trial.values) for trial in study.trials}
    assert values == set(first[["accuracy", "macs", "params"]].itertuples(index=False, name=None))
    best = {(t.values[1], t.values[2]) for t in study.best_trials}  # Optuna's own Pareto front
    assert set(run.front(1)[["macs", "params"]].itertuples(index=False, name=None)) == best
    dearest = [4 * 8 + 3 * 8 + 2 * 8 + 8] * 2  # all operations the dearest of their layer
    expected = hypervolume(first[["macs", "params"]].to_numpy(), first["accuracy"], max_cost=dearest)
    assert run.rounds()["hypervolume"].iloc[0] == pytest.approx(expected)
    capsys.readouterr()
    assert report(["three"]) == 0
    page = Path("three.html").read_text()
    assert "Every pair of objectives" in page
    assert "The final front through all objectives" in page
    assert "accuracy and all of 2 costs" in page


def test_an_interrupted_search_goes_on_with_the_same_networks(space: SearchSpace, table: CostTable) -> None:
    settings = SearchSection.model_validate({"objectives": ["accuracy", "params", "macs"], "evaluations": 40})
    task = SearchTask(space, table, settings, LimitsSection(), seed=3)
    recorded: list[Proposal] = []

    def record(generation: Sequence[Proposal]) -> None:
        recorded.extend(generation)
        if len(recorded) == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search_round(task, partial(made_up, table), record)
    resumed, _ = search_round(task, partial(made_up, table), lambda generation: None, done=recorded)
    whole, _ = search_round(task, partial(made_up, table), lambda generation: None)
    assert [proposal.arch for proposal in resumed] == [proposal.arch for proposal in whole]
    assert {proposal.origin for proposal in whole} >= {"screened"}


def test_runs_of_other_objectives_are_not_compared(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["1", "--config", "three.toml", "--run", "three"]) == 0
    two = Path("three.toml").read_text().replace(', "params"]', "]")
    Path("two.toml").write_text(two)
    assert main(["1", "--config", "two.toml", "--run", "two"]) == 0
    assert main(["1", "--config", "three.toml", "--run", "seed1", "--set", "seed=1"]) == 0
    capsys.readouterr()
    assert compare(["three", "two"]) == 1
    assert "three weighs accuracy against macs and params" in capsys.readouterr().err
    assert compare(["three", "seed1", "--json"]) == 0
    box = json.loads(capsys.readouterr().out)["box"]
    assert (box["costs"], box["max_costs"]) == (["macs", "params"], [80.0, 80.0])


def test_an_unknown_objective_is_refused_in_one_sentence() -> None:
    with pytest.raises(ConfigError) as refused:
        load_config("digits", ['search.objectives=["accuracy", "energy"]'])
    (line,) = str(refused.value).splitlines()
    assert "search.objectives.1 is 'energy'" in line


def test_a_front_is_told_from_its_cheapest_network_to_its_best(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [row.split(",") for row in Path("table.csv").read_text().splitlines()]
    lines = [",".join([arch, "0.2" if "d" in arch else accuracy, *costs]) for arch, accuracy, *costs in rows[1:]]
    Path("table.csv").write_text("\n".join(["arch,accuracy,macs,params", *lines]))  # most MACs, fewest parameters, bad
    assert main(["1", "--config", "three.toml", "--run", "three", "--set", "search.sampler=random"]) == 0
    front = evo.Run("three").front(1)
    best = front.loc[front["accuracy"].idxmax()]
    assert best["macs"] < front["macs"].iloc[-1]
    first = front.iloc[0]
    ends = [f"{network['accuracy']:.2%} at {network['macs']:g}" for network in (first, best)]
    assert f"from {' to '.join(ends)} macs" in capsys.readouterr().out
    assert f"from {' MACs to '.join(ends)} MACs" in " ".join(evo.Run("three").sentences())


def test_two_objectives_are_those_of_objective_and_cost(folder: Path) -> None:
    config = load_config("digits", ['search.objectives=["params", "likelihood"]'])
    assert (config.search.objective, config.search.cost, config.search.objectives) == ("likelihood", "params", None)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ('search.objectives=["macs", "params"]', "expected one of accuracy and likelihood, and one or more of macs"),
        ('search.objectives=["accuracy", "likelihood", "macs"]', "expected one of accuracy and likelihood"),
        ('search.objectives=["accuracy", "macs", "macs"]', "each once"),
        ('search.objectives=["accuracy", "energy"]', "search.objectives"),
        ("search.cost=params", "search.cost is 'params', and search.objectives begins with 'macs'"),
        ('search.objectives=["accuracy", "macs", "latency_ms"]', "latency_ms is an objective or a limit"),
    ],
)
def test_objectives_that_make_no_sense_are_refused(folder: Path, setting: str, message: str) -> None:
    with pytest.raises(ConfigError, match="search") as refused:
        load_config("three.toml", [setting])
    assert message in str(refused.value)


def test_a_further_cost_that_is_the_same_for_all_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = Path("table.csv").read_text().splitlines()
    Path("flat.csv").write_text("\n".join([table[0], *(row.rpartition(",")[0] + ",7" for row in table[1:])]))
    assert main(["1", "--config", "three.toml", "--set", "evaluator.path=flat.csv"]) == 1
    assert "search.objectives has 'params', and it is 7 for every architecture" in capsys.readouterr().err


def test_a_limit_ends_the_box_of_its_cost(folder: Path) -> None:
    run = evo.search("three.toml", rounds=1, run="limited", progress=False, set={"limits.params": [0, 40]})
    assert (run.results()["params"] <= 40).all()
    results = run.results()
    expected = hypervolume(results[["macs", "params"]].to_numpy(), results["accuracy"], max_cost=np.array([80.0, 40.0]))
    assert run.rounds()["hypervolume"].iloc[0] == pytest.approx(expected)
