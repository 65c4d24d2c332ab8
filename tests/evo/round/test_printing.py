"""What the lines of a round leave unsaid is said below them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from evo.round.printing import remarks_on_scores
from spaces.architecture import Architecture
from studies.records import Evaluation, Proposal

MEASURED = [(0.6, 0.5), (0.7, 0.9), (0.9, 1.2)]
"""Accuracy and negative log-likelihood: the most accurate network is not the likeliest."""


def remarks(objective: str, min_accuracy: float) -> list[str]:
    proposals = [
        Proposal(i, 0, "child", Evaluation(Architecture((str(i),)), "made-up", accuracy, 10 + i, 10, nll=nll))
        for i, (accuracy, nll) in enumerate(MEASURED)
    ]
    store: Any = SimpleNamespace(proposals=lambda row: proposals)
    run: Any = SimpleNamespace(
        config=SimpleNamespace(search=SimpleNamespace(objective=objective)), min_accuracy=min_accuracy
    )
    row: Any = None
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
