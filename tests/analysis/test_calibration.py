"""Scores become estimates of accuracy alone: what is planted is found, and what is chance flatters nobody."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from random import Random

import numpy as np
import pytest

from analysis.ranking import Witness, agreement
from analysis.ranking.calibration import STRENGTHS, Calibration, best_estimate, calibrate, cheap, leave_one_out, ridge
from spaces.architecture import Architecture

LAYERS = 9


def logistic(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def networks(
    n: int, seed: int, alone: Callable[[float, float, int], float], score: Callable[[float, float, int], float]
) -> list[Witness]:
    """``n`` made-up networks: ``alone`` and ``score`` make logits of a logarithm of MACs, a quality and a number of
    identities, all independent of each other."""
    rng, made = Random(seed), []
    for _ in range(n):
        removed, cost, quality = rng.randint(0, 6), rng.uniform(-1, 1), rng.gauss(0, 1)
        genes = ["id"] * removed + ["mb_k3_e3"] * (LAYERS - removed)
        facts = cost, quality, removed
        made.append(
            Witness("|".join(genes), 1e6 * math.exp(cost), logistic(score(*facts)), None, logistic(alone(*facts)))
        )
    return made


def by_cost_and_quality(cost: float, quality: float, removed: int) -> float:
    return 1.5 + 0.3 * cost + 0.3 * quality


def by_chance(noise: Random) -> Callable[[float, float, int], float]:
    return lambda *_: noise.gauss(1, 0.3)


def found(witnesses: Sequence[Witness]) -> Calibration:
    calibration = calibrate("scratch:5ep", witnesses)
    assert calibration is not None
    return calibration


@pytest.mark.parametrize("strength", STRENGTHS)
def test_leave_one_out_is_what_leaving_out_gives(strength: float) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(9, 4)), rng.normal(size=9)
    one_by_one = []
    for i in range(9):
        weights, intercept = ridge(np.delete(x, i, 0), np.delete(y, i), strength)
        one_by_one.append(y[i] - x[i] @ weights - intercept)
    assert leave_one_out(x, y, [strength])[:, 0] == pytest.approx(one_by_one, abs=1e-12)


def test_ridge_is_where_no_direction_goes_down() -> None:
    rng = np.random.default_rng(1)
    x, y, strength = rng.normal(size=(12, 3)), rng.normal(size=12), 0.7
    weights, intercept = ridge(x, y, strength)
    residual = y - x @ weights - intercept
    assert x.T @ residual == pytest.approx(strength * weights)
    assert residual.sum() == pytest.approx(0)


@pytest.mark.parametrize("seed", range(3))
def test_a_bias_towards_identities_is_corrected(seed: int) -> None:
    witnesses = networks(24, seed, by_cost_and_quality, lambda cost, quality, removed: 0.3 * quality + 0.5 * removed)
    calibration = found(witnesses)
    assert calibration.estimate.name == "accuracy, MACs and depth"
    raw, corrected = calibration.raw().tau, calibration.truth().accuracy
    assert corrected.tau is not None
    assert corrected.tau > max(raw or 0.0, corrected.tau_macs or 0.0) + 0.2
    fresh = networks(50, 100 + seed, by_cost_and_quality, lambda cost, quality, removed: 0.3 * quality + 0.5 * removed)
    guesses = [calibration.estimate(cheap(Architecture.parse(w.arch), w.macs, w.one_shot, None)) for w in fresh]
    tau = agreement(guesses, [w.stand_alone for w in fresh], [w.macs for w in fresh]).tau
    assert (tau or 0.0) > 0.9


def noisy(seed: int) -> Calibration:
    """Accuracy goes with MACs, the scores with nothing."""
    noise = Random(seed)
    alone = networks(20, seed, lambda cost, *_: 1.5 + 0.5 * cost + noise.gauss(0, 0.1), lambda *_: noise.gauss(0, 1))
    return found(alone)


def test_a_judge_of_pure_noise_leaves_the_search_to_macs() -> None:
    judged = [noisy(seed) for seed in range(10)]
    blind = [calibration for calibration in judged if not calibration.estimate.uses_scores]
    assert len(blind) >= 8  # what is chosen by its error is sometimes chosen by chance
    sentence, estimate = blind[0].sentence(), blind[0].estimate
    assert sentence.startswith("MACs alone rank better than the judge's scores: leave-one-out error 0.")
    assert sentence.endswith("the search maximised an estimate from MACs alone")
    arch = Architecture(("id", "mb_k3_e3"))
    assert estimate(cheap(arch, 1e6, 0.1, None)) == estimate(cheap(arch, 1e6, 0.9, None))
    assert estimate(cheap(arch, 1e6, 0.5, None)) < estimate(cheap(arch, 2e6, 0.5, None))


def test_a_score_is_never_read_backwards() -> None:
    """A judge that says the opposite has ranked by chance, and would not do so again."""
    witnesses = networks(16, 3, by_cost_and_quality, lambda cost, quality, _: -quality)
    assert found(witnesses).estimate.name == "MACs"


def test_chance_flatters_nobody() -> None:
    """Where nothing ranks, the estimate fits its own networks, but not the ones that it was made without."""
    fitted, left_out = [], []
    for seed in range(12):
        chance = by_chance(Random(seed))
        calibration = found(networks(12, seed, chance, chance))
        truth, macs = [w.stand_alone for w in calibration.witnesses], [w.macs for w in calibration.witnesses]
        known = [cheap(Architecture.parse(w.arch), w.macs, w.one_shot, None) for w in calibration.witnesses]
        fitted.append(agreement([calibration.estimate(k) for k in known], truth, macs).tau or 0.0)
        left_out.append(calibration.truth().accuracy.tau or 0.0)
    assert np.mean(fitted) > 0.15
    assert abs(np.mean(left_out)) < 0.15  # nor is it made to look worse than chance


def test_no_network_counts_in_a_comparison_of_its_own() -> None:
    """Another truth of a network changes how the estimates order others, and not how they order it."""
    witnesses = networks(10, 0, by_cost_and_quality, by_cost_and_quality)
    other = [*witnesses[:-1], Witness(**{**vars(witnesses[-1]), "stand_alone": 0.11})]
    mine, theirs = found(witnesses), found(other)
    assert mine.advantages[-1].tolist() == theirs.advantages[-1].tolist()
    assert mine.advantages[0, 1] != theirs.advantages[0, 1]
    without, _ = best_estimate(witnesses[2:])
    first, second = (cheap(Architecture.parse(w.arch), w.macs, w.one_shot, None) for w in witnesses[:2])
    assert mine.advantages[0, 1] == -mine.advantages[1, 0] == without.logit(first) - without.logit(second)
    assert mine.truth().left_out


def test_estimates_are_accuracies() -> None:
    calibration = found(networks(8, 0, by_cost_and_quality, by_cost_and_quality))
    for macs in (0.0, 1.0, 1e30):
        for score in (0.0, 1.0):
            assert 0 < calibration.estimate(cheap(Architecture(("id",)), macs, score, None)) < 1


def test_likelihoods_are_used_where_they_rank_better() -> None:
    noise = Random(5)
    witnesses = networks(16, 4, by_cost_and_quality, lambda *_: noise.gauss(0, 1))
    knowing = [Witness(**{**vars(w), "nll": -math.log(w.stand_alone)}) for w in witnesses]
    assert found(knowing).estimate.name.startswith("likelihood")


def test_too_few_or_equal_networks_teach_nothing() -> None:
    witnesses = networks(8, 0, by_cost_and_quality, by_cost_and_quality)
    assert calibrate("scratch:5ep", witnesses[:4]) is None
    assert calibrate("scratch:5ep", [Witness(**{**vars(w), "stand_alone": 0.5}) for w in witnesses]) is None


def test_a_calibration_survives_json() -> None:
    calibration = found(networks(8, 0, by_cost_and_quality, by_cost_and_quality))
    assert Calibration.from_dict(json.loads(json.dumps(calibration.to_dict()))) == calibration
