"""The best network with a given operation, within a budget: against listing all networks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, product

import numpy as np
import pytest

from evo.strategy.best_operations import NEVER, POSSIBLE, best_with_each, best_within
from evo.strategy.cost_ladder import BUCKETS, CostLadder, Way, layer_choices
from evo.strategy.encoding import Floats
from spaces.costs.table import cost_table
from spaces.library.named_spaces import load_space


def layer(i: int, costs: Sequence[float]) -> list[Way]:
    """A layer without rows."""
    return [Way((i,), (np.arange(len(costs)),), (np.array(costs, float),))]


def listed(ladder: CostLadder) -> list[tuple[dict[int, int], float]]:
    """All networks: the place of the choice of every layer, and their cost above the cheapest."""
    ways = [[list(zip(way.layers, way.places, way.costs, strict=True)) for way in block] for block in ladder.blocks]
    networks = []
    for way in product(*ways):
        parts = [[(i, int(p), c) for p, c in zip(places, costs, strict=True)] for i, places, costs in chain(*way)]
        for genes in product(*parts):
            networks.append(({i: place for i, place, _ in genes}, sum(float(cost) for _, _, cost in genes)))
    return networks


def check_against_listing(ladder: CostLadder, worth: list[Floats], curve: Floats) -> None:
    """Costs are whole numbers, and a bucket is 1 wide, so nothing is rounded."""
    networks = listed(ladder)
    costs = np.array([cost for _, cost in networks])
    bucket = np.rint(costs - costs.min()).astype(int)
    values = np.array(
        [[sum(w[genes[i]] for i, w in enumerate(row)) for genes, _ in networks] for row in zip(*worth, strict=True)]
    )
    values += curve[:, bucket]
    told = []
    for i, best in best_with_each(ladder, worth, curve):
        told.append(i)
        for place in range(worth[i].shape[1]):
            has = np.array([genes[i] == place for genes, _ in networks])
            for budget in (0, 17, 90, BUCKETS - 1):
                allowed = has & (bucket <= budget)
                if allowed.any():
                    assert best[:, place, budget] == pytest.approx(values[:, allowed].max(axis=1))
                else:
                    assert (best[:, place, budget] < POSSIBLE).all()
    assert sorted(told) == list(range(len(worth)))
    for places, budget in zip(best_within(ladder, worth, curve, (-1, 90)), (BUCKETS - 1, 90), strict=True):
        best_values = np.where(bucket <= budget, values, NEVER).argmax(axis=1)
        assert places.tolist() == [[networks[best][0][i] for i in range(len(worth))] for best in best_values]


def test_it_finds_what_listing_all_networks_finds() -> None:
    rng = np.random.default_rng(0)
    costs = [rng.integers(0, 40, n).astype(float) for n in (3, 2, 4, 3)]
    for here, dearest in zip(costs, (60, 50, 41, 40), strict=True):
        here[0], here[1] = 0, dearest
    ladder = CostLadder.of([layer(i, here) for i, here in enumerate(costs)], fixed=7.0)
    assert ladder.width == 1.0
    curve = np.linspace(0, 3, BUCKETS) * rng.normal(size=(5, 1))
    check_against_listing(ladder, [rng.normal(size=(5, len(here))) for here in costs], curve)


def test_it_does_so_where_what_a_layer_costs_depends_on_a_row() -> None:
    """Layers 1 to 3 are a block: 1 chooses a row, and the first row leaves layer 3 out, whose last choice says so."""
    rng = np.random.default_rng(1)
    both, absent = np.arange(2), np.array([2])
    rows = [
        Way((1, 2, 3), (np.array([0]), both, absent), (np.zeros(1), np.array([9.0, 21.0]), np.zeros(1))),
        Way((1, 2, 3), (np.array([1]), both, both), (np.zeros(1), np.array([4.0, 6.0]), np.array([0.0, 30.0]))),
        Way((1, 2, 3), (np.array([2]), both, both), (np.zeros(1), np.array([10.0, 40.0]), np.array([9.0, 51.0]))),
    ]
    ladder = CostLadder.of([layer(0, [0, 20, 60]), rows, layer(4, [0, 44])], fixed=3.0)
    assert (ladder.least, ladder.width) == (7.0, 1.0)
    worth = [rng.normal(size=(5, n)) for n in (3, 3, 2, 3, 2)]
    check_against_listing(ladder, worth, np.linspace(0, 3, BUCKETS) * rng.normal(size=(5, 1)))


def test_every_layer_is_told_once_and_dearer_networks_than_asked_for_are_left_out() -> None:
    ladder = CostLadder.of([layer(0, [0, 100]), layer(1, [0, 100])], fixed=0.0, most=120.0)
    assert ladder.budgets[-1] == pytest.approx(120.0)
    found = dict(best_with_each(ladder, [np.array([[0.0, 1.0]])] * 2, np.zeros((1, BUCKETS))))
    assert sorted(found) == [0, 1]
    assert found[0][0, :, -1].tolist() == [1.0, 1.0]  # both at once cost 200


def test_a_space_with_rows_costs_on_the_ladder_what_its_table_says() -> None:
    space = load_space("digits_rows")
    costs = cost_table(space)
    choices = layer_choices(space, [one.candidates for one in space.layers])
    ladder = CostLadder.of_space(costs, choices, "params", np.inf)
    assert ladder.budgets[[0, -1]] == pytest.approx(costs.bounds()[:, 1])
    assert [i for block in ladder.blocks for i in block[0].layers] == list(range(len(space.layers)))
    for block in space.variant_blocks:
        assert ["skip" in here for here in choices[block.start : block.stop]] == [
            place > min(int(row[5]) for row in block.variants) for place in range(len(block.layers))
        ]
