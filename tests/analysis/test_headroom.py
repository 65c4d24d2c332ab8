"""Headroom: the analysis of variance by hand and by simulation, and what is said of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from analysis.headroom import Headroom, expected_maximum, sentences

SEEN = Headroom(((0.80, 0.81), (0.83, 0.82), (0.86, 0.84), (0.78, 0.79)))


def drawn(rng: np.random.Generator, between: float, noise: float, networks: int = 6, trainings: int = 2) -> Headroom:
    values = rng.normal(0.8, between, (networks, 1)) + rng.normal(0, noise, (networks, trainings))
    return Headroom(tuple(map(tuple, values.tolist())))


def test_mean_squares_are_those_of_a_regression_on_networks_and_seeds() -> None:
    y = np.array(SEEN.accuracies).ravel()
    networks, seeds = np.kron(np.eye(4), np.ones((2, 1))), np.kron(np.ones((4, 1)), np.eye(2))

    def unexplained(x: np.ndarray) -> float:
        return float(((y - x @ np.linalg.lstsq(x, y)[0]) ** 2).sum())

    whole = unexplained(np.hstack([networks, seeds]))
    between, noise = SEEN.mean_squares
    assert noise == pytest.approx(whole / 3)
    assert between == pytest.approx((unexplained(seeds) - whole) / 3)
    assert SEEN.sd_noise**2 == pytest.approx(noise)
    assert SEEN.sd_between**2 == pytest.approx((between - noise) / 2)


def test_what_a_seed_does_to_all_networks_alike_is_no_noise() -> None:
    shifted = Headroom(tuple((first, second + 0.05) for first, second in SEEN.accuracies))
    assert shifted.sd_noise == pytest.approx(SEEN.sd_noise)
    assert shifted.sd_between == pytest.approx(SEEN.sd_between)


def test_tau_is_scipys() -> None:
    first, second = zip(*SEEN.accuracies, strict=True)
    assert SEEN.tau == pytest.approx(stats.kendalltau(first, second).statistic)
    assert Headroom(((0.1, 0.2), (0.1, 0.3), (0.1, 0.4))).tau is None


def test_intervals_hold_what_is_true_at_least_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    found = [drawn(rng, 0.01, 0.007) for _ in range(400)]
    between = sum(low <= 0.01 <= high for low, high in (h.sd_between_interval for h in found))
    noise = sum(low <= 0.007 <= high for low, high in (h.sd_noise_interval for h in found))
    assert between >= 0.92 * 400
    assert 0.92 * 400 <= noise <= 0.98 * 400


@pytest.mark.parametrize(("n", "expected"), [(1, 0.0), (2, 1 / math.sqrt(math.pi)), (3, 1.5 / math.sqrt(math.pi))])
def test_the_largest_of_few_normal_numbers_is_known(n: int, expected: float) -> None:
    assert expected_maximum(n) == pytest.approx(expected, abs=1e-9)


def test_the_gain_is_that_of_choosing_by_a_noisy_measurement() -> None:
    """Of ten networks, 20,000 times, the one that measures best: how good it truly is."""
    found = Headroom(((0.80, 0.81), (0.83, 0.82), (0.86, 0.84), (0.78, 0.79)))
    rng = np.random.default_rng(1)
    true = rng.normal(0, found.sd_between, (20_000, 10))
    chosen = (true + rng.normal(0, found.sd_noise, true.shape)).argmax(axis=1)
    assert found.gain(10) == pytest.approx(true[np.arange(len(true)), chosen].mean(), rel=0.02)


def test_evaluations_are_the_fewest_that_gain_as_much() -> None:
    needed = SEEN.evaluations_for(0.04)
    assert needed is not None
    assert SEEN.gain(needed - 1) < 0.04 <= SEEN.gain(needed)
    assert SEEN.evaluations_for(0.5) is None
    least, most = SEEN.evaluations_interval(0.04)
    assert least is not None
    assert least <= needed
    assert most is None or most >= needed


def test_where_noise_explains_everything_nothing_is_promised() -> None:
    found = Headroom(((0.80, 0.81), (0.812, 0.80), (0.806, 0.807)))
    assert found.sd_between == 0 == found.gain(1000)
    said = " ".join(sentences(found, 2000, 10))
    assert "not shown: the interval begins at 0" in said
    assert "Kendall's tau -1.00" in said
    assert "By this estimate no search gains a point here by choosing" in said


def test_networks_that_differ_by_nothing_leave_nothing_to_find() -> None:
    same = Headroom(((0.8001, 0.8), (0.8, 0.8001), (0.8, 0.8001), (0.8001, 0.8)))
    assert "No search can gain a point here by choosing" in " ".join(sentences(same, 2000, 10))


def test_what_the_words_say() -> None:
    differences, ranking, gains, verdict, *cautions = sentences(SEEN, 2000, 10)
    assert differences.startswith(
        "Networks of this budget differ by a standard deviation of 2.68 points (0.00 to 10.37"
    )
    assert differences.endswith("Mean accuracy: 81.62%.")
    assert ranking == "Two trainings of the same 4 networks rank them with Kendall's tau 1.00."
    assert "10: +3.83 (0.00 to 15.87)" in gains
    assert verdict.startswith("A gain of one point takes about 2 evaluations (2 to ")
    assert "2,000 images: up to 0.87 points" in cautions[-1]


@pytest.mark.parametrize("accuracies", [((0.1, 0.2),) * 2, ((0.1,),) * 3, ((0.1, 0.2), (0.1, 0.2), (0.1,))])
def test_too_little_is_refused(accuracies: tuple[tuple[float, ...], ...]) -> None:
    with pytest.raises(ValueError, match="expected at least 3 networks, each with the same number of trainings"):
        Headroom(accuracies)


def test_networks_that_have_learned_nothing_say_nothing() -> None:
    said = sentences(Headroom(((0.1, 0.12), (0.09, 0.1), (0.15, 0.1))), 2000, 10)
    assert said[-1] == (
        "The networks have hardly learned anything (chance: 10.00%), so this says nothing yet: train longer."
    )


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        Headroom(((0.1, 0.2), (0.1, math.nan), (0.3, 0.1)))
