"""Fronts, ranks and hypervolume, against brute force and Optuna's own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna._hypervolume import compute_hypervolume

from studies.pareto import hypervolume, hypervolume_trace, nondomination_ranks, on_front

points = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=25)


def dominates(p: tuple[int, int], q: tuple[int, int]) -> bool:
    return p[0] <= q[0] and p[1] >= q[1] and p != q


def peeled(points: list[tuple[int, int]]) -> list[int]:
    rank, left, depth = [0] * len(points), set(range(len(points))), 0
    while left:
        depth += 1
        front = {i for i in left if not any(dominates(points[j], points[i]) for j in left)}
        for i in front:
            rank[i] = depth
        left -= front
    return rank


@given(points)
def test_ranks_are_those_of_peeling_front_after_front(points: list[tuple[int, int]]) -> None:
    cost, accuracy = zip(*points, strict=True)
    assert nondomination_ranks(cost, accuracy).tolist() == peeled(points)


def test_the_front_keeps_equal_points_and_drops_dominated_ones() -> None:
    assert on_front([1, 2, 2, 3, 1], [0.5, 0.7, 0.7, 0.6, 0.4]).tolist() == [True, True, True, False, False]


def test_hypervolume_of_a_staircase_by_hand() -> None:
    # (cost 2, accuracy .5) and (4, .75) in the box up to cost 10: 2 x .5 + 6 x .75 = 5.5 of 10
    assert hypervolume([2, 4], [0.5, 0.75], max_cost=10) == pytest.approx(0.55)
    # above a floor of .25: 2 x .25 + 6 x .5 = 3.5 of 7.5
    assert hypervolume([2, 4], [0.5, 0.75], max_cost=10, min_accuracy=0.25) == pytest.approx(3.5 / 7.5)


def test_points_outside_the_box_count_nothing() -> None:
    assert hypervolume([11, 2], [0.9, 0.1], max_cost=10, min_accuracy=0.2) == 0
    assert hypervolume([], [], max_cost=10) == 0


def test_hypervolume_agrees_with_optuna() -> None:
    rng = np.random.default_rng(0)
    cost, accuracy = rng.random(200), rng.random(200)
    inside = (cost < 0.9) & (accuracy > 0.1)
    expected = compute_hypervolume(np.column_stack([cost, -accuracy])[inside], np.array([0.9, -0.1])) / 0.81
    assert hypervolume(cost, accuracy, max_cost=0.9, min_accuracy=0.1) == pytest.approx(expected)


def test_the_trace_is_the_hypervolume_of_every_prefix() -> None:
    rng = np.random.default_rng(1)
    cost, accuracy = rng.random(30), rng.random(30)
    expected = [hypervolume(cost[:n], accuracy[:n], max_cost=0.8) for n in range(1, 31)]
    assert hypervolume_trace(cost, accuracy, max_cost=0.8).tolist() == pytest.approx(expected)
