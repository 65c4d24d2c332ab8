"""What the lines of a round leave unsaid is said below them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from evo.round.printing import remarks_on_scores
from spaces.architecture import Architecture
from studies import pareto
from studies.records import Evaluation, Proposal

MEASURED = [(0.6, 0.5), (0.7, 0.9), (0.9, 1.2)]
"""Accuracy and negative log-likelihood: the most accurate network is not the likeliest."""


def remarks(
    objective: str,
    min_accuracy: float,
    max_cost: float = 20,
    hypervolume: float | None = None,
    further: tuple[float, ...] = (),
) -> list[str]:
    """Of a round with that hypervolume; not given: the one that its networks have."""
    proposals = [
        Proposal(i, 0, "child", Evaluation(Architecture((str(i),)), "made-up", accuracy, 10 + i, 10, nll=nll))
        for i, (accuracy, nll) in enumerate(MEASURED)
    ]
    store: Any = SimpleNamespace(proposals=lambda row: proposals)
    search = SimpleNamespace(objective=objective, cost="macs", costs=("macs", "params")[: 1 + len(further)])
    config = SimpleNamespace(search=search, measured="accuracy", score=objective)
    run: Any = SimpleNamespace(config=config, min_accuracy=min_accuracy, max_cost=max_cost, further_max_costs=further)
    costs, accuracies = [10, 11, 12], [accuracy for accuracy, _ in MEASURED]
    if hypervolume is None:
        hypervolume = pareto.hypervolume(costs, accuracies, max_cost=max_cost, min_accuracy=min_accuracy)
    row: Any = SimpleNamespace(hypervolume=hypervolume)
    return remarks_on_scores(store, run, row)


def test_best_acc_is_the_fronts_best_by_what_is_maximised() -> None:
    assert remarks("accuracy", 0.0) == []
    (said,) = remarks("likelihood", 0.0)
    assert said == "best acc is that of the network with the highest likelihood; the most accurate one has 90.00%"


@pytest.mark.parametrize("least", [0.9, 0.95])
def test_a_score_that_min_accuracy_hides_is_told(least: float) -> None:
    (said,) = remarks("accuracy", least)
    assert said.startswith(
        f"hypervolume is 0: it counts above search.min_accuracy = {least:g}, and the best score is 0.9000"
    )


def test_costs_above_the_most_are_told() -> None:
    (said,) = remarks("accuracy", 0.0, max_cost=10)
    assert said.startswith(
        "hypervolume is 0: it counts below 10 macs, the most when the run began, and the cheapest network has 10;"
    )


def test_the_side_of_the_box_that_hides_all_is_told() -> None:
    (said,) = remarks("accuracy", 0.0, hypervolume=0.0, further=(10,))  # all have 10 parameters
    assert said.startswith("hypervolume is 0: it counts below 10 params, the most when the run began")


def test_a_hypervolume_that_is_rounded_away_is_told() -> None:
    (said,) = remarks("accuracy", 0.0, max_cost=10.00001)
    assert said.startswith(
        "hypervolume is 6.0e-07: networks score little above search.min_accuracy = 0, or cost nearly"
    )


def test_a_hypervolume_that_shows_is_not_explained() -> None:
    assert remarks("accuracy", 0.0, hypervolume=0.0001) == []
