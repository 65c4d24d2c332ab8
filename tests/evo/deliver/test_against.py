"""``evo.deliver --against``: the pick and networks that need no search, at the same MACs, by the same trainings."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest

import evo
from evo.alone import trainer
from evo.alone.rivals import BASELINES, Rival, Task, parse_baseline
from evo.deliver.__main__ import main
from evo.seeds import derive_seed
from spaces.architecture import Architecture
from spaces.costs.table import count_costs
from spaces.export.baselines import Contender, contender, random_network
from spaces.space import SearchSpace
from studies.config import check_config
from studies.database.store import open_store
from studies.database.trainings import trainings_of
from studies.records import EvoError
from tests import example_run

QUICK = {"deliver.epochs": 1, "data.max_images": 120, "deliver.batch_size": 16}
WORK = [word for name, value in QUICK.items() for word in ("--set", f"{name}={value}")]


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> str:
    url = f"sqlite:///{tmp_path_factory.mktemp('run')}/evo.db"
    with open_store(url) as store:
        example_run.two_rounds(store)
    return url


def test_the_pick_is_compared_with_networks_of_its_macs_and_nothing_is_trained_twice(
    storage: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["tiny", "--storage", storage, *WORK, "--against", "uniform,random,random:2"]
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    pick, uniform, drawn, best = found["networks"]
    assert [row["name"] for row in found["networks"]] == ["pick", "uniform", "random", "random:2"]
    assert pick["arch"] == example_run.DEAR
    assert pick["macs"] == count_costs(example_run.SECOND, Architecture.parse(example_run.DEAR)).macs
    for row in (uniform, drawn, best):
        assert 0.85 * pick["macs"] < row["macs"] <= pick["macs"]
        pairs = zip(pick["accuracies"], row["accuracies"], strict=True)
        assert row["difference"] == pytest.approx(sum(ours - theirs for ours, theirs in pairs) / 3)
        assert row["difference_low"] <= row["difference"] <= row["difference_high"]
    assert uniform["network"] in {f"mb_k{k}_e{e} everywhere, the best of 2" for k, e in ((3, 1), (5, 3))}
    assert (drawn["arch"], drawn["network"]) == (None, "3 random networks")

    with open_store(storage) as store:
        rows = trainings_of(store, store.run("tiny"))
    assert found["trainings"] == len(rows)
    assert found["training_macs"] == sum(row.training_macs for row in rows)
    assert {row.images for row in rows} == {found["validation_images"]} == {24}
    firsts = [row.accuracy for row in rows if row.name.endswith("everywhere")][:2]
    assert uniform["accuracies"][0] == max(firsts)  # the better one of the first seed went on

    monkeypatch.setattr(trainer, "train_by_recipe", None)  # so nothing can be trained
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert found["sentences"][0] in shown
    assert f"{pick['accuracy']:.2%}" in shown
    frame = evo.load("tiny", storage).against("uniform", "random", "random:2", set=QUICK, progress=False)
    assert frame.table()["accuracy"].tolist() == [row["accuracy"] for row in found["networks"]]
    assert frame.sentences() == found["sentences"]
    assert "Did searching pay?" in frame._repr_html_()


def task(seeds: int = 3, space: SearchSpace = example_run.FIRST) -> Task:
    config = check_config(example_run.CONFIG, "test")
    pick = contender("pick", Architecture.parse(example_run.DEAR), example_run.SECOND)
    return Task(space, pick.macs, config, seeds)


def macs(networks: tuple[Contender, ...]) -> list[int]:
    return [one.macs for one in networks]


def test_random_networks_are_one_for_each_seed_or_so_many_of_which_the_best_counts() -> None:
    asked = task()
    every, six = parse_baseline("random")(asked), parse_baseline("random:6")(asked)
    assert (len(every.networks), every.one_per_seed, every.trainings(3)) == (3, True, 3)
    assert (len(six.networks), six.one_per_seed, six.trainings(3)) == (6, False, 8)
    assert six.networks[:3] == every.networks
    again = random_network(asked.space, asked.macs, Random(derive_seed(0, "random network", 4)))
    assert six.networks[4] == again


def test_all_uniform_networks_take_part() -> None:
    uniform = parse_baseline("uniform")(task())
    assert [one.name for one in uniform.networks] == ["mb_k3_e1 everywhere", "mb_k5_e3 everywhere"]
    assert uniform.trainings(3) == 4
    assert all(one <= task().macs for one in macs(uniform.networks))


def test_a_published_network_takes_the_images_of_the_run() -> None:
    rival = parse_baseline("mobilenet_v2")(task())
    (network,) = rival.networks
    assert (network.space.stem.c_in, network.space.stem.size, network.space.head.classes) == (1, 8, 10)
    assert network.macs <= task().macs
    assert Rival("x", (network,)).trainings(5) == 5


@pytest.mark.parametrize("text", ["uniforms", "random:0", "random:two", "uniform:3", "mobilenet"])
def test_an_unknown_baseline_is_answered_with_those_there_are(
    text: str, storage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tiny", "--storage", storage, "--against", text]) == 1
    answer = capsys.readouterr().err
    assert f"--against '{text}': expected one of " in answer
    assert all(name in answer for name in (*BASELINES, "random:N"))


def test_nothing_to_compare_with_is_answered(storage: str) -> None:
    with pytest.raises(EvoError, match="no network to compare with; known: uniform, random"):
        evo.load("tiny", storage).against(progress=False)


@pytest.mark.parametrize(("name", "value"), [("seeds", 0), ("finalists", 1.5), ("seeds", True)])
def test_numbers_that_cannot_be_are_answered(name: str, value: object, storage: str, tmp_path: Path) -> None:
    with pytest.raises(EvoError, match=f"{name} is {value!r}: expected a whole number from 1 on"):
        evo.load("tiny", storage).deliver(tmp_path / "out", **{name: value}, progress=False)  # type: ignore[arg-type]
