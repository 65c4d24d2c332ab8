"""Networks are trained alone before a round's search, and its scores become estimates of what networks reach alone.

Which networks these are follows from the seed, the judge's space and the rounds before, and each is recorded at once: however a
round is interrupted, the same judge comes of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from random import Random

from analysis.frames import calibration_of
from analysis.ranking import Witness
from analysis.ranking.calibration import calibrate
from evo.evaluators import Judge
from evo.evaluators.calibrated import CalibratedJudge
from evo.round.context import RoundContext, fit_context
from evo.round.costs import costs_of
from evo.round.ground_truth import evaluate_missing
from evo.seeds import derive_seed
from evo.strategy.design import covering_networks
from evo.strategy.nsga2 import CandidateFilter
from spaces.architecture import Architecture
from spaces.space import canonical_arch


def calibrated(context: RoundContext, judge: Judge) -> Judge:
    """``judge``, answering with estimates of accuracy alone where the configuration asks for them.

    The judge itself where too few networks could be trained, or all of them are equally accurate.
    """
    shared = context.shared
    if shared.reference is None or not context.config.ground_truth.calibrates:
        return judge
    reference = shared.reference.fit(context.space, fit_context(context))
    archs = sample_to_train(context, judge, reference)
    true = evaluate_missing(context, reference, archs, f"round {context.n}: training networks alone")
    scored = evaluate_missing(context, judge, archs, f"round {context.n}: scoring what was trained alone")
    witnesses = [
        Witness(str(arch), score.macs, score.accuracy, score.nll, alone.accuracy)
        for arch, score, alone in zip(archs, scored, true, strict=True)
        if not score.failed and not alone.failed
    ]
    found = calibrate(reference.name, witnesses)
    return CalibratedJudge(judge, found) if found else judge


def sample_to_train(context: RoundContext, judge: Judge, reference: Judge) -> list[Architecture]:
    """What earlier rounds have trained alone, as far as the judge can score it, and ``ground_truth.sample`` more, which are
    spread over cost and together carry all operations about evenly."""
    config, space = context.config, judge.space
    known = {canonical_arch(arch, space): arch for arch in trained_before(context) if arch in space}
    costs = context.costs if space == context.space else costs_of(config, space)
    able = both(judge.measurable(), reference.measurable())
    candidates = CandidateFilter(space, costs, config.limits.given(), set(known), able)
    rng, wanted = Random(derive_seed(config.seed, "calibration", context.n)), config.ground_truth.sample
    new = covering_networks(candidates, wanted, rng, config.search.cost, known.values())
    new += candidates.random_unseen(rng, wanted - len(new), {canonical_arch(arch, space) for arch in new})
    return [*known.values(), *new]


def trained_before(context: RoundContext) -> Iterator[Architecture]:
    """The networks by which earlier rounds were calibrated."""
    for row in context.earlier:
        found = calibration_of(row)
        yield from (Architecture.parse(witness.arch) for witness in (found.witnesses if found else ()))


def both(
    one: Collection[Architecture] | None, other: Collection[Architecture] | None
) -> Collection[Architecture] | None:
    """The architectures that two judges can answer for; None: all of the space."""
    if one is None or other is None:
        return other if one is None else one
    return {arch for arch in one if arch in other}
