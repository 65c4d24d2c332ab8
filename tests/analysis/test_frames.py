"""Frames say what was written, against numbers worked out by hand (see ``example_run``)."""

from __future__ import annotations

import time
from random import Random

import pandas as pd
import pytest

from analysis import frames as module
from analysis.frames import Frames, RoundSummary, load
from studies.database.store import Store
from studies.pareto import hypervolume
from studies.records import EvoError
from tests import example_run
from tests.example_run import CHEAP, DEAR, FREE, RULE, WORST


def test_results_are_all_trials_in_order(frames: Frames) -> None:
    columns = ["round", "number", "arch", "is_new", "accuracy", "macs", "params", "judge"]
    assert frames.results[columns].values.tolist() == [
        [1, 0, CHEAP, True, 0.5, 10.0, 20.0, "oneshot@1:abc"],
        [1, 1, WORST, True, 0.4, 20.0, 40.0, "oneshot@1:abc"],
        [1, 2, DEAR, True, 0.8, 40.0, 80.0, "oneshot@1:abc"],
        [1, 3, CHEAP, False, 0.5, 10.0, 20.0, "oneshot@1:abc"],
        [2, 0, CHEAP, True, 0.6, 10.0, 20.0, "oneshot@2:abc"],
        [2, 1, DEAR, True, 0.9, 40.0, 80.0, "oneshot@2:abc"],
        [2, 2, FREE, True, 0.3, 5.0, 10.0, "oneshot@2:abc"],
    ]
    assert frames.results["evaluation"].nunique() == 6
    assert frames.results["latency_ms"].isna().all()


def test_results_are_what_the_published_view_says(store: Store, frames: Frames) -> None:
    view = store.frame("SELECT * FROM results WHERE run = :run ORDER BY round, number", run="tiny")
    columns = ["round", "number", "arch", "judge", "accuracy", "macs", "params", "seconds"]
    pd.testing.assert_frame_equal(frames.results[columns], view[columns])


def test_a_front_holds_each_network_once_cheapest_first(frames: Frames) -> None:
    assert frames.fronts[["round", "arch"]].values.tolist() == [[1, CHEAP], [1, DEAR], [2, FREE], [2, CHEAP], [2, DEAR]]


def test_the_final_front_is_of_the_last_judge_alone(frames: Frames) -> None:
    assert frames.final[["arch", "accuracy"]].values.tolist() == [[FREE, 0.3], [CHEAP, 0.6], [DEAR, 0.9]]


def test_under_one_judge_an_early_network_may_stand(frames: Frames) -> None:
    alike = frames.results.assign(judge="table:macro", score=[0.5, 0.4, 0.95, 0.5, 0.6, 0.9, 0.3])
    final = module.final(alike, ["macs"])
    assert final[["round", "arch"]].values.tolist() == [[2, FREE], [2, CHEAP], [1, DEAR]]


def test_the_trace_counts_new_measurements_and_all_time(frames: Frames) -> None:
    trace = frames.trace
    assert trace["hypervolume"].tolist() == pytest.approx([0.45, 0.45, 0.63, 0.63, 0.54, 0.72, 0.735])
    assert trace["evaluations"].tolist() == [1, 2, 3, 3, 4, 5, 6]
    assert trace["seconds"].tolist() == [10.5, 11.0, 11.5, 11.5, 32.0, 32.5, 33.0]


def test_choices_carry_fate_and_rule(frames: Frames) -> None:
    changed = frames.choices[frames.choices["fate"] != "kept"]
    assert changed[["round", "layer", "op", "fate", "rule"]].values.tolist() == [
        [1, "stage1.layer1", "mb_k7_e3", "dropped", RULE],
        [1, "stage1.layer1", "id", "added", RULE],
    ]


def test_rounds_sum_up(store: Store, frames: Frames) -> None:
    first, second = frames.rounds
    assert first == RoundSummary(
        round=1, finished=True, judge="oneshot@1:abc", space_size=6, next_size=6, proposals=4, distinct=3, measured=3,
        front=2, best_accuracy=0.8, best_cost=40.0, hypervolume=pytest.approx(0.63), kept=4, dropped=1, added=1,
        rule=RULE, fitting=10.0, searching=2.0,
    )  # fmt: skip
    assert (second.front, second.best_accuracy, second.kept, second.dropped) == (3, 0.9, 5, 0)
    stored = [row.hypervolume for row in store.rounds(frames.run)]
    assert [first.hypervolume, second.hypervolume] == pytest.approx(stored)


def test_the_view_of_rounds_says_the_same(store: Store, frames: Frames) -> None:
    view = store.frame("SELECT * FROM round_stats WHERE run = 'tiny' ORDER BY round").to_dict("records")
    for row, said in zip(frames.rounds, view, strict=True):
        assert (said["round"], said["state"], said["judge"]) == (row.round, "finished", row.judge)
        assert (said["proposals"], said["distinct_networks"]) == (row.proposals, row.distinct)
        assert (said["measured"], said["pruned"], said["failed"]) == (row.measured, row.pruned, row.failed)
        assert said["hypervolume"] == pytest.approx(row.hypervolume)
        assert (said["fitting_seconds"], said["searching_seconds"]) == (row.fitting, row.searching)


def test_the_view_of_rounds_has_those_that_run(store: Store) -> None:
    run = example_run.begin(store, "running")
    example_run.search(store, run, 1)
    view = store.frame("SELECT state, proposals, measured, front, tau FROM round_stats WHERE run = 'running'")
    assert view.replace({float("nan"): None}).values.tolist() == [["running", 4, 3, None, None]]


def test_until_leaves_later_rounds_out(store: Store, frames: Frames) -> None:
    early = load(store, frames.run, until=1)
    assert [row.round for row in early.rounds] == early.choices["round"].unique().tolist() == [1]
    assert early.trace["hypervolume"].iloc[-1] == pytest.approx(0.63)


def test_an_unfinished_round_counts_as_far_as_it_went(store: Store) -> None:
    run = example_run.begin(store, "interrupted")
    example_run.search(store, run, 1)
    frames = load(store, run)
    (row,) = frames.rounds
    assert (row.finished, row.proposals, row.dropped, row.next_size, row.rule) == (False, 4, 0, None, None)
    assert row.hypervolume == pytest.approx(0.63)


def test_a_run_without_measurements_says_what_to_do(store: Store) -> None:
    run = example_run.begin(store, "empty")
    with pytest.raises(EvoError, match=r"nothing yet; run: python -m evo\.round 1 --run empty"):
        load(store, run)


def test_ten_thousand_evaluations_take_no_second(frames: Frames) -> None:
    rng = Random(1)
    one = frames.results.iloc[[0]]
    many = pd.concat([one] * 10_000, ignore_index=True)
    many["number"] = many["evaluation"] = range(10_000)
    many["round"] = many["number"] // 2000 + 1
    many["macs"] = [rng.uniform(1, 100) for _ in range(10_000)]
    many["score"] = [0.5 * rng.random() + 0.005 * macs for macs in many["macs"]]
    started = time.process_time()
    fronts = module.fronts(many, ["macs"])
    trace = module.trace(many, frames.run, {})
    assert time.process_time() - started < 1
    last = many[many["round"] == 5]
    expected = hypervolume(last["macs"], last["score"], max_cost=100.0)
    assert trace["hypervolume"].iloc[-1] == pytest.approx(expected)
    front = fronts[fronts["round"] == 5]
    assert hypervolume(front["macs"], front["score"], max_cost=100.0) == pytest.approx(expected)
