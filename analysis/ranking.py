"""Does one way of scoring rank architectures as another does? Rank correlations, and how sure they are.

Whoever searches with shared weights trusts a supernet's ranking. It is worth something as far as it agrees with
stand-alone training better than counting multiply-accumulates does, which costs nothing.
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
"""Bootstrap samples behind an interval."""


@dataclass(frozen=True)
class Agreement:
    """How scores rank ``n`` architectures, compared with how stand-alone training does. All of it higher is better.

    Attributes:
        tau: Kendall's tau-b, in [-1, 1]; None where it is not defined, and ``why`` says why not.
        interval: 95 % bootstrap interval of ``tau``: the architectures drawn anew, with replacement.
        rho: Spearman's rank correlation.
        overlap: the share of the truly best ``top`` architectures that are among the ``top`` best by score; where
            scores tie across the border, its expectation over the ways to break the ties.
        tau_macs: the tau-b of multiply-accumulates taken as the score; None where they are all the same.
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
        """What to beware of, in plain words; None where the scores are shown to rank better than MACs alone."""
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
    """Compare ``scores`` ``(n,)`` with ``truth`` ``(n,)``, higher is better in both.

    Args:
        top: how many of the best are compared; a quarter of all, at least one, when it is not given.

    Raises:
        ValueError: the three have different lengths, a value is not a number, or ``top`` is not in 1..n.
    """
    x, y, cost = (np.asarray(values, dtype=np.float64) for values in (scores, truth, macs))
    n = len(x)
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
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=DRAWS).astype(np.float64)
    taus = tau_b(x, y, drawn)
    low, high = np.nanquantile(taus, (0.025, 0.975)).tolist()
    ranks = pd.DataFrame({"scores": x, "truth": y}).rank().to_numpy()
    return Agreement(
        n,
        tau=float(tau_b(x, y, once)[0]),
        interval=(low, high),
        rho=float(np.corrcoef(ranks, rowvar=False)[0, 1]),
        top=top,
        overlap=float(_among_the_best(x, top) @ _among_the_best(y, top)) / top,
        tau_macs=float(tau_b(cost, y, once)[0]) if np.ptp(cost) > 0 else None,
    )


def tau_b(x: Floats, y: Floats, times: Floats) -> Floats:
    """Kendall's tau-b (Biometrika 33, 1945) of ``x`` and ``y``, for each row of ``times`` ``(draws, n)``: how often
    each element is taken. Copies of one element tie with each other; nan where one side has nothing but ties."""
    sign_x, sign_y = (np.sign(values[:, None] - values[None, :]) for values in (x, y))
    concordant, untied_x, untied_y = (
        np.einsum("di,di->d", times @ pairs, times) for pairs in (sign_x * sign_y, np.abs(sign_x), np.abs(sign_y))
    )
    with np.errstate(invalid="ignore"):
        tau: Floats = concordant / np.sqrt(untied_x * untied_y)
    return tau


def _among_the_best(values: Floats, top: int) -> Floats:
    """How surely each element is among the ``top`` greatest: 1, 0, or its chance where it ties across the border."""
    border = np.sort(values)[-top]
    above, tied = values > border, values == border
    chances: Floats = above + tied * ((top - above.sum()) / tied.sum())
    return chances


# -- a round's truth --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Witness:
    """One architecture, scored in a round and trained alone. Accuracies are fractions; ``nll`` is the round's judge's."""

    arch: str
    macs: float
    one_shot: float
    nll: float | None
    stand_alone: float


@dataclass(frozen=True)
class Truth:
    """What a round's scores were worth: agreement with ``judge``'s accuracies, of the scores' accuracy and of their
    negative log-likelihood (turned round, so that higher is better); None where the scores have none. ``objective`` is
    what the search went by: ``accuracy`` or ``likelihood``."""

    judge: str
    witnesses: tuple[Witness, ...]
    accuracy: Agreement
    nll: Agreement | None
    objective: str = "accuracy"

    @property
    def found(self) -> Agreement:
        """The agreement of what the search went by."""
        return self.nll if self.nll and self.objective == "likelihood" else self.accuracy

    def to_dict(self) -> dict[str, Any]:
        """Plain data that JSON can hold; ``from_dict`` reads it back, equal."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Truth:
        """What ``to_dict`` wrote, even if JSON held it meanwhile."""
        witnesses = tuple(Witness(**witness) for witness in data["witnesses"])
        by_loss = data["nll"] and _agreement(data["nll"])
        return cls(data["judge"], witnesses, _agreement(data["accuracy"]), by_loss, data.get("objective", "accuracy"))


def truth_of(judge: str, witnesses: Sequence[Witness], objective: str = "accuracy", *, seed: int = 0) -> Truth:
    """The truth that these witnesses tell of a search by ``objective``."""
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
