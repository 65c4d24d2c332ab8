"""An evaluator that fails costs one trial, and what is broken altogether stops the run."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import pytest
import torch

from evo.evaluators import Judge
from evo.evaluators.guard import guarded
from evo.training.loop import DivergedError
from evo.workers import executors
from evo.workers.executors import local_executor, map_inline, map_on_pool
from evo.workers.protocol import Evaluate, EvaluationsLostError
from spaces.architecture import Architecture
from spaces.costs.table import CostTable
from spaces.errors import LOST_DEVICE
from spaces.space import SearchSpace
from studies.records import Evaluation, EvoError
from tests.evo.conftest import made_up


@dataclass(frozen=True)
class Moody(Judge):
    """Answers for all but ``culprits``, at which it does what ``mood`` says."""

    space: SearchSpace
    table: CostTable
    culprits: frozenset[Architecture]
    mood: str
    name: str = "moody"

    def __call__(self, archs: Sequence[Architecture]) -> list[Evaluation]:
        return [self._answer(answer) for answer in made_up(self.table, archs, self.name)]

    def _answer(self, answer: Evaluation) -> Evaluation:
        if answer.arch not in self.culprits:
            return answer
        match self.mood:
            case "raises":
                raise ZeroDivisionError("of course")
            case "diverges":
                raise DivergedError("training: the loss is nan")
            case "is interrupted":
                raise KeyboardInterrupt
            case "has no file":
                raise EvoError("no such file")
            case "has no memory":
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            case "loses its device":
                raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
            case "hangs":
                time.sleep(3600)
            case "dies":
                os._exit(3)
            case "infinite":
                return replace(answer, nll=math.inf)
        return replace(answer, accuracy=math.nan)


REASONS = {
    "raises": "ZeroDivisionError: of course (test_guard.py, line",
    "diverges": "training: the loss is nan",
    "infinite": "its nll is inf",
    "is no number": "its accuracy is nan",
}


@pytest.fixture
def archs(space: SearchSpace) -> list[Architecture]:
    rng = Random(0)
    return [space.sample(rng) for _ in range(6)]


@pytest.mark.parametrize("mood", REASONS)
def test_the_culprit_fails_with_its_reason_and_all_others_are_measured(
    space: SearchSpace, table: CostTable, archs: list[Architecture], mood: str
) -> None:
    judge = Moody(space, table, frozenset({archs[1], archs[4]}), mood)
    found = guarded(map_inline, table)(judge, archs)
    calm = made_up(table, archs, "moody")
    assert [e.state for e in found] == ["complete", "failed", "complete", "complete", "failed", "complete"]
    assert [e for e in found if not e.failed] == [e for e in calm if e.arch not in judge.culprits]
    for evaluation, was in zip(found, calm, strict=True):
        assert (evaluation.arch, evaluation.macs, evaluation.params) == (was.arch, was.macs, was.params)
        assert not evaluation.failed or (
            evaluation.failed.startswith(REASONS[mood]) and math.isnan(evaluation.accuracy)
        )


@pytest.mark.parametrize(("mood", "error"), [("is interrupted", KeyboardInterrupt), ("has no file", EvoError)])
def test_ctrl_c_and_missing_files_are_no_architectures_fault(
    space: SearchSpace, table: CostTable, archs: list[Architecture], mood: str, error: type[BaseException]
) -> None:
    with pytest.raises(error):
        guarded(map_inline, table)(Moody(space, table, frozenset(archs[:1]), mood), archs)


@dataclass(frozen=True)
class Hungry(Judge):
    """Has memory for so many architectures at once; ``asked`` tells how many it was given, and ``lucky`` is the first call that
    has enough whatever it is given."""

    space: SearchSpace
    table: CostTable
    room: int
    asked: list[int]
    error: Exception
    lucky: int = 99
    name: str = "hungry"

    def __call__(self, archs: Sequence[Architecture]) -> list[Evaluation]:
        self.asked.append(len(archs))
        if len(archs) > self.room and len(self.asked) < self.lucky:
            raise self.error
        return made_up(self.table, archs, self.name)


MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried to allocate"
    ),
    MemoryError(),
]


@pytest.mark.parametrize("error", MEMORY)
def test_memory_that_is_full_is_no_architectures_fault(
    space: SearchSpace, table: CostTable, archs: list[Architecture], error: Exception
) -> None:
    """Less at a time, then once more, then the run stops and says what would help; nothing is recorded as failed."""
    one_fits = Hungry(space, table, 1, [], error)
    assert guarded(map_inline, table)(one_fits, archs) == made_up(table, archs, "hungry")
    assert one_fits.asked == [6, 1, 1, 1, 1, 1, 1]
    second_time = Hungry(space, table, 0, [], error, lucky=2)
    assert guarded(map_inline, table)(second_time, archs[:1]) == made_up(table, archs[:1], "hungry")
    with pytest.raises(EvoError, match=r"cannot be measured: there is not enough memory .*evaluator\.batch_size"):
        guarded(map_inline, table)(Hungry(space, table, 0, [], error), archs)


def test_a_process_whose_device_failed_is_replaced_and_its_work_done_again(
    space: SearchSpace, table: CostTable, archs: list[Architecture]
) -> None:
    """In this process, which cannot be replaced, the run ends."""
    culprit = Moody(space, table, frozenset(archs[:1]), "loses its device")
    with pytest.raises(torch.AcceleratorError):
        guarded(map_inline, table)(culprit, archs)
    with local_executor(1, 1, limited=True) as evaluate:
        found = guarded(evaluate, table)(culprit, archs[:3])
    assert [e.failed for e in found] == [f"its process died with exit status {LOST_DEVICE}, every time", "", ""]


def test_what_fails_altogether_stops_the_run(space: SearchSpace, table: CostTable, archs: list[Architecture]) -> None:
    with pytest.raises(EvoError, match="all 6 networks of a generation failed.*ZeroDivisionError: of course"):
        guarded(map_inline, table)(Moody(space, table, frozenset(archs), "raises"), archs)
    few = guarded(map_inline, table)(Moody(space, table, frozenset(archs), "raises"), archs[:2])  # that may be chance
    assert [e.state for e in few] == ["failed", "failed"]


def test_a_worker_that_hangs_or_dies_is_replaced_and_its_work_done_again(
    space: SearchSpace, table: CostTable, archs: list[Architecture], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executors, "MAX_CRASHES", 1)
    with local_executor(1, 1, limited=True) as evaluate:
        hangs, dies = (Moody(space, table, frozenset(archs[:1]), mood) for mood in ("hangs", "dies"))
        late = guarded(evaluate, table, 0.3)(hangs, archs)
        died = guarded(evaluate, table)(dies, archs[:1])
    assert [e.failed for e in late + died if e.failed] == [
        "took longer than 0.3 seconds",
        "its process died with exit status 3, every time",
    ]
    assert [e for e in late if not e.failed] == made_up(table, archs[1:], "moody")


def test_pieces_that_nobody_can_do_are_named_and_the_others_kept() -> None:
    from concurrent.futures import Future

    from evo.workers.protocol import WorkerDiedError

    asked: list[Sequence[int]] = []

    def submit(work: Any, items: Sequence[Any], limit: float | None) -> Future[list[Any]]:
        asked.append(items)
        future: Future[list[Any]] = Future()
        if 3 in items:
            future.set_exception(WorkerDiedError(" of SIGKILL"))
        else:
            future.set_result(work(items))
        return future

    def squares(items: Sequence[int]) -> list[int]:
        return [item**2 for item in items]

    with pytest.raises(
        EvaluationsLostError, match="1 of 4 items of work failed: its process died of SIGKILL, every time"
    ) as lost:
        map_on_pool(submit, 2, squares, [1, 2, 3, 4])
    assert (lost.value.answers, lost.value.reasons.keys()) == ({0: 1, 1: 4, 3: 16}, {2})
    assert asked == [[1, 2], [3, 4], [3], [4], [3], [3]]


def test_an_error_in_a_worker_comes_back_with_its_traceback() -> None:
    with local_executor(1, 1, limited=True) as evaluate, pytest.raises(ZeroDivisionError) as raised:
        evaluate(divided, [1, 0])
    assert "in divided" in raised.value.__notes__[0]
    anybody: Evaluate = map_inline
    assert anybody(divided, [2]) == [0.5]


def divided(items: Sequence[int]) -> list[float]:
    return [1 / item for item in items]
