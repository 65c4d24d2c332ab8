"""``evo.headroom``: what is drawn, trained, recorded, found again, and said."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

import evo
from evo.alone.trainer import Trainer
from evo.console import Advance, Reporter
from evo.headroom.__main__ import main
from evo.headroom.experiment import HeadroomOptions, draw_networks, measure_headroom, plan_experiment
from evo.headroom.result import HeadroomResult, Setting, TrainedNetwork
from evo.round.options import RunOptions
from spaces.costs.table import cost_table
from spaces.export.baselines import Contender
from spaces.space import SearchSpace
from studies.config import load_config
from studies.database.store import open_store
from studies.records import EvoError
from studies.runs.manage import run_summaries
from tests.evo.conftest import interrupted_at

TINY = ("deliver.epochs=1", "data.max_images=120", "deliver.batch_size=32")


STEPS = 2
"""Of one training."""


def options(tmp_path: Path, **others: Any) -> HeadroomOptions:
    settings = RunOptions(rounds=1, config="digits", storage=f"sqlite:///{tmp_path}/evo.db", overrides=TINY)
    return HeadroomOptions(settings, **{"networks": 3, "macs": 60_000} | others)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str]]:
    """Trainings are made up, and remembered: (seed, network). Their accuracy depends on both."""
    asked: list[tuple[int, str]] = []

    def accuracy(
        trainer: Trainer, contender: Contender, seed: int, progress: Path, advance: Advance
    ) -> tuple[float, float]:
        asked.append((seed, str(contender.arch)))
        advance(trainer.steps)
        return 0.7 + len(str(contender.arch)) / 1000 + seed % 100 / 1000, 0.5

    monkeypatch.setattr(Trainer, "_accuracy", accuracy)
    return asked


def test_networks_have_the_budget_and_more_of_them_begin_with_the_same(space: SearchSpace) -> None:
    config, table = load_config("digits"), cost_table(space)
    few, many = (draw_networks(config, space, table, (57_000, 63_000), n) for n in (3, 70))
    assert few == many[:3]
    assert len(set(many)) == 70
    assert all(57_000 <= macs <= 63_000 for macs in table.count(many)[:, 0])


def test_the_budget_is_the_middle_of_the_limits_or_what_half_of_the_random_networks_stay_below(tmp_path: Path) -> None:
    asked = options(tmp_path, macs=None)
    limited = load_config("digits", ["limits.macs=[50e3, 70e3]"])
    assert plan_experiment(limited, asked).macs == 60_000
    free = plan_experiment(load_config("digits"), asked)
    costs = cost_table(free.space).count([free.space.sample(Random(i)) for i in range(200)])[:, 0]
    below = sum(cost < free.macs for cost in costs)
    assert 70 <= below <= 130


def test_a_network_is_trained_once_for_each_seed_and_more_of_both_train_only_what_is_new(
    tmp_path: Path, trained: list[tuple[int, str]]
) -> None:
    first = measure_headroom(options(tmp_path))
    assert sorted(Counter(seed for seed, _ in trained).values()) == [3, 3]
    assert measure_headroom(options(tmp_path)) == first
    assert len(trained) == 6
    more = measure_headroom(options(tmp_path, networks=4, seeds=3))
    assert len(set(trained)) == len(trained) == 12
    assert [n.accuracies[:2] for n in more.networks[:3]] == [n.accuracies for n in first.networks]


def test_what_was_trained_before_ctrl_c_is_kept(tmp_path: Path, trained: list[tuple[int, str]]) -> None:
    with pytest.raises(KeyboardInterrupt):
        measure_headroom(options(tmp_path), Reporter(track=interrupted_at(4 * STEPS)))
    assert len(trained) == 4
    measure_headroom(options(tmp_path))
    assert len(set(trained)) == 6
    assert trained[3] == trained[4], "the one that was interrupted before it was recorded goes on"
    assert len(trained) == 7


def test_other_settings_other_data_and_other_spaces_are_other_trainings(
    tmp_path: Path, trained: list[tuple[int, str]]
) -> None:
    asked = options(tmp_path)
    names = {measure_headroom(asked).setting.run}
    for override in ("deliver.epochs=2", "data.max_images=130", "space.add_operations=['mb_k7_e1']", "seed=5"):
        settings = replace(asked.settings, overrides=(*TINY, override))
        names.add(measure_headroom(replace(asked, settings=settings)).setting.run)
    assert len(names) == 5
    with open_store(asked.settings.storage) as store:
        assert {summary.name for summary in run_summaries(store)} == names


def test_networks_are_really_trained(tmp_path: Path) -> None:
    found = measure_headroom(options(tmp_path))
    assert all(0 < accuracy < 1 for network in found.networks for accuracy in network.accuracies)
    assert all(network.seconds > 0 for network in found.networks)


SETTING = Setting("headroom-x", "x", 60_000, (57_000, 63_000), 2, 100, 50, 10)
NETWORKS = tuple(TrainedNetwork(f"mb_k{k}_e1", 6e4, 900, (0.7 + k / 100, 0.71 + k / 100), 3.0, 7e7) for k in (3, 5, 7))
DIVERGED = TrainedNetwork("id", 6e4, 900, (0.0, 0.5), 1.0, 7e7, diverged=True)


def test_a_network_whose_training_diverged_is_left_out_and_told() -> None:
    found = HeadroomResult(SETTING, (*NETWORKS, DIVERGED))
    assert found.statistics.networks == 3
    assert "1 of 4 networks are left out: their training diverged." in str(found)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["networks"][3]["diverged"]
    with pytest.raises(EvoError, match=r"the training of 2 of 4 networks diverged: .*--set deliver.learning_rate"):
        HeadroomResult(SETTING, (*NETWORKS[:2], DIVERGED, DIVERGED))


def test_cost_is_told_and_the_table_has_a_row_for_each_network() -> None:
    found = HeadroomResult(SETTING, NETWORKS)
    assert "9 seconds, 210M MACs" in str(found)
    assert list(found.table()["accuracy_2"]) == [0.74, 0.76, 0.78]
    assert "<td>mb_k5_e1</td>" in found._repr_html_()


def test_the_command_prints_words_or_json(
    tmp_path: Path, trained: list[tuple[int, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--networks", "3", "--macs", "60k", "--storage", f"sqlite:///{tmp_path}/evo.db"]
    words += [word for change in TINY for word in ("--set", change)]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "headroom of digits at 60k MACs: 3 random networks of 57k to 63k, each trained alone 2 times" in said
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["text"][0] in said
    assert (found["space"], len(found["networks"]), len(trained)) == ("digits", 3, 6)


def test_the_python_call_gives_the_same(tmp_path: Path, trained: list[tuple[int, str]]) -> None:
    asked = options(tmp_path)
    found = evo.measure_headroom(
        "digits", macs=60_000, networks=3, storage=asked.settings.storage, set=TINY, progress=False
    )
    assert found == measure_headroom(asked)
    assert len(trained) == 6


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--config", "macro"], "evaluator.kind is 'tabular', which trains nothing"),
        (["--macs", "5"], "no architecture of 'digits' with macs in"),
        (
            ["--macs", "19500", "--set", "limits.params=[0, 1600]"],
            "'digits' has 1 network of 18.5k to 20.5k MACs",
        ),
        (["--config", "nowhere"], "no such preset or file"),
    ],
)
def test_mistakes_are_explained(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--storage", f"sqlite:///{tmp_path}/evo.db"]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "evo.db").exists()


def test_too_few_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EvoError, match="networks is 2: expected a whole number from 3"):
        options(tmp_path, networks=2)
    with pytest.raises(EvoError, match="seeds is 1: expected a whole number from 2"):
        options(tmp_path, seeds=1)
