"""Which network of a front is picked."""

from __future__ import annotations

import pytest

from evo.deliver.selection import knee_point, most_accurate, within_limits
from spaces.architecture import Architecture
from studies.records import Evaluation, EvoError


def front(*points: tuple[float, float]) -> list[Evaluation]:
    return [Evaluation(Architecture((f"op{i}",)), "test", acc, macs, macs / 10) for i, (macs, acc) in enumerate(points)]


BENT = front((1e6, 0.50), (2e6, 0.80), (4e6, 0.85), (16e6, 0.90))


def test_the_best_is_the_most_accurate_and_of_equals_the_cheapest() -> None:
    assert most_accurate(BENT, "macs") is BENT[3]
    equals = front((2e6, 0.9), (1e6, 0.9))
    assert most_accurate(equals, "macs") is equals[1]


def test_limits_hold_for_every_cost_and_include_their_ends() -> None:
    assert within_limits(BENT, {"macs": 4e6}) == BENT[:3]
    assert within_limits(BENT, {"macs": 4e6, "params": 2e5}) == BENT[:2]
    assert within_limits(BENT, {}) == BENT


def test_limits_that_none_keeps_are_answered_with_the_cheapest() -> None:
    with pytest.raises(EvoError, match=r"at most 500k macs: they begin at 1M macs; allow more, or use --scale-to"):
        within_limits(BENT, {"macs": 5e5})


def test_the_knee_is_farthest_above_the_line_between_the_ends() -> None:
    """By hand: log2 of cost is 0, 1, 2, 4 of 4, accuracy 0, .75, .875, 1: above the diagonal by 0, .5, .375, 0."""
    assert knee_point(BENT, "macs") is BENT[1]
    assert knee_point([*BENT[:1], *BENT[2:]], "macs") is BENT[2]


def test_a_front_that_does_not_bend_up_has_no_knee_but_its_best() -> None:
    straight = front((1e6, 0.5), (2e6, 0.6), (4e6, 0.7))
    assert knee_point(straight, "macs") is straight[2]
    assert knee_point(BENT[:2], "macs") is BENT[1]
    assert knee_point(BENT[:1], "macs") is BENT[0]
