"""Did searching pay? A run's pick against networks that need no search, at the same multiply-accumulates.

Every network was trained alone, with the same settings and the same seeds, and measured on held-out images. Differences are
paired by seed. Where a network was chosen among several by the held-out images of the first seed, its mean includes that
seed, which flatters it a little: the comparison is then hard on the pick.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from analysis.sentences import count
from analysis.verdict import FEWEST, Difference, difference, student_half
from spaces.columns import format_table
from spaces.units import format_number

Interval = tuple[float, float]


@dataclass(frozen=True)
class Arm:
    """One side of the comparison.

    Attributes:
        name: what was asked for: ``pick``, ``uniform``, ``random``, ``random:6``, ``mobilenet_v2``.
        network: what it is, in words.
        arch: its architecture; None where every seed has a network of its own.
        macs: multiply-accumulates; ``params``: weights and biases; means over the networks where there are several.
        accuracies: on the held-out images, one per seed.
    """

    name: str
    network: str
    arch: str | None
    macs: float
    params: float
    accuracies: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean accuracy over the seeds."""
        return fmean(self.accuracies)

    @property
    def interval(self) -> Interval | None:
        """Student's 95 % interval of the mean, cut to what an accuracy can be; None for fewer than ``FEWEST`` seeds."""
        if len(self.accuracies) < FEWEST:
            return None
        half = student_half(self.accuracies)
        return max(0.0, self.mean - half), min(1.0, self.mean + half)


@dataclass(frozen=True)
class Charge:
    """What the comparison has cost, with what was found from earlier commands: trainings, their MACs and seconds."""

    trainings: int
    macs: float
    seconds: float


@dataclass(frozen=True)
class NoSearch:
    """A run's pick and the networks that need no search.

    Attributes:
        run: the run's name.
        images: how many held-out images there were.
        seeds: how many times each network was trained.
    """

    run: str
    images: int
    seeds: int
    pick: Arm
    baselines: tuple[Arm, ...]
    charge: Charge

    def difference(self, baseline: Arm) -> Difference:
        """The pick's accuracy minus the baseline's, paired by seed; positive: the pick is better."""
        pairs = zip(self.pick.accuracies, baseline.accuracies, strict=True)
        return difference("accuracy", [ours - theirs for ours, theirs in pairs])

    def rows(self) -> list[dict[str, Any]]:
        """A row per network, the pick first: what ``to_dict`` and frames have of it."""
        return [_row(self.pick, None), *(_row(arm, self.difference(arm)) for arm in self.baselines)]

    def to_dict(self) -> dict[str, Any]:
        """The comparison as plain data, for ``--json``."""
        return {
            "run": self.run,
            "validation_images": self.images,
            "seeds": self.seeds,
            "networks": self.rows(),
            "trainings": self.charge.trainings,
            "training_macs": self.charge.macs,
            "training_seconds": self.charge.seconds,
            "sentences": self.sentences(),
        }

    def table(self) -> str:
        """The comparison for a terminal."""
        return format_table([HEADINGS, *self.cells()], left=(0, 1))

    def cells(self) -> list[list[str]]:
        """A row of text per network, under ``HEADINGS``."""
        arms = [(self.pick, None), *((arm, self.difference(arm)) for arm in self.baselines)]
        return [_cells(arm, differs) for arm, differs in arms]

    def sentences(self) -> list[str]:
        """The conclusion, and what it rests on and has cost."""
        return [self.conclusion(), self._basis()]

    def __str__(self) -> str:
        return "\n".join([self.table(), "", *self.sentences()])

    def conclusion(self) -> str:
        """Whether searching paid, in one sentence."""
        if self.seeds < FEWEST:
            return f"Nothing can be concluded from {count(self.seeds, 'seed')}: repeat with --seeds {FEWEST} or more."
        return describe_conclusions({arm.name: self.difference(arm).conclusion for arm in self.baselines}, "the pick")

    def _basis(self) -> str:
        return (
            f"Accuracies are those on {count(self.images, 'held-out image')}, over {count(self.seeds, 'seed')}; no test image "
            f"was used. The {count(self.charge.trainings, 'training')} took {format_number(self.charge.macs)} MACs and "
            f"{format_number(self.charge.seconds)} seconds."
        )


def describe_conclusions(found: Mapping[str, str], picks: str) -> str:
    """Whether searching paid, in one sentence.

    Args:
        found: what needs no search -> the conclusion of the difference: ``better``, ``worse`` or ``no difference shown``.
        picks: what was searched, in words: ``the pick``.
    """
    by = {name: [arm for arm, conclusion in found.items() if conclusion == name] for name in CONCLUSIONS}
    if by["worse"]:
        return f"Searching did not pay: without any search, {_listing(by['worse'])} did better than {picks}."
    verb = "is" if picks == "the pick" else "are"
    if not by["no difference shown"]:
        return f"Searching paid: {picks} {verb} better than {_listing(by['better'])}."
    unclear = by["no difference shown"]
    theirs = "is" if len(unclear) == 1 else "are"
    ahead = f", which {verb} better than {_listing(by['better'])}" if by["better"] else ""
    return f"It is not shown that searching paid: {_listing(unclear)} {theirs} not shown to differ from {picks}{ahead}."


CONCLUSIONS = ("better", "worse", "no difference shown")
HEADINGS = ["", "network", "MACs", "params", "accuracy", "95% interval", "pick minus it", "95% interval"]


def _row(arm: Arm, differs: Difference | None) -> dict[str, Any]:
    low, high = arm.interval or (None, None)
    low_difference, high_difference = (differs and differs.interval) or (None, None)
    return {
        "name": arm.name,
        "network": arm.network,
        "arch": arm.arch,
        "macs": arm.macs,
        "params": arm.params,
        "accuracies": list(arm.accuracies),
        "accuracy": arm.mean,
        "low": low,
        "high": high,
        "difference": differs.mean if differs else None,
        "difference_low": low_difference,
        "difference_high": high_difference,
        "conclusion": differs.conclusion if differs else None,
    }


def _cells(arm: Arm, differs: Difference | None) -> list[str]:
    def points(value: float) -> str:
        return f"{100 * value:+.2f}"

    interval, between = arm.interval, differs and differs.interval
    return [
        arm.name,
        arm.network,
        format_number(arm.macs),
        format_number(arm.params),
        f"{arm.mean:.2%}",
        f"{interval[0]:.2%} to {interval[1]:.2%}" if interval else "-",
        points(differs.mean) if differs else "",
        "" if not differs else f"{points(between[0])} to {points(between[1])}" if between else "-",
    ]


def _listing(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
