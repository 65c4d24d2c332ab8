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


several = st.integers(2, 3).flatmap(
    lambda costs: st.lists(st.tuples(*[st.integers(0, 4)] * (costs + 1)), min_size=1, max_size=20)
)


@given(several)
def test_ranks_with_several_costs_are_those_of_peeling_front_after_front(points: list[tuple[int, ...]]) -> None:
    table = np.array(points)
    costs, accuracy = table[:, :-1], table[:, -1]
    left, rank, depth = set(range(len(points))), np.zeros(len(points), int), 0
    while left:
        depth += 1
        front = {i for i in left if not any(_beats(points[j], points[i]) for j in left)}
        rank[list(front)] = depth
        left -= front
    assert nondomination_ranks(costs, accuracy).tolist() == rank.tolist()


def _beats(p: tuple[int, ...], q: tuple[int, ...]) -> bool:
    return all(a <= b for a, b in zip(p[:-1], q[:-1], strict=True)) and p[-1] >= q[-1] and p != q


@pytest.mark.parametrize("costs_of_each", [2, 3])
def test_hypervolume_with_several_costs_agrees_with_optuna(costs_of_each: int) -> None:
    rng = np.random.default_rng(0)
    cost, accuracy = rng.random((60, costs_of_each)), rng.random(60)
    most = np.array([0.9, 0.8, 0.7])[:costs_of_each]
    inside = (cost < most).all(axis=1) & (accuracy > 0.1)
    points = np.column_stack([cost, -accuracy])[inside]
    expected = compute_hypervolume(points, np.append(most, -0.1)) / most.prod() / 0.9
    assert hypervolume(cost, accuracy, max_cost=most, min_accuracy=0.1) == pytest.approx(expected)


@given(several)
def test_the_trace_with_several_costs_is_the_hypervolume_of_each_beginning(points: list[tuple[int, ...]]) -> None:
    table = np.array(points) / 4
    costs, accuracy, most = table[:, :-1], table[:, -1], (0.9,) * (table.shape[1] - 1)
    trace = hypervolume_trace(costs, accuracy, max_cost=most, min_accuracy=0.2)
    for n in range(1, len(points) + 1):
        expected = hypervolume(costs[:n], accuracy[:n], max_cost=most, min_accuracy=0.2)
        assert trace[n - 1] == pytest.approx(expected, abs=1e-12)


def test_one_cost_in_a_column_is_one_cost() -> None:
    rng = np.random.default_rng(3)
    cost, accuracy = rng.random(30), rng.random(30)
    assert hypervolume(cost[:, None], accuracy, max_cost=(0.8,)) == pytest.approx(
        hypervolume(cost, accuracy, max_cost=0.8)
    )


def test_limits_must_be_as_many_as_costs() -> None:
    with pytest.raises(ValueError, match="expected one limit for each cost"):
        hypervolume(np.ones((3, 2)), np.ones(3), max_cost=1.0)
