"""A table that has moods: an evaluator that raises, says NaN, hangs, dies or is slow, about the same few architectures."""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from evo.evaluators import Evaluator, FitContext, Judge, WrappedJudge
from spaces.architecture import Architecture
from spaces.space import SearchSpace
from studies.config import StudyConfig
from studies.records import Evaluation


def raising(evaluation: Evaluation) -> Evaluation:
    raise RuntimeError("an illegal memory access was encountered")


def saying_nan(evaluation: Evaluation) -> Evaluation:
    return replace(evaluation, accuracy=math.nan)


def hanging(evaluation: Evaluation) -> Evaluation:
    time.sleep(3600)
    return evaluation


def dying(evaluation: Evaluation) -> Evaluation:
    os.kill(os.getpid(), signal.SIGKILL)
    return evaluation


def slow(evaluation: Evaluation) -> Evaluation:
    time.sleep(0.05)
    return evaluation


Mood = Callable[[Evaluation], Evaluation]


def culprit(arch: Architecture) -> bool:
    """Whether an architecture is one of the few (one of eight)."""
    return sha256(str(arch).encode()).digest()[0] % 8 == 0


def anyone(arch: Architecture) -> bool:
    return True


@dataclass(frozen=True)
class Moody:
    """An evaluator, and its judge, in a mood about those whom it ``concerns``."""

    calm: Evaluator
    mood: Mood
    concerns: Callable[[Architecture], bool]

    def fit(self, space: SearchSpace, context: FitContext) -> Judge:
        return MoodyJudge(self.calm.fit(space, context), self.mood, self.concerns)


@dataclass(frozen=True)
class MoodyJudge(WrappedJudge):
    mood: Mood
    concerns: Callable[[Architecture], bool]

    def __call__(self, archs: Sequence[Architecture]) -> list[Evaluation]:
        return [self.mood(answer) if self.concerns(answer.arch) else answer for answer in self.judge(archs)]


def in_mood(mood: Mood, concerns: Callable[[Architecture], bool] = culprit) -> Callable[[], None]:
    """What puts this process's tables into a mood. What workers do not need is imported here."""
    from evo.evaluators.registry import EVALUATORS
    from evo.evaluators.tabular import tabular

    def moody(config: StudyConfig, space: SearchSpace) -> Evaluator:
        return Moody(tabular(config, space), mood, concerns)

    return lambda: EVALUATORS.update(tabular=moody)
