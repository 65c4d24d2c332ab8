"""Several generations in flight: what is proposed depends on the seed and their number alone, however they are measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

import pytest

from evo.strategy.generations import BELIEVED, Batch, SearchTask, search_in_flight, search_round
from spaces.architecture import Architecture
from spaces.costs.table import CostTable, cost_table
from spaces.space import SearchSpace, canonical_arch
from studies.config import LimitsSection, SearchSection
from studies.records import Evaluation, Proposal
from tests.evo.conftest import made_up

Answers = Callable[[Sequence[Architecture]], list[Evaluation]]


@pytest.fixture(scope="module")
def task(space: SearchSpace, table: CostTable) -> SearchTask:
    settings = SearchSection(population=6, evaluations=66, in_flight=3)
    return SearchTask(space, table, settings, LimitsSection(), seed=5)


def answers(table: CostTable, archs: Sequence[Architecture]) -> list[Evaluation]:
    """Some fail, which depends on the architecture alone."""
    return [
        replace(found, accuracy=math.nan, failed="no") if Random(str(found.arch)).random() < 0.15 else found
        for found in made_up(table, archs)
    ]


class Workers:
    """Measure generations when they like: whoever waits for one, others are finished first, by chance.

    Attributes:
        events: what happened: ``begin`` or ``record``, and the number of the generation.
        earlier: per generation, how many evaluations were recorded when it was begun.
    """

    def __init__(self, measure: Answers, chance: int | None) -> None:
        self.measure, self.rng = measure, None if chance is None else Random(chance)
        self.finished: dict[int, list[Evaluation]] = {}
        self.waiting: dict[int, Sequence[Architecture]] = {}
        self.earlier: list[int] = []

    def begin(self, archs: Sequence[Architecture], earlier: Sequence[Evaluation]) -> Callable[[], list[Evaluation]]:
        number = len(self.earlier)
        self.earlier.append(len(earlier))
        self.waiting[number] = archs

        def wait() -> list[Evaluation]:
            others = [other for other in self.waiting if other != number]
            for other in self.rng.sample(others, len(others)) if self.rng else ():
                self.finished[other] = self.measure(self.waiting.pop(other))
            if number in self.waiting:
                self.finished[number] = self.measure(self.waiting.pop(number))
            return self.finished[number]

        return wait


def run(
    task: SearchTask,
    chance: int | None = None,
    done: Sequence[Proposal] = (),
    stop_after: int | None = None,
    measure: Answers | None = None,
) -> tuple[list[Proposal], Workers, list[tuple[str, int]]]:
    """The proposals, who measured them, and what happened in which order; the process ends before it records generation
    ``stop_after``."""
    workers = Workers(measure or (lambda archs: answers(task.table, archs)), chance)
    recorded, events = list(done), list[tuple[str, int]]()

    def record(generation: Sequence[Proposal]) -> None:
        if generation[0].generation == stop_after:
            raise KeyboardInterrupt
        recorded.extend(generation)
        events.append(("record", generation[0].generation))

    def announce(start: int, batch: Batch) -> None:
        events.append(("begin", start))

    try:
        proposals, _ = search_in_flight(task, workers.begin, record, done, announce)
        assert proposals == recorded
    except KeyboardInterrupt:
        pass
    return recorded, workers, events


@pytest.fixture(scope="module")
def finished(task: SearchTask) -> list[Proposal]:
    """A search whose generations were measured one after the other."""
    return run(task)[0]


@pytest.mark.parametrize("chance", range(4))
def test_the_order_in_which_generations_are_finished_changes_nothing(
    task: SearchTask, finished: list[Proposal], chance: int
) -> None:
    assert run(task, chance)[0] == finished


def test_generations_that_are_measured_at_once_give_the_same(task: SearchTask, finished: list[Proposal]) -> None:
    assert search_round(task, lambda archs: answers(task.table, archs), lambda generation: None)[0] == finished


def test_the_number_in_flight_decides(task: SearchTask, finished: list[Proposal]) -> None:
    def in_flight(count: int | None) -> list[Proposal]:
        return run(replace(task, settings=task.settings.model_copy(update={"in_flight": count})))[0]

    assert in_flight(2) != finished
    assert in_flight(None) == in_flight(1)


@pytest.mark.parametrize("stop_after", [0, 1, 2, 3, 5, 8, 11])
def test_a_search_that_was_killed_ends_like_one_that_was_not(
    task: SearchTask, finished: list[Proposal], stop_after: int
) -> None:
    """What was in flight is proposed again, from the same generations as before; judges are told of the same ones."""
    _, whole, _ = run(task)
    done, _, _ = run(task, chance=1, stop_after=stop_after)
    assert done == [p for p in finished if p.generation < stop_after]
    again, workers, _ = run(task, chance=2, done=done)
    assert again == finished
    assert workers.earlier == whole.earlier[stop_after:]


def test_nothing_is_proposed_twice_and_the_budget_is_kept(task: SearchTask, finished: list[Proposal]) -> None:
    assert [p.number for p in finished] == list(range(66))
    assert [p.generation for p in finished] == sorted(p.generation for p in finished)
    assert len({canonical_arch(p.arch, task.space) for p in finished}) == 66


def test_a_generation_is_begun_when_the_one_so_many_before_it_is_recorded(task: SearchTask) -> None:
    """But for the start: nothing is bred before the first is recorded, and then two for each that is recorded."""
    eights = replace(task, settings=task.settings.model_copy(update={"population": 8, "evaluations": 64}))
    _, workers, events = run(eights, measure=lambda archs: made_up(task.table, archs))
    assert events[:5] == [("begin", 0), ("record", 0), ("begin", 8), ("begin", 16), ("record", 1)]
    assert workers.earlier == [0, 8, 8, 16, *(8 * (g - 2) for g in range(4, 8))]


def test_what_is_in_flight_is_not_looked_at(task: SearchTask, finished: list[Proposal]) -> None:
    """Other answers in one generation leave the two that were begun before it was recorded as they are, and no later one."""
    changed = {canonical_arch(p.arch, task.space) for p in finished if p.generation == 5}

    def other_answers(archs: Sequence[Architecture]) -> list[Evaluation]:
        found = answers(task.table, archs)
        inverted = [replace(e, accuracy=1.5 - e.accuracy) for e in found]
        return [b if canonical_arch(a.arch, task.space) in changed else a for a, b in zip(found, inverted, strict=True)]

    other = run(task, measure=other_answers)[0]
    assert [p.arch for p in other if p.generation < 8] == [p.arch for p in finished if p.generation < 8]
    assert [p.arch for p in other if p.generation == 8] != [p.arch for p in finished if p.generation == 8]


def test_no_more_is_in_flight_than_can_be_believed(task: SearchTask) -> None:
    many = replace(task, settings=SearchSection(population=10, evaluations=400, in_flight=1000))
    _, _, events = run(many, measure=lambda archs: made_up(task.table, archs))
    pending, recorded = 0, 0
    sizes: list[int] = []
    for what, _ in events:
        if what == "begin":
            sizes.append(10)
            pending += 10
            assert pending <= max(20, BELIEVED * recorded)  # the opening is at most two generations here
        else:
            pending -= 10
            recorded += 10
    assert len(sizes) == 40


@pytest.mark.parametrize("sampler", ["nsga2", "random"])
def test_an_exhausted_space_ends_the_round(task: SearchTask, sampler: str) -> None:
    fixed = [replace(layer, candidates=layer.candidates[:1]) for layer in task.space.layers[:-2]]
    tiny = task.space.replace_layers([*fixed, *task.space.layers[-2:]])
    settings = SearchSection(population=8, evaluations=100, in_flight=4, sampler=sampler)
    small = replace(task, space=tiny, table=cost_table(tiny), settings=settings)
    proposals, exhausted = search_round(small, lambda archs: made_up(small.table, archs), lambda generation: None)
    assert exhausted
    assert len(proposals) == len({canonical_arch(p.arch, tiny) for p in proposals}) == tiny.size


def test_what_is_known_costs_nothing_in_flight_either(task: SearchTask, finished: list[Proposal]) -> None:
    known = {canonical_arch(p.arch, task.space): p.evaluation for p in finished}
    survivors = [p.arch for p in finished[:9]]
    later = replace(task, seed=9, known=known, survivors=survivors)
    again = run(later, chance=3)[0]
    first = [p for p in again if p.generation < 2]
    assert [p.is_new for p in again[:9]] == [False] * 9
    assert sum(p.is_new for p in again) == 66
    assert run(later, done=first)[0] == again
