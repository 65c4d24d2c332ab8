"""A surrogate of accuracy: it chooses, among many candidate networks, the few that are worth evaluating.

Costs are exact before any evaluation, so accuracy alone is modelled: a Gaussian process over what the networks are made
of. Candidates are ranked by expected hypervolume improvement (``improvement``). A generation is
filled greedily, each choice believed to come out as predicted (the "kriging believer" of Ginsbourger, Le Riche &
Carraro, 2010, https://doi.org/10.1007/978-3-642-10701-6_6). No Optuna and no table here: arrays in, indices out.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import minimize
from scipy.stats import spearmanr
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import (
    ConstantKernel,
    Hyperparameter,
    Kernel,
    NormalizedKernelMixin,
    StationaryKernelMixin,
    WhiteKernel,
)
from sklearn.preprocessing import PowerTransformer
from threadpoolctl import threadpool_limits

from evo.strategy.encoding import Floats
from evo.strategy.improvement import expected_improvement

PRIOR_DEVIATION = 2.0
"""Standard deviation of the prior over the logarithm of each of the kernel's parameters."""

DEVIATION_FACTORS = (1.0, 2.0)
"""What predicted deviations are multiplied by, slot after slot of a generation in turn. A process that has seen one region
for long is surer of its neighbourhood than it is right, and stalls on the last percent; every second slot doubts it."""

LEFT_PER_SLOT = 30
"""With several costs improvement takes long to compute: a first look at all candidates leaves so many for each slot."""

MAX_FITTED = 200
"""The most observations that the kernel's parameters are fitted to; predictions use all of them."""


class GroupedMatern(StationaryKernelMixin, NormalizedKernelMixin, Kernel):  # type: ignore[misc]
    """Matern kernel (smoothness 5/2) with one length scale per group of neighbouring columns.

    scikit-learn's own ``Matern`` has one for all columns or one for each, and its gradient holds a matrix per column.
    """

    def __init__(
        self, groups: NDArray[np.intp], length_scale: Floats, length_scale_bounds: tuple[float, float] = (0.03, 300.0)
    ):
        self.groups = groups
        self.length_scale = length_scale
        self.length_scale_bounds = length_scale_bounds

    @property
    def hyperparameter_length_scale(self) -> Hyperparameter:
        return Hyperparameter("length_scale", "numeric", self.length_scale_bounds, len(self.length_scale))

    def __call__(self, x: Floats, y: Floats | None = None, eval_gradient: bool = False) -> Any:
        """``(n, m)``, and with ``eval_gradient`` its derivatives by the logarithms of the length scales."""
        y = x if y is None else y
        edges = np.flatnonzero(np.diff(self.groups, prepend=-1, append=-1))
        squares = [
            _squared_distances(x[:, start:stop], y[:, start:stop]) / scale**2
            for start, stop, scale in zip(edges[:-1], edges[1:], np.atleast_1d(self.length_scale), strict=True)
        ]
        r = np.sqrt(5 * sum(squares))
        decay = np.exp(-r)
        kernel = (1 + r + r * r / 3) * decay
        if not eval_gradient:
            return kernel
        slope = 5 / 3 * (1 + r) * decay
        return kernel, np.stack([slope * square for square in squares], axis=2)


def _squared_distances(x: Floats, y: Floats) -> Floats:
    squares = (x * x).sum(axis=1)[:, None] + (y * y).sum(axis=1) - 2 * x @ y.T
    return np.asarray(np.maximum(squares, 0.0))


@dataclass(frozen=True)
class Surrogate:
    """What was learned from the networks seen so far.

    Attributes:
        value: their accuracies made Gaussian, ``(n,)``; higher is better.
        cost: theirs, ``(n,)``, or ``(n, k)`` of several costs.
        agreement: rank correlation of the accuracies and their leave-one-out predictions.
        pending: encoded networks in flight, ``(p, columns)``; the last of ``value`` and ``cost`` are what is predicted of them.
    """

    process: GaussianProcessRegressor
    scale: Floats
    value: Floats
    cost: Floats
    agreement: float
    pending: Floats | None = None

    def predict(self, x: Floats) -> Floats:
        """What it predicts of encoded networks, ``(m,)``, in units of the Gaussian accuracies; without what is added to it."""
        with threadpool_limits(1):
            return np.asarray(self.process.kernel_.k1(x * self.scale, self.process.X_train_) @ self.process.alpha_)

    def believing(self, x: Floats, cost: Floats, prior: Floats | float = 0.0) -> Surrogate:
        """The surrogate that believes of networks in flight what it predicts of them: their predicted values count as seen, and
        it doubts as if they were known.

        Args:
            x: encoded, ``(p, columns)``.
            cost: theirs, as of those that were seen.
            prior: as of ``fit_surrogate``, of these.
        """
        mean = self.predict(x) + prior
        value, costs = np.concatenate([self.value, mean]), np.concatenate([self.cost, cost])
        return replace(self, value=value, cost=costs, pending=x)

    @property
    def useful(self) -> bool:
        """Whether it predicts better than chance would in nineteen cases of twenty."""
        return bool(self.agreement > 1.645 / np.sqrt(len(self.process.y_train_) - 1))


def fit_surrogate(
    x: Floats, groups: NDArray[np.intp], accuracy: Floats, cost: Floats, prior: Floats | float = 0.0
) -> Surrogate | None:
    """A surrogate of the accuracies; None while there is nothing to learn: fewer than four, or all alike.

    The kernel's parameters are the most probable ones, given the accuracies and a wide prior.

    Args:
        x: encoded networks, ``(n, columns)``.
        groups: the group of each column.
        accuracy: theirs, ``(n,)``, in any unit, higher is better.
        cost: theirs, ``(n,)``, or ``(n, k)`` of several costs.
        prior: what is predicted without them, ``(n,)`` in units of the Gaussian accuracies: the process learns the remainder.
    """
    spread = accuracy.std()
    if len(accuracy) < 4 or spread < 1e-12:
        return None
    spreads = np.sqrt(2 * np.bincount(groups, x.var(axis=0)))
    scale = 1 / np.where(spreads > 1e-9, spreads, 1.0)[groups]
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        value = PowerTransformer().fit_transform(((accuracy - accuracy.mean()) / spread)[:, None])[:, 0]
        left = value - prior
        matern = GroupedMatern(groups, np.full(groups.max() + 1, 2.0))
        kernel = ConstantKernel(1.0, (0.05, 50.0)) * matern + WhiteKernel(0.01, (1e-5, 2.0))
        some = np.linspace(0, len(value) - 1, min(len(value), MAX_FITTED)).round().astype(int)
        fitted = GaussianProcessRegressor(kernel, optimizer=_maximise_posterior).fit(x[some] * scale, left[some])
        process = GaussianProcessRegressor(fitted.kernel_, optimizer=None).fit(x * scale, left)
        agreement = spearmanr(value, leave_one_out(process) + prior).statistic
    return Surrogate(process, scale, value, cost, float(np.nan_to_num(agreement)))


def _maximise_posterior(
    objective: Callable[..., tuple[float, Floats]], start: Floats, bounds: Floats
) -> tuple[Floats, float]:
    """The kernel's parameters of highest posterior: likelihood, and a prior that keeps few observations from extremes."""

    def posterior(theta: Floats) -> tuple[float, Floats]:
        loss, slope = objective(theta)
        away = (theta - start) / PRIOR_DEVIATION
        return loss + float(away @ away) / 2, slope + away / PRIOR_DEVIATION

    optimum = minimize(posterior, start, jac=True, method="L-BFGS-B", bounds=bounds)
    return optimum.x, optimum.fun


def leave_one_out(process: GaussianProcessRegressor) -> Floats:
    """What each observation is predicted to be from all others, ``(n,)`` (Rasmussen & Williams 2006, eq. 5.12)."""
    inverse = solve_triangular(process.L_, np.eye(len(process.L_)), lower=True)
    return np.asarray(process.y_train_ - process.alpha_ / (inverse**2).sum(axis=0))


def leave_one_out_likelihood(process: GaussianProcessRegressor) -> float:
    """The sum of the logarithms of how likely each observation is, given all others, in nats (Rasmussen & Williams 2006, eq.
    5.11)."""
    inverse = solve_triangular(process.L_, np.eye(len(process.L_)), lower=True)
    variance = 1 / (inverse**2).sum(axis=0)
    return float(-0.5 * (np.log(2 * np.pi * variance) + variance * process.alpha_**2).sum())


def most_probable_weight(process: GaussianProcessRegressor, given: Floats) -> float:
    """The weight of ``given`` that is most probable when ``weight * given`` is added to what the process is of, ``(n,)``: by
    generalised least squares, with a standard normal prior."""
    solved = solve_triangular(process.L_, given, lower=True)
    return float(given @ process.alpha_ / (solved @ solved + 1.0))


def choose_batch(
    surrogate: Surrogate, x: Floats, cost: Floats, n: int, max_cost: float | Floats, prior: Floats | float = 0.0
) -> list[int]:
    """Which ``n`` of the candidates to evaluate next: indices, best first.

    Args:
        x: encoded candidates, ``(m, columns)``.
        cost: theirs, ``(m,)``, or ``(m, k)`` of several costs.
        max_cost: the most a network may cost, of each cost; volume counts below it, above the worst accuracy seen.
        prior: as of ``fit_surrogate``, of these.
    """
    with threadpool_limits(1):
        x = x * surrogate.scale
        process = surrogate.process
        kernel, noise = process.kernel_.k1, process.kernel_.k2.noise_level
        across = kernel(x, process.X_train_)
        mean = across @ process.alpha_ + prior
        solved = solve_triangular(process.L_, across.T, lower=True)
        if surrogate.pending is not None:
            solved = np.vstack([solved, _believed(process, surrogate.pending * surrogate.scale, x, solved)])
        variance = np.maximum(kernel.diag(x) - (solved**2).sum(axis=0), 1e-10)
        values, costs = surrogate.value, surrogate.cost
        reference = (float(values[: len(process.y_train_)].min()), max_cost)
        places = np.arange(len(x))
        if cost.ndim == 2:
            gains = [
                expected_improvement(mean, factor * np.sqrt(variance), cost, values, costs, reference)
                for factor in DEVIATION_FACTORS
            ]
            places = _greatest(gains, LEFT_PER_SLOT * n)
            x, cost, mean, variance, solved = x[places], cost[places], mean[places], variance[places], solved[:, places]
        seen = len(solved)
        solved = np.vstack([solved, np.zeros((min(n, len(x)), len(x)))])
        left = np.ones(len(x), bool)
        chosen: list[int] = []
        for row in range(seen, len(solved)):
            deviation = DEVIATION_FACTORS[len(chosen) % len(DEVIATION_FACTORS)] * np.sqrt(variance)
            gain = expected_improvement(mean, deviation, cost, values, costs, reference)
            best = int(np.argmax(np.where(left, gain, -1.0)))
            chosen.append(best)
            left[best] = False
            values, costs = np.append(values, mean[best]), np.concatenate([costs, cost[best : best + 1]])
            shared = kernel(x, x[best : best + 1])[:, 0] - solved[:row, best] @ solved[:row]
            solved[row] = shared / np.sqrt(variance[best] + noise)
            variance = np.maximum(variance - solved[row] ** 2, 1e-10)
    return [int(place) for place in places[chosen]]


def _believed(process: GaussianProcessRegressor, pending: Floats, x: Floats, solved: Floats) -> Floats:
    """What networks in flight add to ``solved`` of the candidates ``x``, ``(p, m)``. What is believed to come out as predicted
    changes no prediction, and makes its neighbourhood surer: further rows of the Cholesky factor."""
    kernel, noise = process.kernel_.k1, process.kernel_.k2.noise_level
    own = solve_triangular(process.L_, kernel(pending, process.X_train_).T, lower=True)
    factor = cholesky(kernel(pending) - own.T @ own + noise * np.eye(len(pending)), lower=True)
    return np.asarray(solve_triangular(factor, kernel(pending, x) - own.T @ solved, lower=True))


def _greatest(gains: Sequence[Floats], number: int) -> NDArray[np.intp]:
    """The places of the greatest of each, ``number`` or a few more in all, in order."""
    each = -(-number // len(gains))
    return np.unique(np.concatenate([np.argsort(-gain, kind="stable")[:each] for gain in gains]))
