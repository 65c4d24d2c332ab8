"""Early stopping on several objectives: a generation trains from rung to rung, and what is confidently dominated stops.

Successive halving (https://arxiv.org/abs/1502.07943) stops a fixed share by one score; Optuna's pruners refuse
more. Here costs are known exactly and accuracy up to noise, so a network is compared with those that cost no more, at the same
rung. All networks reach a rung before any is stopped at it, so the result does not depend on the number of workers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evo.evaluators import Ask, Judge
from spaces.architecture import Architecture
from studies import pareto
from studies.records import Evaluation, costs_array

CONFIDENCE = 2.0
"""A difference of so many standard errors is not taken for noise."""

NEAR_FRONT = 2
"""Nondomination ranks up to this one are never stopped: the front of a rung is not yet the front."""


class PausingJudge(Protocol):
    """A judge whose training may pause.

    Attributes:
        rungs: epochs after which training may pause, ascending; ``epochs``: of a whole training.
        images: how many validation images an accuracy is measured on.
    """

    @property
    def rungs(self) -> tuple[int, ...]: ...

    @property
    def epochs(self) -> int: ...

    @property
    def images(self) -> int: ...

    def until_rung(self, epochs: int) -> Judge:
        """The same judge, answering after so many epochs."""
        ...

    def discard_progress(self, archs: Sequence[Architecture]) -> None:
        """Remove what waited at rungs of these architectures; others may be in training."""
        ...


def train_in_rungs(
    judge: PausingJudge, archs: Sequence[Architecture], ask: Ask, earlier: Sequence[Evaluation], costs: Sequence[str]
) -> list[Evaluation]:
    """One evaluation per architecture, in order, after its whole training, or ``pruned`` or ``failed`` on the way.

    Args:
        earlier: what the round measured before, whose accuracies at the same rungs count too.
        costs: the names of what is minimised.
    """
    evaluations: dict[int, Evaluation] = {}
    running = list(range(len(archs)))
    for epochs in (*judge.rungs, judge.epochs):
        answers = ask(judge.until_rung(epochs), [archs[i] for i in running])
        for i, answer in zip(running, answers, strict=True):
            paused = ((epochs, answer.accuracy),) if epochs < judge.epochs and not answer.failed else ()
            before = evaluations.get(i, replace(answer, seconds=0.0))
            evaluations[i] = replace(answer, rungs=before.rungs + paused, seconds=before.seconds + answer.seconds)
        running = [i for i in running if not evaluations[i].failed]
        if epochs < judge.epochs and running:
            here = [evaluations[i] for i in running] + [e for e in earlier if epochs in dict(e.rungs)]
            stopped = confidently_dominated(
                costs_array(here, costs), [dict(e.rungs)[epochs] for e in here], judge.images
            )
            for i in [i for i, stop in zip(running, stopped[: len(running)].tolist(), strict=True) if stop]:
                evaluations[i] = replace(evaluations[i], pruned=True)
                running.remove(i)
    judge.discard_progress(archs)
    return [evaluations[i] for i in range(len(archs))]


def confidently_dominated(cost: ArrayLike, accuracy: ArrayLike, images: int) -> NDArray[np.bool_]:
    """Which points are confidently dominated at their cost, ``(n,)``, none of them near the front.

    The best accuracy at no more cost (of several costs: at no more of each) is better by more than ``CONFIDENCE`` standard
    errors of a difference of two binomials. Both are measured on the same ``images``, which makes the difference surer.
    """
    costs, own = np.asarray(cost, float), np.asarray(accuracy, float)
    if costs.ndim == 1:
        order = np.argsort(costs)
        best = np.maximum.accumulate(own[order])[np.searchsorted(costs[order], costs, side="right") - 1]
    else:
        best = np.array([own[(costs <= point).all(axis=1)].max() for point in costs])
    error = np.sqrt((own * (1 - own) + best * (1 - best)) / images)
    return np.asarray((best - own > CONFIDENCE * error) & (pareto.nondomination_ranks(costs, own) > NEAR_FRONT))


def epochs_saved(judge: PausingJudge, evaluations: Sequence[Evaluation]) -> int:
    """Epochs that were not trained because their architectures had been stopped."""
    return sum(judge.epochs - e.rungs[-1][0] for e in evaluations if e.pruned)
