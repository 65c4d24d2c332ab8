"""A round's statistics as columns."""

from __future__ import annotations

from typing import Any

import pytest

from studies.database.statistics import STATISTICS, columns_of

BY_ACCURACY, BY_LOSS = {"tau": 0.5, "tau_macs": 0.25}, {"tau": 0.75, "tau_macs": 0.25}


def test_a_round_that_runs_has_none() -> None:
    assert columns_of({}) == {name: None for columns in STATISTICS.values() for name in columns}


def test_seconds_are_summed_by_purpose() -> None:
    seconds = {"fitting": 1.0, "proposing": 2.0, "evaluating": 4.0, "storing": 8.0, "truth": 16.0}
    found = columns_of({"front": 3, "truth": None, "seconds": seconds, "macs": None})
    assert found == {
        "front_size": 3, "tau": None, "tau_macs": None,
        "fitting_seconds": 1.0, "searching_seconds": 14.0, "truth_seconds": 16.0,
        "training_macs": None, "scoring_macs": None, "truth_macs": None,
    }  # fmt: skip
    assert columns_of({"seconds": {"searching": 5.0}})["searching_seconds"] == 5.0  # as release 0.1 kept it at first


def test_macs_are_columns_by_purpose() -> None:
    found = columns_of({"macs": {"training": 6e9, "scoring": 1e9, "truth": 0.0}})
    assert (found["training_macs"], found["scoring_macs"], found["truth_macs"]) == (6e9, 1e9, 0.0)


@pytest.mark.parametrize(
    ("truth", "tau"),
    [
        ({"accuracy": BY_ACCURACY, "nll": None}, 0.5),
        ({"accuracy": BY_ACCURACY, "nll": BY_LOSS, "objective": "accuracy"}, 0.5),
        ({"accuracy": BY_ACCURACY, "nll": BY_LOSS, "objective": "likelihood"}, 0.75),
        ({"accuracy": BY_ACCURACY, "nll": None, "objective": "likelihood"}, 0.5),
    ],
)
def test_tau_is_that_of_what_the_search_went_by(truth: dict[str, Any], tau: float) -> None:
    found = columns_of({"truth": truth, "seconds": {}})
    assert (found["tau"], found["tau_macs"]) == (tau, 0.25)
