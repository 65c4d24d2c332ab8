"""Sampling within limits of cost: every draw inside, every feasible architecture reached, and equally often."""

from __future__ import annotations

import re
from collections import Counter
from itertools import product
from random import Random
from time import perf_counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spaces.architecture import IDENTITIES, Architecture
from spaces.costs.memory import PRECISIONS
from spaces.costs.sampling import sample_rows_evenly, sample_stratified, sample_uniform
from spaces.costs.table import COLUMNS, PEAKS, CostTable, cost_table
from spaces.layer import Head, Layer, Shape, Stem
from spaces.library.named_spaces import load_space
from spaces.library.nse import nse_space
from spaces.space import SearchSpace, canonical_arch

OPS = ("mb_k3_e1", "mb_k3_e3", "mb_k5_e3", "mb_k5_e6", "proj", "id")


class Milliseconds:
    """A latency that is no whole number and not in step with the MACs."""

    def operation(self, op: str, shape: Shape) -> float:
        return 0.0 if op in IDENTITIES else 0.1 + sum(map(int, re.findall(r"\d", op))) / 7 + shape.c_out / 300

    def fixed(self, space: SearchSpace) -> float:
        return 0.3


def small_space(candidates: tuple[tuple[str, ...], ...], branches: int = 1) -> SearchSpace:
    stem = Stem(8, stride=1, size=8)
    layers = tuple(Layer(Shape(8, 8, 1, 8), ops, branches=branches, skippable=branches > 1) for ops in candidates)
    return SearchSpace("small", layers, stem, Head(0, 10))


def everything(space: SearchSpace) -> list[Architecture]:
    return [Architecture(genes) for genes in product(*(layer.genes for layer in space.layers))]


def table_of(space: SearchSpace) -> CostTable:
    return cost_table(space, latency=Milliseconds(), target=PRECISIONS["int8"])


candidates = st.sets(st.sampled_from(OPS), min_size=1, max_size=3).map(sorted).map(tuple)
spaces = st.builds(small_space, st.lists(candidates, min_size=1, max_size=4).map(tuple), st.integers(1, 2))


@settings(max_examples=40, deadline=None)
@given(spaces, st.sampled_from(COLUMNS), st.tuples(st.floats(0, 1), st.floats(0, 1)), st.integers(0, 99))
def test_draws_reach_exactly_the_feasible_networks(
    space: SearchSpace, cost: str, shares: tuple[float, float], seed: int
) -> None:
    table, archs = table_of(space), everything(space)
    costs = table.count(archs)[:, COLUMNS.index(cost)]
    low, high = np.quantile(costs, sorted(shares), method="nearest")
    feasible = {canonical_arch(arch, space) for arch, c in zip(archs, costs, strict=True) if low <= c <= high}
    drawn = sample_uniform(table, len(archs), Random(seed), limits={cost: (low, high)})
    assert {canonical_arch(arch, space) for arch in drawn} == feasible
    assert len(drawn) == len(feasible)
    assert all(arch in space for arch in drawn)


def assert_equally_often(table: CostTable, quantiles: dict[str, tuple[float, float]], each: int = 40) -> None:
    """Draws one by one, ``each`` times as often as architectures lie in the limits, and asks chi-square."""
    archs = everything(table.space)
    costs = dict(zip(COLUMNS, table.count(archs).T, strict=True))
    limits = {cost: tuple(np.quantile(costs[cost], shares)) for cost, shares in quantiles.items()}
    inside = np.all([(costs[cost] >= low) & (costs[cost] <= high) for cost, (low, high) in limits.items()], axis=0)
    feasible = [arch for arch, ok in zip(archs, inside, strict=True) if ok]
    rng = Random(1)
    times = Counter(sample_uniform(table, 1, rng, limits=limits)[0] for _ in range(each * len(feasible)))
    assert set(times) == set(feasible)
    chi_square = sum((times[arch] - each) ** 2 / each for arch in feasible)
    freedom = len(feasible) - 1
    assert freedom > 3
    assert abs(chi_square - freedom) < 4 * np.sqrt(2 * freedom)


@pytest.mark.parametrize("listable", [0, 4096], ids=["drawn", "listed"])
@pytest.mark.parametrize("cost", COLUMNS)
def test_every_feasible_architecture_is_drawn_equally_often(
    cost: str, listable: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spaces.costs.sampling.MAX_LISTED", listable)
    monkeypatch.setattr(
        "spaces.costs.cost_histogram.MAX_BINS", 50
    )  # coarse, so that the edges of the limit cut through buckets
    assert_equally_often(table_of(small_space((OPS[:3], OPS[1:4], OPS[2:]))), {cost: (0.3, 0.8)})


def test_tilting_towards_a_second_window_favours_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spaces.costs.sampling.MAX_LISTED", 0)
    monkeypatch.setattr("spaces.costs.sampling.RARE", 1.0)  # tilt always
    table = table_of(small_space((OPS[:3], OPS[1:4], OPS[2:])))
    assert_equally_often(table, {"macs": (0.0, 0.6), "latency_ms": (0.55, 1.0)})


def test_several_windows_hold_at_once() -> None:
    space = load_space("pad_nas_large")
    table = table_of(space)
    limits = {"macs": (300e6, 310e6), "params": (4.0e6, 4.5e6), "latency_ms": (25.0, 30.0), "memory_kb": (0.0, 960.0)}
    costs = table.count(sample_uniform(table, 50, Random(0), limits=limits))
    assert len(costs) == 50
    for name, (low, high) in limits.items():
        column = costs[:, COLUMNS.index(name)]
        assert low <= column.min() <= column.max() <= high


def test_a_window_of_one_value_in_a_space_of_1e27() -> None:
    table = table_of(load_space("pad_nas_large"))
    found = sample_uniform(table, 5, Random(0), limits={"macs": (270_925_824, 270_925_824)})
    assert table.count(found)[:, 0].tolist() == [270_925_824] * 5


def test_a_branch_set_is_one_gene() -> None:
    pool = ("mb_k3_e1", "mb_k3_e6", "mb_k5_e3", "mb_k7_e3", "rec_k5_e2")
    space = nse_space(pool, "NER", [1, 3, 3, 3, 3, 3], [16, 24, 40, 80, 96, 192, 320])
    found = sample_uniform(cost_table(space), 20, Random(0), limits={"macs": (300e6, 350e6)})
    assert [arch in space for arch in found] == [True] * 20


@pytest.mark.parametrize("name", ["digits", "nas_bench_macro", "pad_nas_large", "dna"])
@pytest.mark.parametrize("cost", [name for name in COLUMNS if name not in PEAKS])
def test_strata_are_even(name: str, cost: str) -> None:
    space = load_space(name)
    table, n = table_of(space), 12
    found = sample_stratified(table, n, Random(3), cost=cost)
    assert len({canonical_arch(arch, space) for arch in found}) == n
    least, most = table.bounds()[:, COLUMNS.index(cost)]
    stratum = (table.count(found)[:, COLUMNS.index(cost)] - least) / (most - least) * n
    assert [min(int(s + 1e-9), n - 1) for s in stratum] == list(range(n))


def test_strata_stay_in_the_windows_and_give_their_turn_to_neighbours() -> None:
    space = load_space("nas_bench_macro")
    table = cost_table(space)
    limits = {"macs": (20e6, 60e6), "params": (0.0, 1.5e6)}  # no network of 55M MACs has so few parameters
    costs = table.count(sample_stratified(table, 16, Random(0), limits=limits))
    assert len(costs) == 16
    assert 20e6 <= costs[:, 0].min() <= 22.5e6
    assert costs[:, 0].max() <= 60e6
    assert costs[:, 1].max() <= 1.5e6
    assert max(Counter(int((macs - 20e6) / 2.5e6) for macs in costs[:, 0]).values()) <= 2


def test_a_small_space_gives_all_its_networks_once() -> None:
    space = small_space((("mb_k3_e1", "id"), ("mb_k3_e1", "id")))
    assert space.size == 4
    assert len(sample_uniform(cost_table(space), 9, Random(0))) == 3
    assert len(sample_stratified(cost_table(space), 9, Random(0))) == 3


def test_the_seed_decides() -> None:
    table = cost_table(load_space("dna"))
    assert (
        sample_stratified(table, 8, Random(5))
        == sample_stratified(table, 8, Random(5))
        != sample_stratified(table, 8, Random(6))
    )
    assert (
        sample_uniform(table, 8, Random(5))
        == sample_uniform(table, 8, Random(5))
        != sample_uniform(table, 8, Random(6))
    )


def test_an_empty_window_says_what_the_space_has() -> None:
    table = cost_table(load_space("nas_bench_macro"))
    with pytest.raises(ValueError, match=r"with macs in \[1, 2\] .* macs from 7.71328e\+06 to 1.*e\+08"):
        sample_uniform(table, 3, Random(0), limits={"macs": (1, 2)})
    with pytest.raises(ValueError, match="no architecture of 'nas_bench_macro' with macs"):
        sample_stratified(table, 3, Random(0), limits={"macs": (1e9, 2e9)})
    with pytest.raises(ValueError, match="no architecture"):
        sample_uniform(table, 3, Random(0), limits={"macs": (0, 1e7), "params": (3e6, 4e6)})


def test_an_impossible_window_is_refused() -> None:
    table = cost_table(load_space("digits"))
    with pytest.raises(ValueError, match="unknown cost 'flops'; known: macs, params, latency_ms"):
        sample_uniform(table, 3, Random(0), limits={"flops": (1, 2)})
    with pytest.raises(ValueError, match=r"the limit of macs is \[2, 1\]: expected the least first"):
        sample_stratified(table, 3, Random(0), limits={"macs": (2, 1)})


def test_the_largest_space_is_counted_in_a_moment() -> None:
    table = cost_table(load_space("pad_nas_large"))
    start = perf_counter()
    sample_stratified(table, 20, Random(0))
    assert perf_counter() - start < 0.5


def test_the_only_architecture_is_found_at_its_very_cost_though_sums_are_rounded() -> None:
    for ops in product(OPS[:4], repeat=2):
        table = table_of(small_space(tuple((op,) for op in ops)))
        cost = float(table.count([Architecture(ops)])[0, 2])
        assert sample_uniform(table, 1, Random(0), limits={"latency_ms": (cost, cost)}) == [Architecture(ops)]


def test_rows_are_drawn_evenly_and_spread_over_cost() -> None:
    """Of all strings nearly all have the deepest rows; of these networks no row has more than twice its share."""
    space = load_space("digits_rows")
    table, start = cost_table(space), space.variant_blocks[0].start
    archs = sample_rows_evenly(table, 120, Random(0))
    rows = space.layers[start].candidates
    shares = [sum(arch.genes[start] == row for arch in archs) / 120 for row in rows]
    assert max(shares) < 2 / len(rows)
    assert min(shares) > 0.5 / len(rows)
    costs = table.count(archs)[:, 0]
    assert (np.diff(costs) >= 0).all()
    assert np.diff(costs).max() < 0.1 * (costs[-1] - costs[0])
    assert len(set(archs)) == 120
    assert archs == sample_rows_evenly(table, 120, Random(0))


def test_where_few_rows_keep_the_limits_others_are_drawn_as_well() -> None:
    space = load_space("digits_rows")
    table = cost_table(space)
    least = table.bounds()[0, 0]
    archs = sample_rows_evenly(table, 40, Random(0), limits={"macs": (least, 1.15 * least)})
    assert archs
    assert table.count(archs)[:, 0].max() <= 1.15 * least
    assert len(set(archs)) == len(archs)
