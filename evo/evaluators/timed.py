"""Networks timed on a device of the user's before they are judged: what is too slow there is not trained.

What was timed is kept in the library that all runs share, one small file for each network and command, so that an interrupted
run, another round or another run takes the same number.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from math import inf, nan
from pathlib import Path

from evo.evaluators import Judge, with_costs
from evo.evaluators.guard import failed_evaluation
from evo.training.identity import network_sha256
from spaces.architecture import Architecture
from spaces.atomic_files import write_text
from spaces.costs.table import CostTable
from spaces.latency.command import DeviceCommand, MeasurementError
from spaces.latency.networks import FAILURES, time_network
from spaces.space import SearchSpace
from studies.records import Evaluation, EvoError

FOLDER = "latency"
"""Of the library."""


@dataclass(frozen=True)
class Timing:
    """What came of timing a network.

    Attributes:
        milliseconds: None: it could not be timed.
        failed: why the network is not to be judged; empty: it is.
        seconds: what timing it took now.
    """

    milliseconds: float | None
    failed: str = ""
    seconds: float = field(default=0.0, compare=False)

    def on(self, evaluation: Evaluation) -> Evaluation:
        """The evaluation of the same network, with its measured latency and what that took."""
        return replace(evaluation, latency_ms=self.milliseconds, seconds=evaluation.seconds + self.seconds)


@dataclass(frozen=True)
class NetworkTimer:
    """Times networks of a space by a command, one after the other.

    Attributes:
        command: None: the judge tells itself what networks take, when it has judged them.
        limit: the least and the most milliseconds that are allowed; None: any.
        library: where what was timed is kept.
    """

    command: DeviceCommand | None
    space: SearchSpace
    limit: tuple[float, float] | None
    library: Path

    def __call__(self, archs: Sequence[Architecture]) -> list[Timing]:
        """Of each network what it takes, and whether it is to be judged.

        Raises:
            EvoError: so many networks fail one after another that the device is to blame; nothing of them is kept.
        """
        timings: list[Timing] = []
        for arch in archs:
            started = time.perf_counter()
            timing = self._timing(arch)
            timings.append(replace(timing, seconds=time.perf_counter() - started))
            last = timings[-FAILURES:]
            if len(last) == FAILURES and all(timing.milliseconds is None for timing in last):
                raise EvoError(
                    f"latency.command: {FAILURES} networks have failed one after another, the last one: {last[-1].failed}. "
                    "None of their generation was recorded; run the same command again when the reason is removed"
                )
        return timings

    def _timing(self, arch: Architecture) -> Timing:
        path = self._folder / f"{network_sha256(arch, self.space)}.json"
        try:
            found = float(json.loads(path.read_text())["median_ms"]) if path.is_file() else self._measure(arch, path)
        except MeasurementError as error:
            return Timing(None, " ".join(f"its latency could not be measured: {error}".split()))
        return Timing(found, self._outside(found))

    def checked(self, told: Evaluation) -> Evaluation:
        """What a judge tells of a network; outside the limit it has failed."""
        outside = told.latency_ms is not None and self._outside(told.latency_ms)
        return replace(told, accuracy=nan, nll=None, failed=outside) if outside and not told.failed else told

    def _outside(self, milliseconds: float) -> str:
        """Why a network is not allowed to take so long; empty: it is."""
        least, most = self.limit or (0.0, inf)
        if least <= milliseconds <= most:
            return ""
        return f"its measured latency is outside limits.latency_ms, [{least:g}, {most:g}]"

    def _measure(self, arch: Architecture, path: Path) -> float:
        assert self.command is not None
        median, spread = time_network(arch, self.space, self.command)
        path.parent.mkdir(parents=True, exist_ok=True)
        text = {"median_ms": median, "iqr_ms": spread, "command": self.command.command, "runs": self.command.runs}
        write_text(path, json.dumps(text) + "\n")
        return median

    @cached_property
    def _folder(self) -> Path:
        assert self.command is not None
        said = json.dumps([self.command.command, self.command.runs])
        return self.library / FOLDER / sha256(said.encode()).hexdigest()[:16]


Judged = Callable[[], list[Evaluation]]
"""Waits for the evaluations of networks, in order."""


def judge_in_time(
    archs: Sequence[Architecture],
    timer: NetworkTimer | None,
    judge: Judge,
    table: CostTable,
    begin: Callable[[Sequence[Architecture]], Judged],
) -> Judged:
    """Time networks, and begin to judge those that are to be judged; where nothing times them, begin to judge all.

    Args:
        table: exact costs, for what is not judged.
        begin: begins to judge networks.

    Returns:
        What waits for one evaluation of each network.
    """
    if timer is None:
        return begin(archs)
    if timer.command is None:
        judged = begin(archs)
        return lambda: [timer.checked(told) for told in judged()]
    timings = timer(archs)
    wait = begin([arch for arch, timing in zip(archs, timings, strict=True) if not timing.failed])

    def answers() -> list[Evaluation]:
        left = iter(wait())
        return [
            timing.on(
                with_costs([failed_evaluation(judge, arch, timing.failed)], table)[0] if timing.failed else next(left)
            )
            for arch, timing in zip(archs, timings, strict=True)
        ]

    return answers
