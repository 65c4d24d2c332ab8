"""The network that is delivered: the judge's favourite, or the best of a few favourites that were trained alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf, isfinite
from statistics import fmean
from typing import Any

from evo.console import Reporter
from evo.deliver.alone import Trainer
from evo.deliver.selection import Criteria, Selected, select_finalists
from spaces.costs.table import count_costs
from spaces.export.baselines import Contender, contender
from spaces.export.scaling import ScaledSpace, scale_to_macs
from spaces.units import format_number
from studies.database.rows import StoredRun
from studies.database.store import Store
from studies.database.trainings import Trained
from studies.records import EvoError

SPARE = 0.05
"""The share of a budget that may be left unused without a word."""


@dataclass(frozen=True)
class Candidate:
    """A network of a run that may be delivered, and the widths that were chosen for it; None: those of its space."""

    chosen: Selected
    scaled: ScaledSpace | None

    def contender(self, name: str, convention: str) -> Contender:
        """The network as it would be delivered."""
        arch, space = (self.scaled or self.chosen).arch, (self.scaled or self.chosen).space
        return contender(name, arch, space, convention)


def find_candidates(store: Store, run: StoredRun, criteria: Criteria) -> list[Candidate]:
    """The networks among which the criteria leave the choice, at the widths that they ask for, the judge's favourite first.

    Raises:
        EvoError: nothing fits the criteria.
        SpaceError: an architecture or a budget that cannot be.
    """
    chosen = select_finalists(store, run, criteria)
    return [Candidate(selected, choose_widths(selected, run, criteria)) for selected in chosen]


# -- widths -----------------------------------------------------------------------------------------------------------


def choose_widths(chosen: Selected, run: StoredRun, criteria: Criteria) -> ScaledSpace | None:
    """The widths that the criteria ask for; None: those of the space, also where no wider ones fit.

    Raises:
        EvoError: there is no limit to fill, or a filled network breaks another limit of the run.
        SpaceError: a budget that cannot be met.
    """
    convention = run.config.search.macs_convention
    if criteria.scale_to:
        return scale_to_macs(chosen.space, chosen.arch, criteria.scale_to, convention)
    if not criteria.fill:
        return None
    scaled = scale_to_macs(chosen.space, chosen.arch, limit_to_fill(run, criteria), convention)
    if scaled.macs <= count_costs(chosen.space, chosen.arch, convention).macs:
        return None
    params = count_costs(scaled.space, scaled.arch).params
    _, most = run.config.limits.given().get("params", (0, inf))
    if params > most:
        raise EvoError(
            f"--fill: at {scaled.macs:,} MACs the network has {params:,} parameters, and limits.params of run {run.name!r} "
            f"allows {most:,.0f}: leave --fill out, or give a lower --max-macs"
        )
    return scaled


def limit_to_fill(run: StoredRun, criteria: Criteria) -> float:
    """The MACs that a network is widened to: the limit of the criteria, else that of the run.

    Raises:
        EvoError: neither has one, or latency is limited, too.
    """
    limits = run.config.limits.given()
    if "latency_ms" in limits:
        raise EvoError(
            f"--fill changes widths, and limits.latency_ms of run {run.name!r} is known for those of its space only: leave "
            "it out"
        )
    most = criteria.max_costs.get("macs", limits.get("macs", (0, inf))[1])
    if not isfinite(most):
        raise EvoError("--fill widens the network to a budget of MACs, and there is none: give --max-macs, e.g. 200k")
    return most


def describe_unused(candidate: Candidate, run: StoredRun, criteria: Criteria) -> str:
    """A line about what a network leaves of the budget that was given; empty where that is little, or other MACs were asked."""
    most = criteria.max_costs.get("macs")
    if most is None or criteria.scale_to:
        return ""
    macs = candidate.contender("", run.config.search.macs_convention).macs
    if macs >= (1 - SPARE) * most:
        return ""
    hint = "widths grow in multiples of 8" if criteria.fill else "--fill widens it"
    return (
        f"the network has {format_number(macs)} MACs, and {1 - macs / most:.0%} of the budget of {format_number(most)} is "
        f"unused: {hint}"
    )


# -- finalists --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Contest:
    """Networks that were trained alone, and the best of them.

    Attributes:
        contenders: the judge's favourite first.
        accuracies: of each, one per training, on the held-out images; empty where there was nothing to compare.
        images: how many held-out images there were.
        winner: the place of the best: by mean accuracy, of equals the cheapest.
        trained: all that was trained for it.
    """

    contenders: tuple[Contender, ...]
    accuracies: tuple[tuple[float, ...], ...]
    images: int
    winner: int
    trained: tuple[Trained, ...] = field(default=(), repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """The contest as plain data, for ``architecture.json``."""
        return {
            "validation_images": self.images,
            "networks": [
                {"arch": str(one.arch), "macs": one.macs, "params": one.params, "accuracies": list(found)}
                for one, found in zip(self.contenders, self.accuracies, strict=True)
            ],
            "delivered": self.winner,
        }


def hold_contest(trainer: Trainer, candidates: Sequence[Candidate], criteria: Criteria, reporter: Reporter) -> Contest:
    """Train each of several candidates alone, ``criteria.seeds`` times, and find the best on the held-out images."""
    convention = trainer.config.search.macs_convention
    names = [f"finalist {place} of {len(candidates)}" for place in range(1, len(candidates) + 1)]
    if len(candidates) == 1:
        names = [f"pick of round {candidates[0].chosen.round}"]
    contenders = tuple(one.contender(name, convention) for one, name in zip(candidates, names, strict=True))
    if len(contenders) == 1:
        if criteria.finalists > 1:
            reporter.say("one network of the front is within the limits: there are no finalists to compare")
        return Contest(contenders, ((),), len(trainer.images.validation), 0)
    jobs = [(one, number) for one in contenders for number in range(criteria.seeds)]
    with reporter.track(f"training {len(contenders)} finalists", len(jobs) * trainer.steps) as advance:
        trained = tuple(trainer.train(one, number, advance) for one, number in jobs)
    found = [one.accuracy for one in trained]
    accuracies = tuple(tuple(found[place : place + criteria.seeds]) for place in range(0, len(found), criteria.seeds))
    winner = find_winner(contenders, accuracies)
    contest = Contest(contenders, accuracies, len(trainer.images.validation), winner, trained)
    reporter.say(describe_contest(contest))
    return contest


def find_winner(contenders: Sequence[Contender], accuracies: Sequence[Sequence[float]]) -> int:
    """The place of the network with the highest mean accuracy; of equals the one with the fewest MACs, then parameters."""
    places = range(len(contenders))
    return max(places, key=lambda i: (fmean(accuracies[i]), -contenders[i].macs, -contenders[i].params))


def describe_contest(contest: Contest) -> str:
    """The finalists' accuracies in a line."""
    means = ", ".join(
        f"{fmean(found):.2%}{' (taken)' if place == contest.winner else ''}"
        for place, found in enumerate(contest.accuracies)
    )
    return f"{len(contest.contenders)} finalists on {contest.images:,} held-out images, the judge's favourite first: {means}"
