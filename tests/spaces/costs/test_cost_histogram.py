"""The list of architectures by cost: every one stands in it once, wherever it is asked for."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from spaces.costs.benchmark_tables import additive_costs
from spaces.costs.cost_histogram import CostHistogram
from spaces.costs.table import COLUMNS, PEAKS, cost_table
from spaces.layer import Head, Layer, Shape, Stem
from spaces.library.named_spaces import load_space
from spaces.space import SearchSpace
from tests.spaces.costs.test_sampling import OPS, small_space, table_of

SPACES = {
    "four layers": small_space((OPS[:3], OPS[2:], OPS[1:5], OPS[3:])),
    "two branches": small_space((OPS[:3], OPS[3:]), branches=2),
}


@pytest.mark.parametrize("cost", [name for name in COLUMNS if name not in PEAKS])
@pytest.mark.parametrize("name", SPACES)
def test_ranks_list_every_architecture_once(name: str, cost: str) -> None:
    """Against all combinations of genes, sorted by bucket and then gene by gene."""
    table = table_of(SPACES[name])
    buckets = CostHistogram.of(table, cost)
    every = np.array(list(product(*(range(len(layer.genes)) for layer in table.layers))))
    bucket = sum(steps[every[:, layer]] for layer, steps in enumerate(buckets.steps))
    expected = every[np.lexsort((*every.T[::-1], bucket))]
    assert buckets.unrank(-np.inf, np.inf, np.arange(len(every))).tolist() == expected.tolist()
    some = np.array([5, 0, len(every) - 1])
    assert buckets.unrank(-np.inf, np.inf, some).tolist() == expected[some].tolist()


def test_ranks_within_limits_are_those_that_are_counted() -> None:
    """A block with rows: what may follow a row depends on it."""
    table = cost_table(load_space("digits_rows"))
    buckets = CostHistogram.of(table, "macs")
    low, high = np.quantile(table.bounds()[:, 0], [0.02, 0.06])
    count = int(buckets.count(low, high))
    places = buckets.unrank(low, high, np.arange(count))
    archs = [tuple(layer.genes[i] for layer, i in zip(table.layers, row, strict=True)) for row in places]
    assert len(set(archs)) == count > 100
    assert all(table.space.from_qualified_genes(genes) in table.space for genes in archs)


@pytest.mark.parametrize("unit", [2.0**62, 2.0**70, 1e299])
def test_costs_beyond_every_whole_number_are_counted_in_buckets(unit: float) -> None:
    layers = tuple(Layer(Shape(1, 1, 2, 1), ("a", "b", "c")) for _ in range(2))
    space = SearchSpace("large", layers, Stem(1, stride=1, kernel=1, c_in=1, size=1), Head(0, 1))
    archs = list(space.enumerate())
    costs = [unit * (1 + arch.genes.count("b") + 2 * arch.genes.count("c")) for arch in archs]
    buckets = CostHistogram.of(additive_costs(space, archs, costs).table, "macs")
    assert buckets.count(-np.inf, np.inf) == 9
    assert buckets.count(-np.inf, 1.5 * unit) == 1
