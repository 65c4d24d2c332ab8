"""A run, round by round: ``run_round`` is the algorithm box of the whole project."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import astuple, replace
from functools import partial
from random import Random

from analysis.sentences import describe_reasons
from evo.evaluators import LIBRARY, Judge, Request
from evo.evaluators.guard import guarded
from evo.evaluators.timed import judge_in_time
from evo.methods.evolution import Step, operation_shares
from evo.round import dashboard
from evo.round.calibration import calibrated
from evo.round.clock import Clock
from evo.round.context import RoundContext, RunContext, fit_context, open_round, reopen_round
from evo.round.costs import costs_of, measured_latency, timer_of
from evo.round.ground_truth import check_ranking
from evo.round.other_runs.found import OtherRuns, count_by_run
from evo.round.other_runs.lessons import lessons_for
from evo.round.spent import spent_macs
from evo.round.survivors import last_proposals, surviving_front
from evo.seeds import derive_seed
from evo.strategy.design import choices_of
from evo.strategy.effects import UNKNOWN, operation_effects
from evo.strategy.generations import Begin, SearchTask, search_in_flight
from evo.training.checkpoints import DamagedError, quarantine
from evo.workers.flights import Launch, launcher
from spaces.architecture import Architecture
from spaces.space import canonical_arch
from studies.database.lineage import record_bred_cells
from studies.database.measured import measured_rounds
from studies.database.rows import Choice, StoredRound
from studies.database.urls import artifacts_folder
from studies.pareto import hypervolume
from studies.records import Evaluation, EvoError, Proposal, Round, complete_evaluations, costs_array


def run_round(shared: RunContext, n: int) -> StoredRound:
    """Bring round ``n`` to its end, from wherever it stands: fit, search, evolve, remember."""
    run, store, context = shared.run, shared.store, open_round(shared, n)
    clock = Clock(dict(context.row.stats.get("seconds", {})))

    with clock.time("fitting"):
        judge = fit_judge(context, clock)
    several = run.config.search.flights > 1
    with clock.time("proposing"), launcher(shared.evaluate, run.config.search.flights) as launch:
        task = search_task(context, judge)
        proposals, exhausted = search_in_flight(
            task,
            begin=begin_generation(context, judge, launch, clock),
            record=clock.timed("storing", partial(store.record, run, context.row)),
            done=context.done,
            announce=clock.timed("storing", partial(store.announce, context.row)) if several else None,
            track=shared.track,
            label=f"round {n}: searching",
        )
    finished = finished_round(context, judge, proposals)
    with clock.time("truth"):
        truth = judge.truth(derive_seed(run.config.seed, "truth", n)) or check_ranking(context, finished)
    step = shared.evolution(finished, Random(derive_seed(run.config.seed, "evolve", n)))

    stats = (
        context.row.stats
        | round_stats(context, judge, proposals)
        | {"front": len(finished.front), "exhausted": exhausted, "truth": truth and truth.to_dict()}
        | ({"learned_from": task.lessons.report()} if task.lessons else {})
        | ({"latency": task.latency.report()} if task.latency else {})
    )
    store.finish_round(
        context.row,
        step.space,
        operation_fates(finished, step, str(shared.evolution)),
        judge=judge.name,
        hypervolume=hypervolume_of(context, finished),
        stats=stats | {"macs": spent_macs(context, proposals, stats), "seconds": clock.seconds},
    )
    dashboard.publish(store, run, n, artifacts_folder(shared.files))
    return store.rounds(run)[n - 1]


def fit_judge(context: RoundContext, clock: Clock) -> Judge:
    """The round's judge, its files remembered. Damaged files of the round before, with which it starts, are made again.

    Where scores are calibrated, networks are trained alone here.

    Raises:
        EvoError: weights that were made again are not those that the database knows scores by.
    """
    shared = context.shared
    try:
        judge = shared.evaluator.fit(context.space, fit_context(context))
    except DamagedError as damage:
        if context.n == 1:
            raise
        quarantine(damage)
        fit_judge(reopen_round(context, context.n - 1), clock)
        judge = shared.evaluator.fit(context.space, fit_context(context))
    with clock.time("truth"):
        judge = calibrated(context, judge)
    check_recorded(context, judge)
    for kind, (path, digest) in judge.files().items():
        if shared.store.checkpoint(shared.run, context.n, kind) != (path, digest):
            shared.store.add_checkpoint(shared.run, context.n, kind, path, digest)
    if judge.history:
        record_bred_cells(shared.store, shared.run, context.n, judge.history)
    return judge


def check_recorded(context: RoundContext, judge: Judge) -> None:
    """Compare a judge with the one by which the round was measured so far. Training gives the same bits again, but not with
    other versions of the libraries, on another kind of machine, or with another number of threads.

    Raises:
        EvoError: it is another one.
    """
    known = [proposal.evaluation.judge for proposal in context.done]
    if known and judge.name not in known:
        raise EvoError(
            f"round {context.n} of run {context.shared.run.name!r} was measured with {known[0]}, whose weights are lost; "
            f"retraining gave different weights, {judge.name}: the libraries, the machine, or the number of threads have "
            f"changed. Put the old file back into {context.shared.folder}, or begin another run: --run NAME"
        )


def search_task(context: RoundContext, judge: Judge) -> SearchTask:
    """What the search of the round is given. The same however much of the round was done already."""
    shared, config, space = context.shared, context.config, judge.space
    costs = context.costs if space == context.space else costs_of(config, space)
    here = {canonical_arch(proposal.arch, space) for proposal in context.done if proposal.is_new}
    answered = {canonical_arch(e.arch, space): e for e in shared.store.evaluations(shared.run, judge.name)}
    known = {form: evaluation for form, evaluation in answered.items() if form not in here}
    population = None if config.evolution.whole_front else config.search.population
    most = len(known) or population  # what is known costs nothing to keep
    last = last_proposals(shared.store, shared.run, context.earlier)
    guards = [proposal.evaluation for proposal in last if proposal.origin == "guard"]
    parents = surviving_front(known.values() or [p.evaluation for p in last], costs, config, most, guards)
    limits, rng = config.limits.given(), Random(derive_seed(config.seed, "drawn", context.n))
    evaluations = config.search.measurements(context.n)
    return SearchTask(
        space,
        costs,
        config.search.model_copy(update={"evaluations": evaluations}),
        config.limits,
        seed=derive_seed(config.seed, "search", context.n),
        survivors=parents,
        drawn=judge.suggest(Request(costs, config.search.cost, limits, evaluations, rng, parents)),
        known=known,
        measurable=judge.measurable(),
        measured={
            choice
            for part in measured_rounds(context.shared.store, context.config, context.earlier)
            for e in part.evaluations
            for choice in choices_of(e.arch)
        },
        lessons=lessons_for(context),
        latency=measured_latency(config, space, known.values()),
    )


def begin_generation(context: RoundContext, judge: Judge, launch: Launch, clock: Clock) -> Begin:
    """How generations are begun and waited for; a judge that fails at an architecture costs that trial."""
    config, others, timer = (
        context.config,
        OtherRuns.of(context, judge),
        timer_of(context.config, judge.space, context.shared.files / LIBRARY),
    )
    ask = guarded(context.shared.evaluate, context.costs, config.evaluator.timeout)

    def begin(archs: Sequence[Architecture], earlier: Sequence[Evaluation]) -> Callable[[], list[Evaluation]]:
        def measure(missing: Sequence[Architecture]) -> Callable[[], list[Evaluation]]:
            return launch(partial(judge.measure, missing, ask, lambda: earlier, config.search.costs))

        with clock.time("evaluating"):
            wait = judge_in_time(archs, timer, judge, context.costs, partial(others.begin, measure=measure))
        return clock.timed("evaluating", wait)

    return begin


def finished_round(context: RoundContext, judge: Judge, proposals: list[Proposal]) -> Round:
    """The round as the evolution looks at it.

    Raises:
        EvoError: nothing could be measured.
    """
    evaluations, settings = complete_evaluations(p.evaluation for p in proposals), context.config.search
    if not evaluations:
        reasons = (
            " ".join(describe_reasons(count_failures(proposals)))
            or "nothing that can be measured lies inside the limits."
        )
        raise EvoError(f"round {context.n}: {' '.join(reasons)} There is nothing to evolve the space by")
    return Round(
        context.n,
        context.space,
        evaluations,
        judge.ratings,
        settings.cost,
        settings.objective,
        context.costs,
        measured_rounds(context.shared.store, context.config, context.earlier),
        context.config.evaluator.scores_hold,
        further_costs=settings.costs[1:],
    )


def hypervolume_of(context: RoundContext, finished: Round) -> float:
    """Hypervolume of a round's evaluations in the run's box."""
    run = context.shared.run
    return hypervolume(
        costs_array(finished.evaluations, finished.minimised),
        [e.score(finished.objective) for e in finished.evaluations],
        max_cost=run.max_costs,
        min_accuracy=run.min_accuracy,
    )


def count_failures(proposals: list[Proposal]) -> dict[str, int]:
    """Why architectures could not be measured, and how often, the most frequent reason first."""
    reasons = (p.evaluation.failed for p in proposals if p.is_new and p.evaluation.failed)
    return dict(Counter(reasons).most_common())


def round_stats(context: RoundContext, judge: Judge, proposals: list[Proposal]) -> dict[str, object]:
    """Counts that the round's row remembers."""
    screens = context.config.search.surrogate
    found = count_by_run([p.evaluation for p in proposals if p.is_new])
    return {
        "proposals": len(proposals),
        "distinct": len({canonical_arch(p.arch, context.space) for p in proposals}),
        "measured": sum(p.is_new for p in proposals),
        **({"found": found} if found else {}),
        "failed": count_failures(proposals),
        "unscreened": len({p.generation for p in proposals if p.origin == "child"}) if screens else 0,
        **context.config.evolution.stats(context.config, Counter(p.origin for p in proposals)),
        **judge.stats([p.evaluation for p in proposals if p.is_new]),
    }


def operation_fates(finished: Round, step: Step, rule: str) -> list[Choice]:
    """What became of every candidate, by which rule, and on what evidence."""
    share, effects = operation_shares(finished.space, finished.front), operation_effects(finished)
    choices = []
    for i, change in enumerate(finished.space.diff(step.space)):
        for fate, ops in (("kept", change.kept), ("dropped", change.dropped), ("added", change.added)):
            for op in ops:
                effect = effects.get((i, op), UNKNOWN)
                rating = step.ratings.get((i, op))
                choice = Choice(i, op, rating, share.get((i, op)), fate, rule, *astuple(effect))
                choices.append(replace(choice, learned=finished.ratings.get((i, op))))
    return choices
