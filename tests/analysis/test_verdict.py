"""The verdict: what paired differences allow one to say, and no more."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from analysis.verdict import Outcome, Verdict, difference
from studies.controls import Control


def outcomes(*values: float, alone: bool = True, measured: int = 10) -> tuple[Outcome, ...]:
    return tuple(Outcome(i, v, v if alone else None, None, measured) for i, v in enumerate(values))


def test_one_seed_is_an_anecdote() -> None:
    found = Verdict(Control.FIXED, 3, outcomes(0.9), outcomes(0.1))
    assert found.hypervolume.interval is None
    assert "hypervolume +0.8000 (one seed is an anecdote)" in found.sentences()[0]
    assert found.sentences()[1] == "Nothing can be concluded from so few seeds: add some with --seeds 5."


def test_equal_arms_show_no_difference() -> None:
    found = difference("hypervolume", [0.0] * 5)
    assert found.interval == (0, 0)
    assert found.conclusion == "no difference shown"


@pytest.mark.parametrize(("sign", "conclusion"), [(1, "better"), (-1, "worse")])
def test_differences_of_one_sign_and_size_are_told(sign: int, conclusion: str) -> None:
    found = difference("hypervolume", [sign * value for value in (0.02, 0.03, 0.025, 0.02, 0.03)])
    assert found.mean == pytest.approx(sign * 0.025)
    assert found.conclusion == conclusion


def test_the_interval_is_about_students_where_there_are_many_pairs() -> None:
    sample = np.random.default_rng(1).normal(0.1, 1.0, 40)
    low, high = difference("x", sample.tolist()).interval or (0, 0)
    expected = ttest_1samp(sample, 0).confidence_interval(0.95)
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=0.02)


def test_where_there_is_nothing_five_seeds_seldom_find_something() -> None:
    rng = np.random.default_rng(0)
    wrong = [difference("x", rng.normal(0, 1, 5).tolist()).conclusion != "no difference shown" for _ in range(400)]
    assert np.mean(wrong) < 0.07


def test_shared_weights_are_no_common_measure() -> None:
    found = Verdict(Control.FIXED, 2, outcomes(0.9, alone=False), outcomes(0.8, alone=False, measured=12))
    assert "no common measure" in found.sentences()[2]
    assert found.sentences()[3] == "The budgets differ: 10 measurements against 12."


def test_what_was_trained_alone_decides() -> None:
    evolved = tuple(Outcome(i, own=0.9, alone=0.5, tau=0.6, measured=1) for i in range(5))
    control = tuple(Outcome(i, own=0.1, alone=0.5, tau=0.2, measured=1) for i in range(5))
    found = Verdict(Control.FIXED, 2, evolved, control)
    assert found.hypervolume.mean == 0
    assert found.tau is not None
    assert (found.tau.mean, found.tau.conclusion) == (pytest.approx(0.4), "better")
    assert found.sentences()[1] == "It is not shown that evolving the space did anything for the front."


@pytest.mark.parametrize(
    ("rounds", "dropped", "said"),
    [
        (3, False, "nothing was dropped or added in any round: both arms are one and the same search"),
        (3, True, "nothing was dropped or added in any round before the last: both arms are one and the same search"),
        (1, True, "the first round of both is one and the same search; what evolving does is seen from round 2 on"),
    ],
)
def test_a_run_is_not_compared_with_itself(rounds: int, dropped: bool, said: str) -> None:
    arm = tuple(replace(one, evolved=False, dropped=dropped) for one in outcomes(0.9, 0.8, 0.7))
    found = Verdict(Control.FIXED, rounds, arm, arm)
    (sentence,) = found.sentences()
    assert sentence.endswith(f"{said}.")
    assert found.hypervolume.conclusion == "the same search"
    assert found.to_dict()["same_search"]
    assert not Verdict(Control.RANDOM, rounds, arm, arm).same_search


def test_seeds_in_which_nothing_was_dropped_are_told() -> None:
    first, *others = outcomes(0.9, 0.8, 0.7)
    found = Verdict(Control.FIXED, 3, (replace(first, evolved=False), *others), outcomes(0.9, 0.6, 0.5))
    assert found.hypervolume.conclusion != "the same search"
    assert "In 1 of 3 seeds nothing was dropped or added" in " ".join(found.sentences())
