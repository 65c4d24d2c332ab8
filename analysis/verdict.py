"""Did evolving the space help? The runs of several seeds against their control arms, seed by seed.

A verdict never says more than its interval: the mean of the paired differences, drawn again from the pairs many times,
and Student's interval where that is wider: a bootstrap of a few pairs is too sure of itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t as student

from analysis import frames
from analysis import sentences as words
from spaces.architecture import Architecture
from spaces.space import canonical_arch
from studies.config import StudyConfig
from studies.controls import Control, control_kind
from studies.database.rows import StoredRun
from studies.database.store import Store
from studies.pareto import hypervolume

DRAWS = 20_000
LEVEL = 0.95
FEWEST = 3
"""Of fewer pairs no interval is given."""

CONTROLS = {
    Control.FIXED: "a control arm whose space never changed",
    Control.RANDOM: "random search in a space that never changed",
}

CONCLUSIONS = {
    Control.FIXED: {
        "better": "Evolving the space helped.",
        "worse": "Evolving the space did harm.",
        "no difference shown": "It is not shown that evolving the space did anything for the front.",
    },
    Control.RANDOM: {
        "better": "The search beat random search.",
        "worse": "Random search did better.",
        "no difference shown": "It is not shown that the search beats random search.",
    },
}


@dataclass(frozen=True)
class Outcome:
    """What a run came to after its first rounds.

    Attributes:
        own: hypervolume of its final front in the run's box by the run's own scores, higher is better.
        alone: the same of front members that were trained alone (or are answered by a table); None where none were.
        tau: Kendall's tau of the last round's scores against the truth, where that was asked for.
        measured: new measurements in all rounds.
    """

    seed: int
    own: float
    alone: float | None
    tau: float | None
    measured: int


@dataclass(frozen=True)
class Difference:
    """Mean of paired differences, evolved minus control, and its interval; no interval of fewer than ``FEWEST`` pairs."""

    what: str
    mean: float
    interval: tuple[float, float] | None
    pairs: int

    @property
    def conclusion(self) -> str:
        """``better``, ``worse``, ``no difference shown`` or ``too few seeds``."""
        if self.interval is None:
            return "too few seeds"
        low, high = self.interval
        return "better" if low > 0 else "worse" if high < 0 else "no difference shown"

    def __str__(self) -> str:
        if self.interval is None:
            seeds = "one seed is an anecdote" if self.pairs == 1 else f"{self.pairs} seeds are too few for an interval"
            return f"{self.what} {self.mean:+.4f} ({seeds})"
        low, high = self.interval
        return f"{self.what} {self.mean:+.4f} (95% interval {low:+.4f} to {high:+.4f}: {self.conclusion})"


@dataclass(frozen=True)
class Verdict:
    """An evolving space against one control arm, over the seeds that both have finished."""

    control: Control
    rounds: int
    evolved: tuple[Outcome, ...]
    controls: tuple[Outcome, ...]

    @property
    def hypervolume(self) -> Difference:
        """By stand-alone accuracies where all arms have them, else by each arm's own scores."""
        pairs = [(e.alone, c.alone) for e, c in self._pairs()]
        known = [e - c for e, c in pairs if e is not None and c is not None]
        if len(known) == len(pairs):
            return difference("hypervolume", known)
        return difference("hypervolume", [e.own - c.own for e, c in self._pairs()])

    @property
    def tau(self) -> Difference | None:
        """Of Kendall's tau; None where it was not measured in all arms."""
        pairs = [(e.tau, c.tau) for e, c in self._pairs()]
        known = [e - c for e, c in pairs if e is not None and c is not None]
        return difference("tau", known) if known and len(known) == len(pairs) else None

    def _pairs(self) -> list[tuple[Outcome, Outcome]]:
        return list(zip(self.evolved, self.controls, strict=True))

    def sentences(self) -> list[str]:
        """The verdict in words; what it rests on comes first."""
        return [self._basis(), *self._conclusion(), *self._caveats()]

    def _basis(self) -> str:
        seeds = words.count(len(self.evolved), "seed")
        said = [str(self.hypervolume), *([str(self.tau)] if self.tau else [])]
        return (
            f"Against {CONTROLS[self.control]}, over {seeds} and after {words.count(self.rounds, 'round')} each: "
            f"{'; '.join(said)}."
        )

    def _conclusion(self) -> list[str]:
        if self.hypervolume.conclusion == "too few seeds":
            return ["Nothing can be concluded from so few seeds: add some with --seeds 5."]
        return [CONCLUSIONS[self.control][self.hypervolume.conclusion]]

    def _caveats(self) -> list[str]:
        told = []
        if any(outcome.alone is None for outcome in self.evolved + self.controls):
            told.append(
                "The hypervolumes are those of each arm's own shared weights, which are no common measure: set "
                "ground_truth.sample to have final fronts trained alone."
            )
        mine, theirs = (sum(outcome.measured for outcome in arm) for arm in (self.evolved, self.controls))
        if mine != theirs:
            told.append(f"The budgets differ: {mine} measurements against {theirs}.")
        return told

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        found = [self.hypervolume, *([self.tau] if self.tau else [])]
        return {
            "control": self.control,
            "rounds": self.rounds,
            "seeds": [outcome.seed for outcome in self.evolved],
            "differences": [
                {"what": d.what, "mean": d.mean, "interval": d.interval, "conclusion": d.conclusion} for d in found
            ],
            "sentences": self.sentences(),
        }


def verdicts(store: Store, run: StoredRun) -> list[Verdict]:
    """A verdict per kind of control arm that the database holds for this run or for its like with other seeds.

    Runs are alike when their settings are, but for the seed; arms are paired by seed, and compared at the last round
    that all of them have finished.
    """
    kin: dict[Control | None, dict[int, StoredRun]] = {}
    for other in map(store.run, store.runs()):
        if like(other.config, run.config):
            kin.setdefault(control_kind(other.config), {}).setdefault(other.config.seed, other)
    evolved = kin.pop(None, {})
    found = []
    for control, arm in sorted(kin.items(), key=lambda item: str(item[0])):
        pairs = {seed: (evolved[seed], arm[seed]) for seed in sorted(evolved.keys() & arm.keys())}
        done = {seed: min(finished(store, one) for one in pair) for seed, pair in pairs.items()}
        seeds = [seed for seed, n in done.items() if n]
        if seeds and control is not None:
            n = min(done[seed] for seed in seeds)
            mine, theirs = (tuple(outcome(store, pairs[seed][side], n) for seed in seeds) for side in (0, 1))
            found.append(Verdict(control, n, mine, theirs))
    return found


def like(one: StudyConfig, other: StudyConfig) -> bool:
    """Whether two settings differ in nothing but the seed and what makes a control arm."""
    return _stripped(one) == _stripped(other)


def _stripped(config: StudyConfig) -> StudyConfig:
    search = config.search.model_copy(update={"sampler": "nsga2"})
    return config.model_copy(update={"seed": 0, "control": False, "search": search})


def finished(store: Store, run: StoredRun) -> int:
    """How many rounds a run has finished."""
    return sum(row.finished for row in store.rounds(run))


def outcome(store: Store, run: StoredRun, n: int) -> Outcome:
    """What a run came to after ``n`` rounds."""
    measured = frames.results(store, run, n)
    truth = frames.truth_of(store.rounds(run)[n - 1])
    final = frames.final(measured, run.config.search.cost)
    own = volume(run, final[run.config.search.cost], final["score"])
    alone = trained_alone(store, run, n, truth.judge) if truth else None
    if not run.config.evaluator.shared_weights:
        alone = own
    return Outcome(run.config.seed, own, alone, truth.found.tau if truth else None, int(measured["is_new"].sum()))


def volume(run: StoredRun, costs: ArrayLike, scores: ArrayLike) -> float:
    """Hypervolume in the run's box."""
    return hypervolume(costs, scores, max_cost=run.max_cost, min_accuracy=run.min_accuracy)


def trained_alone(store: Store, run: StoredRun, n: int, judge: str) -> float | None:
    """Hypervolume of the chosen members of the final front by ``judge``; None before it has measured all of them."""
    space = store.rounds(run)[n - 1].space
    told = {canonical_arch(e.arch, space): e for e in store.evaluations(run, judge)}
    found = [told.get(canonical_arch(arch, space)) for arch in chosen(store, run, n)]
    members = [e for e in found if e is not None and not e.failed]
    if not members or None in found:
        return None
    return volume(run, [e.cost(run.config.search.cost) for e in members], [e.accuracy for e in members])


def chosen(store: Store, run: StoredRun, n: int, count: int | None = None) -> list[Architecture]:
    """Of the front after ``n`` rounds, the members that speak for it when each is trained alone: ``count``, or as many as
    ``ground_truth.sample``, evenly along the front, its two ends among them."""
    most = run.config.ground_truth.sample if count is None else count
    final = frames.final(frames.results(store, run, n), run.config.search.cost)
    places = np.linspace(0, len(final) - 1, min(len(final), most)).round().astype(int)
    return [Architecture.parse(arch) for arch in final["arch"].iloc[np.unique(places)]]


def difference(what: str, values: Sequence[float]) -> Difference:
    """The mean of paired differences with its interval."""
    sample = np.asarray(values, float)
    mean, n = float(sample.mean()), len(sample)
    if n < FEWEST:
        return Difference(what, mean, None, n)
    drawn = np.random.default_rng(0).choice(sample, (DRAWS, n)).mean(1)
    low, high = np.quantile(drawn, ((1 - LEVEL) / 2, (1 + LEVEL) / 2)).tolist()
    half = float(student.ppf((1 + LEVEL) / 2, n - 1) * sample.std(ddof=1) / np.sqrt(n))
    return Difference(what, mean, (min(low, mean - half), max(high, mean + half)), n)
