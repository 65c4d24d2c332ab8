"""What operations add: the posterior against a second way to compute it, and against made-up truths."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

import numpy as np
import pytest

from evo.strategy.additive import (
    COST_VARIANCE,
    OWN_SHARE,
    Features,
    Measured,
    cost_basis,
    fit_operations,
    gaussian_scores,
)
from evo.strategy.design import candidate_choices
from evo.strategy.effects import operation_effects
from spaces.architecture import Architecture
from spaces.costs.table import CostTable, cost_table
from spaces.space import SearchSpace
from studies.records import Evaluation, LayerChoice, Round


def archs_of(space: SearchSpace, n: int, seed: int = 0) -> list[Architecture]:
    rng = Random(seed)
    return list({space.sample(rng): None for _ in range(2 * n)})[:n]


def measured(table: CostTable, archs: list[Architecture], score: Callable[[Architecture], float]) -> Measured:
    return Measured(archs, table.count(archs)[:, 0], np.array([score(arch) for arch in archs]))


def test_the_posterior_is_that_of_a_weighted_ridge_regression(space: SearchSpace, table: CostTable) -> None:
    """Second source: the same model in the space of weights (Rasmussen & Williams, eq. 2.8), interactions as noise."""
    archs, rng = archs_of(space, 40), np.random.default_rng(0)
    found = measured(table, archs, lambda arch: 0.8 + 0.02 * str(arch).count("k5") + rng.normal(0, 0.01))
    blocks, choices = [layer.block for layer in space.layers], candidate_choices(space)
    posterior = fit_operations(blocks, choices, [found])
    assert posterior is not None

    features, variances = Features(tuple(blocks), tuple(posterior.place)), posterior.variances
    counts, curves = features.counts(archs), cost_basis(found.cost, posterior.centre, posterior.spread)
    columns = np.hstack([curves, *(counts @ term for term in features.terms.values())])
    sizes = [term.shape[1] for term in features.terms.values()]
    prior = np.concatenate(
        [np.full(3, COST_VARIANCE), *(np.full(n, variances[t]) for t, n in zip(features.terms, sizes, strict=True))]
    )
    genes = np.array([arch.genes for arch in archs])
    apart = (genes[:, None] != genes).mean(axis=2)
    noise = variances["noise 0"] * np.eye(40) + variances["interaction"] * np.exp(-4 * apart)
    precision = columns.T @ np.linalg.solve(noise, columns) + np.diag(1 / prior)
    weights = np.linalg.solve(precision, columns.T @ np.linalg.solve(noise, gaussian_scores(found.score)))
    adds = np.hstack(list(features.terms.values())) @ weights[3:]
    assert posterior.mean[:-2] == pytest.approx(adds, abs=1e-4)
    assert posterior.mean[-2:] == pytest.approx(weights[1:3], abs=1e-4)


def test_nothing_is_learned_from_three_networks_or_equal_scores(space: SearchSpace, table: CostTable) -> None:
    blocks = [layer.block for layer in space.layers]
    few = measured(table, archs_of(space, 3), lambda arch: len(str(arch)) / 100)
    alike = measured(table, archs_of(space, 9), lambda arch: 0.5)
    assert fit_operations(blocks, [], [few]) is None
    assert fit_operations(blocks, [], [alike, few]) is None


def finished_round(space: SearchSpace, archs: list[Architecture], score: Callable[[Architecture], float]) -> Round:
    table = cost_table(space)
    evaluations = (
        Evaluation(arch, "made-up", score(arch), macs, params)
        for arch, (macs, params, _) in zip(archs, table.count(archs).tolist(), strict=True)
    )
    return Round(1, space, tuple(evaluations), costs=table)


def test_an_effect_is_in_units_of_the_score_and_its_interval_holds_it(space: SearchSpace) -> None:
    """One point for every kernel of 5, whatever it costs."""
    rng = np.random.default_rng(1)
    finished = finished_round(
        space, archs_of(space, 120), lambda arch: 0.7 + 0.01 * str(arch).count("k5") + rng.normal(0, 0.002)
    )
    effects = operation_effects(finished)
    for i, layer in enumerate(space.layers):
        mean = 0.01 * np.mean(["k5" in op for op in layer.candidates])
        for op in layer.candidates:
            effect = effects[i, op]
            assert effect.estimate == pytest.approx(0.01 * ("k5" in op) - mean, abs=0.004)
            assert effect.low is not None
            assert effect.high is not None
            assert effect.low < effect.estimate < effect.high


def test_a_layer_without_candidates_adds_nothing(space: SearchSpace) -> None:
    """NSE may leave one empty."""
    first, *others = space.layers
    empty = space.replace_layers([replace(first, candidates=(), skippable=True), *others])
    archs = [Architecture(("skip", *arch.genes[1:])) for arch in archs_of(space, 40)]
    finished = finished_round(empty, archs, lambda arch: 0.7 + 0.01 * str(arch).count("k5"))
    assert {i for i, _ in operation_effects(finished)} == set(range(1, len(space.layers)))


def test_intervals_hold_the_truth_about_as_often_as_they_say(space: SearchSpace) -> None:
    held = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        adds: dict[LayerChoice, float] = {choice: rng.normal(0, 0.01) for choice in candidate_choices(space)}

        def score(arch: Architecture, adds: dict[LayerChoice, float] = adds, rng: np.random.Generator = rng) -> float:
            return 0.7 + sum(adds[i, gene] for i, gene in enumerate(arch.genes)) + rng.normal(0, 0.01)

        effects = operation_effects(finished_round(space, archs_of(space, 60, seed), score))
        for i, layer in enumerate(space.layers):
            mean = np.mean([adds[i, op] for op in layer.candidates])
            for op in layer.candidates:
                low, high = effects[i, op].low, effects[i, op].high
                assert low is not None
                assert high is not None
                held.append(low <= adds[i, op] - mean <= high)
    assert 0.85 < np.mean(held) <= 1.0


def test_what_was_never_measured_is_known_less_well(space: SearchSpace) -> None:
    archs = [arch for arch in archs_of(space, 200) if arch.genes[1] != "mb_k5_e6"][:60]
    effects = operation_effects(finished_round(space, archs, lambda arch: 0.7 + 0.01 * str(arch).count("k5")))
    widths = {op: (e.high or 0) - (e.low or 0) for (i, op), e in effects.items() if i == 1}
    assert effects[1, "mb_k5_e6"].measured == 0
    assert widths["mb_k5_e6"] == max(widths.values())
    assert all(effects[1, op].measured > 0 for op in widths if op != "mb_k5_e6")


def test_a_round_to_come_is_known_less_well_than_the_last_where_rounds_differ(
    space: SearchSpace, table: CostTable
) -> None:
    """After one round, a third of what seems to separate operations may be its own; where rounds agree, ahead is as now."""
    found = measured(table, archs_of(space, 60), lambda arch: 0.7 + 0.01 * str(arch).count("k5"))
    blocks, choices = [layer.block for layer in space.layers], candidate_choices(space)
    here = [choice for choice in choices if choice[0] == 1]

    def contrasts(**how: bool) -> np.ndarray:
        posterior = fit_operations(blocks, choices, [found], **how)
        assert posterior is not None
        return np.array(posterior.contrasts(here))

    now, ahead = contrasts(differ=True), contrasts(differ=True, ahead=True)
    assert ahead[:, 0] == pytest.approx((1 - OWN_SHARE) * now[:, 0], rel=1e-3)
    assert (ahead[:, 1] > now[:, 1]).all()
    assert contrasts() == pytest.approx(contrasts(ahead=True))


def test_rounds_that_contradict_each_other_are_found_to_differ(space: SearchSpace, table: CostTable) -> None:
    """Kernels of 5 are good in one round and bad in the next."""
    blocks, choices = [layer.block for layer in space.layers], candidate_choices(space)
    first, second = (
        measured(table, archs_of(space, 60, seed), lambda arch, sign=sign: 0.7 + sign * str(arch).count("k5"))
        for seed, sign in ((0, 0.01), (1, -0.01))
    )
    agreeing = fit_operations(blocks, choices, [first, first], differ=True)
    opposed = fit_operations(blocks, choices, [first, second], differ=True)
    assert agreeing is not None
    assert opposed is not None
    assert agreeing.own < OWN_SHARE < opposed.own
