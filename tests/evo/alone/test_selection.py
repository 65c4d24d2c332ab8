"""Which network of a front is picked."""

from __future__ import annotations

from pathlib import Path

import pytest

from evo.alone.selection import Criteria, best_network, knee_point, select_network, within_limits
from spaces.architecture import Architecture
from studies.config import check_config
from studies.database.store import open_store
from studies.records import Evaluation, EvoError, Proposal
from tests import example_run


def front(*points: tuple[float, float]) -> list[Evaluation]:
    return [Evaluation(Architecture((f"op{i}",)), "test", acc, macs, macs / 10) for i, (macs, acc) in enumerate(points)]


BENT = front((1e6, 0.50), (2e6, 0.80), (4e6, 0.85), (16e6, 0.90))


def test_the_best_is_the_most_accurate_and_of_equals_the_cheapest() -> None:
    assert best_network(BENT, "macs", "accuracy") is BENT[3]
    equals = front((2e6, 0.9), (1e6, 0.9))
    assert best_network(equals, "macs", "accuracy") is equals[1]


def test_limits_hold_for_every_cost_and_include_their_ends() -> None:
    assert within_limits(BENT, {"macs": 4e6}) == BENT[:3]
    assert within_limits(BENT, {"macs": 4e6, "params": 2e5}) == BENT[:2]
    assert within_limits(BENT, {}) == BENT


def test_limits_that_none_keeps_are_answered_with_the_cheapest() -> None:
    with pytest.raises(EvoError, match=r"at most 500k macs: they begin at 1M macs; allow more, or use --scale-to"):
        within_limits(BENT, {"macs": 5e5})


def test_the_knee_is_farthest_above_the_line_between_the_ends() -> None:
    """By hand: log2 of cost is 0, 1, 2, 4 of 4, accuracy 0, .75, .875, 1: above the diagonal by 0, .5, .375, 0."""
    assert knee_point(BENT, "macs", "accuracy") is BENT[1]
    assert knee_point([*BENT[:1], *BENT[2:]], "macs", "accuracy") is BENT[2]


def test_a_front_that_does_not_bend_up_has_no_knee_but_its_best() -> None:
    straight = front((1e6, 0.5), (2e6, 0.6), (4e6, 0.7))
    assert knee_point(straight, "macs", "accuracy") is straight[2]
    assert knee_point(BENT[:2], "macs", "accuracy") is BENT[1]
    assert knee_point(BENT[:1], "macs", "accuracy") is BENT[0]


@pytest.mark.parametrize(("objective", "arch"), [("accuracy", example_run.DEAR), ("likelihood", example_run.CHEAP)])
def test_the_network_is_on_the_front_of_the_runs_own_objective(tmp_path: Path, objective: str, arch: str) -> None:
    """The dear one is more accurate, and less likely: by likelihood the cheap one dominates it."""
    config = check_config(example_run.CONFIG | {"search": {"objective": objective}}, "test")
    with open_store(f"sqlite:///{tmp_path}/evo.db") as store:
        run = store.create_run("tiny", config, example_run.FIRST, 100.0, {})
        row = store.open_round(run, 1, example_run.FIRST, {})
        for number, (name, accuracy, nll, macs) in enumerate(
            [(example_run.CHEAP, 0.6, 0.5, 10.0), (example_run.DEAR, 0.9, 0.9, 80.0)]
        ):
            evaluation = Evaluation(Architecture.parse(name), "oneshot@1:abc", accuracy, macs, macs, nll=nll)
            store.record(run, row, [Proposal(number, 0, "stratified", evaluation, True)])
        example_run.finish(store, row)
        for knee in (False, True):
            assert str(select_network(store, run, Criteria({}, knee=knee)).arch) == arch
