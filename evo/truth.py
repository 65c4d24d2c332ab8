"""Does a round's judge tell the truth? Some of the architectures that it scored are trained alone, and rankings compared.

What was trained alone holds in all rounds: it is recorded at once, and never trained again.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from random import Random

from analysis.ranking import Truth, Witness, truth_of
from evo.careful import Ask
from evo.console import Track, untracked
from evo.data.paths import named
from evo.evaluators import Evaluator, Judge
from evo.evaluators.scratch import Scratch
from evo.evaluators.tabular import Tabular
from evo.seeds import derive
from spaces.architecture import Architecture
from spaces.space import SearchSpace, canonical
from studies.config import StudyConfig
from studies.records import Evaluation, EvoError, Round
from studies.store import Run, Store


def witness(config: StudyConfig, space: SearchSpace) -> Evaluator | None:
    """Who knows the truth, as the configuration says; None where nobody is asked. ``space`` is the run's first.

    Raises:
        EvoError: the table of true accuracies is missing.
    """
    section = config.truth
    if not section.sample:
        return None
    if section.table is None:
        return Scratch(section, config.data, config.device, config.seed)
    if not any(path.is_file() for path in named(section.table.path)):
        raise EvoError(
            f"truth.table.path is {section.table.path!r}: no such table here, nor below the folder EVO_DATA; "
            "give the path with --set truth.table.path=FILE, or leave [truth.table] out to train instead"
        )
    return Tabular(section.table, space)


def tell(
    run: Run,
    store: Store,
    judge: Judge,
    finished: Round,
    who: Ask,
    at_once: int = 1,
    track: Track = untracked,
) -> Truth:
    """Ask ``judge`` about a sample of a round's architectures, and compare.

    Args:
        who: asks ``judge``.
        at_once: how many architectures are asked for before the answers are recorded: as many as there are workers.
    """
    seed = derive(run.config.seed, "truth", finished.n)
    chosen = sample(finished, run.config.truth.sample, seed)
    label = f"round {finished.n}: asking for the truth"
    told = ask(run, store, judge, finished.space, [e.arch for e in chosen], who, at_once, track, label)
    pairs = [(e, true) for e, true in zip(chosen, told, strict=True) if not true.failed]
    witnesses = [Witness(str(e.arch), e.macs, e.accuracy, e.nll, true.accuracy) for e, true in pairs]
    return truth_of(judge.name, witnesses, finished.objective, seed=seed)


def ask(
    run: Run,
    store: Store,
    judge: Judge,
    space: SearchSpace,
    archs: Sequence[Architecture],
    who: Ask,
    at_once: int = 1,
    track: Track = untracked,
    label: str = "",
) -> list[Evaluation]:
    """What ``judge`` says of each architecture. What it said before is not asked again; each answer is recorded at once."""
    forms = [canonical(arch, space) for arch in archs]
    known = {canonical(e.arch, space): e for e in store.evaluations(run, judge.name)}
    missing = [arch for arch, form in zip(archs, forms, strict=True) if form not in known]
    with track(label, len(archs)) as advance:
        advance(len(archs) - len(missing))
        for start in range(0, len(missing), at_once):
            answers = who(judge, missing[start : start + at_once])
            store.record_evaluations(run, space, answers)
            known |= {canonical(e.arch, space): e for e in answers}
            advance(len(answers))
    return [known[form] for form in forms]


def sample(finished: Round, count: int, seed: int) -> Sequence[Evaluation]:
    """``count`` of a round's networks, cheapest first, spread evenly over cost: of as many equal parts, one drawn of each.

    All of them where there are fewer; a network counts once.
    """
    distinct: dict[Architecture, Evaluation] = {}
    for evaluation in finished.evaluations:
        distinct.setdefault(canonical(evaluation.arch, finished.space), evaluation)
    ordered = sorted(distinct.values(), key=lambda e: (e.cost(finished.cost), str(e.arch)))
    count = min(count, len(ordered))
    rng = Random(seed)
    borders = [part * len(ordered) // max(1, count) for part in range(count + 1)]
    return [rng.choice(ordered[start:stop]) for start, stop in pairwise(borders)]
