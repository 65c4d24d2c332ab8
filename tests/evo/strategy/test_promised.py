"""The networks that a regression promises most, measured or not."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest

from evo.strategy.promised import Promises
from spaces.costs.table import CostTable, cost_table
from spaces.library.named_spaces import load_space
from spaces.space import SearchSpace
from studies.records import Evaluation, Round


@pytest.fixture(scope="module")
def costs(space: SearchSpace) -> CostTable:
    return cost_table(space)


def measured(costs: CostTable, worth: dict[str, float], number: int = 60) -> Round:
    """A round in which networks drawn at random have accuracies that add up."""
    rng = Random(0)
    archs = list(dict.fromkeys(costs.space.sample(rng) for _ in range(number)))
    prices = costs.count(archs)
    evaluations = [
        Evaluation(arch, "x", 0.5 + sum(worth.get(op, 0.0) for op in arch.genes), float(row[0]), float(row[1]))
        for arch, row in zip(archs, prices.tolist(), strict=True)
    ]
    return Round(1, costs.space, tuple(evaluations), costs=costs)


def test_the_best_network_is_promised_though_it_was_never_measured(costs: CostTable) -> None:
    worth = {op: 0.01 * place for place, op in enumerate(costs.space.layers[0].candidates)}
    finished = measured(costs, worth)
    first, *others = Promises(finished, costs).networks("macs", float("inf"), 3)
    assert first not in {e.arch for e in finished.evaluations}
    truth = [sum(worth.get(op, 0.0) for op in arch.genes) for arch in (first, *(e.arch for e in finished.evaluations))]
    assert truth[0] == max(truth)
    assert len({first, *others}) == 1 + len(others)


def test_none_costs_more_than_is_allowed(costs: CostTable) -> None:
    finished = measured(costs, {op: 0.01 * place for place, op in enumerate(costs.space.layers[0].candidates)})
    most = sorted(e.macs for e in finished.evaluations)[20]
    networks = Promises(finished, costs).networks("macs", most, 4)
    assert networks
    assert costs.count(networks)[:, 0].max() <= most


def judged(costs: CostTable, slope: float) -> tuple[Promises, list[Evaluation]]:
    """Accuracy goes with the root of MACs, and rises a little with every operation that does not expand."""
    finished = measured(costs, {})
    evaluations = [
        replace(e, accuracy=0.6 + slope * (e.macs / 1e6) ** 0.5 + 0.005 * str(e.arch).count("e1"))
        for e in finished.evaluations
    ]
    return Promises(replace(finished, evaluations=tuple(evaluations)), costs), evaluations


def test_what_will_be_widened_need_not_be_dear_now(costs: CostTable) -> None:
    """The dearest networks are the best as they are, and have few operations that do not expand; widened, those are best."""
    promises, evaluations = judged(costs, slope=0.4)
    (as_it_is,) = promises.networks("macs", 3e5, 1)
    (widened,) = promises.networks("macs", 3e5, 1, widened=True)
    assert costs.count([as_it_is])[0, 0] > 2.5e5
    assert str(widened).count("e1") == len(widened.genes) > str(as_it_is).count("e1")
    place = promises.scores_widened(evaluations).argsort()
    counts = [str(e.arch).count("e1") for e in evaluations]
    assert min(counts[i] for i in place[-5:]) > max(counts[i] for i in place[:5])


def test_where_dear_networks_score_less_widening_is_not_taken_for_a_loss(costs: CostTable) -> None:
    promises, evaluations = judged(costs, slope=-0.4)
    assert promises.scores_widened(evaluations) == pytest.approx([e.accuracy for e in evaluations], abs=0.005)
    networks = [promises.networks("macs", 3e5, 1, widened=widened) for widened in (True, False)]
    assert networks[0] == networks[1]


def test_nothing_is_promised_where_operations_predict_nothing(costs: CostTable) -> None:
    noise, finished = Random(1), measured(costs, {})
    evaluations = tuple(replace(e, accuracy=noise.random()) for e in finished.evaluations)
    assert Promises(replace(finished, evaluations=evaluations), costs).networks("macs", float("inf"), 3) == []


def test_a_limit_at_the_cheapest_network_promises_that_one() -> None:
    """Of large images, where a step of cost is a million times less than a layer's cost."""
    costs = cost_table(load_space("mobile_64", size=224))
    finished = measured(costs, {op: 0.01 * place for place, op in enumerate(costs.space.layers[0].candidates)})
    least = costs.bounds()[0, 0]
    assert [costs.count([arch])[0, 0] for arch in Promises(finished, costs).networks("macs", least, 3)] == [least]
    assert Promises(finished, costs).networks("macs", least - 1, 3) == []


@pytest.mark.parametrize("share", [0.1, 0.2, 0.3, 0.5, 0.7])
def test_something_is_promised_at_every_budget(share: float) -> None:
    """Costs are rounded to steps; a network that is above the budget by that gives way to one a few steps below."""
    costs = cost_table(load_space("mobile_64"))
    finished = measured(costs, {op: 0.01 * place for place, op in enumerate(costs.space.layers[0].candidates)})
    least, most = costs.bounds()[:, 0]
    budget = least + share * (most - least)
    networks = Promises(finished, costs).networks("macs", budget, 1)
    assert networks
    assert costs.count(networks)[0, 0] <= budget


def test_a_budget_of_parameters_is_kept_where_macs_are_minimised(costs: CostTable) -> None:
    finished = measured(costs, {op: 0.01 * place for place, op in enumerate(costs.space.layers[0].candidates)})
    most = sorted(e.params for e in finished.evaluations)[20]
    networks = Promises(finished, costs).networks("params", most, 2)
    assert networks
    assert costs.count(networks)[:, 1].max() <= most


def test_in_spaces_with_rows_the_best_row_and_its_operations_are_promised() -> None:
    """Accuracy is a sum over layers that run and over rows; the promise is as good as the best that was measured, or better."""
    costs = cost_table(load_space("digits_rows"))
    ops = dict.fromkeys(op for layer in costs.space.layers for op in layer.candidates)
    worth = {op: 0.01 * (place % 7) for place, op in enumerate(ops)}
    finished = measured(costs, worth, number=150)
    most = float(np.median([e.macs for e in finished.evaluations]))
    networks = Promises(finished, costs).networks("macs", most, 3)
    assert networks
    assert all(arch in costs.space for arch in networks)
    assert costs.count(networks)[:, 0].max() <= most
    best = max(e.accuracy for e in finished.evaluations if e.macs <= most)
    assert 0.5 + sum(worth.get(op, 0.0) for op in networks[0].genes) >= best
