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
from evo.workers.protocol import Evaluate, EvaluationsLostError
from spaces.architecture import Architecture
from spaces.costs.table import CostTable
from studies.records import Evaluation, EvoError

MIN_FOR_COMMON_FAILURE = 3
"""That fewer networks than these fail for one reason may be chance."""

MAX_REASON_LENGTH = 300
"""Characters of a reason."""


def guarded(evaluate: Evaluate, table: CostTable, seconds: float | None = None) -> Ask:
    """Asks judges through ``evaluate``; an architecture may take ``seconds``, if that is limited.

    Raises (when asked):
        EvoError: the judge says that files or settings are wrong, or all architectures failed for one reason.
    """

    def ask(judge: Judge, archs: Sequence[Architecture]) -> list[Evaluation]:
        attempt = GuardedJudge(judge)
        try:
            answers = evaluate(attempt, archs, seconds)
        except EvaluationsLostError as lost:
            answers = [
                lost.answers[place] if place in lost.answers else failed_evaluation(judge, arch, lost.reasons[place])
                for place, arch in enumerate(archs)
            ]
        reasons = {answer.failed for answer in answers}
        if len(archs) >= MIN_FOR_COMMON_FAILURE and len(reasons) == 1 and "" not in reasons:
            raise EvoError(
                f"all {len(archs)} networks of a generation failed, and all for one reason: {reasons.pop()}. None of them "
                "was recorded; run the same command again when the reason is removed"
            )
        return [with_costs([answer], table)[0] if answer.failed else answer for answer in answers]

    return ask


@dataclass(frozen=True)
class GuardedJudge:
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
            return [failed_evaluation(self.judge, archs[0], describe_error(error), time.perf_counter() - started)]

    def _checked(self, arch: Architecture, answer: Evaluation) -> Evaluation:
        for name, number in (("accuracy", answer.accuracy), ("nll", answer.nll)):
            if number is not None and not math.isfinite(number):
                return failed_evaluation(self.judge, arch, f"its {name} is {number}", answer.seconds)
        return answer


def failed_evaluation(judge: Judge, arch: Architecture, reason: str, seconds: float = 0.0) -> Evaluation:
    """What a judge could not say, without costs."""
    return Evaluation(arch, judge.name, math.nan, macs=0, params=0, seconds=seconds, failed=reason)


def describe_error(error: Exception) -> str:
    """An error in one line, and where it was raised."""
    if isinstance(error, EvoError):
        return str(error)
    where = traceback.extract_tb(error.__traceback__)[-1]
    message = " ".join(f"{type(error).__name__}: {error}".split())[:MAX_REASON_LENGTH]
    return f"{message} ({Path(where.filename).name}, line {where.lineno})"
