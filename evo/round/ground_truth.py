"""Do a round's scores rank rightly? Some of the architectures are trained alone, and the two rankings are compared.

Where scores are calibrated (``evo.round.calibration``), nothing is asked here: those networks are compared, without what they
taught.

What was trained alone holds in all rounds: it is recorded at once, and never trained again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from random import Random

from analysis.ranking import Truth, Witness, truth_of
from analysis.verdict import sample_front
from evo.evaluators import Judge
from evo.evaluators.guard import guarded
from evo.round.context import RoundContext, RunContext, fit_context, open_round
from evo.round.other_runs.found import OtherRuns
from evo.seeds import derive_seed
from spaces.architecture import Architecture
from spaces.space import canonical_arch
from studies.records import Evaluation, Round


def check_ranking(context: RoundContext, finished: Round) -> Truth | None:
    """How a round's scores rank a sample of its architectures, against the reference evaluator's; None: nobody asks."""
    shared = context.shared
    if shared.reference is None:
        return None
    judge = shared.reference.fit(finished.space, fit_context(context))
    seed = derive_seed(shared.config.seed, "truth", finished.n)
    known = judge.measurable()
    asked = tuple(e for e in finished.evaluations if known is None or e.arch in known)
    scored = sample_by_cost(replace(finished, evaluations=asked), shared.config.ground_truth.sample, seed)
    label = f"round {finished.n}: asking for the truth"
    answers = evaluate_missing(context, judge, [e.arch for e in scored], label)
    pairs = [(e, true) for e, true in zip(scored, answers, strict=True) if not true.failed]
    witnesses = [Witness(str(e.arch), e.macs, e.accuracy, e.nll, true.accuracy) for e, true in pairs]
    return truth_of(judge.name, witnesses, finished.objective, seed=seed)


def evaluate_missing(
    context: RoundContext, judge: Judge, archs: Sequence[Architecture], label: str
) -> list[Evaluation]:
    """One evaluation by ``judge`` per architecture. What it has measured before, in this run or in another, is not measured
    again.

    As many are measured at once as there are workers, and recorded before the next.
    """
    run, store, space = context.shared.run, context.shared.store, context.space
    ask, at_once = guarded(context.shared.evaluate, context.costs), context.shared.workers
    forms = [canonical_arch(arch, space) for arch in archs]
    known = {canonical_arch(e.arch, space): e for e in store.evaluations(run, judge.name)}
    missing, others = (
        [arch for arch, form in zip(archs, forms, strict=True) if form not in known],
        OtherRuns.of(context, judge),
    )
    if found := [others.marked(e) for e in others.find(missing) if e is not None]:
        store.record_evaluations(run, space, found)
        known |= {canonical_arch(e.arch, space): e for e in found}
        missing = [arch for arch in missing if canonical_arch(arch, space) not in known]
    with context.shared.track(label, len(archs)) as advance:
        advance(len(archs) - len(missing))
        for start in range(0, len(missing), at_once):
            answers = list(map(others.marked, ask(judge, missing[start : start + at_once])))
            store.record_evaluations(run, space, answers)
            known |= {canonical_arch(e.arch, space): e for e in answers}
            advance(len(answers))
    return [known[form] for form in forms]


def sample_by_cost(finished: Round, count: int, seed: int) -> Sequence[Evaluation]:
    """``count`` of a round's networks, cheapest first, spread evenly over cost: of as many equal parts, one drawn of each.

    All of them where there are fewer; a network counts once.
    """
    distinct: dict[Architecture, Evaluation] = {}
    for evaluation in finished.evaluations:
        distinct.setdefault(canonical_arch(evaluation.arch, finished.space), evaluation)
    ordered = sorted(distinct.values(), key=lambda e: (e.cost(finished.cost), str(e.arch)))
    count = min(count, len(ordered))
    rng = Random(seed)
    borders = [part * len(ordered) // max(1, count) for part in range(count + 1)]
    return [rng.choice(ordered[start:stop]) for start, stop in pairwise(borders)]


def train_front_alone(shared: RunContext, n: int) -> None:
    """Train members of the front after round ``n`` alone: arms whose supernets differ have no other common measure."""
    if shared.reference is None:
        return
    context = open_round(shared, n)
    judge = shared.reference.fit(context.space, fit_context(context))
    known = judge.measurable()
    members = [arch for arch in sample_front(shared.store, shared.run, n) if known is None or arch in known]
    evaluate_missing(context, judge, members, f"{shared.run.name}: training its front alone")
