"""An evaluator that fails costs one trial: which architecture it was is found out, and why is remembered.

Whatever a judge raises about an architecture, a number that is none, too long a wait, a process that dies again and again:
the trial has failed. Files and settings (an ``EvoError``) are nobody's fault but theirs and stop the run at once, and so
does a generation that fails as one: a set-up that is broken is no search.
"""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evo.evaluators import Ask, Judge, with_costs
from evo.training.loop import DivergedError
from evo.workers.protocol import Evaluate, LostError
from spaces.architecture import Architecture
from spaces.costs.table import CostTable
from studies.records import Evaluation, EvoError

FEW = 3
"""That fewer networks than these fail for one reason may be chance."""

LONGEST = 300
"""Characters of a reason."""


def careful(evaluate: Evaluate, table: CostTable, seconds: float | None = None) -> Ask:
    """Asks judges through ``evaluate``; an architecture may take ``seconds``, if that is limited.

    Raises (when asked):
        EvoError: the judge says that files or settings are wrong, or all architectures failed for one reason.
    """

    def ask(judge: Judge, archs: Sequence[Architecture]) -> list[Evaluation]:
        attempt = Attempt(judge)
        try:
            answers = evaluate(attempt, archs, seconds)
        except LostError as lost:
            answers = [
                lost.found[place] if place in lost.found else failure(judge, arch, lost.reasons[place])
                for place, arch in enumerate(archs)
            ]
        reasons = {answer.failed for answer in answers}
        if len(archs) >= FEW and len(reasons) == 1 and "" not in reasons:
            raise EvoError(
                f"all {len(archs)} networks of a generation failed, and all for one reason: {reasons.pop()}. None of them "
                "was recorded; run the same command again when the reason is removed"
            )
        return [with_costs([answer], table)[0] if answer.failed else answer for answer in answers]

    return ask


@dataclass(frozen=True)
class Attempt:
    """A judge that always answers: where it raises, its architectures are asked for one by one."""

    judge: Judge

    def __call__(self, archs: Sequence[Architecture]) -> list[Evaluation]:
        started = time.perf_counter()
        try:
            answers = self.judge(archs)
            return [self._checked(arch, answer) for arch, answer in zip(archs, answers, strict=True)]
        except Exception as error:
            if isinstance(error, EvoError) and not isinstance(error, DivergedError):
                raise
            if len(archs) != 1:
                return [answer for arch in archs for answer in self([arch])]
            return [failure(self.judge, archs[0], told(error), time.perf_counter() - started)]

    def _checked(self, arch: Architecture, answer: Evaluation) -> Evaluation:
        for name, number in (("accuracy", answer.accuracy), ("nll", answer.nll)):
            if number is not None and not math.isfinite(number):
                return failure(self.judge, arch, f"its {name} is {number}", answer.seconds)
        return answer


def failure(judge: Judge, arch: Architecture, reason: str, seconds: float = 0.0) -> Evaluation:
    """What a judge could not say, without costs."""
    return Evaluation(arch, judge.name, math.nan, macs=0, params=0, seconds=seconds, failed=reason)


def told(error: Exception) -> str:
    """An error in one line, and where it was raised."""
    if isinstance(error, EvoError):
        return str(error)
    where = traceback.extract_tb(error.__traceback__)[-1]
    said = " ".join(f"{type(error).__name__}: {error}".split())[:LONGEST]
    return f"{said} ({Path(where.filename).name}, line {where.lineno})"
