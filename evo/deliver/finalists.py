"""The network that is delivered: the judge's favourite, or the best of a few favourites that were trained alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from evo.alone.candidates import Candidate
from evo.alone.selection import Criteria
from evo.alone.trainer import Trainer
from evo.console import Reporter
from spaces.export.baselines import Contender
from studies.database.trainings import Trained


@dataclass(frozen=True)
class Contest:
    """Networks that were trained alone, and the best of them.

    Attributes:
        contenders: the judge's favourite first.
        accuracies: of each, one per training, on the held-out images; empty where there was nothing to compare.
        images: how many held-out images there were.
        winner: the place of the best: by mean accuracy, of equals the cheapest.
        trained: all that was trained for it.
        called: what ``architecture.json`` calls their accuracies.
    """

    contenders: tuple[Contender, ...]
    accuracies: tuple[tuple[float, ...], ...]
    images: int
    winner: int
    trained: tuple[Trained, ...] = field(default=(), repr=False, compare=False)
    called: str = "accuracies"

    def to_dict(self) -> dict[str, Any]:
        """The contest as plain data, for ``architecture.json``."""
        return {
            "validation_images": self.images,
            "networks": [
                {"arch": str(one.arch), "macs": one.macs, "params": one.params, self.called: list(found)}
                for one, found in zip(self.contenders, self.accuracies, strict=True)
            ],
            "delivered": self.winner,
        }


def hold_contest(trainer: Trainer, candidates: Sequence[Candidate], criteria: Criteria, reporter: Reporter) -> Contest:
    """Train each of several candidates alone, ``criteria.seeds`` times, and find the best on the held-out images.

    Raises:
        EvoError: features are asked for, and no block of a candidate fits the teacher's.
    """
    convention = trainer.config.search.macs_convention
    names = [f"finalist {place} of {len(candidates)}" for place in range(1, len(candidates) + 1)]
    if len(candidates) == 1:
        names = [f"pick of round {candidates[0].chosen.round}"]
    contenders = tuple(
        trainer.as_trained(one.contender(name, convention)) for one, name in zip(candidates, names, strict=True)
    )
    trainer.check_features(contenders)
    if len(contenders) == 1:
        if criteria.finalists > 1:
            reporter.say("one network alone is within the limits: there are no finalists to compare")
        return Contest(contenders, ((),), len(trainer.images.validation), 0)
    jobs = [(one, number) for one in contenders for number in range(criteria.seeds)]
    with reporter.track(f"training {len(contenders)} finalists", len(jobs) * trainer.steps) as advance:
        trained = tuple(trainer.train(one, number, advance) for one, number in jobs)
    found = [one.accuracy for one in trained]
    accuracies = tuple(tuple(found[place : place + criteria.seeds]) for place in range(0, len(found), criteria.seeds))
    winner = find_winner(contenders, accuracies)
    called = "agreements" if trainer.config.tested == "agreement" else "accuracies"
    contest = Contest(contenders, accuracies, len(trainer.images.validation), winner, trained, called)
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
