"""Space evolution: the parts by hand, and what every method promises."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from evo.methods.evidence import AsGoodAsBest
from evo.methods.evolution import Above, Best, Everything, Evolution, Learned, Nothing, Rate, Uniform
from evo.methods.nse import AddNextUnseen, OnFront, RandomSubset
from evo.methods.pad_nas import ShareAmongRanks
from evo.methods.registry import METHODS
from spaces.architecture import Architecture
from spaces.costs.table import cost_table
from spaces.layer import Head, Layer, Shape, Stem
from spaces.space import SearchSpace
from studies.config import (
    AutoSpaceEvolution,
    DnaEvolution,
    EvidenceEvolution,
    FixedEvolution,
    NseEvolution,
    PadNasEvolution,
    StudyConfig,
    check_config,
)
from studies.records import Evaluation, Round
from tests.evo.conftest import made_up

SHAPE = Shape(4, 4, 1, 8)
TWO = SearchSpace("two", (Layer(SHAPE, ("a", "b")), Layer(SHAPE, ("a", "b", "c"))), Stem(4, 1, size=8), Head(0, 2))

SECTIONS: dict[str, Any] = {
    "fixed": FixedEvolution(method="fixed"),
    "pad_nas": PadNasEvolution(method="pad_nas"),
    "nse": NseEvolution(method="nse", k=3),
    "dna": DnaEvolution(method="dna"),
    "autospace": AutoSpaceEvolution(method="autospace", k=3, population=6),
    "evidence": EvidenceEvolution(method="evidence"),
}


CONFIG: StudyConfig = check_config(
    {"space": {"name": "digits"}, "evaluator": {"kind": "oneshot", "cells": {}}, "evolution": {"method": "fixed"}},
    "test",
)


def evaluation(genes: str, accuracy: float, macs: float) -> Evaluation:
    return Evaluation(Architecture.parse(genes), "test", accuracy, macs, params=0)


def ladder(n: int) -> Round:
    """``n`` architectures of one cost in a row of dominance: the i-th has nondomination rank i; the first n-1 are a|a."""
    steps = [evaluation("a|a", 1 - i / 100, 10.0 + i) for i in range(n - 1)]
    return Round(1, TWO, (*steps, evaluation("b|b", 1 - (n - 1) / 100, 10.0 + n - 1)))


def test_ranks_below_the_threshold_count_and_the_threshold_itself_does_not() -> None:
    assert ladder(10).ranks.tolist() == list(range(1, 11))
    assert ShareAmongRanks(10)(ladder(10))[0, "b"] == 0.0  # rank 10 is out
    assert ShareAmongRanks(10)(ladder(9))[0, "b"] == pytest.approx(1 / 9)  # rank 9 is in


def test_shares_are_per_layer() -> None:
    finished = Round(1, TWO, (evaluation("a|b", 0.5, 1), evaluation("a|c", 0.6, 2), evaluation("b|c", 0.7, 3)))
    assert ShareAmongRanks(2)(finished) == pytest.approx(
        {(0, "a"): 2 / 3, (0, "b"): 1 / 3, (1, "b"): 1 / 3, (1, "c"): 2 / 3}
    )


@pytest.mark.parametrize("rate", [ShareAmongRanks(10), OnFront({})])
def test_what_was_never_measured_is_not_rated_and_stays(rate: Rate) -> None:
    """``a`` stands nowhere in the second layer; ``b`` was measured there, and is not good."""
    steps = [evaluation("a|c", 1 - i / 100, 10.0 + i) for i in range(12)]
    finished = Round(1, TWO, (*steps, evaluation("b|b", 0.1, 40.0)))
    ratings = rate(finished)
    assert (1, "a") not in ratings
    assert ratings[1, "b"] == 0.0
    assert Above(0.0)(TWO, ratings).layers[1].candidates == ("a", "c")


def test_a_share_at_the_threshold_goes_and_above_it_stays() -> None:
    ratings = {(0, "a"): 0.99, (0, "b"): 0.01, (1, "a"): 0.011, (1, "b"): 0.5, (1, "c"): 0.489}
    kept = Above(0.01)(TWO, ratings)
    assert [layer.candidates for layer in kept.layers] == [("a",), ("a", "b", "c")]


def test_a_layer_is_never_emptied() -> None:
    kept = Above(0.9)(TWO, {(0, "a"): 0.2, (0, "b"): 0.3, (1, "a"): 0.0, (1, "b"): 0.9, (1, "c"): 0.95})
    assert [layer.candidates for layer in kept.layers] == [("b",), ("c",)]


def test_a_skippable_layer_may_be_emptied() -> None:
    skippable = TWO.replace_layers([replace(TWO.layers[0], skippable=True), TWO.layers[1]])
    kept = Above(0.5)(skippable, {(0, "a"): 0.0, (0, "b"): 0.0, (1, "a"): 0.0, (1, "b"): 0.0, (1, "c"): 1.0})
    assert [layer.candidates for layer in kept.layers] == [(), ("c",)]


def test_pad_nas_prunes_what_good_architectures_do_not_use() -> None:
    """At the second layer nobody has measured ``c``."""
    step = METHODS["pad_nas"](SECTIONS["pad_nas"], CONFIG)(ladder(12), Random(0))
    assert [layer.candidates for layer in step.space.layers] == [("a",), ("a", "c")]


def test_a_rule_can_be_read() -> None:
    assert str(METHODS["pad_nas"](SECTIONS["pad_nas"], CONFIG)) == (
        "rate by share among nondomination ranks < 10; keep ratings > 0.01; refill nothing"
    )


def test_the_best_of_each_layer_stay_and_of_equals_the_first() -> None:
    ratings = {(0, "a"): -0.5, (0, "b"): -0.4, (1, "a"): -0.3, (1, "b"): -0.9, (1, "c"): -0.3}
    assert Learned()(Round(1, TWO, (), ratings)) == ratings
    assert [layer.candidates for layer in Best(1)(TWO, ratings).layers] == [("b",), ("a",)]
    assert [layer.candidates for layer in Best(2)(TWO, ratings).layers] == [("a", "b"), ("a", "c")]
    assert Best(3)(TWO, ratings) == TWO


# -- NSE --------------------------------------------------------------------------------------------------------------

CELLS = SearchSpace(
    "cells",
    (
        Layer(SHAPE, ("a", "b", "c"), ("d", "e", "f", "g"), branches=7, skippable=True),
        Layer(SHAPE, ("a", "b", "c"), ("d",), branches=7, skippable=True),
    ),
    Stem(4, 1, size=8),
    Head(0, 2),
    merge="mean",
)


def test_nse_keeps_the_union_of_the_front() -> None:
    genes = (("a+b|skip", 0.9, 5), ("b|a", 0.8, 4), ("c|b+c", 0.1, 6))
    finished = Round(1, CELLS, tuple(evaluation(*each) for each in genes))
    ratings = OnFront({})(finished)
    assert {choice for choice, rating in ratings.items() if rating} == {(0, "a"), (0, "b"), (1, "a")}
    assert [layer.candidates for layer in Above(0.0)(CELLS, ratings).layers] == [("a", "b"), ("a",)]


def test_nse_drops_what_its_gates_have_dropped() -> None:
    """No architecture can have it, so none is on the front with it. What is alive and was not measured stays."""
    learned = {(0, "a"): 0.9, (0, "b"): 0.5, (1, "a"): 0.9, (1, "c"): 0.5}  # (0, c) and (1, b) are out
    finished = Round(1, CELLS, (evaluation("a|a", 0.9, 5),), learned)
    ratings = OnFront({})(finished)
    assert ratings == {(0, "a"): 1.0, (1, "a"): 1.0, (0, "c"): 0.0, (1, "b"): 0.0}
    assert [layer.candidates for layer in Above(0.0)(CELLS, ratings).layers] == [("a", "b"), ("a", "c")]
    without = OnFront({})(Round(1, CELLS, finished.evaluations))
    assert without == {(0, "a"): 1.0, (1, "a"): 1.0}  # nothing has learned gates


def test_the_guard_band_shapes_the_front_and_never_enters_it() -> None:
    inside, beaten, guard = evaluation("a|a", 0.9, 12), evaluation("b|b", 0.5, 11), evaluation("c|c", 0.6, 9)
    ratings = OnFront({"macs": (10, 20)})(Round(1, CELLS, (inside, beaten, guard)))
    assert {choice for choice, rating in ratings.items() if rating} == {(0, "a"), (1, "a")}


def test_refill_takes_the_next_unseen_up_to_k_and_removes_nothing() -> None:
    kept = CELLS.replace_layers([replace(CELLS.layers[0], candidates=("b",)), CELLS.layers[1]])
    filled = AddNextUnseen(3)(kept, {}, Random(0))
    assert [(layer.candidates, layer.pending) for layer in filled.layers] == [
        (("b", "d", "e"), ("f", "g")),
        (("a", "b", "c"), ("d",)),
    ]
    full = AddNextUnseen(2)(CELLS, {}, Random(0))
    assert full == CELLS  # kept is larger than k already: nothing is added, nothing removed
    assert AddNextUnseen(9)(CELLS, {}, Random(0)).layers[1].candidates == ("a", "b", "c", "d")


def test_the_order_of_the_pool_is_each_layers_own_and_the_seeds(space: SearchSpace) -> None:
    dealt = RandomSubset(3)(space, Random(1))
    assert dealt == RandomSubset(3)(space, Random(1))
    assert dealt != RandomSubset(3)(space, Random(2))
    assert dealt.merge == "mean"
    orders = {layer.candidates + layer.pending for layer in dealt.layers if len(layer.candidates + layer.pending) == 6}
    assert len(orders) > 1
    for before, after in zip(space.layers, dealt.layers, strict=True):
        assert set(after.candidates + after.pending) == set(before.candidates) - {"id"}
        assert len(after.candidates) == 3
        assert after.skippable == before.shape.is_residual


@pytest.mark.parametrize(("operations", "k", "rounds"), [(27, 5, 6), (19, 6, 3), (72, 5, 17), (3, 5, 1)])
def test_the_papers_round_counts(operations: int, k: int, rounds: int) -> None:
    assert NseEvolution(method="nse", k=k).rounds(operations) == rounds


@pytest.mark.parametrize(
    ("operations", "k", "rounds"), [(27, 5, 7), (19, 6, 4), (72, 5, 18), (3, 5, 1), (5, 5, 1), (6, 5, 2)]
)
def test_rounds_until_every_operation_of_a_pool_has_been_dealt_in(operations: int, k: int, rounds: int) -> None:
    """Counted by refilling layers of which one operation stays each time."""
    section = NseEvolution(method="nse", k=k)
    pool = tuple(f"op{n}" for n in range(operations))
    dealt = TWO.replace_layers(replace(layer, candidates=pool[:k], pending=pool[k:]) for layer in TWO.layers)
    said, counted = section.rounds_until_dealt(dealt), 1
    while dealt.layers[0].pending:
        dealt = dealt.replace_layers(replace(layer, candidates=layer.candidates[-1:]) for layer in dealt.layers)
        dealt, counted = AddNextUnseen(k)(dealt, {}, Random(0)), counted + 1
    assert said == counted == rounds


# -- what every method promises ---------------------------------------------------------------------------------------


@pytest.fixture(params=sorted(METHODS))
def method(request: pytest.FixtureRequest) -> Evolution:
    return METHODS[request.param](SECTIONS[request.param], CONFIG)


@pytest.fixture
def finished(method: Evolution, space: SearchSpace) -> Round:
    rng = Random(0)
    first = method.prepare(space, rng)
    learned = {(i, op): rng.random() for i, layer in enumerate(first.layers) for op in layer.candidates + layer.pending}
    table = cost_table(first)
    return Round(1, first, tuple(made_up(table, [first.sample(rng) for _ in range(60)])), learned, costs=table)


def test_every_method_is_covered_here() -> None:
    assert SECTIONS.keys() == METHODS.keys()


def test_a_method_is_a_pure_function(method: Evolution, finished: Round) -> None:
    before = finished.space.to_json()
    assert method(finished, Random(1)) == method(finished, Random(1))
    assert finished.space.to_json() == before


def test_a_method_keeps_the_macro_architecture(method: Evolution, finished: Round) -> None:
    after = method(finished, Random(1)).space
    assert after.names == finished.space.names
    assert [layer.shape for layer in after.layers] == [layer.shape for layer in finished.space.layers]


def test_a_method_keeps_the_whole_front(method: Evolution, finished: Round) -> None:
    """But where fitness decides, or a posterior, and not the front."""
    if isinstance(method.rate, (Learned, AsGoodAsBest)):
        return
    after = method(finished, Random(1)).space
    assert all(evaluation.arch in after for evaluation in finished.front)


def test_a_method_leaves_something_everywhere_and_only_what_it_was_given(method: Evolution, finished: Round) -> None:
    after = method(finished, Random(1)).space
    for old, new in zip(finished.space.layers, after.layers, strict=True):
        assert new.candidates or new.skippable
        assert set(new.candidates) <= set(old.candidates) | set(old.pending)


def test_a_method_rates_every_candidate(method: Evolution, finished: Round) -> None:
    """But what was never measured."""
    rated = method(finished, Random(1)).ratings
    assert set(rated) >= {(i, op) for i, layer in enumerate(finished.space.layers) for op in layer.candidates}


def test_fixed_changes_nothing() -> None:
    assert Evolution(Uniform(), Everything(), Nothing())(ladder(5), Random(0)).space == TWO
