"""Evaluators, fitted and asked on a device, each a small one of its kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from evo.evaluators import FitContext
from evo.evaluators.registry import evaluator_of
from evo.round.new_run import prepared_space
from spaces.costs.table import cost_table
from studies.config import StudyConfig
from tests.accelerator.steps import Watch

SCORING = "scoring"
"""What ``Watch.steps`` calls the one call of a judge that is watched."""


def judged(config: Callable[[str], StudyConfig], folder: Path) -> Callable[[str, Watch], Any]:
    """What fits the evaluator of ``config(device)`` and has it judge some architectures; gives all that it says."""

    def work(device: str, watch: Watch) -> Any:
        settings = config(device)
        space, place = prepared_space(settings), folder / f"{device}-{len(list(folder.iterdir()))}"
        place.mkdir()
        context = FitContext(1, 5, cost_table(space), place, track=watch.track)
        judge = evaluator_of(settings, space).fit(space, context)
        rng = Random(0)
        archs = [judge.space.sample(rng) for _ in range(6)]
        judge(archs[:1])  # opens what it needs
        with watch.during(SCORING):
            answers = judge(archs)
        return [(str(answer.arch), answer.accuracy, answer.nll) for answer in answers], sorted(judge.ratings.items())

    return work
