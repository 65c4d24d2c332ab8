"""Memory and flash: by hand, and against the tensors and weights that torch has."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest

from spaces.architecture import Architecture
from spaces.costs.cost_histogram import CostHistogram
from spaces.costs.memory import PRECISIONS, Schedule, precision_named
from spaces.costs.sampling import sample_stratified
from spaces.costs.table import COLUMNS, cost_table, count_costs
from spaces.errors import SpaceError
from spaces.layer import Head, Layer, Shape, Stem
from spaces.library.named_spaces import load_space
from spaces.operations.cells import Alphabet, random_cell
from spaces.space import SearchSpace
from spaces.variants import input_op
from tests.spaces.costs.live_tensors import folded_sizes, live_kb

INT8, FLOAT = PRECISIONS["int8"], PRECISIONS["float32"]

OPS = (
    *("mb_k3_e3", "mb_k5_e6_relu6", "mb_k3_e3_se25_swish", "mb_k3_e2_hse8_hswish", "conv_k3_e2", "dual_k3_e1_seh50"),
    *(
        "rec_k5_e2",
        "fused_k3_e1",
        "fused_k3_e3_swish",
        "basic_k3_e2_sc",
        "basic_k3_e1_se25",
        "proj",
        "mb_k3_e3_d2_g2x2",
    ),
)
"""One of each kind, and of each option."""


def small(
    ops: tuple[str, ...], merge: str = "residual", branches: int = 1, pool: int = 1, hidden: int = 0
) -> SearchSpace:
    """A layer that halves the image, and one that may add its input."""
    layers = (
        Layer(Shape(8, 16, 2, 12), ops, branches=branches),
        Layer(Shape(16, 16, 1, 6), ops, branches=branches, skippable=True),
    )
    stem = Stem(8, stride=1, kernel=3, activation="swish", c_in=3, size=12 * pool, pool=pool)
    return SearchSpace("small", layers, stem, Head(24, 10, hidden=hidden), merge)


def with_cells() -> SearchSpace:
    rng = Random(4)
    cells = [str(random_cell(Alphabet(activation=activation), rng)) for activation in ("relu", "swish") * 6]
    return small(tuple(dict.fromkeys(cells)))


SPACES = {
    "chains": small(OPS),
    "with ReLU behind sums, pooled, two linear layers": small(OPS, "residual_relu", pool=2, hidden=20),
    "branches": small(OPS[:6], branches=3),
    "mean of branches": small(OPS[3:9], "mean", branches=3),
    "cells": with_cells(),
    "rows": load_space("rows_28"),
    "padded as TensorFlow does": replace(
        small(OPS),
        stem=replace(small(OPS).stem, padding="same"),
        layers=tuple(replace(layer, shape=replace(layer.shape, padding="same")) for layer in small(OPS).layers),
    ),
    "table of sizes": (
        lambda space: space.replace_layers(
            [
                Layer(Shape(8, 8, 1, 12), (input_op(12), input_op((6, 9)), input_op(12, (8, 8)))[:2], block="input"),
                *space.layers,
            ]
        )
    )(replace(small(OPS[:5]), layers=tuple(replace(layer, skippable=False) for layer in small(OPS[:5]).layers))),
    "digits": load_space("digits"),
}


def networks(space: SearchSpace, number: int = 8) -> list[Architecture]:
    rng = Random(1)
    return list(dict.fromkeys(space.sample(rng) for _ in range(number)))


@pytest.mark.parametrize("name", SPACES)
def test_memory_is_what_torch_has_alive(name: str) -> None:
    space = SPACES[name]
    archs = networks(space)
    counted = cost_table(space, target=FLOAT).count(archs)[:, COLUMNS.index("memory_kb")]
    assert counted.tolist() == [live_kb(space, arch) for arch in archs]
    assert counted.tolist() == [count_costs(space, arch, target=FLOAT).memory_kb for arch in archs]


@pytest.mark.parametrize("name", SPACES)
def test_flash_is_the_weights_that_torch_has(name: str) -> None:
    space = SPACES[name]
    archs = networks(space, 3)
    for precision in (INT8, FLOAT):
        counted = cost_table(space, target=precision).count(archs)[:, COLUMNS.index("flash_kb")]
        for arch, own in zip(archs, counted.tolist(), strict=True):
            weights, biases, scales = map(sum, zip(*folded_sizes(space, arch), strict=True))
            expected = weights * precision.weight + biases * precision.bias + scales * precision.scale
            assert own == pytest.approx(expected / 1024, rel=1e-12)
            assert own == pytest.approx(count_costs(space, arch, target=precision).flash_kb, rel=1e-12)


def test_mobilenet_v2_by_hand() -> None:
    """Its crowd is where the second layer halves the image: 96 channels of 112 x 112 pixels, and 96 of 56 x 56."""
    space = load_space("mobilenet_v2")
    arch = Architecture(tuple(layer.candidates[0] for layer in space.layers))
    assert count_costs(space, arch, target=INT8).memory_kb == (96 * 112**2 + 96 * 56**2) / 1024
    assert count_costs(space, arch, target=FLOAT).memory_kb == 4 * (96 * 112**2 + 96 * 56**2) / 1024
    assert count_costs(space, arch).memory_kb == 0


def test_what_waits_is_counted_and_what_nobody_reads_is_not() -> None:
    schedule = Schedule()
    x = schedule.given(10)
    wide = schedule.step((x,), 60)
    narrow = schedule.step((wide,), 10)
    total = schedule.step((narrow, x), 10, in_place=True)
    assert schedule.peak((total,)) == 10 + 60 + 10
    assert schedule.peak((total, x)) == 10 + 60 + 10
    again = schedule.step((total,), 60)
    assert schedule.peak((again,)) == 80
    assert schedule.peak((again, wide)) == 10 + 60 + 60
    assert schedule.peak((again, wide, narrow, x)) == 10 + 60 + 10 + 10 + 60


def test_an_input_that_is_read_again_is_not_overwritten() -> None:
    schedule = Schedule()
    x = schedule.given(10)
    y = schedule.step((x, x), 10, in_place=True)
    assert schedule.peak((y,)) == 10
    assert schedule.peak((x, y)) == 20


@pytest.mark.parametrize("name", ["chains", "branches", "mean of branches", "cells", "table of sizes"])
def test_bounds_are_the_least_and_the_most_there_is(name: str) -> None:
    space = SPACES[name]
    table = cost_table(space, target=INT8)
    costs = table.count(space.enumerate())
    assert table.bounds()[:, 3:] == pytest.approx(np.array([costs.min(axis=0), costs.max(axis=0)])[:, 3:], rel=1e-12)


def test_bounds_with_rows_enclose_all_and_are_reached() -> None:
    table = cost_table(load_space("digits_rows"), target=INT8)
    peaks = table.count(networks(table.space, 3000))[:, 4]
    assert table.bounds()[:, 4].tolist() == [peaks.min(), peaks.max()]


def test_a_slice_needs_what_its_layers_need() -> None:
    space = load_space("rich_28")
    table = cost_table(space, target=INT8)
    for arch in networks(space, 4):
        parts = [table.slice(*place).count([Architecture(arch.genes[slice(*place)])])[0, 4] for place in space.blocks]
        assert max(*parts, table.memory.fixed if table.memory else 0.0) == table.count([arch])[0, 4]


def test_a_table_for_no_device_has_the_columns_of_before() -> None:
    table = cost_table(load_space("digits"))
    assert table.columns == ("macs", "params", "latency_ms")
    assert table.bounds().shape == (2, 3)
    assert table.count(networks(table.space, 2)).shape[1] == 3
    with pytest.raises(SpaceError, match="unknown cost 'memory_kb'; known: macs, params, latency_ms$"):
        sample_stratified(table, 2, Random(0), limits={"memory_kb": (0, 3)})


def test_networks_are_not_spread_over_a_peak() -> None:
    with pytest.raises(SpaceError, match="memory_kb is a peak and no sum over layers"):
        sample_stratified(cost_table(load_space("digits"), target=INT8), 2, Random(0), cost="memory_kb")


@pytest.mark.parametrize("name", ["chains", "branches", "table of sizes"])
def test_a_limit_of_memory_leaves_exactly_the_networks_inside(name: str) -> None:
    table = cost_table(SPACES[name], target=INT8)
    peaks = table.count(table.space.enumerate())[:, 4]
    for most in np.quantile(peaks, [0.02, 0.3, 0.9], method="nearest").tolist():
        counted = CostHistogram.of(table, "macs", limits={"memory_kb": (0.0, most)}).count(-np.inf, np.inf)
        assert counted == (peaks <= most).sum() > 0


def test_a_tight_limit_of_memory_is_met_with_others() -> None:
    table = cost_table(load_space("pad_nas_large"), target=INT8)
    least = float(table.bounds()[0, 4])
    found = sample_stratified(table, 24, Random(0), limits={"memory_kb": (0.0, least), "macs": (0.0, 300e6)})
    counted = table.count(found)
    assert len(found) == 24
    assert counted[:, 4].tolist() == [least] * 24
    assert counted[:, 0].max() <= 300e6
    with pytest.raises(SpaceError, match=rf"memory_kb in \[0, 587\] was found; .* memory_kb from {least:g} to 1470"):
        sample_stratified(table, 4, Random(0), limits={"memory_kb": (0.0, 587.0)})


def test_an_unknown_precision_is_told() -> None:
    with pytest.raises(SpaceError, match="unknown precision 'int4' of the device; known: int8, float32"):
        precision_named("int4")
