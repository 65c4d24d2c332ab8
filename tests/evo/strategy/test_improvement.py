"""Expected hypervolume improvement against Monte Carlo, for one cost and for several."""

from __future__ import annotations

import numpy as np
import pytest

from evo.strategy.improvement import expected_improvement
from studies.pareto import hypervolume


def test_expected_improvement_is_the_mean_of_sampled_improvements() -> None:
    """Monte Carlo: draw the candidate's value, and measure by how much the staircase grows."""
    values, costs = np.array([0.30, 0.55, 0.60]), np.array([2.0, 4.0, 7.0])
    mean, deviation, cost = np.array([0.50, 0.58, 0.20]), np.array([0.10, 0.05, 0.02]), np.array([3.0, 5.0, 8.0])
    found = expected_improvement(mean, deviation, cost, values, costs, (0.0, 10.0))
    rng = np.random.default_rng(0)
    before = hypervolume(costs, values, max_cost=10.0)
    for i in range(3):
        draws = rng.normal(mean[i], deviation[i], 20_000)
        gains = [
            hypervolume(np.append(costs, cost[i]), np.append(values, draw), max_cost=10.0) - before
            for draw in draws[:4000]
        ]
        assert found[i] == pytest.approx(10.0 * float(np.mean(gains)), rel=0.05, abs=2e-3)


def test_a_candidate_beyond_the_reference_cost_improves_nothing() -> None:
    gain = expected_improvement(np.ones(1), np.ones(1), np.array([11.0]), np.zeros(1), np.ones(1), (0.0, 10.0))
    assert gain.tolist() == [0.0]


@pytest.mark.parametrize(("costs_of_each", "tolerance"), [(2, 0.02), (3, 0.06)])
def test_with_several_costs_it_is_the_mean_of_sampled_improvements(costs_of_each: int, tolerance: float) -> None:
    rng = np.random.default_rng(1)
    most = np.array([10.0, 2.0, 5.0])[:costs_of_each]
    values, costs = rng.uniform(0.2, 0.7, 12), rng.random((12, costs_of_each)) * most
    mean, deviation = np.array([0.5, 0.75, 0.3]), np.array([0.2, 0.05, 0.1])
    cost = rng.random((3, costs_of_each)) * 0.6 * most
    found = expected_improvement(mean, deviation, cost, values, costs, (0.1, most))
    before = hypervolume(costs, values, max_cost=most, min_accuracy=0.1)
    quantiles = (np.arange(200) + 0.5) / 200  # of the candidate's value, instead of draws
    for i in range(3):
        draws = mean[i] + deviation[i] * _normal(quantiles)
        gains = [
            hypervolume(np.vstack([costs, cost[i]]), np.append(values, min(draw, 1e6)), max_cost=most, min_accuracy=0.1)
            - before
            for draw in draws
        ]
        assert found[i] == pytest.approx(0.9 * float(np.mean(gains)), rel=tolerance, abs=1e-3)


def _normal(quantiles: np.ndarray) -> np.ndarray:
    from scipy.stats import norm

    return np.asarray(norm.ppf(quantiles))


def test_a_second_cost_that_is_the_same_for_all_changes_nothing() -> None:
    rng = np.random.default_rng(2)
    values, costs = rng.random(20), 10 * rng.random(20)
    mean, deviation, cost = rng.random(30), rng.uniform(0.01, 0.3, 30), 10 * rng.random(30)
    alone = expected_improvement(mean, deviation, cost, values, costs, (0.0, 10.0))
    same = [np.stack([each, np.full(len(each), 1.0)], axis=1) for each in (cost, costs)]
    beside = expected_improvement(mean, deviation, same[0], values, same[1], (0.0, np.array([10.0, 2.0])))
    np.testing.assert_allclose(beside, alone / 10.0 / 2.0, rtol=1e-9)


def test_what_is_beaten_in_all_costs_by_a_sure_value_gains_nothing() -> None:
    values, costs = np.array([0.9]), np.array([[1.0, 1.0]])
    gain = expected_improvement(
        np.array([0.5, 0.5]),
        np.full(2, 1e-6),
        np.array([[2.0, 3.0], [0.5, 3.0]]),
        values,
        costs,
        (0.0, np.array([10.0, 10.0])),
    )
    assert gain[0] == 0.0
    assert gain[1] == pytest.approx(0.5 * 0.05 * 0.7)  # cheaper in the first cost: from .5 to 1, below what was seen
