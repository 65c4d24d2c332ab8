"""The best network with a given operation, within a budget: against listing all networks."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from evo.strategy.best_operations import BUCKETS, POSSIBLE, CostLadder, best_with_each, best_within


def test_it_finds_what_listing_all_networks_finds() -> None:
    rng = np.random.default_rng(0)
    costs = [rng.integers(0, 40, n).astype(float) for n in (3, 2, 4, 3)]
    for layer, dearest in zip(costs, (60, 50, 41, 40), strict=True):
        layer[0], layer[1] = 0, dearest  # the range is one step per bucket
    ladder = CostLadder.of(costs, fixed=7.0)
    assert ladder.width == 1.0
    worth = [rng.normal(size=(5, len(layer))) for layer in costs]
    curve = np.linspace(0, 3, BUCKETS) * rng.normal(size=(5, 1))

    networks = list(product(*(range(len(layer)) for layer in costs)))
    bucket = np.array([int(sum(c[g] for c, g in zip(costs, genes, strict=True))) for genes in networks])
    values = np.array(
        [[sum(w[f, g] for w, g in zip(worth, genes, strict=True)) for genes in networks] for f in range(5)]
    )
    values += curve[:, bucket]
    for layer, best in best_with_each(ladder, worth, curve):
        for op in range(len(costs[layer])):
            has = np.array([genes[layer] == op for genes in networks])
            for budget in (0, 17, 90, BUCKETS - 1):
                allowed = has & (bucket <= budget)
                if allowed.any():
                    assert best[:, op, budget] == pytest.approx(values[:, allowed].max(axis=1))
                else:
                    assert (best[:, op, budget] < POSSIBLE).all()
    for places, budget in zip(best_within(ladder, worth, curve, (-1, 90)), (BUCKETS - 1, 90), strict=True):
        allowed = np.where(bucket <= budget, values, -np.inf)
        assert places.tolist() == [list(networks[best]) for best in allowed.argmax(axis=1)]


def test_every_layer_is_told_once_and_dearer_networks_than_asked_for_are_left_out() -> None:
    costs = [np.array([0.0, 100.0]), np.array([0.0, 100.0])]
    ladder = CostLadder.of(costs, fixed=0.0, most=120.0)
    assert ladder.budgets[-1] == pytest.approx(120.0)
    found = dict(best_with_each(ladder, [np.array([[0.0, 1.0]])] * 2, np.zeros((1, BUCKETS))))
    assert sorted(found) == [0, 1]
    assert found[0][0, :, -1].tolist() == [1.0, 1.0]  # both at once cost 200
