"""``--control uniform`` and its like: picks against networks that need no search, at budgets, and what is said of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest

import evo
from analysis.answers.both import answers
from analysis.answers.searching import searching_of
from evo.alone.budgets import ARMS, arm_networks, find_budgets, is_complete, spread_budgets
from evo.alone.charge import RoundWork, oneshot_macs, round_macs, run_macs, scratch_macs
from evo.alone.contest import CHOOSING, JUDGING, affordable, hold_contest
from evo.alone.images import with_augmentation
from evo.alone.trainer import Trainer
from evo.console import SILENT, Reporter
from evo.data.loading import load_dataset
from spaces.architecture import Architecture
from spaces.costs.table import count_costs
from spaces.export.baselines import PUBLISHED
from spaces.layer import Head, Layer, Shape, Stem
from spaces.space import SearchSpace
from studies.config import check_config
from studies.controls import Control
from studies.database.no_search import BudgetResult, record_result, results_of
from studies.database.rows import StoredRound, StoredRun
from studies.database.store import Store, open_store
from studies.database.trainings import trainings_of
from studies.records import Evaluation, Proposal
from tests import example_run

CONFIG = example_run.CONFIG | {
    "data": {"name": "digits", "max_images": 120},
    "deliver": {"epochs": 1, "batch_size": 16},
    "evaluator": {"kind": "oneshot", "epochs": 1},
}
FRONT = ((example_run.CHEAP, 0.5), ("mb_k5_e3|mb_k3_e1", 0.7), (example_run.DEAR, 0.9))


def front_of_one_round(store: Store, name: str = "tiny", seed: int = 0) -> tuple[StoredRun, StoredRound]:
    """A finished round whose front is ``FRONT``, at the costs that its networks have."""
    config = check_config(CONFIG | {"seed": seed}, "example")
    run = store.create_run(name, config, example_run.FIRST, max_cost=1e6, versions={"evo": "0.1.0"})
    row = store.open_round(run, 1, run.space, {"run": name, "round": 1})
    evaluations = []
    for text, accuracy in FRONT:
        arch = Architecture.parse(text)
        cost = count_costs(run.space, arch)
        evaluations.append(Evaluation(arch, "oneshot@1:abc", accuracy, cost.macs, cost.params))
    store.record(run, row, [Proposal(i, 0, "stratified", e) for i, e in enumerate(evaluations)])
    example_run.finish(store, row)
    return run, store.rounds(run)[0]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path}/evo.db") as store:
        yield store


def macs_of(text: str) -> int:
    return count_costs(example_run.FIRST, Architecture.parse(text)).macs


def test_every_published_network_is_a_control_and_every_control_that_is_no_run_has_networks() -> None:
    assert set(PUBLISHED) < set(Control)
    assert set(ARMS) == {control for control in Control if not control.searches}


def test_budgets_rise_in_equal_ratios_to_the_most_of_the_front() -> None:
    points = [Evaluation(Architecture(("a",)), "x", 0.5, macs, 1) for macs in (100.0, 300.0, 800.0)]
    assert spread_budgets(points) == pytest.approx([200, 400, 800])
    assert spread_budgets(points[:1]) == [100.0]


def test_a_budgets_pick_is_the_best_that_it_allows_widened_to_it(store: Store) -> None:
    run, row = front_of_one_round(store)
    budgets = find_budgets(store, run, row)
    assert [budget.place for budget in budgets] == [0, 1, 2]
    assert budgets[-1].macs == macs_of(example_run.DEAR)
    for budget in budgets:
        best = max((accuracy, text) for text, accuracy in FRONT if macs_of(text) <= budget.macs)[1]
        assert str(budget.finalists[0].arch) == best
        for one in budget.finalists:
            assert 0.9 * budget.macs <= one.macs <= budget.macs


def test_where_widths_may_not_change_the_pick_keeps_them_and_its_macs_are_the_budget(store: Store) -> None:
    run, row = front_of_one_round(store)
    limits = run.config.limits.model_copy(update={"params": (0.0, 10_000.0)})
    limited = replace(run, config=run.config.model_copy(update={"limits": limits}))
    for budget in find_budgets(store, limited, row):
        for one in budget.finalists:
            assert one.params <= 10_000
            assert one.macs == budget.macs or 0.9 * budget.macs <= one.macs


def test_the_comparison_is_recorded_at_once_and_nothing_is_trained_twice(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, row = front_of_one_round(store)
    arms = (Control.UNIFORM, Control.RANDOM_NETWORKS)
    assert not is_complete(store, run, row, arms)
    hold_contest(store, run, row, arms, SILENT)
    assert is_complete(store, run, row, arms)
    assert not is_complete(store, run, row, [*arms, Control.MOBILENET_V2])
    found = results_of(store, run, 1)
    assert [(one.arm, one.place) for one in found] == [
        (arm, place) for arm in ("pick", "random-networks", "uniform") for place in range(3)
    ]
    trained = {one.sha256: one for one in trainings_of(store, run)}
    trainer = trainer_of(store, run)
    for one in found:
        judged = trained[one.training_sha256]
        assert (judged.accuracy, judged.seed, judged.macs) == (one.accuracy, trainer.seed(JUDGING), one.macs)
        assert 0.9 * one.budget <= one.macs <= one.budget
    uniform = next(one for one in found if one.arm == "uniform")
    budget = find_budgets(store, run, row)[uniform.place]
    networks = arm_networks(run, Control.UNIFORM, budget, 1)
    rivals = [trained[trainer.identity(one, CHOOSING)] for one in networks]
    assert len(rivals) == uniform.networks
    assert uniform.arch == max(rivals, key=lambda t: (t.accuracy, -t.macs)).arch  # by trainings that do not count
    number = affordable(trainer, find_budgets(store, run, row), run_macs(store, run, 1, trainer.images))
    assert {one.networks for one in found if one.arm == "random-networks"} == {number}

    monkeypatch.setattr("evo.alone.trainer.train_by_recipe", None)  # so nothing can be trained
    hold_contest(store, run, row, arms, SILENT)
    assert results_of(store, run, 1) == found


def trainer_of(store: Store, run: StoredRun) -> Trainer:
    config = with_augmentation(run.config)
    return Trainer.of(store, run, config, load_dataset(config.data, config.device))


def test_as_many_random_networks_are_trained_as_the_run_has_paid_for(store: Store) -> None:
    run, row = front_of_one_round(store)
    trainer, budgets = trainer_of(store, run), find_budgets(store, run, row)
    one_each = sum(3 * budget.macs * trainer.images_seen for budget in budgets)
    assert [len(budget.finalists) for budget in budgets] == [1, 1, 3]  # one alone needs no choosing
    chosen = sum(one.macs for one in budgets[2].finalists)
    finalists = chosen * 3 * trainer.images_seen / one_each
    assert [affordable(trainer, budgets, share * one_each) for share in (0, 0.4, 2.4, 7.6)] == [
        max(2, round(share + finalists)) for share in (0, 0.4, 2.4, 7.6)
    ]
    assert affordable(trainer, budgets, None) == 2  # nobody knows what the run has cost


def test_the_cost_of_a_round_is_counted_by_hand() -> None:
    work = RoundWork(2, train=1000, validation=200, candidates=4, path_macs=50.0, measured_macs=300.0, epochs_saved=1)
    section = {"kind": "oneshot", "epochs": [9, 2], "calibration_batches": 1, "eval_batch_size": 100}
    config = check_config(CONFIG | {"evaluator": section}, "test")
    assert oneshot_macs(config, work) == (3 * 2 * 960 * 50, 300 * (200 + 100))  # 15 whole batches of 64
    fair = check_config(CONFIG | {"evaluator": section | {"sampling": "fair"}}, "test")
    assert oneshot_macs(fair, work) == (4 * 3 * 2 * 960 * 50, 300 * (200 + 100))
    alone = check_config(CONFIG | {"evaluator": {"kind": "scratch", "epochs": 5}}, "test")
    assert scratch_macs(alone, work) == (3 * 960 * (300 * 5 - 1 * 50), 300 * 200)


def test_measuring_bred_cells_is_counted_by_hand() -> None:
    """30 steps end 3 iterations of 4 networks; 24 at the round's end: 7 layers of 16 cells, half a path each."""
    work = RoundWork(1, train=1000, validation=200, candidates=4, path_macs=50.0, measured_macs=300.0, layers=7)
    cells = {"score": "networks", "epochs": 2, "steps": 10, "measured_images": 128}
    section = {"kind": "oneshot", "epochs": 2, "calibration_batches": 1, "eval_batch_size": 100, "cells": cells}
    config = check_config(
        CONFIG | {"evaluator": section, "evolution": {"method": "autospace", "population": 16}}, "test"
    )
    measured = (3 * 4 + 24) * 128 * 7 * 16 * 50 / 2
    assert oneshot_macs(config, work) == (3 * (2 + 2) * 960 * 50, 300 * (200 + 100) + measured)  # a step runs one path


def test_cells_that_run_side_by_side_cost_as_many_paths() -> None:
    work = RoundWork(1, train=1000, validation=200, candidates=4, path_macs=50.0, measured_macs=300.0, layers=7)
    for score, paths in (("weights", 4), ("noise", 1)):
        cells = {"score": score, "epochs": 2, "parallel_cells": 4}
        section = {"kind": "oneshot", "epochs": 2, "cells": cells}
        config = check_config(CONFIG | {"evaluator": section, "evolution": {"method": "autospace"}}, "test")
        assert oneshot_macs(config, work)[0] == 3 * (2 + paths * 2) * 960 * 50


def test_a_layer_without_candidates_costs_nothing() -> None:
    """NSE may leave a layer empty that can be left out."""
    shape = Shape(8, 8, 1, 8)
    layers = (Layer(shape, ("mb_k3_e1",)), Layer(shape, (), skippable=True))
    space = SearchSpace("empty", layers, Stem(8, 1, c_in=1, size=8), Head(0, 10))
    config = check_config(CONFIG | {"evaluator": {"kind": "oneshot", "epochs": 1}}, "test")
    spent = round_macs(config, space, 1, [], {}, [], load_dataset(config.data, "cpu"))
    assert spent is not None
    assert spent.training > 0


def test_an_arm_that_cannot_have_a_budget_is_left_out_there_with_a_line(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, row = front_of_one_round(store)
    said: list[str] = []
    monkeypatch.setattr("spaces.export.baselines.uniform_operations", lambda space: [])
    hold_contest(store, run, row, [Control.UNIFORM], Reporter(say=said.append))
    assert len(said) == 3
    assert all("uniform is left out at " in line and "has no uniform network" in line for line in said)
    assert {one.arm for one in results_of(store, run, 1)} == {"pick"}
    assert is_complete(store, run, row, [Control.UNIFORM])


# -- what is said of it -----------------------------------------------------------------------------------------------


def recorded(store: Store, seed: int, gain: float, arm: str = "uniform", name: str | None = None) -> StoredRun:
    """A run whose picks are ahead of ``arm`` by ``gain`` at the least of two budgets, and by as much less 0.02 at the other."""
    run, _ = front_of_one_round(store, name or f"tiny-seed{seed}", seed)
    for place, more in enumerate((gain, gain - 0.02)):
        shared = {"budget": 1e5 * (place + 1), "network": "n", "arch": "a", "macs": 9e4, "params": 9e3, "images": 500}
        for who, accuracy in (("pick", 0.8 + more), (arm, 0.8)):
            record_result(
                store, run,
                BudgetResult(
                    round_number=1, arm=who, place=place, networks=4, accuracy=accuracy, choosing_macs=8e9,
                    training_sha256="ab", **shared,  # type: ignore[arg-type]
                ),
            )  # fmt: skip
    return run


def test_seeds_are_paired_and_budgets_averaged(store: Store) -> None:
    runs = [recorded(store, seed, gain) for seed, gain in enumerate((0.05, 0.06, 0.07))]
    (found,) = searching_of(store, runs)
    assert found.difference.mean == pytest.approx(fmean((0.04, 0.05, 0.06)))
    assert [(macs, d.mean) for macs, d in found.budgets] == [(1e5, pytest.approx(0.06)), (2e5, pytest.approx(0.04))]
    assert (found.difference.pairs, found.difference.conclusion) == (3, "better")
    said = " ".join(answers(store, runs[1]).sentences())
    assert "Did searching pay? Searching paid: the picks are better than the best uniform network." in said
    assert (
        "on 500 held-out images, over 3 seeds and after 1 round: +5.00 (95% interval +2.52 to +7.48: better) " in said
    )
    assert "against the best uniform network (+6.00 at 100k, +4.00 at 200k MACs)" in said


def test_of_few_seeds_nothing_is_concluded_and_costs_are_told(store: Store) -> None:
    run = recorded(store, 0, 0.05, "random-networks")
    said = " ".join(answers(store, run).sentences())
    assert "Nothing can be concluded from so few seeds: add some with --seeds 5." in said
    assert (
        "A run cost 16G MACs (training, scoring, truth, finalists), the 4 random networks at every budget 16G." in said
    )


def test_what_is_not_known_is_told_with_the_command_that_finds_out(store: Store) -> None:
    run, _ = front_of_one_round(store)
    searching, evolving = answers(store, run).paragraphs()
    shown = f"--storage {store.url}"
    assert searching == (
        "Did searching pay? That is not known. Networks that need no search are trained by: python -m evo.round 1 --run tiny "
        f"--control uniform --control random-networks --seeds 5 {shown}"
    )
    assert evolving == (
        "Did evolving pay? That is not known. A run whose space never changes is made by: python -m evo.round 1 --run tiny "
        f"--control fixed --seeds 5 {shown}"
    )


def test_the_python_call_compares_a_finished_run_and_a_second_call_changes_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    front_of_one_round(store)
    run = evo.search(rounds=1, run="tiny", storage=store.url, control="uniform", progress=False)
    rows = run.verdict().differences()
    assert rows["control"].tolist() == ["uniform"] * 4
    assert rows["what"].str.startswith("accuracy").all()
    assert rows["mean"].iloc[0] == pytest.approx(rows["mean"].iloc[1:].mean())
    assert "Did searching pay? Nothing can be concluded from so few seeds" in " ".join(run.verdict().sentences())
    monkeypatch.setattr("evo.alone.contest.hold_contest", None)  # so nothing can be compared
    evo.search(rounds=1, run="tiny", storage=store.url, control="uniform", progress=False)
