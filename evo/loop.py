"""A run, round by round: ``run_round`` is the algorithm box of the whole project."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import ParamSpec, TypeVar

import numpy as np

from analysis.ranking import Truth
from analysis.verdict import chosen
from analysis.words import unmeasured
from evo import dashboard
from evo.careful import careful
from evo.console import Track, untracked
from evo.data.fingerprint import checked
from evo.data.paths import file_hash, named
from evo.evaluators import Bench, Evaluator, Judge
from evo.evaluators.blockwise import BlockwiseJudge, blockwise
from evo.evaluators.oneshot import OneShotJudge, oneshot
from evo.evaluators.scratch import ScratchJudge, scratch
from evo.evaluators.tabular import spelled_costs, tabular
from evo.evolution import Evolution, Step, shares
from evo.executors import Evaluate
from evo.gates import drawn
from evo.methods import evolution_of
from evo.proposals import Frontier
from evo.ranks import team
from evo.rungs import climb, epochs_saved
from evo.search import Measure, Task, check_limits, search
from evo.seeds import derive
from evo.truth import ask, tell, witness
from evo.weights import DamagedError, set_aside
from spaces.architecture import Architecture
from spaces.cost import CostTable, LatencyModel, cost_table
from spaces.latency import load as load_latency
from spaces.space import SearchSpace, canonical
from studies.config import NseEvolution, StudyConfig, TabularSection, windows
from studies.pareto import hypervolume
from studies.records import Evaluation, EvoError, Proposal, Round, complete
from studies.store import Choice, RoundRow, Run, Store
from studies.urls import artifacts_of

P = ParamSpec("P")
R = TypeVar("R")

EVALUATORS: dict[str, Callable[[StudyConfig, SearchSpace], Evaluator]] = {
    "oneshot": oneshot,
    "scratch": scratch,
    "tabular": tabular,
    "blockwise": blockwise,
}


@dataclass(frozen=True)
class Workshop:
    """What a run's rounds share: the run, its database, its folder, and who evaluates and who watches.

    Attributes:
        witness: who knows the truth about architectures, where the configuration asks for it.
        workers: how many architectures ``evaluate`` works on at once.
        accept_data_change: whether the run goes on when its data are no longer those it began with.
    """

    run: Run
    store: Store
    folder: Path
    evaluate: Evaluate
    track: Track
    evaluator: Evaluator
    evolution: Evolution
    witness: Evaluator | None
    workers: int
    accept_data_change: bool = False


def workshop(
    run: Run,
    store: Store,
    folder: Path,
    evaluate: Evaluate,
    track: Track = untracked,
    workers: int = 1,
    accept_data_change: bool = False,
) -> Workshop:
    """The workshop of a run, as its configuration says."""
    config = run.config
    evaluator = EVALUATORS[config.evaluator.kind](config, run.space)
    known = witness(config, run.space)
    evolution = evolution_of(config)
    return Workshop(
        run, store, folder / run.name, evaluate, track, evaluator, evolution, known, workers, accept_data_change
    )  # fmt: skip


def run_round(shop: Workshop, n: int) -> RoundRow:
    """Bring round ``n`` to its end, from wherever it stands: fit, search, evolve, remember."""
    run, store, clock = shop.run, shop.store, Clock()
    before = store.rounds(run)[: n - 1]
    space = before[-1].next_space if before else run.space
    assert space is not None
    table = table_of(run.config, space)
    check_limits(space, table, run.config.limits)
    current = store.run(run.name)  # the round before may have accepted other data
    data = checked(current, shop.accept_data_change)
    row = store.open_round(run, n, space, {"run": run.name, "round": n, "method": run.config.evolution.method})
    if data != current.data:
        row = store.rest_on(current, row, data)

    with clock.time("fitting"):
        judge = fitted(shop, n, space)
        keep_checkpoint(shop, n, judge)
        if isinstance(judge, OneShotJudge) and judge.lives:
            store.record_lives(run, n, judge.lives)
    done = store.proposals(row)
    with clock.time("proposing"):
        proposals, exhausted = search(
            task_of(shop, n, judge, before, done),
            measure=clock.timed("evaluating", measuring(shop, row, judge, table)),
            record=clock.timed("storing", lambda generation: store.record(run, row, generation)),
            done=done,
            track=shop.track,
            label=f"round {n}: searching",
        )
    evaluations = complete(p.evaluation for p in proposals)
    failed = Counter(p.evaluation.failed for p in proposals if p.fresh and p.evaluation.failed)
    if not evaluations:
        raise EvoError(f"round {n}: {' '.join(unmeasured(failed))} There is nothing to evolve the space by")
    finished = Round(n, space, evaluations, judge.ratings, run.config.search.cost, run.config.search.objective)
    with clock.time("truth"):
        truth = truth_of_round(shop, finished, table)
    step = shop.evolution(finished, Random(derive(run.config.seed, "evolve", n)))
    store.finish_round(
        row,
        step.space,
        fates(finished, step, str(shop.evolution)),
        judge=judge.name,
        hypervolume=volume(run, finished),
        stats=row.stats
        | {
            "trials": len(proposals),
            "distinct": len({canonical(p.arch, space) for p in proposals}),
            "measured": sum(p.fresh for p in proposals),
            "epochs_saved": epochs_saved(judge, proposals),
            "failed": dict(failed.most_common()),
            "front": len(finished.front),
            "exhausted": exhausted,
            "unscreened": len({p.generation for p in proposals if p.origin == "child"})
            if run.config.search.screen
            else 0,
            "truth": truth and truth.to_dict(),
            "seconds": clock.seconds,
        },
    )
    dashboard.publish(store, run, n, artifacts_of(shop.folder.parent))
    return store.rounds(run)[n - 1]


def fitted(shop: Workshop, n: int, space: SearchSpace) -> Judge:
    """Round ``n``'s judge. Where the files of the round before, with which it starts, are damaged, they are made again.

    Raises:
        EvoError: weights that were made again are not those that the database knows scores by.
    """
    table = table_of(shop.run.config, space)
    try:
        judge = shop.evaluator.fit(space, bench(shop, n, table))
    except DamagedError as damage:
        if n == 1:
            raise
        set_aside(damage)
        keep_checkpoint(shop, n - 1, fitted(shop, n - 1, shop.store.rounds(shop.run)[n - 2].space))
        judge = shop.evaluator.fit(space, bench(shop, n, table))
    check_recorded(shop, n, judge)
    return judge


def check_recorded(shop: Workshop, n: int, judge: Judge) -> None:
    """Tell whether a judge is the one by which the round was measured so far: training gives the same bits again, but not
    with other versions of the libraries, on another kind of machine, or with another number of threads.

    Raises:
        EvoError: it is another one.
    """
    rows = shop.store.rounds(shop.run)
    known = [p.evaluation.judge for p in shop.store.proposals(rows[n - 1])] if n <= len(rows) else []
    if known and judge.name not in known:
        raise EvoError(
            f"round {n} of run {shop.run.name!r} was measured by {known[0]}, whose weights are lost; trained again they are "
            f"{judge.name}: the libraries, the machine, or the threads have changed. Put the old file back into "
            f"{shop.folder}, or begin another run: --run NAME"
        )


def measuring(shop: Workshop, row: RoundRow, judge: Judge, table: CostTable) -> Measure:
    """How a generation is measured: at once, or from rung to rung beside what the round has measured before."""
    ask, cost = careful(shop.evaluate, table, shop.run.config.evaluator.timeout), shop.run.config.search.cost
    if not isinstance(judge, ScratchJudge) or not judge.rungs:
        return lambda archs: ask(judge, archs)
    return lambda archs: climb(judge, archs, ask, [p.evaluation for p in shop.store.proposals(row)], cost)


def task_of(shop: Workshop, n: int, judge: Judge, before: list[RoundRow], done: list[Proposal]) -> Task:
    """What the search of round ``n`` is given. The same however much of the round was done already."""
    run, space = shop.run, judge.space
    table = table_of(run.config, space)
    here = {canonical(proposal.arch, space) for proposal in done if proposal.fresh}
    said = {canonical(e.arch, space): e for e in shop.store.evaluations(run, judge.name)}
    known = {form: evaluation for form, evaluation in said.items() if form not in here}
    most = len(known) or run.config.search.population  # what is known costs nothing to keep
    parents = survivors(known.values() or measured(shop, before), space, run.config, most)
    return Task(
        space,
        table,
        run.config.search,
        run.config.limits,
        seed=derive(run.config.seed, "search", n),
        survivors=parents,
        drawn=combined(shop, judge, table) or drawn_by_gates(shop, n, judge, table, parents),
        known=known,
    )


def combined(shop: Workshop, judge: Judge, table: CostTable) -> list[tuple[Architecture, str]]:
    """DNA's combination: the exact Pareto front of summed block losses and cost inside the limits, cheapest first. Thinned
    evenly, its ends kept, to what half of the round's trials can measure."""
    if not isinstance(judge, BlockwiseJudge):
        return []
    settings = shop.run.config.search
    front = Frontier(judge.space, table, windows(shop.run.config.limits)).fresh(judge.front(settings.cost), set())
    return [(arch, "combined") for arch in thinned(front, max(1, settings.trials // 2))]


def drawn_by_gates(
    shop: Workshop, n: int, judge: Judge, table: CostTable, parents: list[Architecture]
) -> list[tuple[Architecture, str]]:
    """NSE's samples: architectures drawn by the learned gates inside the limits, and some in the guard band below them."""
    section, cost = shop.run.config.evolution, shop.run.config.search.cost
    if not isinstance(section, NseEvolution) or not judge.ratings:
        return []
    inside = windows(shop.run.config.limits)
    rng = Random(derive(shop.run.config.seed, "drawn", n))
    taken = {canonical(arch, judge.space) for arch in parents}
    found = drawn(judge.ratings, judge.space, table, inside, section.samples, rng, taken)
    guarded: list[Architecture] = []
    if cost in inside and section.guard_samples:
        least = inside[cost][0]
        band = inside | {cost: (least * (1 - section.guard), least)}
        guarded = drawn(judge.ratings, judge.space, table, band, section.guard_samples, rng, taken)
    return [(arch, "drawn") for arch in found] + [(arch, "guard") for arch in guarded]


def truth_of_round(shop: Workshop, finished: Round, table: CostTable) -> Truth | None:
    """How the round's scores rank a sample of its architectures, against the truth; None where nobody is asked for it."""
    if shop.witness is None:
        return None
    judge = shop.witness.fit(finished.space, bench(shop, finished.n, table))
    return tell(shop.run, shop.store, judge, finished, careful(shop.evaluate, table), shop.workers, shop.track)


def front_alone(shop: Workshop, n: int) -> None:
    """Train members of the front after round ``n`` alone: arms whose supernets differ have no other common measure."""
    if shop.witness is None:
        return
    run, row = shop.run, shop.store.rounds(shop.run)[n - 1]
    table = table_of(run.config, row.space)
    judge = shop.witness.fit(row.space, bench(shop, n, table))
    members, label = chosen(shop.store, run, n), f"{run.name}: training its front alone"
    ask(run, shop.store, judge, row.space, members, careful(shop.evaluate, table), shop.workers, shop.track, label)


def table_of(config: StudyConfig, space: SearchSpace) -> CostTable:
    """Exact costs of a space's architectures, as the configuration counts them."""
    if config.space.name == "table" and isinstance(config.evaluator, TabularSection):
        return spelled_costs(config.evaluator, space)
    return cost_table(space, config.search.convention, latency_of(config))


def latency_of(config: StudyConfig) -> LatencyModel | None:
    """The configuration's latency table.

    Raises:
        EvoError: its file is missing; a file that is no latency table is a ValueError.
    """
    if config.latency is None:
        return None
    path = next((path for path in named(config.latency.path) if path.is_file()), None)
    if path is None:
        raise EvoError(
            f"latency.path is {config.latency.path!r}: no such file; measure one with python -m spaces.latency"
        )
    return load_latency(path, config.latency.device)


def bench(shop: Workshop, n: int, table: CostTable) -> Bench:
    """The evaluator's bench in round ``n``, with the weights of the round before.

    Raises:
        DamagedError: these are missing, or are not what was recorded.
    """
    parent = shop.store.checkpoint(shop.run, n - 1, "weights")
    if parent is not None and not parent[0].exists():
        raise DamagedError(parent[0], "is missing")
    if parent is not None and file_hash(parent[0]) != parent[1]:
        raise DamagedError(parent[0], "is damaged: its sha256 is not the one that was recorded")
    last = shop.store.rounds(shop.run)[n - 2] if n > 1 else None
    kept = last.space.diff(last.next_space) if last and last.next_space else ()
    return Bench(
        n,
        derive(shop.run.config.seed, "fit", n),
        table,
        shop.folder,
        parent[0] if parent else None,
        tuple(frozenset(change.kept) for change in kept),
        shop.track,
        shop.evaluate,
        replace(team(), sync=shop.run.config.sync_batchnorm),
    )


def keep_checkpoint(shop: Workshop, n: int, judge: Judge) -> None:
    """Remember the weights behind a judge; what is known already is not said again."""
    files = [("weights", judge.checkpoint)] if judge.checkpoint is not None else []
    if isinstance(judge, BlockwiseJudge):
        files += [(f"block {block}", path) for block, (path, _) in enumerate(judge.files, start=1)]
    for kind, path in files:
        if shop.store.checkpoint(shop.run, n, kind) != (path, file_hash(path)):
            shop.store.add_checkpoint(shop.run, n, kind, path)


def measured(shop: Workshop, before: list[RoundRow]) -> list[Evaluation]:
    """What the last round measured; before the first round, what the run did that this one continues."""
    section = shop.run.config.evolution
    if not before and isinstance(section, NseEvolution) and section.continue_from:
        before = shop.store.rounds(shop.store.run(section.continue_from))
    return [proposal.evaluation for proposal in shop.store.proposals(before[-1])] if before else []


def survivors(before: Iterable[Evaluation], space: SearchSpace, config: StudyConfig, most: int) -> list[Architecture]:
    """The Pareto front of what was measured before, as far as the space still holds it, cheapest first.

    A front of more than ``most`` is thinned evenly, its two ends kept.
    """
    settings = config.search
    allowed = windows(config.limits)
    held = tuple(
        e
        for e in complete(before)
        if e.arch in space and all(least <= e.cost(name) <= most for name, (least, most) in allowed.items())
    )
    front = Round(0, space, held, cost=settings.cost, objective=settings.objective).front
    return thinned([e.arch for e in front], most)


def thinned(front: list[Architecture], most: int) -> list[Architecture]:
    """At most so many of a front, evenly, its two ends kept."""
    places = np.unique(np.linspace(0, len(front) - 1, min(most, len(front))).round().astype(int))
    return [front[place] for place in places]


def volume(run: Run, finished: Round) -> float:
    """Hypervolume of a round's evaluations in the run's box."""
    return hypervolume(
        [e.cost(finished.cost) for e in finished.evaluations],
        [e.score(finished.objective) for e in finished.evaluations],
        max_cost=run.max_cost,
        min_accuracy=run.min_accuracy,
    )


def fates(finished: Round, step: Step, rule: str) -> list[Choice]:
    """What became of every candidate, and by which rule."""
    share = shares(finished.space, finished.front)
    choices = []
    for i, change in enumerate(finished.space.diff(step.space)):
        for fate, ops in (("kept", change.kept), ("dropped", change.dropped), ("refilled", change.refilled)):
            choices += [Choice(i, op, step.ratings.get((i, op)), share.get((i, op)), fate, rule) for op in ops]
    return choices


@dataclass
class Clock:
    """Where the time went. What is timed inside something else counts for itself alone."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def time(self, what: str) -> Iterator[None]:
        started, inside = time.perf_counter(), sum(self.seconds.values())
        try:
            yield
        finally:
            inside = sum(self.seconds.values()) - inside
            self.seconds[what] = self.seconds.get(what, 0.0) + time.perf_counter() - started - inside

    def timed(self, what: str, function: Callable[P, R]) -> Callable[P, R]:
        """``function``, timed whenever it is called."""

        def timed(*args: P.args, **kwargs: P.kwargs) -> R:
            with self.time(what):
                return function(*args, **kwargs)

        return timed
