"""A surrogate of accuracy: it chooses, among many candidate networks, the few that are worth evaluating.

Costs are exact before any evaluation, so accuracy alone is modelled: a Gaussian process over what the networks are made
of (``kernel``). Candidates are ranked by expected hypervolume improvement (``improvement``). A generation is
filled greedily, each choice believed to come out as predicted (the "kriging believer" of Ginsbourger, Le Riche &
Carraro, 2010, https://doi.org/10.1007/978-3-642-10701-6_6). No Optuna and no table here: arrays in, indices out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.stats import spearmanr
from sklearn.preprocessing import PowerTransformer
from threadpoolctl import threadpool_limits

from evo.strategy.encoding import Encoding, Floats
from evo.strategy.improvement import expected_improvement
from evo.strategy.kernel import JITTER, Columns, NetworkKernel, Networks

DEVIATION_FACTORS = (1.0, 2.0)
"""What predicted deviations are multiplied by, slot after slot of a generation in turn. A process that has seen one region
for long is surer of its neighbourhood than it is right, and stalls on the last percent; every second slot doubts it."""

LEFT_PER_SLOT, WINDOW = 12, 32
"""A first look at all candidates leaves so many for each slot; it is repeated after so many slots."""

MAX_FITTED = 200
"""The most observations that the kernel's parameters are fitted to; predictions use all that are given."""


@dataclass(frozen=True)
class Prediction:
    """Of candidates.

    Attributes:
        mean, variance: of the value, ``(m,)``.
        solved: their covariances with what is known, over the Cholesky factor, ``(known, m)``.
    """

    columns: Columns
    mean: Floats
    variance: Floats
    solved: Floats


@dataclass(frozen=True)
class Surrogate:
    """What was learned from the networks seen so far.

    Attributes:
        value: their accuracies made Gaussian, ``(n,)``; higher is better.
        networks: what was seen, and behind it what is in flight; ``believed``: what is predicted of the latter, ``(p,)``.
        lower: the Cholesky factor of the covariance of all of them.
    """

    kernel: NetworkKernel
    value: Floats
    networks: Networks
    believed: Floats
    lower: Floats

    @property
    def values(self) -> Floats:
        """Of all networks: seen or believed."""
        return np.concatenate([self.value, self.believed])

    @property
    def costs(self) -> Floats:
        """Of all networks."""
        return self.networks.cost

    @cached_property
    def _columns(self) -> Columns:
        return self.kernel.columns(self.networks)

    @cached_property
    def _alpha(self) -> Floats:
        """``K^-1 y``, of what the prior leaves; what is believed to come out as predicted changes no prediction."""
        n = len(self.value)
        left = self.networks[:n].beyond_prior(self.value)
        alpha = cho_solve((self.lower[:n, :n], True), left, check_finite=False)
        return np.append(alpha, np.zeros(len(self.believed)))

    @cached_property
    def agreement(self) -> float:
        """Rank correlation of what was seen and its leave-one-out predictions."""
        with threadpool_limits(1):
            return float(np.nan_to_num(spearmanr(self.value, self.leave_one_out()).statistic))

    @property
    def useful(self) -> bool:
        """Whether it predicts better than chance would in nineteen cases of twenty."""
        return bool(self.agreement > 1.645 / np.sqrt(len(self.value) - 1))

    def leave_one_out(self) -> Floats:
        """What each observation is predicted to be from all others, ``(n,)`` (Rasmussen & Williams 2006, eq. 5.12)."""
        n = len(self.value)
        inverse = solve_triangular(self.lower[:n, :n], np.eye(n), lower=True, check_finite=False)
        return np.asarray(self.value - self._alpha[:n] / (inverse**2).sum(axis=0))

    def leave_one_out_likelihood(self) -> float:
        """The sum of the logarithms of how likely each observation is, given all others, in nats (Rasmussen & Williams 2006,
        eq. 5.11)."""
        n = len(self.value)
        inverse = solve_triangular(self.lower[:n, :n], np.eye(n), lower=True, check_finite=False)
        variance = 1 / (inverse**2).sum(axis=0)
        return float(-0.5 * (np.log(2 * np.pi * variance) + variance * self._alpha[:n] ** 2).sum())

    def most_probable_weight(self, given: Floats) -> float:
        """The weight of ``given``, ``(n,)``, that is most probable when ``weight * given`` is added to the prior of what was
        seen: by generalised least squares, with a standard normal prior."""
        n = len(self.value)
        solved = solve_triangular(self.lower[:n, :n], given, lower=True, check_finite=False)
        return float(given @ self._alpha[:n] / (solved @ solved + 1.0))

    def with_prior(self, prior: Floats) -> Surrogate:
        """The same kernel, where ``prior``, ``(n,)``, is predicted of what was seen beforehand. Nothing may be in flight."""
        return replace(self, networks=replace(self.networks, prior=prior))

    def predict(self, networks: Networks) -> Prediction:
        """What candidates are expected to be worth."""
        columns = self.kernel.columns(networks)
        across = self.kernel(self._columns, columns)
        solved = solve_triangular(self.lower, across, lower=True, check_finite=False)
        variance = np.maximum(self.kernel.diagonal(columns) - (solved**2).sum(axis=0), 1e-10)
        mean = self._alpha @ across
        return Prediction(columns, mean if networks.prior is None else mean + networks.prior, variance, solved)

    def believing(self, networks: Networks) -> Surrogate:
        """The surrogate that believes of networks in flight what it predicts of them: their predicted values count as seen, and
        it doubts as if they were known."""
        with threadpool_limits(1):
            told = self.predict(networks)
            corner = _factor(self.kernel, told.columns, told.solved)
            lower = np.block([[self.lower, np.zeros_like(told.solved)], [told.solved.T, corner]])
        believed = np.append(self.believed, told.mean)
        return replace(self, networks=self.networks.joined(networks), believed=believed, lower=lower)

    def gains(self, told: Prediction, cost: Floats, max_cost: float | Floats) -> list[Floats]:
        """Expected improvement by candidates, ``(m,)``, for each of ``DEVIATION_FACTORS``."""
        reference = (float(self.value.min()), max_cost)
        deviation = np.sqrt(told.variance)
        return [
            expected_improvement(told.mean, factor * deviation, cost, self.values, self.costs, reference)
            for factor in DEVIATION_FACTORS
        ]


def _factor(kernel: NetworkKernel, columns: Columns, solved: Floats) -> Floats:
    """The corner of the Cholesky factor that networks add."""
    covariance = kernel(columns, columns) - solved.T @ solved
    noise = (kernel.noise + JITTER) * np.eye(len(covariance))
    return np.asarray(cholesky(covariance + noise, lower=True, check_finite=False))


def gaussian_values(accuracy: Floats) -> Floats:
    """Accuracies made Gaussian, with mean 0 and variance 1 (Yeo & Johnson, Biometrika 87(4), 2000)."""
    standard = (accuracy - accuracy.mean()) / accuracy.std()
    return np.asarray(PowerTransformer().fit_transform(standard[:, None])[:, 0])


def can_be_learned(accuracy: Floats) -> bool:
    """False where there are fewer than four accuracies, or all are alike."""
    return bool(len(accuracy) >= 4 and accuracy.std() > 1e-12)


def fit_kernel(encode: Encoding, networks: Networks, accuracy: Floats) -> NetworkKernel | None:
    """The kernel whose parameters are most probable, given accuracies ``(n,)`` in any unit and a wide prior; None where nothing
    can be learned."""
    some = np.linspace(0, len(accuracy) - 1, min(len(accuracy), MAX_FITTED)).round().astype(int)
    if not can_be_learned(accuracy) or not can_be_learned(accuracy[some]):
        return None
    with threadpool_limits(1):
        values = networks[some].beyond_prior(gaussian_values(accuracy[some]))
        return NetworkKernel.of(encode, networks).fitted(networks[some], values)


def learn(kernel: NetworkKernel, networks: Networks, accuracy: Floats) -> Surrogate:
    """What a kernel says of the accuracies, ``(n,)``, in any unit, higher is better."""
    with threadpool_limits(1):
        value, columns = gaussian_values(accuracy), kernel.columns(networks)
        lower = _factor(kernel, columns, np.zeros((0, len(networks))))
        return Surrogate(kernel, value, networks, np.empty(0), lower)


def choose_batch(surrogate: Surrogate, candidates: Networks, n: int, max_cost: float | Floats) -> list[int]:
    """Which ``n`` of the candidates to evaluate next: indices, best first.

    Args:
        max_cost: the most a network may cost, of each cost; volume counts below it, above the worst accuracy seen.
    """
    with threadpool_limits(1):
        told, chosen = surrogate.predict(candidates), list[int]()
        left = np.ones(len(candidates), bool)
        n = min(n, len(candidates))
        while True:
            slots = min(WINDOW, n - len(chosen))
            places = np.flatnonzero(left)
            gains = surrogate.gains(_of(told, places), candidates.cost[places], max_cost)
            some = places[greatest(gains, LEFT_PER_SLOT * slots)]
            window = _fill(surrogate, _of(told, some), candidates.cost[some], slots, max_cost)
            chosen += some[window].tolist()
            if len(chosen) == n:
                return chosen
            left[chosen] = False
            new = np.array(chosen[-slots:])
            surrogate, told = _believe(surrogate, candidates[new], told, new)


def _of(told: Prediction, places: NDArray[np.intp]) -> Prediction:
    columns = Columns(*(part[places] for part in told.columns.parts))
    return Prediction(columns, told.mean[places], told.variance[places], told.solved[:, places])


def _believe(
    surrogate: Surrogate, networks: Networks, told: Prediction, places: NDArray[np.intp]
) -> tuple[Surrogate, Prediction]:
    """The surrogate that believes some of the candidates, and what it says of all of them then."""
    here, kernel = _of(told, places), surrogate.kernel
    corner = _factor(kernel, here.columns, here.solved)
    shared = kernel(here.columns, told.columns) - here.solved.T @ told.solved
    rows = solve_triangular(corner, shared, lower=True, check_finite=False)
    variance = np.maximum(told.variance - (rows**2).sum(axis=0), 1e-10)
    believed = np.append(surrogate.believed, here.mean)
    lower = np.block([[surrogate.lower, np.zeros_like(here.solved)], [here.solved.T, corner]])
    surrogate = replace(surrogate, networks=surrogate.networks.joined(networks), believed=believed, lower=lower)
    return surrogate, Prediction(told.columns, told.mean, variance, np.vstack([told.solved, rows]))


def _fill(surrogate: Surrogate, told: Prediction, cost: Floats, slots: int, max_cost: float | Floats) -> list[int]:
    """The places of the next choices, each believed when the next one is made."""
    kernel, left, chosen = surrogate.kernel, np.ones(len(cost), bool), list[int]()
    known = len(told.solved)
    solved = np.vstack([told.solved, np.zeros((slots, len(cost)))])
    variance, values, costs = told.variance, surrogate.values, surrogate.costs
    reference = (float(surrogate.value.min()), max_cost)
    for row in range(known, known + slots):
        deviation = DEVIATION_FACTORS[len(chosen) % len(DEVIATION_FACTORS)] * np.sqrt(variance)
        gain = expected_improvement(told.mean, deviation, cost, values, costs, reference)
        best = int(np.argmax(np.where(left, gain, -1.0)))
        chosen.append(best)
        left[best] = False
        values, costs = np.append(values, told.mean[best]), np.concatenate([costs, cost[best : best + 1]])
        one = Columns(*(part[best : best + 1] for part in told.columns.parts))
        shared = kernel(one, told.columns)[0] - solved[:row, best] @ solved[:row]
        solved[row] = shared / np.sqrt(variance[best] + kernel.noise)
        variance = np.maximum(variance - solved[row] ** 2, 1e-10)
    return chosen


def greatest(gains: Sequence[Floats], number: int) -> NDArray[np.intp]:
    """The places of the greatest of each, ``number`` or a few more in all, in order."""
    each = -(-number // len(gains))
    return np.unique(np.concatenate([np.argsort(-gain, kind="stable")[:each] for gain in gains]))
