"""One round's search: propose a generation, measure it, select the next parents, until the budget is spent.

The proposals of a generation depend only on the run's seed, the round, the generation's number and earlier measurements: not on
workers, crashes or time.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from random import Random
from typing import TYPE_CHECKING

from optuna.trial import FrozenTrial

from evo.console import Track, untracked
from evo.seeds import derive_seed
from evo.strategy.design import choices_of, covering_networks, networks_to_cover
from evo.strategy.measured_latency import MeasuredLatency
from evo.strategy.nsga2 import CandidateFilter, ChildGeneration, breed_children, select_survivors
from evo.strategy.screening import SurrogateScreen
from spaces.architecture import Architecture
from spaces.costs.table import CostTable
from spaces.export.baselines import uniform_arch, uniform_operations
from spaces.space import SearchSpace, canonical_arch
from studies.config import LimitsSection, SearchSection
from studies.database.trials import distributions, to_trial
from studies.pareto import evenly_spaced
from studies.records import Evaluation, EvoError, LayerChoice, Proposal, complete_evaluations

if TYPE_CHECKING:
    from evo.strategy.lessons import Lessons

BELIEVED = 2
"""So many networks may be in flight for each that the surrogate has learned from: beyond that it would believe itself."""


@dataclass(frozen=True)
class SearchTask:
    """The input of one round's search.

    Attributes:
        seed: of this round's search.
        survivors: architectures of the round before that become parents again.
        drawn: architectures to measure before NSGA-II breeds, each with its origin (NSE draws by its gates).
        known: canonical form -> evaluation by this judge in an earlier round; used again at no cost.
        measurable: the architectures that the judge can answer for; None: all of the space.
        measured: operations that earlier rounds have measured; what they lack is measured first.
        lessons: what other runs have measured, from which the surrogate learns; None: nothing.
        latency: what networks take on the device that times them; None: none does.
    """

    space: SearchSpace
    table: CostTable
    settings: SearchSection
    limits: LimitsSection
    seed: int
    survivors: Sequence[Architecture] = ()
    drawn: Sequence[tuple[Architecture, str]] = ()
    known: Mapping[Architecture, Evaluation] = field(default_factory=dict)
    measurable: Collection[Architecture] | None = None
    measured: Collection[LayerChoice] = ()
    lessons: Lessons | None = None
    latency: MeasuredLatency | None = None


Measure = Callable[[Sequence[Architecture]], list[Evaluation]]
"""Evaluations of architectures, in order."""

Begin = Callable[[Sequence[Architecture], Sequence[Evaluation]], Callable[[], list[Evaluation]]]
"""Begins to measure architectures, given what was recorded when they were proposed; what it gives waits for the answers."""

Record = Callable[[Sequence[Proposal]], None]

Batch = list[tuple[Architecture, str]]
"""Architectures to measure, and where each comes from."""

Announce = Callable[[int, Batch], None]
"""Told of a generation that is begun: the number of its first proposal, and what it is made of."""


def search_round(
    task: SearchTask,
    measure: Measure,
    record: Record,
    done: Sequence[Proposal] = (),
    track: Track = untracked,
    label: str = "",
) -> tuple[list[Proposal], bool]:
    """Run the round's search to its end as ``search_in_flight`` does; generations are measured one after the other."""

    def begin(archs: Sequence[Architecture], earlier: Sequence[Evaluation]) -> Callable[[], list[Evaluation]]:
        answers = measure(archs)
        return lambda: answers

    return search_in_flight(task, begin, record, done, track=track, label=label)


def search_in_flight(
    task: SearchTask,
    begin: Begin,
    record: Record,
    done: Sequence[Proposal] = (),
    announce: Announce | None = None,
    track: Track = untracked,
    label: str = "",
) -> tuple[list[Proposal], bool]:
    """Run the round's search to its end, from where it was interrupted; ``search.in_flight`` generations may be in flight.

    A generation is recorded when it is measured and all before it are recorded. What may be proposed then is proposed before
    the next one is recorded. So a proposal rests on the same generations whoever measures, and however long it takes; after an
    interruption what was recorded is gone through in the same order, and what was in flight is proposed again.

    Args:
        begin: begins to measure architectures.
        record: called with each finished generation, in order, before any that rests on it is proposed.
        done: what was recorded before an interruption.
        announce: told of each generation that is begun.

    Returns:
        All proposals of the round, and whether the space was exhausted before the budget was.
    """
    state = SearchState(task)
    replayed = deque(list(generation) for _, generation in groupby(done, key=lambda proposal: proposal.generation))
    flying: deque[Callable[[], list[Proposal]]] = deque()
    recorded: list[Proposal] = []
    deadline = time.monotonic() + (task.settings.time_limit_seconds or float("inf"))
    exhausted = False

    def begun(batch: Batch) -> Callable[[], list[Proposal]]:
        number, start = state.generations, state.proposed
        if announce is not None:
            announce(start, batch)
        fresh = [arch for arch, _ in batch if state.is_fresh(arch)]
        answers = begin(fresh, [proposal.evaluation for proposal in recorded])
        return lambda: _as_proposals(task, batch, number, start, answers())

    def may_go_on() -> bool:
        return not exhausted and state.may_propose() and (not state.proposed or time.monotonic() < deadline)

    with track(label, task.settings.measurements(1)) as advance:
        advance(sum(proposal.is_new for proposal in done))
        while True:
            while replayed and (state.may_propose() or not flying):
                again = replayed.popleft()
                flying.append(partial(list, again))
                state.promise([(proposal.arch, proposal.origin) for proposal in again])
            while not replayed and may_go_on():
                batch = state.propose()
                exhausted = not batch
                if batch:
                    flying.append(begun(batch))
                    state.promise(batch)
            if not flying:
                return recorded, exhausted
            generation = flying.popleft()()
            if generation[0].number >= len(done):
                record(generation)
                advance(sum(proposal.is_new for proposal in generation))
            recorded += generation
            state.tell(generation)


def _as_proposals(
    task: SearchTask, batch: Batch, generation: int, start: int, answers: Sequence[Evaluation]
) -> list[Proposal]:
    """A batch as proposals; ``answers`` for what is not known already, in order."""
    left = iter(answers)
    proposals = []
    for i, (arch, origin) in enumerate(batch):
        form = canonical_arch(arch, task.space)
        new = form not in task.known
        evaluation = next(left) if new else replace(task.known[form], arch=arch)
        proposals.append(Proposal(start + i, generation, origin, evaluation, new))
    return proposals


class SearchState:
    """What the round has seen, and the parents that NSGA-II breeds the next generation from.

    Breeding is a pure function of the parents and a seed: Optuna is given the parents and nothing else. So a proposal
    costs the same at trial 10,000 as at trial 100 (a study that grows is walked through by every ``ask``), and
    continuing after a crash is no different from going on.
    """

    def __init__(self, task: SearchTask) -> None:
        self.task = task
        self.spent = self.proposed = self.generations = 0  # evaluations, proposals, generations; those in flight count
        self.pending: deque[int] = deque()  # sizes of the generations in flight
        self.parents: list[FrozenTrial] = []
        self.options, limits = distributions(task.space), task.limits.given()
        self.candidates = CandidateFilter(
            task.space, task.table, limits, set(task.known), task.measurable, task.latency
        )
        self.given = self._opening_batch()
        learned = [
            evaluation for evaluation in complete_evaluations(task.known.values()) if evaluation.arch in task.space
        ]
        self.screen = SurrogateScreen(self.candidates, task.settings, task.seed, learned, lessons=task.lessons)

    def is_fresh(self, arch: Architecture) -> bool:
        """Whether the judge has not answered for the network in an earlier round."""
        return canonical_arch(arch, self.task.space) not in self.task.known

    @property
    def left(self) -> int:
        """Evaluations that are left, when those in flight are spent."""
        return self.task.settings.measurements(1) - self.spent

    def may_propose(self) -> bool:
        """Whether the next generation need not wait for one that is in flight."""
        settings, pending = self.task.settings, sum(self.pending)
        if self.left <= 0 or len(self.pending) >= settings.flights:
            return False
        if not pending or self.proposed < len(self.given) or settings.sampler == "random":
            return True
        enough = pending + settings.population <= BELIEVED * len(self.screen.seen)
        return enough and len(self.parents) > 1

    def promise(self, batch: Batch) -> None:
        """Count a generation that is in flight: its networks are not proposed again, and the surrogate believes what it
        predicts of them."""
        archs = [arch for arch, _ in batch]
        fresh = [arch for arch in archs if self.is_fresh(arch)]
        self.candidates.seen.update(canonical_arch(arch, self.task.space) for arch in archs)
        self.screen.pending += fresh
        self.pending.append(len(batch))
        self.spent += len(fresh)
        self.proposed += len(batch)
        self.generations += 1

    def tell(self, generation: Sequence[Proposal]) -> None:
        """Select the next parents among the last ones and this generation, which was the first in flight.

        Evaluations that were stopped early or failed count as measured, but neither become parents nor train the surrogate.
        """
        task = self.task
        if task.latency is not None:
            task.latency.tell(proposal.evaluation for proposal in generation)
        for proposal in generation:
            if proposal.is_new and proposal.evaluation.state == "complete":
                self.screen.seen.append(proposal.evaluation)
        del self.screen.pending[: sum(proposal.is_new for proposal in generation)]
        self.pending.popleft()
        measured = [proposal for proposal in generation if proposal.evaluation.state == "complete"]
        trials = [to_trial(p, task.space, self.options, task.settings, task.limits) for p in measured]
        self.parents = select_survivors(self.parents + trials, task.settings.population)
        self.screen.review()

    def _opening_batch(self) -> Batch:
        """What is measured before NSGA-II breeds: guard samples, which no budget is to end before; survivors of the round
        before; what else was drawn for this round; and as many networks, spread over cost and over all operations, as a first
        population and the operations still lack.

        Where nothing is known yet, networks with one operation everywhere come first, which are hard to beat in spaces without
        rows.
        """
        task, size = self.task, self.task.settings.population
        taken: set[Architecture] = set()
        given: Batch = []
        able = task.measurable
        first = [] if task.survivors or task.drawn or task.known or task.measured else self._uniform()
        guards = [each for each in task.drawn if each[1] == "guard"]
        for arch, origin in [*guards, *((arch, "survivor") for arch in task.survivors), *task.drawn, *first]:
            form = canonical_arch(arch, task.space)
            if form not in taken and (able is None or arch in able):
                taken.add(form)
                given.append((arch, origin))
        known = [arch for arch, _ in given] + list(task.known)
        measured = {*task.measured, *(choice for arch in known for choice in choices_of(arch))}
        if (lacking := max(size - len(given), networks_to_cover(task.space, measured))) > 0:
            rng = Random(derive_seed(task.seed, 0))
            spread = covering_networks(self.candidates, lacking, rng, task.settings.cost, known)
            new = self.candidates.unseen(spread, taken)
            new += self.candidates.random_unseen(rng, lacking - len(new), taken)
            given += [(arch, "stratified") for arch in new]
        return given

    def _uniform(self) -> Batch:
        """The networks with one operation everywhere that may be proposed, a first population at most, evenly chosen. Where
        blocks have rows, each operation has the next one."""
        space = self.task.space
        networks = [uniform_arch(space, op, place) for place, op in enumerate(uniform_operations(space))]
        allowed = [arch for arch in networks if self.candidates.may_be_proposed(arch)]
        return [(arch, "uniform") for arch in evenly_spaced(allowed, self.task.settings.population)]

    def propose(self) -> Batch:
        """The next generation; empty when the space is exhausted."""
        number, start, left = self.generations, self.proposed, self.left
        if self.task.settings.sampler == "random":
            size = min(self.task.settings.population, left)
            archs = self.candidates.random_unseen(Random(derive_seed(self.task.seed, number)), size, set())
            if archs or start:
                return [(arch, "random") for arch in archs]
        return self.next_opening(start, left) or self.next_bred(number, left)

    def next_opening(self, start: int, left: int) -> Batch:
        """The next generation of what is given, as far as the budget goes; empty when all of it has been measured."""
        batch: Batch = []
        for arch, origin in self.given[start : start + self.task.settings.population]:
            left -= canonical_arch(arch, self.task.space) not in self.task.known
            if left >= 0:
                batch.append((arch, origin))
        return batch

    def next_bred(self, number: int, left: int) -> Batch:
        """The next generation of NSGA-II; empty when the space is exhausted."""
        if len(self.given) < self.task.settings.population:
            return []  # the first generation took all there is
        size = min(self.task.settings.population, left)
        if len(self.parents) < 2:  # all others have failed
            archs = self.candidates.random_unseen(Random(derive_seed(self.task.seed, number)), size, set())
            return [(arch, "random") for arch in archs]
        screen = self.screen if self.task.settings.surrogate else None
        children = ChildGeneration(self.candidates, size, derive_seed(self.task.seed, number), screen)
        bred = breed_children(self.parents, children)
        return [(arch, "screened" if children.screened else "child") for arch in bred]


def check_limits(space: SearchSpace, table: CostTable, limits: LimitsSection) -> None:
    """Tell before anything runs that no architecture can lie inside the limits.

    Raises:
        EvoError: a limit lies outside what the space can cost; the message gives both.
    """
    least, most = table.bounds()
    for i, name in enumerate(table.columns):
        limit = getattr(limits, name)
        if limit and (limit[0] > most[i] or limit[1] < least[i]):
            raise EvoError(
                f"limits.{name} is [{limit[0]:g}, {limit[1]:g}], but the architectures of {space.name!r} "
                f"have {least[i]:g} to {most[i]:g}: choose a limit inside"
            )
