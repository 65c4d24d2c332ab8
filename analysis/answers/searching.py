"""Did searching pay? The picks of runs at budgets against networks that need no search, paired by seed.

All of a budget have equal MACs and were trained alone, by one recipe and with the same seed; accuracies are those on held-out
images. A seed's difference is the mean over the budgets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from analysis.no_search import describe_conclusions
from analysis.sentences import count
from analysis.verdict import Difference, difference
from spaces.units import format_number
from studies.controls import Control
from studies.database.no_search import PICK, BudgetResult, compared_rounds, results_of
from studies.database.rows import StoredRun
from studies.database.store import Store

ARMS = {
    Control.UNIFORM: "the best uniform network",
    Control.RANDOM_NETWORKS: "the best random network",
    Control.MOBILENET_V2: "MobileNetV2",
    Control.EFFICIENTNET_B0: "EfficientNet-B0",
    Control.PRETRAINED: "the best of uniform cuts and smaller images",
    Control.WHOLE: "the whole network",
}
"""What a reader calls the arms."""

Pair = tuple[BudgetResult, BudgetResult]
"""The pick and the arm's network at one budget."""


@dataclass(frozen=True)
class Searching:
    """The picks against one arm, over the seeds that have been compared with it.

    Attributes:
        round: the round of whose fronts the picks are.
        pairs: seed -> budgets, the least first; every seed has as many.
    """

    control: Control
    round: int
    pairs: Mapping[int, tuple[Pair, ...]]

    @property
    def difference(self) -> Difference:
        """The picks' accuracies minus the arm's, the mean over the budgets; positive: searching is ahead."""
        return difference("accuracy", [fmean(gains) for gains in self._gains()])

    @property
    def budgets(self) -> list[tuple[float, Difference]]:
        """MACs of each budget, the mean over the seeds, and the difference there."""
        places = range(len(self._gains()[0]))
        macs = [fmean(pairs[place][0].budget for pairs in self.pairs.values()) for place in places]
        return [(macs[place], difference("accuracy", [gains[place] for gains in self._gains()])) for place in places]

    def differences(self) -> list[Difference]:
        """The difference over all budgets, then that at each."""
        named = [(f"accuracy at {format_number(macs)} MACs", found) for macs, found in self.budgets]
        return [self.difference, *(Difference(what, d.mean, d.interval, d.pairs) for what, d in named)]

    def _gains(self) -> list[list[float]]:
        return [[mine.accuracy - theirs.accuracy for mine, theirs in pairs] for pairs in self.pairs.values()]

    def sentence(self) -> str:
        """The differences in percentage points."""
        at = ", ".join(f"{100 * d.mean:+.2f} at {format_number(macs)}" for macs, d in self.budgets)
        several = f" ({at} MACs)" if len(self.budgets) > 1 else f" (at {format_number(self.budgets[0][0])} MACs)"
        return f"{_points(self.difference)} against {ARMS[self.control]}{several}"

    def to_dict(self) -> dict[str, Any]:
        """The comparison as plain data, for ``--json``."""
        return {
            "control": self.control,
            "round": self.round,
            "seeds": list(self.pairs),
            "budgets": [macs for macs, _ in self.budgets],
            "differences": [
                {"what": d.what, "mean": d.mean, "interval": d.interval, "conclusion": d.conclusion}
                for d in self.differences()
            ],
        }


def describe_searching(found: Sequence[Searching]) -> list[str]:
    """Whether searching paid: the conclusion, the differences it rests on, and what both sides have cost."""
    whole = [sentence for one in found if one.control is Control.WHOLE for sentence in _beside_whole(one)]
    found = [one for one in found if one.control is not Control.WHOLE]
    if not found and whole:
        return ["That is not known: nothing that needs no search has so few MACs as the picks.", *whole]
    if not found:
        return []
    conclusions = {ARMS[one.control]: one.difference.conclusion for one in found}
    few = "too few seeds" in conclusions.values()
    conclusion = (
        "Nothing can be concluded from so few seeds: add some with --seeds 5."
        if few
        else describe_conclusions(conclusions, "the picks")
    )
    first = next(iter(found[0].pairs.values()))
    basis = (
        "Accuracy of the picks minus that of the others, in percentage points, at equal MACs, each trained alone and measured "
        f"on {count(first[0][0].images, 'held-out image')}, over {count(len(found[0].pairs), 'seed')} and after "
        f"{count(found[0].round, 'round')}: {'; '.join(one.sentence() for one in found)}."
    )
    return [conclusion, basis, *_costs(found), *whole]


def _beside_whole(found: Searching) -> list[str]:
    """Would fine-tuning the whole network have done? How much smaller the picks are, and what that costs in accuracy."""
    theirs = [pairs[0][1] for pairs in found.pairs.values()]
    macs, accuracy = fmean(one.macs for one in theirs), fmean(one.accuracy for one in theirs)
    at = ", ".join(f"{100 * d.mean:+.2f} with {budget / macs:.0%} of its MACs" for budget, d in found.budgets)
    conclusion = {
        "better": "No: the picks are better, and smaller.",
        "worse": "Where its MACs are affordable, yes: the picks pay for theirs with accuracy.",
        "no difference shown": "At its MACs, yes; the picks are smaller, and are not shown to be worse.",
    }.get(found.difference.conclusion, "How much accuracy smaller networks cost cannot be said from so few seeds.")
    return [
        "Would fine-tuning the whole network have done?",
        conclusion,
        f"Fine-tuned alike, it has {format_number(macs)} MACs and an accuracy of {accuracy:.2%}; the picks, in percentage "
        f"points beside it: {at}; {_points(found.difference)} over all.",
    ]


def _costs(found: Iterable[Searching]) -> list[str]:
    """What the random networks have cost beside the run."""
    drawn = next((one for one in found if one.control is Control.RANDOM_NETWORKS), None)
    if drawn is None:
        return []
    run = fmean(sum(ours.choosing_macs for ours, _ in pairs) for pairs in drawn.pairs.values())
    theirs = fmean(sum(theirs.choosing_macs for _, theirs in pairs) for pairs in drawn.pairs.values())
    tried = sorted({theirs.networks for pairs in drawn.pairs.values() for _, theirs in pairs})
    number = f"{tried[0]}" if len(tried) == 1 else f"{tried[0]} to {tried[-1]}"
    if not run:
        return [f"What such a run costs is not counted: {number} random networks were trained at every budget."]
    return [
        f"A run cost {format_number(run)} MACs (training, scoring, truth, finalists), the {number} random networks at every "
        f"budget {format_number(theirs)}."
    ]


def searching_of(store: Store, runs: Iterable[StoredRun]) -> list[Searching]:
    """What runs that differ in their seeds were compared with: one entry for each arm that needs no search.

    Runs are compared after the round after which most of them were, of several the last, and at the budgets that all have.
    """
    rounds = {run.config.seed: (run, compared_rounds(store, run)) for run in runs}
    seen = Counter(n for _, compared in rounds.values() for n in compared)
    if not seen:
        return []
    last = max(seen, key=lambda n: (seen[n], n))
    results = {
        seed: results_of(store, run, last) for seed, (run, compared) in sorted(rounds.items()) if last in compared
    }
    return [one for control in ARMS for one in _against(control, last, results)]


def _against(control: Control, n: int, results: Mapping[int, Sequence[BudgetResult]]) -> list[Searching]:
    by_seed = {}
    for seed, found in results.items():
        mine, theirs = ({one.place: one for one in found if one.arm == arm} for arm in (PICK, control))
        if both := sorted(mine.keys() & theirs.keys()):
            by_seed[seed] = {place: (mine[place], theirs[place]) for place in both}
    places = sorted(set.intersection(*(set(pairs) for pairs in by_seed.values()))) if by_seed else []
    if not places:
        return []
    return [Searching(control, n, {seed: tuple(pairs[place] for place in places) for seed, pairs in by_seed.items()})]


def _points(found: Difference) -> str:
    """A difference in percentage points, with its interval."""
    if found.interval is None:
        return f"{100 * found.mean:+.2f}"
    low, high = found.interval
    return f"{100 * found.mean:+.2f} (95% interval {100 * low:+.2f} to {100 * high:+.2f}: {found.conclusion})"
