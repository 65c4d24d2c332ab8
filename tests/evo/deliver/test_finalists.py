"""The pick: favourites are trained alone, held-out images decide, widths fill the budget."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch

from evo.alone.candidates import choose_widths, describe_unused, find_candidates
from evo.alone.selection import Criteria, select_finalists
from evo.alone.trainer import Trainer
from evo.console import Advance, Reporter
from evo.data.loading import load_dataset
from evo.data.source import ImageSet
from evo.deliver import pipeline
from evo.deliver.__main__ import main
from evo.deliver.finalists import find_winner, hold_contest
from evo.deliver.manifest import read_manifest
from evo.deliver.session import training_settings
from evo.evaluators.standalone import measure_network
from evo.training.precision import Precision
from spaces.architecture import Architecture
from spaces.costs.table import count_costs
from spaces.export.baselines import Contender, contender
from spaces.export.scaling import scale_to_macs
from spaces.networks.network import Network
from studies.config import check_config
from studies.database.rows import StoredRun
from studies.database.store import Store, open_store
from studies.database.trainings import trainings_of
from studies.records import EvoError
from tests import example_run

QUICK = ["deliver.epochs=1", "data.max_images=120", "deliver.batch_size=16"]
WORK = [word for setting in QUICK for word in ("--set", setting)]
FRONT = [example_run.DEAR, example_run.CHEAP, example_run.FREE]
"""The front of the example's second round, the most accurate first."""


@pytest.fixture
def run(tmp_path: Path) -> Iterator[tuple[Store, StoredRun]]:
    with open_store(f"sqlite:///{tmp_path}/evo.db") as store:
        yield store, example_run.two_rounds(store)


def trainer_of(store: Store, run: StoredRun) -> Trainer:
    config = training_settings(run, QUICK)
    return Trainer.of(store, run, config, load_dataset(config.data, config.device))


def network(text: str = example_run.DEAR) -> Contender:
    return contender("mine", Architecture.parse(text), example_run.SECOND)


# -- who takes part ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "finalists", "expected"),
    [(100, 1, FRONT[:1]), (100, 2, FRONT[:2]), (39, 2, FRONT[1:]), (100, 9, FRONT), (5, 3, FRONT[2:])],
)
def test_finalists_are_the_best_of_the_front_within_the_limits(
    run: tuple[Store, StoredRun], limit: float, finalists: int, expected: list[str]
) -> None:
    chosen = select_finalists(*run, Criteria({"macs": limit}, finalists=finalists))
    assert [str(selected.arch) for selected in chosen] == expected


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"finalists": 2, "knee": True}, "finalists are compared, and knee or arch names the one network"),
        ({"fill": True, "scale_to": 1e5}, "fill widens the network to its limit of MACs, scale_to to others"),
        ({"fill": True, "max_costs": {"params": 1e5}}, "other limits may then be broken: give max_macs only"),
    ],
)
def test_wishes_that_exclude_each_other_are_refused(wish: dict[str, Any], message: str) -> None:
    with pytest.raises(EvoError, match=message):
        Criteria(**{"max_costs": {}, **wish})


def test_the_winner_is_the_most_accurate_on_average_and_of_equals_the_cheapest() -> None:
    dear, cheap = network(example_run.DEAR), network(example_run.CHEAP)
    assert dear.macs > cheap.macs
    assert find_winner((dear, cheap), ((0.9, 0.7), (0.75, 0.8))) == 0
    assert find_winner((dear, cheap), ((0.9, 0.7), (0.8, 0.8))) == 1


def test_a_front_with_one_network_within_the_limits_has_nothing_to_compare(run: tuple[Store, StoredRun]) -> None:
    criteria, said = Criteria({"macs": 5}, finalists=4), list[str]()
    contest = hold_contest(trainer_of(*run), find_candidates(*run, criteria), criteria, Reporter(said.append))
    assert (contest.winner, contest.trained) == (0, ())
    assert said == ["one network alone is within the limits: there are no finalists to compare"]


# -- trained alone ----------------------------------------------------------------------------------------------------


def test_a_network_is_trained_once_and_found_by_what_it_depends_on(
    run: tuple[Store, StoredRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, stored = run
    trainer, mine = trainer_of(store, stored), network()
    first = trainer.train(mine, 0, lambda steps: None)
    assert (first.images, first.macs, first.params) == (24, mine.macs, mine.params)  # a fifth of 120
    assert first.training_macs == 3 * mine.macs * 96
    assert trainer.train(mine, 1, lambda steps: None).sha256 != first.sha256
    other = replace(trainer, config=training_settings(stored, [*QUICK, "deliver.mixup=0"]))
    differing = [other.identity(mine, 0), trainer.identity(network(example_run.CHEAP), 0), trainer.identity(mine, 1)]
    assert len({first.sha256, *differing}) == 4
    monkeypatch.setattr("evo.alone.trainer.train_by_recipe", None)  # so it cannot train
    steps: list[int] = []
    assert trainer.train(replace(mine, name="another name"), 0, steps.append) == first
    assert steps == [trainer.steps] == [6]
    again = example_run.two_rounds(store, "again")
    assert replace(trainer, run=again).train(mine, 0, steps.append) == first
    assert [row.sha256 for row in trainings_of(store, again)] == [first.sha256]


def test_neither_validation_nor_test_images_train(
    run: tuple[Store, StoredRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With others in their places, the network is the same."""
    weights = []

    def measured(model: Network, images: ImageSet, precision: Precision) -> tuple[float, float]:
        weights.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        return measure_network(model, images, precision)

    monkeypatch.setattr("evo.alone.trainer.measure_network", measured)
    trainer, mine = trainer_of(*run), network()
    assert isinstance(trainer.images.validation, ImageSet)
    noise = ImageSet(torch.randn_like(trainer.images.validation.x), trainer.images.validation.y)
    disturbed = replace(trainer, images=replace(trainer.images, validation=noise, test=noise))
    results = [one._train(mine, 0, "0" * 64, lambda steps: None) for one in (trainer, disturbed)]
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())
    assert results[0].nll != results[1].nll


def test_a_training_that_diverges_is_the_worst_and_stops_nothing(run: tuple[Store, StoredRun]) -> None:
    store, stored = run
    config = training_settings(stored, [*QUICK, "deliver.learning_rate=1e30"])
    trained = replace(trainer_of(store, stored), config=config).train(network(), 0, lambda steps: None)
    assert (trained.accuracy, trained.nll) == (0.0, None)
    assert trainings_of(store, stored) == [trained]


def test_killed_in_the_middle_it_goes_on_where_it_was(run: tuple[Store, StoredRun], tmp_path: Path) -> None:
    """Two epochs of three networks; the process dies in the second epoch of the second one."""
    store, stored = run
    config = training_settings(stored, [*QUICK, "deliver.epochs=2"])

    def contest(store: Store, stored: StoredRun, kill_at: int | None) -> tuple[Any, list[int]]:
        trainer = replace(trainer_of(store, stored), config=config)
        criteria = Criteria({}, finalists=3)
        candidates = find_candidates(store, stored, criteria)
        shown: list[int] = []

        @contextmanager
        def track(label: str, total: int) -> Iterator[Advance]:
            def advance(steps: int) -> None:
                shown.append(steps)
                if sum(shown) == kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)

            yield advance

        return hold_contest(trainer, candidates, criteria, Reporter(track=track)), shown

    with open_store(f"sqlite:///{tmp_path}/other.db") as other:
        undisturbed, _ = contest(other, example_run.two_rounds(other), None)
    child = os.fork()
    if child == 0:
        with open_store(store.url) as own:
            contest(own, own.run("tiny"), kill_at=12 + 6 + 3)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    assert len(trainings_of(store, stored)) == 1
    found, shown = contest(store, stored, None)
    assert found == undisturbed
    assert shown[:2] == [12, 6]  # the first is there, of the second its first epoch
    assert not list((tmp_path / "evo_files").rglob("*.progress*"))


# -- widths -----------------------------------------------------------------------------------------------------------


def test_a_filled_network_is_scaled_to_its_budget(run: tuple[Store, StoredRun]) -> None:
    store, stored = run
    (chosen,) = select_finalists(store, stored, Criteria({}))
    before = count_costs(chosen.space, chosen.arch).macs
    for budget in (1.3 * before, 3 * before):
        scaled = choose_widths(chosen, stored, Criteria({"macs": budget}, fill=True))
        assert scaled is not None
        assert scaled == scale_to_macs(chosen.space, chosen.arch, budget)
        assert before < scaled.macs == count_costs(scaled.space, scaled.arch).macs <= budget
    assert choose_widths(chosen, stored, Criteria({"macs": before}, fill=True)) is None  # it is as wide as can be


def test_a_budget_is_needed_to_be_filled_and_other_limits_hold(run: tuple[Store, StoredRun]) -> None:
    store, stored = run
    (chosen,) = select_finalists(store, stored, Criteria({}))
    with pytest.raises(EvoError, match="to a budget of MACs, and there is none: give --max-macs"):
        choose_widths(chosen, stored, Criteria({}, fill=True))
    before = count_costs(chosen.space, chosen.arch)

    def limited(**limits: list[float]) -> StoredRun:
        return replace(stored, config=check_config(example_run.CONFIG | {"limits": limits}, "test"))

    own = limited(macs=[0, 2 * before.macs])
    scaled = choose_widths(chosen, own, Criteria({}, fill=True))
    assert scaled == scale_to_macs(chosen.space, chosen.arch, 2 * before.macs)
    with pytest.raises(EvoError, match=r"limits.params of run 'tiny' allows .*: leave --fill out, or give a lower"):
        choose_widths(chosen, limited(params=[0, before.params]), Criteria({"macs": 3 * before.macs}, fill=True))


def test_a_budget_that_is_not_used_is_told(run: tuple[Store, StoredRun]) -> None:
    store, stored = run

    def told(budget: float, **more: Any) -> str:
        criteria = Criteria({"macs": budget}, **more)
        (candidate,) = find_candidates(store, stored, criteria)
        return describe_unused(candidate, stored, criteria)

    (chosen,) = select_finalists(store, stored, Criteria({}))
    macs = count_costs(chosen.space, chosen.arch).macs
    assert "and 50% of the budget of" in told(2 * macs)
    assert "is unused: --fill widens it" in told(1.1 * macs)
    assert told(1.04 * macs) == told(2 * macs, scale_to=1.5 * macs) == ""
    assert "is unused: widths grow in multiples of 8" in told(2 * macs, fill=True)


# -- the command ------------------------------------------------------------------------------------------------------


def test_the_best_finalist_is_delivered_as_if_it_had_been_named(
    run: tuple[Store, StoredRun],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        pipeline, "export_network", lambda *_: None
    )  # it takes most of the time, and plays no part here
    store, stored = run
    command = ["tiny", "--storage", store.url, *WORK]
    assert main([*command, "--out", str(tmp_path / "best"), "--finalists", "2", "--seeds", "2"]) == 0
    shown = capsys.readouterr().out
    assert "2 finalists on 24 held-out images, the judge's favourite first: " in shown
    assert "of 2 finalists, each trained alone, the best on 24 held-out images: " in shown
    said = read_manifest(tmp_path / "best")
    means = [fmean(one["accuracies"]) for one in said["finalists"]["networks"]]
    assert [len(one["accuracies"]) for one in said["finalists"]["networks"]] == [2, 2]
    assert means[said["finalists"]["delivered"]] == max(means)
    assert said["arch"] == said["finalists"]["networks"][said["finalists"]["delivered"]]["arch"]
    assert [row.accuracy for row in trainings_of(store, stored)] == [
        accuracy for one in said["finalists"]["networks"] for accuracy in one["accuracies"]
    ]
    assert main([*command, "--out", str(tmp_path / "best"), "--finalists", "2", "--seeds", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["finalists"] == said["finalists"]
    assert main([*command, "--out", str(tmp_path / "named"), "--arch", said["arch"]]) == 0
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("best", "named")]
    assert weights[0] == weights[1]


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["--seeds", "2"], "--seeds repeats the trainings of --finalists K and of --against NAMES"),
        (["--against", "uniform", "--out", "x"], "--against writes no folder: leave out --out"),
        (["--fill", "--scale-to", "1M"], "not allowed with argument"),
        (["--finalists", "0"], "expected a whole number from 1 on"),
    ],
)
def test_command_lines_that_mean_nothing_are_refused(
    words: list[str], answer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["tiny", *words])
    assert answer in capsys.readouterr().err
