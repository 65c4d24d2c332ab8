"""A failing evaluation costs one trial: the architecture that failed is isolated, and the reason is recorded.

A trial fails if the judge raises an exception for its architecture, gives a number that is not finite, takes too long, or
crashes its process repeatedly. An ``EvoError``, which means wrong files or settings, stops the run at once, and so does a
generation in which all architectures fail for one reason. Memory that is full and devices that fail are no architecture's
fault: the first is tried again with less at a time, and stops the run where that does not help; the second ends the process.
"""

from __future__ import annotations

import gc
import math
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from evo.evaluators import Ask, Judge, with_costs
from evo.training.loop import DivergedError
from evo.workers.protocol import Evaluate, EvaluationsLostError
from spaces.architecture import Architecture
from spaces.costs.table import CostTable
from spaces.errors import device_error_in_words, is_lost_device, is_out_of_memory
from studies.records import Evaluation, EvoError

MIN_FOR_COMMON_FAILURE = 3
"""Fewer networks that fail for one reason are taken for chance."""

MAX_REASON_LENGTH = 300
"""Characters of a reason."""


def guarded(evaluate: Evaluate, table: CostTable, seconds: float | None = None) -> Ask:
    """An ``Ask`` that sends judges through ``evaluate`` and turns failures into failed evaluations.

    Args:
        table: exact costs, for the failed architectures.
        seconds: time limit per architecture; None: unlimited.

    Raises (when asked):
        EvoError: the judge reports wrong files or settings, or all architectures failed for one reason.
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
    """A judge that always answers: if it raises for several architectures, they are evaluated one by one.

    Raises (when called):
        EvoError: the judge reports wrong files or settings, or there is not enough memory for one architecture.
        torch.AcceleratorError: the device has failed.
    """

    judge: Judge

    def __call__(self, archs: Sequence[Architecture]) -> list[Evaluation]:
        try:
            return self._ask(archs)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        free_memory()  # the error is gone, whose frames held what did not fit
        if len(archs) != 1:
            return self._one_by_one(archs)
        try:
            return self._ask(archs)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise EvoError(f"{archs[0]} cannot be measured: {device_error_in_words(error)}") from error

    def _ask(self, archs: Sequence[Architecture]) -> list[Evaluation]:
        started = time.perf_counter()
        try:
            answers = self.judge(archs)
            return [self._checked(arch, answer) for arch, answer in zip(archs, answers, strict=True)]
        except Exception as error:
            if is_out_of_memory(error) or is_lost_device(error):
                raise
            if isinstance(error, EvoError) and not isinstance(error, DivergedError):
                raise
            if len(archs) == 1:
                reason = describe_error(error)
                return [failed_evaluation(self.judge, archs[0], reason, time.perf_counter() - started)]
        return self._one_by_one(archs)

    def _one_by_one(self, archs: Sequence[Architecture]) -> list[Evaluation]:
        return [answer for arch in archs for answer in self([arch])]

    def _checked(self, arch: Architecture, answer: Evaluation) -> Evaluation:
        for name, number in (("accuracy", answer.accuracy), ("nll", answer.nll)):
            if number is not None and not math.isfinite(number):
                return failed_evaluation(self.judge, arch, f"its {name} is {number}", answer.seconds)
        return answer


def free_memory() -> None:
    """Give back what nothing refers to any more, on the devices too."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


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
