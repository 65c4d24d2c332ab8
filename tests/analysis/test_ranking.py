"""Rank agreement: against scipy, by hand, and what is said where there is nothing to say."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from analysis import sentences
from analysis.comparison import compare
from analysis.figures import plots
from analysis.frames import Frames, witnesses
from analysis.page import render, taus
from analysis.ranking import Agreement, Truth, Witness, agreement, tau_b, truth_of

ACCURATE = [0.1, 0.4, 0.3, 0.8, 0.7, 0.9, 0.95, 0.5]
MACS = [1.0, 2, 3, 4, 5, 6, 7, 8]
WITNESSES = [
    Witness(f"op{i}", macs, score, 1 - score, score / 2)
    for i, (macs, score) in enumerate(zip(MACS, ACCURATE, strict=True))
]
few = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=3, max_size=12).filter(
    lambda pairs: all(len(set(side)) > 1 for side in zip(*pairs, strict=True))
)


@given(few)
def test_tau_and_rho_are_scipys_ties_and_all(pairs: list[tuple[int, int]]) -> None:
    x, y = map(list, zip(*pairs, strict=True))
    found = agreement(x, y, x)
    assert found.tau == pytest.approx(stats.kendalltau(x, y).statistic, abs=1e-12)
    assert found.rho == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
    assert found.tau_macs == pytest.approx(found.tau)


def test_a_bootstrap_sample_is_the_tau_of_the_architectures_it_took() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=9), rng.normal(size=9)
    taken = rng.integers(9, size=9)
    times = np.bincount(taken, minlength=9)[None].astype(float)
    assert tau_b(x, y, times)[0] == pytest.approx(stats.kendalltau(x[taken], y[taken]).statistic)


def test_the_interval_covers_the_tau_of_all() -> None:
    """100 samples of 40 of a population of 2,000: the 95 % intervals hold its tau about 95 times."""
    rng = np.random.default_rng(0)
    truth = rng.normal(size=2000)
    scores = truth + rng.normal(size=2000)
    whole, held = stats.kendalltau(scores, truth).statistic, 0
    for seed in range(100):
        chosen = rng.choice(2000, 40, replace=False)
        interval = agreement(scores[chosen], truth[chosen], chosen, seed=seed).interval
        assert interval is not None
        held += interval[0] <= whole <= interval[1]
    assert 88 <= held <= 99


def test_the_same_seed_gives_the_same_interval() -> None:
    assert agreement(MACS, ACCURATE, MACS, seed=1) == agreement(MACS, ACCURATE, MACS, seed=1)
    assert agreement(MACS, ACCURATE, MACS, seed=1).interval != agreement(MACS, ACCURATE, MACS, seed=2).interval


@pytest.mark.parametrize(
    ("scores", "top", "expected"),
    [
        ([1, 2, 3, 4], 2, 1.0),
        ([4, 3, 2, 1], 2, 0.0),
        ([1, 3, 2, 4], 2, 0.5),
        ([1, 2, 2, 2], 2, 2 / 3),  # two of three that tie are among the best two: each with chance 2/3
        ([1, 2, 3, 3], 1, 0.5),
    ],
)
def test_overlap_of_the_best(scores: list[float], top: int, expected: float) -> None:
    assert agreement(scores, [1, 2, 3, 4], [1, 2, 3, 4], top=top).overlap == pytest.approx(expected)


def test_a_quarter_is_the_top_unless_told() -> None:
    assert [agreement(range(n), range(n), range(n)).top for n in (3, 8, 100)] == [1, 2, 25]


@pytest.mark.parametrize(
    ("scores", "truth", "why"),
    [
        ([], [], "0 architectures are too few to compare rankings, three are the least"),
        ([1, 2], [1, 2], "2 architectures are too few to compare rankings, three are the least"),
        ([1, 1, 1], [1, 2, 3], "all 3 scores are the same"),
        ([1, 2, 3], [0.5, 0.5, 0.5], "all 3 stand-alone accuracies are the same"),
    ],
)
def test_where_there_is_no_ranking_it_says_why(scores: list[float], truth: list[float], why: str) -> None:
    found = agreement(scores, truth, range(len(scores)))
    assert found == Agreement(len(scores), why=why)
    assert found.warning == f"Whether the scores rank rightly is not known: {why}."


def test_equal_macs_have_no_tau() -> None:
    found = agreement([1, 2, 3, 4], [1, 2, 4, 3], [7, 7, 7, 7])
    assert found.tau == pytest.approx(2 / 3)
    assert found.tau_macs is None
    assert found.warning is not None
    assert "not shown to rank better than chance" in found.warning


@pytest.mark.parametrize(
    ("scores", "truth", "top", "expected"),
    [
        ([1, 2], [1, 2, 3], None, "expected three lists of one length"),
        ([1, 2, float("nan")], [1, 2, 3], None, "must be finite numbers"),
        ([1, 2, 3], [1, 2, 3], 4, "top is 4, expected 1 to 3"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    scores: list[float], truth: list[float], top: int | None, expected: str
) -> None:
    with pytest.raises(ValueError, match=expected):
        agreement(scores, truth, range(len(scores)), top=top)


def test_the_warning_goes_when_the_interval_lies_above_macs_alone() -> None:
    sure = Agreement(300, tau=0.7, interval=(0.66, 0.74), rho=0.8, top=75, overlap=0.7, tau_macs=0.55)
    assert sure.warning is None
    unsure = replace(sure, interval=(0.5, 0.8))
    assert unsure.warning == (
        "The scores are not shown to rank better than MACs alone: their tau is 0.70 (0.50 to 0.80), that of MACs 0.55, "
        "on 300 architectures."
    )


def test_a_truth_survives_json() -> None:
    told = truth_of("scratch:5ep", WITNESSES, seed=4)
    assert told.accuracy.tau == 1.0
    assert told.nll is not None
    assert told.nll.tau == 1.0
    assert Truth.from_dict(json.loads(json.dumps(told.to_dict()))) == told


def test_scores_without_log_likelihood_are_compared_by_accuracy_alone() -> None:
    told = truth_of("table:macro", [replace(w, nll=None) for w in WITNESSES])
    assert told.nll is None
    assert Truth.from_dict(told.to_dict()) == told


# -- shown ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def asked(frames: Frames) -> Frames:
    """The example run, whose second round asked for the truth."""
    first, second = frames.rounds
    truth = truth_of("scratch:5ep", WITNESSES)
    rounds = (first, replace(second, truth=truth, asking=3.0))
    return replace(frames, rounds=rounds, witnesses=witnesses(rounds))


def test_the_summary_compares_and_warns(asked: Frames) -> None:
    said = sentences.describe_truth(asked)
    assert said[0].startswith(
        "Do the scores rank rightly? Kendall's tau by round: 1.00. In round 2, 8 networks were trained alone "
        "(scratch:5ep): tau 1.00 (95% interval 1.00 to 1.00), 1.00 by log-likelihood, 0.57 by MACs alone"
    )
    assert said[1:] == []
    (first, second), blind = asked.rounds, truth_of("scratch:5ep", [replace(w, one_shot=0.1) for w in WITNESSES])
    warned = replace(asked, rounds=(first, replace(second, truth=blind)))
    assert (
        sentences.describe_truth(warned)[1]
        == "Whether the scores rank rightly is not known: all 8 scores are the same."
    )


def test_a_run_that_did_not_ask_says_nothing(frames: Frames) -> None:
    assert sentences.describe_truth(frames) == []
    assert sentences.format_tau(frames.rounds[0]) == "-"


def test_the_figure_has_a_dot_per_witness_and_tau_in_its_legend(asked: Frames) -> None:
    figure = plots.truth(asked.witnesses, taus(asked))
    (dots,) = figure.data
    assert dots.name == "round 2: tau 1.00"
    assert list(dots.x) == ACCURATE
    assert list(dots.y) == pytest.approx([score / 2 for score in ACCURATE])
    assert figure.layout.xaxis.title.text == "accuracy by the search's scores"
    assert figure.layout.yaxis.title.text == "accuracy when trained alone"


def test_the_page_shows_the_figure_where_there_is_one(frames: Frames, asked: Frames) -> None:
    assert 'id="truth"' in render(asked, compare([asked]))
    assert 'id="truth"' not in render(frames, compare([frames]))
