"""Did searching pay: the numbers against scipy's own, and what is said of them."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from scipy import stats

from analysis.no_search import Arm, Charge, NoSearch

PICK, UNIFORM, RANDOM = (0.91, 0.93, 0.92, 0.95), (0.90, 0.91, 0.92, 0.93), (0.92, 0.89, 0.95, 0.94)


def arm(name: str, accuracies: tuple[float, ...]) -> Arm:
    return Arm(name, f"a network of {name}", "a|b", 2e5, 1e4, accuracies)


def compared(pick: tuple[float, ...], **baselines: tuple[float, ...]) -> NoSearch:
    arms = tuple(arm(name, found) for name, found in baselines.items())
    return NoSearch("tiny", 200, len(pick), arm("pick", pick), arms, Charge(12, 3e9, 60.0))


def test_intervals_are_students() -> None:
    found = arm("pick", PICK)
    expected = stats.t.interval(0.95, len(PICK) - 1, np.mean(PICK), stats.sem(PICK))
    assert found.mean == pytest.approx(np.mean(PICK))
    assert found.interval == pytest.approx(expected)


def test_an_interval_ends_where_accuracies_do() -> None:
    assert arm("pick", (0.8, 0.9, 1.0)).interval == (pytest.approx(0.9 - 0.2484, abs=1e-3), 1.0)
    assert arm("pick", (0.9, 1.0)).interval is None


def test_differences_are_paired_by_seed_and_never_narrower_than_students() -> None:
    differs = compared(PICK, uniform=UNIFORM).difference(arm("uniform", UNIFORM))
    low, high = stats.ttest_rel(PICK, UNIFORM).confidence_interval(0.95)
    assert differs.mean == pytest.approx(np.mean(PICK) - np.mean(UNIFORM))
    assert differs.interval is not None
    assert differs.interval[0] <= low + 1e-12
    assert differs.interval[1] >= high - 1e-12


AHEAD, BEHIND = (0.99, 0.985, 0.99, 0.995), (0.80, 0.82, 0.81, 0.83)


@pytest.mark.parametrize(
    ("baselines", "conclusion"),
    [
        ({"uniform": BEHIND}, "Searching paid: the pick is better than uniform."),
        ({"uniform": BEHIND, "random": BEHIND}, "Searching paid: the pick is better than uniform and random."),
        (
            {"uniform": AHEAD, "random": BEHIND},
            "Searching did not pay: without any search, uniform did better than the pick.",
        ),
        (
            {"uniform": RANDOM, "random": BEHIND, "mobilenet_v2": BEHIND},
            "It is not shown that searching paid: uniform is not shown to differ from the pick, which is better than "
            "random and mobilenet_v2.",
        ),
        (
            {"random": RANDOM, "uniform": RANDOM},
            "It is not shown that searching paid: random and uniform are not shown to differ from the pick.",
        ),
    ],
)
def test_the_conclusion_claims_no_more_than_the_intervals(
    baselines: dict[str, tuple[float, ...]], conclusion: str
) -> None:
    assert compared(PICK, **baselines).conclusion() == conclusion


def test_of_two_seeds_nothing_is_concluded() -> None:
    found = compared((0.9, 0.91), uniform=(0.5, 0.51))
    assert found.conclusion() == "Nothing can be concluded from 2 seeds: repeat with --seeds 3 or more."
    assert found.to_dict()["networks"][1]["difference_low"] is None
    assert found.cells()[1][-2:] == ["+40.00", "-"]


def test_the_table_and_the_cost_are_told() -> None:
    text = str(compared(PICK, uniform=UNIFORM))
    rows = [re.split("  +", line) for line in text.splitlines()]
    assert rows[1] == ["pick", "a network of pick", "200k", "10k", "92.75%", "90.03% to 95.47%"]
    assert rows[2][:-1] == ["uniform", "a network of uniform", "200k", "10k", "91.50%", "89.45% to 93.55%", "+1.25"]
    assert "The 12 trainings took 3G MACs and 60 seconds." in text
    assert "on 200 held-out images, over 4 seeds; no test image was used" in text


def test_it_is_plain_data() -> None:
    data = json.loads(json.dumps(compared(PICK, uniform=UNIFORM).to_dict()))
    assert [row["name"] for row in data["networks"]] == ["pick", "uniform"]
    assert data["networks"][0]["difference"] is None
    assert data["networks"][1]["conclusion"] == "no difference shown"
    assert (data["trainings"], data["training_macs"], data["training_seconds"]) == (12, 3e9, 60.0)
