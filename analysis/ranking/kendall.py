"""Rank correlation between two ways of scoring architectures, with confidence intervals.

A search with shared weights relies on a supernet's ranking. That ranking is worth its cost only if it agrees with
stand-alone training better than the count of multiply-accumulates does, which costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

DRAWS = 1000
"""Number of bootstrap samples behind an interval."""


@dataclass(frozen=True)
class Agreement:
    """How well scores rank ``n`` architectures, measured against stand-alone training. In every number higher is better.

    Attributes:
        tau: Kendall's tau-b, in [-1, 1]; None where it is undefined, and ``why`` gives the reason.
        interval: 95 % bootstrap interval of ``tau``, over architectures resampled with replacement.
        rho: Spearman's rank correlation, in [-1, 1].
        overlap: the fraction of the ``top`` truly best architectures that are among the ``top`` best by score; where
            scores tie across the border, its expectation over the ways to break the ties.
        tau_macs: the tau-b with multiply-accumulates as the score; None where all have equally many.
    """

    n: int
    tau: float | None = None
    interval: tuple[float, float] | None = None
    rho: float | None = None
    top: int = 0
    overlap: float | None = None
    tau_macs: float | None = None
    why: str | None = None

    @property
    def warning(self) -> str | None:
        """A warning in plain words; None where the scores are shown to rank better than MACs alone."""
        if self.tau is None:
            return f"Whether the scores rank rightly is not known: {self.why}."
        floor = 0.0 if self.tau_macs is None else self.tau_macs
        if self.interval is not None and self.interval[0] > floor:
            return None
        rival = "chance" if self.tau_macs is None else "MACs alone"
        return (
            f"The scores are not shown to rank better than {rival}: their tau is {self.tau:.2f}"
            + (f" ({self.interval[0]:.2f} to {self.interval[1]:.2f})" if self.interval else "")
            + (f", that of MACs {self.tau_macs:.2f}" if self.tau_macs is not None else "")
            + f", on {self.n} architectures."
        )


def agreement(
    scores: ArrayLike, truth: ArrayLike, macs: ArrayLike, *, top: int | None = None, seed: int = 0
) -> Agreement:
    """Compare ``scores`` ``(n,)`` with ``truth`` ``(n,)``; higher is better in both.

    Args:
        scores: or ``(n, n)``: how far the first of two architectures is above the second, where only pairs can be compared;
            what needs one number each takes the mean of a row.
        macs: multiply-accumulates of the architectures, ``(n,)``.
        top: how many of the best to compare; by default a quarter of ``n``, and at least one.
        seed: of the bootstrap.

    Raises:
        ValueError: the three have different lengths, a value is not finite, or ``top`` is not in 1..n.
    """
    given, y, cost = (np.asarray(values, dtype=np.float64) for values in (scores, truth, macs))
    x, n = given.mean(1) if given.ndim == 2 else given, len(given)
    if not x.shape == y.shape == cost.shape == (n,):
        raise ValueError(f"expected three lists of one length, found shapes {x.shape}, {y.shape} and {cost.shape}")
    if not all(np.isfinite(values).all() for values in (x, y, cost)):
        raise ValueError("scores, truth and macs must be finite numbers; leave out what has none")
    top = max(1, n // 4) if top is None else top
    if n and not 1 <= top <= n:
        raise ValueError(f"top is {top}, expected 1 to {n}, the number of architectures")
    if n < 3:
        return Agreement(n, why=f"{n} architectures are too few to compare rankings, three are the least")
    for values, whose in ((x, "scores"), (y, "stand-alone accuracies")):
        if np.ptp(values) == 0:
            return Agreement(n, why=f"all {n} {whose} are the same")
    once = np.ones((1, n))
    taus = tau_b(given, y, resamples(n, seed))
    low, high = np.nanquantile(taus, (0.025, 0.975)).tolist()
    ranks = pd.DataFrame({"scores": x, "truth": y}).rank().to_numpy()
    return Agreement(
        n,
        tau=float(tau_b(given, y, once)[0]),
        interval=(low, high),
        rho=float(np.corrcoef(ranks, rowvar=False)[0, 1]),
        top=top,
        overlap=float(_among_the_best(x, top) @ _among_the_best(y, top)) / top,
        tau_macs=float(tau_b(cost, y, once)[0]) if np.ptp(cost) > 0 else None,
    )


def resamples(n: int, seed: int) -> Floats:
    """``(DRAWS, n)``: how often each of ``n`` elements is in each bootstrap sample."""
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=DRAWS).astype(np.float64)


def tau_b(x: Floats, y: Floats, times: Floats) -> Floats:
    """Kendall's tau-b (Biometrika 33, 1945) of ``x`` ``(n,)`` and ``y`` ``(n,)`` for each row of ``times`` ``(draws, n)``,
    the number of copies of each element. Copies of one element tie; nan where all elements of one side tie. A side may be
    ``(n, n)``, the differences of pairs."""
    sign_x, sign_y = (np.sign(side if side.ndim == 2 else side[:, None] - side[None, :]) for side in (x, y))
    concordant, untied_x, untied_y = (
        np.einsum("di,di->d", times @ pairs, times) for pairs in (sign_x * sign_y, np.abs(sign_x), np.abs(sign_y))
    )
    with np.errstate(invalid="ignore"):
        tau: Floats = concordant / np.sqrt(untied_x * untied_y)
    return tau


def _among_the_best(values: Floats, top: int) -> Floats:
    """``(n,)``: the probability that each element is among the ``top`` greatest, strictly between 0 and 1 only for ties
    across the border."""
    border = np.sort(values)[-top]
    above, tied = values > border, values == border
    chances: Floats = above + tied * ((top - above.sum()) / tied.sum())
    return chances


# -- a round's truth --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Witness:
    """One architecture that a round scored and that was also trained alone.

    Attributes:
        one_shot: accuracy by the round's judge, a fraction; ``nll`` is its negative log-likelihood, lower is better.
        stand_alone: accuracy after stand-alone training, a fraction.
    """

    arch: str
    macs: float
    one_shot: float
    nll: float | None
    stand_alone: float


@dataclass(frozen=True)
class Truth:
    """How far a round's scores can be trusted.

    Attributes:
        judge: the reference judge, whose accuracies count as the truth.
        accuracy: agreement of the scores' accuracies with the truth.
        nll: agreement of the negated negative log-likelihoods with the truth; None where the scores have none.
        objective: what the search maximised: ``accuracy`` or ``likelihood``.
        left_out: whether the scores are estimates, and any two networks were compared by one that was made without both.
    """

    judge: str
    witnesses: tuple[Witness, ...]
    accuracy: Agreement
    nll: Agreement | None
    objective: str = "accuracy"
    left_out: bool = False

    @property
    def of_objective(self) -> Agreement:
        """The agreement of the scores that the search maximised."""
        return self.nll if self.nll and self.objective == "likelihood" else self.accuracy

    def to_dict(self) -> dict[str, Any]:
        """Plain data that JSON can hold; ``from_dict`` restores an equal object."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Truth:
        """Restore what ``to_dict`` gave, also after a round trip through JSON."""
        witnesses = tuple(Witness(**witness) for witness in data["witnesses"])
        by_loss = data["nll"] and _agreement(data["nll"])
        others = data.get("objective", "accuracy"), data.get("left_out", False)
        return cls(data["judge"], witnesses, _agreement(data["accuracy"]), by_loss, *others)


def truth_of(judge: str, witnesses: Sequence[Witness], objective: str = "accuracy", *, seed: int = 0) -> Truth:
    """Compare the scores of ``witnesses`` with their stand-alone accuracies, for a search that maximised ``objective``."""
    macs, real = [w.macs for w in witnesses], [w.stand_alone for w in witnesses]
    losses = [w.nll for w in witnesses if w.nll is not None]
    return Truth(
        judge,
        tuple(witnesses),
        agreement([w.one_shot for w in witnesses], real, macs, seed=seed),
        agreement([-loss for loss in losses], real, macs, seed=seed) if len(losses) == len(real) else None,
        objective,
    )


def _agreement(data: Mapping[str, Any]) -> Agreement:
    return Agreement(**{**data, "interval": data["interval"] and tuple(data["interval"])})
