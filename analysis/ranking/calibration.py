"""What a round's scores say of stand-alone accuracy: a small regression on networks that were trained alone.

    logit(accuracy alone) = intercept + sum over predictors of weight x standardised predictor + noise

Weights have a Gaussian prior around zero (ridge regression). Its strength, and which of ``PREDICTORS`` are used, are those of
least leave-one-out error, which for ridge regression has a closed form: residual / (1 - leverage) (Allen, Technometrics 16(1),
1974; Hastie, Tibshirani & Friedman, The Elements of Statistical Learning, 2009, section 7.10).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.ranking.kendall import Agreement, Truth, Witness, agreement, truth_of
from spaces.architecture import IDENTITIES, Architecture

Floats = NDArray[np.float64]

FEWEST = 5
"""From fewer networks nothing is estimated."""

CLIP = 1e-3
"""Accuracies nearer to 0 or 1 count as this far away: their logits would be infinite."""

STRENGTHS = tuple(10.0**power for power in (-1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2))
"""Strengths of the prior to choose from: how many networks it is worth, in units of each weight."""

DIGITS = 10
"""Significant digits of an estimate's numbers: what a machine's linear algebra may change lies behind them."""

PREDICTORS: dict[str, tuple[str, ...]] = {
    "MACs": ("macs", "macs squared"),
    "accuracy": ("accuracy",),
    "likelihood": ("likelihood",),
    "accuracy and MACs": ("accuracy", "macs", "macs squared"),
    "likelihood and MACs": ("likelihood", "macs", "macs squared"),
    "accuracy, MACs and depth": ("accuracy", "macs", "macs squared", "depth"),
    "likelihood, MACs and depth": ("likelihood", "macs", "macs squared", "depth"),
}
"""What an estimate may rest on; the first of equally good ones is taken. ``accuracy`` and ``likelihood`` are the judge's."""

ALWAYS = "MACs"
"""The key of ``PREDICTORS`` that can always be fitted."""

LEAST_SPREAD = 1e-9
"""Numbers that spread less are the same."""

SCORES = frozenset({"accuracy", "likelihood"})
"""Predictors of which more must be better: a score that is best read backwards has ranked by chance."""

COLUMNS: dict[str, Callable[[Cheap, float], float]] = {
    "macs": lambda known, centre: math.log(known.macs) - centre,
    "macs squared": lambda known, centre: (math.log(known.macs) - centre) ** 2,
    "accuracy": lambda known, _: _logit(known.accuracy),
    "likelihood": lambda known, _: -(known.nll or 0.0),
    "depth": lambda known, _: float(known.depth),
}
"""Predictor -> its number of a network, given the mean logarithm of MACs of the sample."""


@dataclass(frozen=True)
class Cheap:
    """What is cheap to know of a network.

    Attributes:
        macs: multiply-accumulates.
        accuracy, nll: by the round's judge; ``nll`` is None where it has none.
        depth: layers that are no identity.
    """

    macs: float
    accuracy: float
    nll: float | None
    depth: int


def cheap(arch: Architecture, macs: float, accuracy: float, nll: float | None) -> Cheap:
    """What is cheap to know of ``arch``."""
    return Cheap(max(macs, 1.0), accuracy, nll, sum(gene not in IDENTITIES for gene in arch.genes))


@dataclass(frozen=True)
class Estimate:
    """An estimate of stand-alone accuracy.

    Attributes:
        name: the key of ``PREDICTORS``.
        log_macs: mean logarithm of MACs of the networks that it was fitted to.
        centres, spreads, weights: one for each predictor: weight x (number - centre) / spread is added.
        intercept: the logit where all predictors have their mean.
        strength: of the prior.
        error: root mean square of the leave-one-out errors, in logits; lower is better.
    """

    name: str
    log_macs: float
    centres: tuple[float, ...]
    spreads: tuple[float, ...]
    weights: tuple[float, ...]
    intercept: float
    strength: float
    error: float

    def __call__(self, known: Cheap) -> float:
        """The estimated accuracy, strictly between 0 and 1."""
        return _inverse_logit(self.logit(known))

    def logit(self, known: Cheap) -> float:
        """The logit of the estimated accuracy."""
        numbers = (COLUMNS[column](known, self.log_macs) for column in PREDICTORS[self.name])
        terms = zip(numbers, self.centres, self.spreads, self.weights, strict=True)
        return self.intercept + sum(w * (x - centre) / spread for x, centre, spread, w in terms)

    @property
    def reads_backwards(self) -> bool:
        """Whether a better score makes the estimate worse."""
        return any(w <= 0 for column, w in zip(PREDICTORS[self.name], self.weights, strict=True) if column in SCORES)

    @property
    def uses_scores(self) -> bool:
        """Whether the judge's scores play a part in it."""
        return not SCORES.isdisjoint(PREDICTORS[self.name])


@dataclass(frozen=True)
class Calibration:
    """Networks that were trained alone, and what they make of a judge's scores.

    Attributes:
        reference: the name of the judge whose accuracies count as the truth.
        witnesses: the networks; ``one_shot`` and ``nll`` are the judge's own.
        estimate: what the search maximises.
        errors: predictors -> the least leave-one-out error with them, in logits, of all that could be fitted.
    """

    reference: str
    witnesses: tuple[Witness, ...]
    estimate: Estimate
    errors: Mapping[str, float]

    @cached_property
    def advantages(self) -> Floats:
        """``(n, n)``: by how many logits the first of two networks is estimated above the second by all the others, predictors
        and prior chosen without both (leave-pair-out; Airola et al., Computational Statistics & Data Analysis 55(4), 2011).

        Where nothing ranks, either order is equally probable. Estimates that leave one network out do not compare: without a
        good one the mean of the others is lower, so chance would rank backwards.
        """
        known = [_cheap(w) for w in self.witnesses]
        above = np.zeros((len(known), len(known)))
        for i, j in combinations(range(len(known)), 2):
            estimate, _ = best_estimate([w for place, w in enumerate(self.witnesses) if place not in (i, j)])
            above[i, j] = estimate.logit(known[i]) - estimate.logit(known[j])
        return above - above.T

    @cached_property
    def left_out(self) -> tuple[float, ...]:
        """The estimated accuracy of each network by the others: the mean truth, and its mean advantage."""
        mean = np.mean([_logit(w.stand_alone) for w in self.witnesses])
        return tuple(_inverse_logit(float(mean + above)) for above in self.advantages.mean(1))

    def truth(self, seed: int = 0) -> Truth:
        """How the estimates rank: no network counts in an estimate by which it is compared."""
        found = truth_of(self.reference, self.witnesses, seed=seed)
        estimated = [replace(w, one_shot=guess) for w, guess in zip(self.witnesses, self.left_out, strict=True)]
        truth, macs = [w.stand_alone for w in self.witnesses], [w.macs for w in self.witnesses]
        ranked = agreement(self.advantages, truth, macs, seed=seed)
        return replace(found, witnesses=tuple(estimated), accuracy=ranked, left_out=True)

    def raw(self, seed: int = 0) -> Agreement:
        """How the judge's own accuracies rank the same networks."""
        truth, macs = [w.stand_alone for w in self.witnesses], [w.macs for w in self.witnesses]
        return agreement([w.one_shot for w in self.witnesses], truth, macs, seed=seed)

    def sentence(self) -> str:
        """What the search maximises, and on what evidence."""
        used, others = self.estimate, {name: e for name, e in self.errors.items() if name != self.estimate.name}
        evidence = f"{len(self.witnesses)} networks trained alone"
        if not used.uses_scores:
            best = min(others, key=lambda name: others[name], default=None)
            rival = f", {others[best]:.3f} with {best}" if best else ""
            return (
                f"MACs alone rank better than the judge's scores: leave-one-out error {used.error:.3f}{rival}, in logits, of "
                f"{evidence}; the search maximised an estimate from MACs alone"
            )
        beside = f", {others['MACs']:.3f} from MACs alone" if "MACs" in others else ""
        return (
            f"scores are estimates of accuracy alone from {used.name}, by {evidence}: leave-one-out error "
            f"{used.error:.3f}{beside}, in logits"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data that JSON can hold; ``from_dict`` restores an equal object."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Calibration:
        """Restore what ``to_dict`` gave, also after a round trip through JSON."""
        witnesses = tuple(Witness(**witness) for witness in data["witnesses"])
        lists = {name: tuple(data["estimate"][name]) for name in ("centres", "spreads", "weights")}
        return cls(data["reference"], witnesses, Estimate(**{**data["estimate"], **lists}), data["errors"])


def calibrate(reference: str, witnesses: Sequence[Witness]) -> Calibration | None:
    """The estimate of least leave-one-out error; None where networks are too few, or all equally accurate."""
    if len(witnesses) < FEWEST or len({w.stand_alone for w in witnesses}) < 2:
        return None
    return Calibration(reference, tuple(witnesses), *best_estimate(witnesses))


def best_estimate(witnesses: Sequence[Witness]) -> tuple[Estimate, dict[str, float]]:
    """The estimate of least leave-one-out error that reads no score backwards, and the error of each."""
    known = [_cheap(w) for w in witnesses]
    truth = np.array([_logit(w.stand_alone) for w in witnesses])
    scored = all(k.nll is not None for k in known)
    names = [name for name, columns in PREDICTORS.items() if scored or "likelihood" not in columns]
    fitted = [fit(name, known, truth) for name in names]
    usable = [estimate for estimate in fitted if estimate is not None]
    best = min((e for e in usable if not e.reads_backwards), key=lambda estimate: estimate.error)
    return best, {estimate.name: estimate.error for estimate in usable}


def fit(name: str, known: Sequence[Cheap], truth: Floats) -> Estimate | None:
    """The estimate with these predictors and the best strength of the prior; None where one of them is the same everywhere and
    so says nothing.

    Args:
        truth: logits of stand-alone accuracies, ``(n,)``.
    """
    log_macs = float(np.mean([math.log(k.macs) for k in known]))
    raw = np.array([[COLUMNS[column](k, log_macs) for column in PREDICTORS[name]] for k in known])
    centres, spreads = raw.mean(0), raw.std(0)
    same = spreads < LEAST_SPREAD
    if same.any() and name != ALWAYS:
        return None
    spreads[same] = 1.0
    x = (raw - centres) / spreads
    errors = np.sqrt(np.mean(leave_one_out(x, truth, STRENGTHS) ** 2, axis=0))
    strength = STRENGTHS[int(np.argmin(errors))]
    weights, intercept = ridge(x, truth, strength)
    return Estimate(
        name,
        _rounded(log_macs),
        tuple(map(_rounded, centres)),
        tuple(map(_rounded, spreads)),
        tuple(map(_rounded, weights)),
        _rounded(intercept),
        strength,
        _rounded(float(errors.min())),
    )


def ridge(x: Floats, y: Floats, strength: float) -> tuple[Floats, float]:
    """Weights ``(p,)`` and intercept that make |y - xw - intercept|^2 + strength |w|^2 least; ``x`` is ``(n, p)``."""
    inner = x - x.mean(0)
    weights = np.linalg.solve(inner.T @ inner + strength * np.eye(x.shape[1]), inner.T @ (y - y.mean()))
    return weights, float(y.mean() - x.mean(0) @ weights)


def leave_one_out(x: Floats, y: Floats, strengths: Sequence[float]) -> Floats:
    """``(n, strengths)``: each ``y`` less what ``ridge`` predicts for it from all the others."""
    left, values, _ = np.linalg.svd(x - x.mean(0), full_matrices=False)
    kept = values[:, None] ** 2 / (values[:, None] ** 2 + np.asarray(strengths))
    leverages = 1 / len(y) + left**2 @ kept
    fitted = y.mean() + left @ (kept * (left.T @ y)[:, None])
    return np.asarray((y[:, None] - fitted) / (1 - leverages))


def _cheap(witness: Witness) -> Cheap:
    return cheap(Architecture.parse(witness.arch), witness.macs, witness.one_shot, witness.nll)


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _logit(accuracy: float) -> float:
    inside = min(max(accuracy, CLIP), 1 - CLIP)
    return math.log(inside / (1 - inside))


def _inverse_logit(value: float) -> float:
    return 1 / (1 + math.exp(-min(max(value, -30.0), 30.0)))
