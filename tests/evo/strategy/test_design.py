"""The first networks: spread over cost, and over all operations."""

from __future__ import annotations

from collections import Counter
from random import Random

import numpy as np

from evo.strategy.design import candidate_choices, choices_of, covering_networks, networks_to_cover
from evo.strategy.nsga2 import CandidateFilter
from spaces.architecture import Architecture
from spaces.costs.table import CostTable
from spaces.space import SearchSpace
from studies.records import LayerChoice


def operations_of(networks: list[Architecture]) -> set[LayerChoice]:
    return {choice for arch in networks for choice in choices_of(arch)}


def test_all_operations_are_measured_and_about_evenly(space: SearchSpace, table: CostTable) -> None:
    n = networks_to_cover(space, [])
    networks = covering_networks(CandidateFilter(space, table, {}), n, Random(0), "macs")
    times = Counter(choice for arch in networks for choice in choices_of(arch))
    assert n == 10  # seven operations, and a third more
    assert len(set(networks)) == n
    assert all(1 <= times[choice] <= 4 for choice in candidate_choices(space))


def test_cost_is_spread_too(space: SearchSpace, table: CostTable) -> None:
    networks = covering_networks(CandidateFilter(space, table, {}), 20, Random(0), "macs")
    costs = table.count(networks)[:, 0]
    least, most = table.bounds()[:, 0]
    assert np.histogram(costs, bins=5, range=(least, most))[0].min() >= 2


def test_limits_hold_and_what_is_known_counts(space: SearchSpace, table: CostTable) -> None:
    limits = {"macs": (100_000.0, 200_000.0)}
    candidates = CandidateFilter(space, table, limits)
    networks = covering_networks(candidates, 12, Random(1), "macs")
    assert candidates.feasible(networks).all()
    assert networks_to_cover(space, operations_of(networks)) < networks_to_cover(space, [])
    covered = covering_networks(CandidateFilter(space, table, {}), 12, Random(1), "macs")
    assert networks_to_cover(space, operations_of(covered)) == 0


def test_only_what_can_be_measured_is_chosen(space: SearchSpace, table: CostTable) -> None:
    rng = Random(0)
    measurable = {space.sample(rng) for _ in range(3000)}
    candidates = CandidateFilter(space, table, {}, measurable=measurable)
    assert set(covering_networks(candidates, 10, Random(0), "macs")) <= measurable
