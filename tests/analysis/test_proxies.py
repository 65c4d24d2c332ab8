"""Proxies beside full trainings: taus by scipy, intervals, which proxy is taken and what is said of it."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from scipy.stats import kendalltau

from analysis.ranking import agreement
from analysis.ranking.proxies import Judged, ProxyRanking, Rank, advice, ahead_text, tau_text

N = 60


def noisy(values: np.ndarray, noise: float, seed: int) -> tuple[float, ...]:
    return tuple((values + noise * np.random.default_rng(seed).normal(size=len(values))).tolist())


QUALITY = np.random.default_rng(7).permutation(N) / N
"""Of networks, in an order that has nothing to do with their MACs."""

MACS = tuple(float(1000 + i) for i in range(N))
GOOD = Judged("good", 0.5, noisy(QUALITY, 0.05, 1))
CHEAP = Judged("cheap", 0.25, noisy(QUALITY, 0.06, 2))
POOR = Judged("poor", 0.125, noisy(QUALITY, 0.6, 3))
CHANCE = Judged("chance", 0.06, noisy(0 * QUALITY, 1.0, 4))
FLAT = Judged("flat", 0.01, (0.1,) * N)


def ranking(*proxies: Judged, **others: Any) -> ProxyRanking:
    given: dict[str, Any] = {"truth": (noisy(QUALITY, 0.03, 5),), "macs": MACS}
    return ProxyRanking(**{**given, **others, "proxies": proxies})


def test_a_handful_of_networks_gives_no_advice() -> None:
    """Four networks in the right order would have an interval that begins far above zero."""
    few = slice(7)
    good = Judged("good", 0.5, tuple(QUALITY[few]))
    found = ranking(good, truth=(tuple(QUALITY[few]),), macs=MACS[few])
    assert found.recommended() is None
    assert advice(found)[0].startswith(
        "7 networks are too few to take a proxy by: expected 8 or more (--networks 16). The best"
    )
    enough = slice(8)
    good = Judged("good", 0.5, tuple(QUALITY[enough]))
    assert ranking(good, truth=(tuple(QUALITY[enough]),), macs=MACS[enough]).recommended() == 0


def test_taus_are_those_of_scipy_and_intervals_those_of_every_other_comparison_of_rankings() -> None:
    found = ranking(GOOD, POOR, seed=3)
    (truth,) = found.truth
    for judged, rank in zip(found.proxies, found.ranks, strict=True):
        assert rank.tau == pytest.approx(kendalltau(judged.scores, truth).statistic)
        usual = agreement(judged.scores, truth, MACS, seed=3)
        assert rank.tau == pytest.approx(usual.tau)
        assert rank.interval == pytest.approx(usual.interval)
    assert found.of_macs.tau == pytest.approx(kendalltau(MACS, truth).statistic)
    assert found.ranks[0].ahead == pytest.approx((found.ranks[0].tau or 0) - (found.of_macs.tau or 0))


def test_of_several_full_trainings_each_tau_is_the_mean_and_they_have_one_among_themselves() -> None:
    truth = tuple(noisy(QUALITY, 0.1, seed) for seed in (10, 11, 12))
    found = ranking(GOOD, truth=truth)
    assert found.ranks[0].tau == pytest.approx(np.mean([kendalltau(GOOD.scores, one).statistic for one in truth]))
    pairs = [kendalltau(x, y).statistic for x, y in combinations(truth, 2)]
    assert found.ceiling is not None
    assert found.ceiling.tau == pytest.approx(np.mean(pairs))
    assert ranking(GOOD).ceiling is None


def test_the_cheapest_is_taken_that_is_not_separably_below_the_best() -> None:
    found = ranking(GOOD, POOR, CHEAP, CHANCE)
    assert found.best == 0
    assert found.separably_below(1, 0)
    assert not found.separably_below(2, 0)
    assert found.recommended() == 2
    said = advice(found)[0]
    assert said.startswith("Take cheap: it costs 25.0% of the MACs of full training")
    assert "the best, good" in said
    assert ranking(GOOD, POOR).recommended() == 0
    assert "every cheaper one is worse" in advice(ranking(GOOD, POOR))[0]


def test_or_the_cheapest_whose_interval_begins_at_a_tau_that_is_asked_for() -> None:
    found = ranking(GOOD, POOR, CHEAP)
    low = found.ranks[1].interval
    assert low is not None
    assert found.recommended(trust=low[0]) == 1
    assert found.recommended(trust=low[0] + 0.01) == 2
    assert found.recommended(trust=0.99) is None
    assert "none has a tau whose interval begins at 0.99 or above" in advice(found, 0.99)[0]
    assert "with an interval from 0.5 on" in advice(found, 0.5)[0]


def test_a_proxy_that_is_not_shown_to_beat_counting_macs_is_not_taken_and_that_is_said() -> None:
    by_macs = np.arange(N) / N
    truth = (noisy(by_macs, 0.05, 5),)
    same = Judged("same", 0.5, noisy(by_macs, 0.05, 6))
    found = ranking(same, truth=truth)
    assert (found.ranks[0].tau or 0) > 0.7
    assert found.recommended() is None
    said = advice(found)[0]
    assert said.startswith("No proxy is shown to rank better than counting MACs alone, whose tau is 0.")
    assert "Do not pay for one" in said


def test_where_macs_rank_backwards_a_proxy_must_beat_chance_too() -> None:
    backwards = (noisy(-np.arange(N) / N, 0.05, 5),)
    found = ranking(CHANCE, truth=backwards)
    rank = found.ranks[0]
    assert rank.ahead_interval is not None
    assert rank.ahead_interval[0] > 0
    assert not rank.beats_macs
    assert "alone, whose tau is -0." in advice(found)[0]
    assert ", and than chance:" in advice(found)[0]


def test_networks_of_equal_macs_have_chance_as_the_rival() -> None:
    found = ranking(GOOD, CHANCE, macs=(5.0,) * N)
    assert found.of_macs.tau is None
    assert found.ranks[0].ahead == found.ranks[0].tau
    assert found.recommended() == 0
    assert "better than chance: the best" in advice(ranking(CHANCE, macs=(5.0,) * N))[0]


def test_a_proxy_that_gives_all_networks_one_accuracy_has_no_tau_and_is_never_taken() -> None:
    found = ranking(FLAT, GOOD)
    assert found.ranks[0].tau is None
    assert found.recommended() == 1
    assert "No proxy ranks anything" in advice(ranking(FLAT))[0]


def test_the_reliability_of_the_truth_is_told() -> None:
    assert "trained in full once" in advice(ranking(GOOD))[1]
    twice = (noisy(QUALITY, 0.1, 8), noisy(QUALITY, 0.1, 9))
    assert "no proxy can be expected to do better" in advice(ranking(GOOD, truth=twice))[1]
    noise = (noisy(0 * QUALITY, 1.0, 8), noisy(0 * QUALITY, 1.0, 9))
    assert "Nor is that shown to be better than MACs alone" in advice(ranking(GOOD, truth=noise))[1]


def test_taus_are_written_with_their_intervals_and_zero_has_no_minus() -> None:
    rank = Rank(-0.001, (-0.25, 0.5), -0.002, (-0.3, 0.125))
    assert tau_text(rank) == "0.00 (-0.25 to 0.50)"
    assert ahead_text(rank) == "+0.00 (-0.30 to +0.12)"
    assert tau_text(Rank()) == ahead_text(Rank()) == "unknown"


def test_the_same_seed_gives_the_same() -> None:
    assert ranking(GOOD, seed=1).ranks == ranking(GOOD, seed=1).ranks
    assert ranking(GOOD, seed=1).ranks != ranking(GOOD, seed=2).ranks


@pytest.mark.parametrize(
    ("scores", "message"), [((1.0, 2.0), "lists of one length"), ((float("nan"),) * N, "must be finite numbers")]
)
def test_numbers_that_do_not_compare_are_refused(scores: tuple[float, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ranking(replace(GOOD, scores=scores))
