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
from spaces.layer import Head, Layer, Shape, Stem
from spaces.space import SearchSpace
from studies.config import StudyConfig
from tests.accelerator.steps import Watch

CANDIDATES = ("mb_k3_e3", "mb_k3_e3_se25_swish", "mb_k5_e2", "skip")
SHAPES = (Shape(8, 8, 1, 8), Shape(8, 16, 2, 8), Shape(16, 16, 1, 4))
SPACE = SearchSpace(
    "small",
    tuple(
        Layer(shape, CANDIDATES if shape.is_residual else CANDIDATES[:3], block=f"stage{number}")
        for number, shape in enumerate(SHAPES, start=1)
    ),
    Stem(8, 1, activation="relu", c_in=1, size=8),
    Head(0, 10),
)
"""Of every kind of layer one: with few images, a training takes a part of a second on the pretended device."""

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
        archs, others = ([judge.space.sample(rng) for _ in range(6)] for _ in range(2))
        judge(others)  # opens what it needs
        with watch.during(SCORING):
            answers = judge(archs)
        return [(str(answer.arch), answer.accuracy, answer.nll) for answer in answers], sorted(judge.ratings.items())

    return work
