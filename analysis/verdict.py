"""Did evolving the space help? Runs of several seeds against their control arms, paired by seed.

A verdict claims no more than its interval supports: the bootstrap interval of the mean paired difference, or Student's
interval where that is wider, because a bootstrap of few pairs is too narrow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from analysis import frames
from analysis import sentences as words
from spaces.architecture import Architecture
from spaces.space import canonical_arch
from studies.config import StudyConfig
from studies.controls import Control, control_kind
from studies.database.rows import StoredRun
from studies.database.store import Store
from studies.pareto import hypervolume
from studies.records import costs_array

DRAWS = 20_000
LEVEL = 0.95
FEWEST = 3
"""Fewer pairs get no interval."""

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
    """The result of a run's first rounds.

    Attributes:
        own: hypervolume of the final front in the run's box, by the run's own scores; higher is better.
        alone: hypervolume of front members by stand-alone training or a table; None if they have no such accuracies.
        tau: Kendall's tau of the last round's scores against stand-alone training; None if it was not measured.
        measured: number of new measurements in all rounds.
        evolved: whether a round searched another space than the first one did; ``dropped``: whether the evolution changed the
            space at all, also after the last round.
    """

    seed: int
    own: float
    alone: float | None
    tau: float | None
    measured: int
    evolved: bool = True
    dropped: bool = True


@dataclass(frozen=True)
class Difference:
    """Mean of paired differences, evolved minus control, with its 95 % interval; None for fewer than ``FEWEST`` pairs.

    Attributes:
        same: whether both sides are one and the same search, so that nothing is compared.
    """

    what: str
    mean: float
    interval: tuple[float, float] | None
    pairs: int
    same: bool = False

    @property
    def conclusion(self) -> str:
        """``better``, ``worse``, ``no difference shown``, ``too few seeds`` or ``the same search``."""
        if self.same:
            return "the same search"
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
        """The difference of hypervolumes: by stand-alone accuracies if all arms have them, else by each arm's own scores."""
        pairs = [(e.alone, c.alone) for e, c in self._pairs()]
        known = [e - c for e, c in pairs if e is not None and c is not None]
        if len(known) < len(pairs):
            known = [e.own - c.own for e, c in self._pairs()]
        return replace(difference("hypervolume", known), same=self.same_search)

    @property
    def same_search(self) -> bool:
        """Whether the control arm is the same search: the space of no evolving run changed before its last round."""
        return self.control is Control.FIXED and not any(outcome.evolved for outcome in self.evolved)

    @property
    def tau(self) -> Difference | None:
        """The difference of Kendall's taus; None if it was not measured in all arms."""
        pairs = [(e.tau, c.tau) for e, c in self._pairs()]
        known = [e - c for e, c in pairs if e is not None and c is not None]
        if not known or len(known) < len(pairs):
            return None
        return replace(difference("tau", known), same=self.same_search)

    def _pairs(self) -> list[tuple[Outcome, Outcome]]:
        return list(zip(self.evolved, self.controls, strict=True))

    def sentences(self) -> list[str]:
        """The verdict in words: the measured differences, the conclusion, and caveats."""
        if self.same_search:
            return [f"{self._against()}: {self._same()}."]
        differences = [str(self.hypervolume), *([str(self.tau)] if self.tau else [])]
        return [f"{self._against()}: {'; '.join(differences)}.", *self._conclusion(), *self._caveats()]

    def _against(self) -> str:
        seeds = words.count(len(self.evolved), "seed")
        return f"Against {CONTROLS[self.control]}, over {seeds} and after {words.count(self.rounds, 'round')} each"

    def _same(self) -> str:
        """Why both arms are the same search."""
        if self.rounds == 1:
            return "the first round of both is one and the same search; what evolving does is seen from round 2 on"
        where = " before the last" if any(outcome.dropped for outcome in self.evolved) else ""
        return f"nothing was dropped or added in any round{where}: both arms are one and the same search"

    def _conclusion(self) -> list[str]:
        if self.hypervolume.conclusion == "too few seeds":
            return ["Nothing can be concluded from so few seeds: add some with --seeds 5."]
        return [CONCLUSIONS[self.control][self.hypervolume.conclusion]]

    def _caveats(self) -> list[str]:
        notes = []
        unchanged = sum(not outcome.evolved for outcome in self.evolved)
        if unchanged and self.control is Control.FIXED:
            notes.append(
                f"In {unchanged} of {words.count(len(self.evolved), 'seed')} nothing was dropped or added: there, both arms "
                "are one and the same search."
            )
        if any(outcome.alone is None for outcome in self.evolved + self.controls):
            notes.append(
                "The hypervolumes are those of each arm's own shared weights, which are no common measure: set "
                "ground_truth.sample to have final fronts trained alone."
            )
        mine, theirs = (sum(outcome.measured for outcome in arm) for arm in (self.evolved, self.controls))
        if mine != theirs:
            notes.append(f"The budgets differ: {mine} measurements against {theirs}.")
        return notes

    def to_dict(self) -> dict[str, Any]:
        """The verdict as plain data, for ``--json``."""
        differences = [self.hypervolume, *([self.tau] if self.tau else [])]
        return {
            "control": self.control,
            "rounds": self.rounds,
            "same_search": self.same_search,
            "seeds": [outcome.seed for outcome in self.evolved],
            "differences": [
                {"what": d.what, "mean": d.mean, "interval": d.interval, "conclusion": d.conclusion}
                for d in differences
            ],
            "sentences": self.sentences(),
        }


Kin = dict[Control | None, dict[int, StoredRun]]
"""Runs that differ in the seed and the control only: control arm (None: none) -> seed -> run."""


def kin_of(store: Store, run: StoredRun) -> Kin:
    """The runs that belong together with ``run``, itself among them."""
    kin: Kin = {None: {}}
    for other in store.readable_runs():
        if same_settings(other.config, run.config):
            kin.setdefault(control_kind(other.config), {}).setdefault(other.config.seed, other)
    return kin


def verdicts(store: Store, run: StoredRun) -> list[Verdict]:
    """One verdict per kind of control arm that the database holds for this run, over all its seeds."""
    return verdicts_of_kin(store, kin_of(store, run))


def verdicts_of_kin(store: Store, kin: Kin) -> list[Verdict]:
    """One verdict per kind of control arm. Arms are paired by seed, and compared at the last round that all have finished."""
    evolved, verdicts = kin[None], []
    for control in sorted(control for control in kin if control is not None):
        arm = kin[control]
        pairs = {seed: (evolved[seed], arm[seed]) for seed in sorted(evolved.keys() & arm.keys())}
        done = {seed: min(count_finished(store, one) for one in pair) for seed, pair in pairs.items()}
        seeds = [seed for seed, n in done.items() if n]
        if seeds:
            n = min(done[seed] for seed in seeds)
            mine, theirs = (tuple(outcome(store, pairs[seed][side], n) for seed in seeds) for side in (0, 1))
            verdicts.append(Verdict(control, n, mine, theirs))
    return verdicts


def same_settings(one: StudyConfig, other: StudyConfig) -> bool:
    """Whether two configurations differ in the seed and the control only."""
    return _comparable(one) == _comparable(other)


def _comparable(config: StudyConfig) -> StudyConfig:
    search = config.search.model_copy(update={"sampler": "nsga2"})
    return config.model_copy(update={"seed": 0, "control": False, "search": search})


def count_finished(store: Store, run: StoredRun) -> int:
    """The number of finished rounds of a run."""
    return sum(row.finished for row in store.rounds(run))


def outcome(store: Store, run: StoredRun, n: int) -> Outcome:
    """The result of a run after ``n`` rounds."""
    trials = frames.results(store, run, n)
    rows = store.rounds(run)[:n]
    truth = frames.truth_of(rows[-1])
    costs = run.config.search.costs
    final = frames.final(trials, costs)
    own = volume(run, frames.values_of(final, costs), final["score"])
    alone = trained_alone(store, run, n, truth.judge) if truth else None
    if not run.config.evaluator.shared_weights:
        alone = own
    evolved = any(row.space != rows[0].space for row in rows)
    dropped = evolved or rows[-1].next_space != rows[-1].space
    tau = truth.of_objective.tau if truth else None
    return Outcome(run.config.seed, own, alone, tau, int(trials["is_new"].sum()), evolved, dropped)


def volume(run: StoredRun, costs: ArrayLike, scores: ArrayLike) -> float:
    """Hypervolume in the run's box."""
    return hypervolume(costs, scores, max_cost=run.max_costs, min_accuracy=run.min_accuracy)


def trained_alone(store: Store, run: StoredRun, n: int, judge: str) -> float | None:
    """Hypervolume of the sampled members of the final front, by ``judge``; None before it has measured all of them."""
    space = store.rounds(run)[n - 1].space
    by_arch = {canonical_arch(e.arch, space): e for e in store.evaluations(run, judge)}
    evaluations = [by_arch.get(canonical_arch(arch, space)) for arch in sample_front(store, run, n)]
    members = [e for e in evaluations if e is not None and not e.failed]
    if not members or None in evaluations:
        return None
    return volume(run, costs_array(members, run.config.search.costs), [e.accuracy for e in members])


def sample_front(store: Store, run: StoredRun, n: int, count: int | None = None) -> list[Architecture]:
    """Members of the front after ``n`` rounds to train alone: ``count`` (default: ``ground_truth.sample``), spread evenly
    along the front, including its two ends."""
    most = run.config.ground_truth.sample if count is None else count
    final = frames.final(frames.results(store, run, n), run.config.search.costs)
    places = np.linspace(0, len(final) - 1, min(len(final), most)).round().astype(int)
    return [Architecture.parse(arch) for arch in final["arch"].iloc[np.unique(places)]]


def difference(what: str, values: Sequence[float]) -> Difference:
    """The mean of paired differences ``values``, with its interval."""
    sample = np.asarray(values, float)
    mean, n = float(sample.mean()), len(sample)
    if n < FEWEST:
        return Difference(what, mean, None, n)
    means = np.random.default_rng(0).choice(sample, (DRAWS, n)).mean(1)
    low, high = np.quantile(means, ((1 - LEVEL) / 2, (1 + LEVEL) / 2)).tolist()
    half = student_half(sample)
    return Difference(what, mean, (min(low, mean - half), max(high, mean + half)), n)


def student_half(values: Sequence[float] | NDArray[np.float64]) -> float:
    """Half the length of Student's 95 % interval for the mean of two values or more."""
    sample = np.asarray(values, float)
    return float(stdtrit(len(sample) - 1, (1 + LEVEL) / 2) * sample.std(ddof=1) / np.sqrt(len(sample)))
