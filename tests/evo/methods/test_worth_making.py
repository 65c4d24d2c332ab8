"""What is worth making, beside all networks of a small space."""

from __future__ import annotations

from itertools import product
from random import Random

import numpy as np
import pytest

from evo.methods.evolution import Uniform
from evo.methods.worth_making import (
    BUDGETS,
    EXPECTED,
    AddMostWorthy,
    Offer,
    WorthMaking,
    prices_of_budgets,
    worth_of_waiting,
)
from spaces.architecture import Architecture
from spaces.costs.table import cost_table, count_costs
from spaces.layer import Head, Layer, Shape, Stem
from spaces.space import SearchSpace
from studies.records import Round

SHAPE = Shape(8, 8, 1, 8)
CUTS = ("mb_k5_e6", "mb_k3_e6", "mb_k3_e3", "id")
SPACE = SearchSpace(
    "three",
    tuple(Layer(SHAPE, CUTS, pending=("mb_k3_e1", "dual_k3_e1")) for _ in range(3)),
    Stem(8, 1, c_in=1, size=8),
    Head(0, 10),
)
LOSSES = {(i, op): 0.1 * (i + 1) * lost for i in range(3) for op, lost in zip(CUTS, (0.0, 0.3, 1.0, 4.0), strict=True)}
"""The last layer is the one that loses most."""


def finished(space: SearchSpace = SPACE, losses: dict[tuple[int, str], float] = LOSSES, *earlier: Round) -> Round:
    ratings = {choice: -loss for choice, loss in losses.items()}
    return Round(len(earlier) + 1, space, (), ratings, costs=cost_table(space), earlier=earlier)


def sums(space: SearchSpace, losses: dict[tuple[int, str], float], price: float) -> list[tuple[float, int]]:
    """Every network: what it loses with its cost at that price, and its cost."""
    archs = [Architecture(genes) for genes in product(*(layer.candidates for layer in space.layers))]
    costs = [count_costs(space, arch).macs for arch in archs]
    lost = [sum(losses[choice] for choice in enumerate(arch.genes)) for arch in archs]
    return [(loss + price * cost, cost) for loss, cost in zip(lost, costs, strict=True)]


def offers(space: SearchSpace, losses: dict[tuple[int, str], float]) -> list[Offer]:
    table = cost_table(space)
    return [
        Offer.of(
            np.array([table.layers[i].cost_of(op)[0] for op in layer.candidates]),
            np.array([losses[i, op] for op in layer.candidates]),
        )
        for i, layer in enumerate(space.layers)
    ]


def test_an_offer_is_the_lower_convex_hull() -> None:
    offer = Offer.of(np.array([4.0, 1.0, 2.0, 3.0, 5.0]), np.array([0.0, 9.0, 3.0, 2.0, 0.5]))
    assert offer.costs.tolist() == [1, 2, 4]
    assert offer.losses.tolist() == [9, 3, 0]
    assert offer.prices.tolist() == [6, 1.5]
    assert offer.loss_at(3) == 1.5
    assert [offer.loss_at(cost) for cost in (0.5, 7)] == [9, 0]


def test_prices_are_those_at_which_networks_fit_budgets_best() -> None:
    """Beside a fine grid of prices."""
    prices = prices_of_budgets(offers(SPACE, LOSSES)).tolist()
    fixed = count_costs(SPACE, Architecture(("id",) * 3)).macs  # three identities cost nothing more
    most = max(cost for _, cost in sums(SPACE, LOSSES, 0.0)) - fixed
    lost, costs = np.array(sums(SPACE, LOSSES, 0.0)).T
    grid = [costs[(lost + price * costs).argmin()] for price in np.geomspace(1e-8, 1e-2, 8000).tolist()]
    assert len(prices) == BUDGETS
    for price, budget in zip(prices, (np.geomspace(1e-3 * most, most, BUDGETS) + fixed).tolist(), strict=True):
        assert min(sums(SPACE, LOSSES, price))[1] == max(cost for cost in grid if cost <= budget + 1e-3)


@pytest.mark.parametrize(("place", "op"), [(0, "mb_k3_e1"), (2, "dual_k3_e1")])
def test_it_is_worth_what_it_would_lower_the_least_sum_by(place: int, op: str) -> None:
    worth = worth_of_waiting(finished(), cost_table(SPACE))
    prices = prices_of_budgets(offers(SPACE, LOSSES))
    offer, own = offers(SPACE, LOSSES)[place], float(cost_table(SPACE).layers[place].cost_of(op)[0])
    layers = list(SPACE.layers)
    layers[place] = Layer(SHAPE, (*CUTS, op))
    larger = SPACE.replace_layers(layers)
    with_it = LOSSES | {(place, op): EXPECTED * offer.loss_at(own)}
    lowered = [min(sums(SPACE, LOSSES, price))[0] - min(sums(larger, with_it, price))[0] for price in prices.tolist()]
    assert worth[place, op] == pytest.approx(float(np.mean(lowered)), abs=1e-12)
    assert worth[place, op] > 0


def test_it_is_worth_more_where_more_is_lost() -> None:
    worth = worth_of_waiting(finished(), cost_table(SPACE))
    assert worth[0, "mb_k3_e1"] < worth[1, "mb_k3_e1"] < worth[2, "mb_k3_e1"]


def test_what_was_made_tells_what_to_expect() -> None:
    """Where those that were made lose as much as nothing that a layer has at their cost, others are worth less."""
    layers = [Layer(SHAPE, (*CUTS, "mb_k3_e1"), pending=("dual_k3_e1",)), *SPACE.layers[1:]]
    space, before = SPACE.replace_layers(layers), finished()
    good, bad = (
        worth_of_waiting(finished(space, LOSSES | {(0, "mb_k3_e1"): loss}, before), cost_table(space))
        for loss in (0.01, 3.0)
    )
    assert good[2, "mb_k3_e1"] > worth_of_waiting(before, cost_table(SPACE))[2, "mb_k3_e1"] > bad[2, "mb_k3_e1"]


def test_the_most_worthy_are_added_over_all_layers() -> None:
    step = WorthMaking(Uniform())(finished())
    assert {step[i, op] for i in range(3) for op in CUTS} == {1.0}
    waiting = {choice: rating for choice, rating in step.items() if choice[1] not in CUTS}
    assert max(waiting.values()) == 1.0
    best = sorted(waiting, key=waiting.__getitem__, reverse=True)[:2]
    grown = AddMostWorthy(2)(SPACE, step, Random(0))
    added = [(i, op) for i, layer in enumerate(grown.layers) for op in layer.candidates[len(CUTS) :]]
    assert sorted(added) == sorted(best)
    assert all(
        (op in layer.pending) == ((i, op) not in added)
        for i, layer in enumerate(grown.layers)
        for op in SPACE.layers[0].pending
    )


def test_nothing_is_made_that_is_worth_nothing() -> None:
    losses = dict.fromkeys(LOSSES, 0.0)
    ratings = WorthMaking(Uniform())(finished(SPACE, losses))
    assert AddMostWorthy(3)(SPACE, ratings, Random(0)) == SPACE
    assert worth_of_waiting(Round(1, SPACE, (), {}, costs=cost_table(SPACE)), cost_table(SPACE)) == {}
