"""A judge whose scores are estimates of accuracy alone, learned from networks that were trained alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from typing import Any

from analysis.ranking import Truth
from analysis.ranking.calibration import Calibration, cheap
from evo.evaluators import Request, WrappedJudge
from spaces.architecture import Architecture
from studies.records import BredCell, Evaluation, Ratings

VERSION = 1
"""Of the way from a sample to an estimate: another one gives another judge."""


@dataclass(frozen=True)
class CalibratedJudge(WrappedJudge):
    """Answers with the estimates of ``calibration``. They hold as long as the judge inside and the sample do; both are in its
    name."""

    calibration: Calibration = field(repr=False)

    @property
    def name(self) -> str:
        return f"{self.judge.name}+truth:{self._digest}"

    @cached_property
    def _digest(self) -> str:
        """Of all that the estimate follows from."""
        sample = [asdict(witness) for witness in self.calibration.witnesses]
        return sha256(json.dumps([VERSION, self.calibration.reference, sample]).encode()).hexdigest()[:12]

    @property
    def ratings(self) -> Ratings:
        return self.judge.ratings

    @property
    def history(self) -> tuple[BredCell, ...]:
        return self.judge.history

    def __call__(self, archs: Sequence[Architecture]) -> list[Evaluation]:
        return [self._estimated(answer) for answer in self.judge(archs)]

    def suggest(self, request: Request) -> list[tuple[Architecture, str]]:
        return self.judge.suggest(request)

    def stats(self, evaluations: Sequence[Evaluation]) -> Mapping[str, Any]:
        return {**self.judge.stats(evaluations), "calibration": self.calibration.to_dict()}

    def truth(self, seed: int) -> Truth:
        """By leaving pairs out, so that no network speaks for itself."""
        return self.calibration.truth(seed)

    def _estimated(self, answer: Evaluation) -> Evaluation:
        if answer.failed:
            return replace(answer, judge=self.name)
        known = cheap(answer.arch, answer.macs, answer.accuracy, answer.nll)
        estimate = self.calibration.estimate(known)
        return replace(answer, judge=self.name, accuracy=estimate, raw_accuracy=answer.accuracy)
