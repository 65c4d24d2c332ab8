"""The method `evidence`: what is dropped, and what stays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from evo.methods.evidence import AddPromising, AsGoodAsBest, evidence
from evo.strategy.additive import Posterior
from evo.strategy.design import covering_networks
from evo.strategy.effects import operation_effects
from evo.strategy.nsga2 import CandidateFilter
from spaces.architecture import Architecture
from spaces.costs.table import cost_table
from spaces.library.named_spaces import load_space
from spaces.operations.neighbours import neighbours
from spaces.space import SearchSpace
from studies.config import ConfigError, EvidenceEvolution, check_config
from studies.records import Evaluation, EvoError, Round

CONFIG = check_config(
    {"space": {"name": "digits"}, "evaluator": {"kind": "oneshot"}, "evolution": {"method": "evidence"}}, "test"
)
METHOD = evidence(EvidenceEvolution(method="evidence"), CONFIG)


def search_of(space: SearchSpace, score: Callable[[Architecture, float], float], n: int = 60, number: int = 1) -> Round:
    """A round that measured ``n`` networks spread over cost and operations."""
    table = cost_table(space)
    archs = covering_networks(CandidateFilter(space, table, {}), n, Random(number), "macs")
    return measured(space, archs, score, number)


def measured(
    space: SearchSpace, archs: list[Architecture], score: Callable[[Architecture, float], float], number: int = 1
) -> Round:
    table = cost_table(space)
    evaluations = (
        Evaluation(arch, "made-up", score(arch, macs), macs, params)
        for arch, (macs, params, _) in zip(archs, table.count(archs).tolist(), strict=True)
    )
    return Round(number, space, tuple(evaluations), costs=table)


def planted(bad: str, seed: int = 0) -> Callable[[Architecture, float], float]:
    """Accuracy rises with MACs; every ``bad`` costs two points, whatever the layer; half a point of noise."""
    rng = np.random.default_rng(seed)
    return lambda arch, macs: (
        0.7 + 0.05 * np.log(macs / 1e5) - 0.02 * arch.genes.count(bad) + float(rng.normal(0, 0.005))
    )


@pytest.mark.parametrize("bad", ["mb_k3_e3", "mb_k5_e6"])
def test_a_bad_operation_is_dropped_and_the_equal_ones_mostly_stay(space: SearchSpace, bad: str) -> None:
    step = METHOD(search_of(space, planted(bad)), Random(0))
    dropped = [op for change in space.diff(step.space) for op in change.dropped]
    assert dropped.count(bad) >= 6  # of 7 layers
    assert len(dropped) - dropped.count(bad) <= 0.35 * sum(len(layer.candidates) - 1 for layer in space.layers)


def test_what_was_never_measured_stays(space: SearchSpace) -> None:
    finished = search_of(space, planted("mb_k3_e3"))
    unseen = Round(
        1, space, tuple(e for e in finished.evaluations if e.arch.genes[2] != "mb_k5_e6"), costs=finished.costs
    )
    step = METHOD(unseen, Random(0))
    assert step.ratings[2, "mb_k5_e6"] >= 0.5
    assert "mb_k5_e6" in step.space.layers[2].candidates


def test_an_operation_that_only_cheap_networks_need_stays() -> None:
    """Score is what layers add, and MACs by themselves are worth nothing. The cheap operation adds least, and a network within
    a small budget cannot do without it."""
    adds = {"mb_k3_e1": 0.0, "mb_k3_e3": 0.010, "mb_k3_e6": 0.013, "mb_k5_e3": -0.005}
    layers = [replace(layer, candidates=tuple(adds)) for layer in load_space("digits").layers]
    space, rng = load_space("digits").replace_layers(layers), np.random.default_rng(0)
    finished = search_of(
        space, lambda arch, _: 0.7 + sum(map(adds.__getitem__, arch.genes)) + float(rng.normal(0, 0.002))
    )
    step = METHOD(finished, Random(0))
    effects = operation_effects(finished)
    for i, layer in enumerate(step.space.layers):
        high = effects[i, "mb_k3_e1"].high
        assert high is not None
        assert "mb_k3_e1" in layer.candidates
        assert "mb_k5_e3" not in layer.candidates


def test_earlier_rounds_count(space: SearchSpace) -> None:
    """What the first round has shown still holds when the second measured next to nothing."""
    first = search_of(space, planted("mb_k3_e3"))
    second = search_of(space, planted("mb_k3_e3", seed=1), n=8, number=2)
    alone, both = (
        AsGoodAsBest()(second),
        AsGoodAsBest()(Round(2, space, second.evaluations, costs=second.costs, earlier=(first,))),
    )
    bad = [(i, op) for i, op in both if op == "mb_k3_e3"]
    assert np.mean([both[choice] for choice in bad]) < np.mean([alone[choice] for choice in bad]) - 0.1


def test_noise_drops_nothing(space: SearchSpace) -> None:
    """Where operations do not predict the scores, there is no evidence: seven of eight noisy rounds at least drop nothing."""
    silent = 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        finished = search_of(space, lambda arch, macs, rng=rng: 0.5 + float(rng.normal(0, 0.1)), n=24, number=seed + 1)
        silent += METHOD(finished, Random(0)).space == space
    assert silent >= 7


def test_a_layer_is_filled_with_the_most_promising() -> None:
    space = load_space("digits")
    layers = [replace(layer, candidates=layer.candidates[:2], pending=layer.candidates[2:4]) for layer in space.layers]
    small = space.replace_layers(layers)
    ratings = {
        (i, op): 0.5 + 0.1 * k
        for i, layer in enumerate(layers)
        for k, op in enumerate((*layer.candidates, *layer.pending))
    }
    filled = AddPromising(3, 0.25)(small, ratings, Random(0))
    for before, after in zip(small.layers, filled.layers, strict=True):
        assert after.candidates == (*before.candidates, before.pending[1])
        assert after.pending == before.pending[:1]


def test_zooming_looks_between_the_coarse_operations(space: SearchSpace) -> None:
    assert neighbours("mb_k3_e3") == ("mb_k5_e3", "mb_k3_e2", "mb_k3_e4")
    assert neighbours("mb_k3_e1_se25") == ("mb_k5_e1_se25", "mb_k3_e2_se25")
    assert neighbours("mb_k5_h72") == ("mb_k3_h72", "mb_k7_h72")  # its channels are no multiple of the input's
    assert neighbours("id") == neighbours("proj") == ()
    section = EvidenceEvolution(method="evidence", k=9, zoom=True)
    step = evidence(section, CONFIG)(search_of(space, planted("mb_k3_e3")), Random(0))
    added = {op for change in space.diff(step.space) for op in change.added}
    assert added <= {near for layer in space.layers for op in layer.candidates for near in neighbours(op)}
    assert added
    assert all(len(layer.candidates) <= 9 for layer in step.space.layers)
    assert cost_table(step.space).bounds()[1, 0] > 0


def test_a_bad_row_and_a_bad_operation_are_dropped_and_the_best_ones_stay() -> None:
    """At equal MACs one row of the second block costs three points, and one operation costs one wherever it runs."""
    space, rng = load_space("digits_rows"), np.random.default_rng(0)
    start = space.variant_blocks[1].start
    bad_row, bad = space.layers[start].candidates[1], space.layers[1].candidates[0]

    def score(arch: Architecture, macs: float) -> float:
        lost = 0.03 * (arch.genes[start] == bad_row) + 0.01 * arch.genes.count(bad)
        return 0.7 + 0.05 * float(np.log(macs / 1e5)) - lost + float(rng.normal(0, 0.003))

    draw = Random(0)
    step = METHOD(measured(space, [space.sample(draw) for _ in range(80)], score), Random(0))
    dropped = [change.dropped for change in space.diff(step.space)]
    assert bad_row in dropped[start]
    assert sum(bad in here for here in dropped) >= 3
    assert all(layer.candidates for layer in step.space.layers)


def test_ratings_do_not_depend_on_the_number_of_cores() -> None:
    """Most of these operations were never measured, so their effects are alike, and eigenvectors turn at the last digit."""
    space, draw = load_space("rows_28"), Random(0)
    archs = [space.sample(draw) for _ in range(40)]
    finished = measured(space, archs, lambda arch, macs: 0.5 + 0.01 * str(arch).count("k5") + 1e-8 * macs)
    found = []
    for cores in (1, 2):
        with threadpool_limits(cores):
            found.append(AsGoodAsBest()(finished))
    assert found[0] == found[1]


def test_draws_hardly_move_when_a_sum_is_rounded_otherwise() -> None:
    """A covariance of equal variances, and the same with its last digits changed, as another processor may change them."""
    rng = np.random.default_rng(0)
    block = np.full((40, 40), 0.3) + 0.7 * np.eye(40)
    posterior = Posterior({}, np.zeros(40), block, 1.0, 0.0, 1.0, {}, 0.0, 1.0, 9)
    noise = 1e-15 * rng.standard_normal((40, 40))
    other = replace(posterior, covariance=block + noise + noise.T)
    first, second = (one.draw(64, np.random.default_rng(1)) for one in (posterior, other))
    assert abs(first - second).max() < 1e-12
    assert np.cov(posterior.draw(200_000, rng).T) == pytest.approx(block, abs=0.02)


def test_spaces_of_branches_are_refused(space: SearchSpace) -> None:
    with pytest.raises(EvoError, match="one operation per layer"):
        METHOD.prepare(load_space("nse_27"), Random(0))
    assert METHOD.prepare(space, Random(0)) is space


def test_zoom_without_k_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"evolution\.k"):
        check_config(
            {**CONFIG.model_dump(), "evolution": {"method": "evidence", "zoom": True}},
            "test",
        )
