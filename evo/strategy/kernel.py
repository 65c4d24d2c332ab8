"""How alike two networks are: a sum of kernels, whose weights are learned.

    a curve of each cost                    what a network costs says much of its accuracy
    operations, wherever they stand         a few numbers that few observations can tell
    networks that differ in few layers      what operations add in their layers, and interactions; a layer counts as much as it
                                            is relevant
    networks that are near in all columns   Matern 5/2 (``encoding`` says of what), one length scale per group of columns

Each weight has a wide prior, so those that help nothing fade, and a layer that does nothing loses its relevance. The parameters
are those of highest posterior density (Rasmussen & Williams, Gaussian Processes for Machine Learning, 2006, chapter 5; additive
kernels: Duvenaud et al., NeurIPS 2011).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky
from scipy.optimize import minimize

from evo.strategy.encoding import Encoding, Floats

GROUPS = 4
CONSTANT, CURVE, EVERYWHERE, FEW, NEAR, DECAY, LENGTHS, NOISE = 0, 1, 2, 3, 4, 5, slice(6, 10), 10
"""Places of parameters, all logarithms: five variances, how fast likeness decays with the relevance of what differs, length
scales, the variance of noise. The relevances of layers stand behind them."""

START = np.log([1.0, 0.02, 0.015, 0.04, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 0.02])
"""The parameters that are most probable beforehand, where values have variance 1; all relevances are 1."""

DEVIATION, RELEVANCE_DEVIATION = 2.0, 0.6
"""Standard deviations of the prior over these logarithms, and over those of the relevances."""

BOUNDS, STEPS = (-9.0, 6.0), 25
"""Of the parameters; the most steps of the optimiser."""

JITTER = 1e-8


@dataclass(frozen=True)
class Networks:
    """Networks, encoded.

    Attributes:
        x: ``(n, columns)`` of ``Encoding``.
        cost: ``(n,)``, or ``(n, k)`` of several costs.
        prior: ``(n,)``, what is predicted of them beforehand, as values that are Gaussian; None: nothing, 0.
    """

    x: Floats
    cost: Floats
    prior: Floats | None = None

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, places: NDArray[np.intp] | slice) -> Networks:
        return Networks(self.x[places], self.cost[places], None if self.prior is None else self.prior[places])

    def joined(self, others: Networks) -> Networks:
        """These, and the others behind them; both have a prior, or none."""
        assert (self.prior is None) == (others.prior is None)
        prior = None if self.prior is None or others.prior is None else np.concatenate([self.prior, others.prior])
        return Networks(np.concatenate([self.x, others.x]), np.concatenate([self.cost, others.cost]), prior)

    def beyond_prior(self, values: Floats) -> Floats:
        """What values, ``(n,)``, have beyond what is predicted of them beforehand."""
        return values if self.prior is None else values - self.prior


@dataclass(frozen=True)
class Columns:
    """What a kernel multiplies, for some networks.

    Attributes:
        curve, everywhere, layers, near: one row for each network, already weighted, so that products are kernels or, of
            ``near``, lead to squared distances.
    """

    curve: Floats
    everywhere: Floats
    layers: Floats
    near: Floats

    @property
    def parts(self) -> tuple[Floats, ...]:
        """All of them."""
        return self.curve, self.everywhere, self.layers, self.near


@dataclass(frozen=True)
class NetworkKernel:
    """A kernel with its parameters; the variance of noise is among them, and no part of what it gives.

    Attributes:
        theta: the parameters.
        centre, spread: of the logarithms of costs, ``(k,)``; ``scale``: of columns; ``unit``: of sums of operations. All of the
            networks that it was fitted to.
    """

    shape: tuple[int, int]
    groups: NDArray[np.intp]
    theta: Floats
    centre: Floats
    spread: Floats
    scale: Floats
    unit: float
    _lengths: Floats = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_lengths", self.scale / np.exp(self.theta[LENGTHS])[self.groups])

    @classmethod
    def of(cls, encode: Encoding, networks: Networks) -> NetworkKernel:
        """The kernel that is most probable before values are known."""
        log_cost, m = _log_costs(networks), encode.operations
        spreads = np.sqrt(2 * np.bincount(encode.groups, networks.x.var(axis=0)))
        scale = 1 / np.where(spreads > 1e-9, spreads, 1.0)[encode.groups]
        sums = float(networks.x[:, -m:].var(axis=0).sum())
        return cls(
            (encode.layers, m),
            encode.groups,
            np.concatenate([START, np.zeros(encode.layers)]),
            log_cost.mean(axis=0),
            np.where(log_cost.std(axis=0) > 1e-9, log_cost.std(axis=0), 1.0),
            scale,
            1 / np.sqrt(sums) if sums > 1e-9 else 1.0,
        )

    @property
    def noise(self) -> float:
        """Variance of what an observation has beside what the kernel explains."""
        return float(np.exp(self.theta[NOISE]))

    def columns(self, networks: Networks) -> Columns:
        """What products are made of."""
        n, m = self.shape
        z = np.clip((_log_costs(networks) - self.centre) / self.spread, -4.0, 4.0)
        relevance = np.sqrt(np.exp(self.theta[NOISE + 1 :]) / n)
        return Columns(
            np.hstack([z, z * z]),
            networks.x[:, -m:] * self.unit,
            networks.x[:, : n * m] * np.repeat(relevance, m),
            networks.x * self._lengths,
        )

    def __call__(self, a: Columns, b: Columns) -> Floats:
        """``(n, m)``."""
        constant, curve, everywhere, few, near = np.exp(self.theta[:DECAY])
        apart = _squared_distances(a.layers, b.layers) / 2
        kernel = few * np.exp(-np.exp(self.theta[DECAY]) * apart)
        kernel += constant + curve * (a.curve @ b.curve.T) + everywhere * (a.everywhere @ b.everywhere.T)
        r = np.sqrt(5 * _squared_distances(a.near, b.near))
        kernel += near * (1 + r + r * r / 3) * np.exp(-r)
        return np.asarray(kernel)

    def diagonal(self, a: Columns) -> Floats:
        """``(n,)``: of each network with itself."""
        constant, curve, everywhere, few, near = np.exp(self.theta[:DECAY])
        parts = ((curve, a.curve), (everywhere, a.everywhere))
        return np.asarray(constant + few + near + sum(weight * (part**2).sum(axis=1) for weight, part in parts))

    def fitted(self, networks: Networks, values: Floats) -> NetworkKernel:
        """The kernel of highest posterior density."""
        grams, start = _Grams.of(self, networks), self.theta
        deviation = np.repeat([DEVIATION, RELEVANCE_DEVIATION], [NOISE + 1, self.shape[0]])

        def loss(theta: Floats) -> tuple[float, Floats]:
            value, slope = grams.evidence(theta, values)
            away = (theta - start) / deviation
            return value + float(away @ away) / 2, slope + away / deviation

        best = minimize(
            loss, start, jac=True, method="L-BFGS-B", bounds=[BOUNDS] * len(start), options={"maxiter": STEPS}
        )
        return replace(self, theta=best.x)


def _log_costs(networks: Networks) -> Floats:
    return np.log(np.maximum(networks.cost.reshape(len(networks), -1), 1e-12))


def _squared_distances(x: Floats, y: Floats) -> Floats:
    squares = (x * x).sum(axis=1)[:, None] + (y * y).sum(axis=1) - 2 * x @ y.T
    return np.asarray(np.maximum(squares, 0.0))


@dataclass(frozen=True)
class _Grams:
    """Parts of the kernel between networks that do not change while it is fitted.

    Attributes:
        fixed: of curve and operations everywhere, ``(2, n, n)``; ``differ``: per layer, half the squared distance there,
            ``(layers, n, n)``; ``squares``: squared distances per group of columns.
    """

    fixed: Floats
    differ: Floats
    squares: Floats

    @classmethod
    def of(cls, kernel: NetworkKernel, networks: Networks) -> _Grams:
        n, m = kernel.shape
        columns = kernel.columns(networks)
        has = networks.x[:, : n * m].reshape(len(networks), n, m).swapaxes(0, 1)
        same = has @ has.swapaxes(1, 2) / n
        own = np.diagonal(same, axis1=1, axis2=2)
        edges = np.flatnonzero(np.diff(kernel.groups, prepend=-1, append=-1))
        x = networks.x * kernel.scale
        squares = [_squared_distances(x[:, a:b], x[:, a:b]) for a, b in pairwise(edges)]
        return cls(
            np.stack([part @ part.T for part in (columns.curve, columns.everywhere)]),
            (own[:, :, None] + own[:, None, :]) / 2 - same,
            np.stack(squares),
        )

    def evidence(self, theta: Floats, values: Floats) -> tuple[float, Floats]:
        """The negative logarithm of the marginal likelihood, but for a constant, and its slope."""
        n, now = len(values), self._at(theta)
        lower = cholesky(now.kernel, lower=True, check_finite=False)
        inverse = cho_solve((lower, True), np.eye(n), check_finite=False)
        alpha = inverse @ values
        slope = self._slope(theta, now, (inverse - np.outer(alpha, alpha)) / 2)
        return float(values @ alpha / 2 + np.log(np.diag(lower)).sum()), slope

    def _at(self, theta: Floats) -> _Terms:
        """What the kernel is made of, for these parameters."""
        weight, (layers, n, _) = np.exp(theta), self.differ.shape
        apart = (weight[NOISE + 1 :] @ self.differ.reshape(layers, -1)).reshape(n, n)
        few = weight[FEW] * np.exp(-weight[DECAY] * apart)
        squares = self.squares / (weight[LENGTHS] ** 2)[:, None, None]
        r = np.sqrt(5 * squares.sum(axis=0))
        fading = weight[NEAR] * np.exp(-r)
        near = (1 + r + r * r / 3) * fading
        kernel = weight[CONSTANT] + np.tensordot(weight[[CURVE, EVERYWHERE]], self.fixed, 1)
        kernel += few + near
        kernel[np.diag_indices(n)] += weight[NOISE] + JITTER
        return _Terms(kernel, apart, few, squares, near, 5 / 3 * (1 + r) * fading)

    def _slope(self, theta: Floats, now: _Terms, by_kernel: Floats) -> Floats:
        """The slope by the parameters, from that by the entries of the kernel."""
        weight, layers, by_few = np.exp(theta), len(self.differ), by_kernel * now.few
        slope = np.empty_like(theta)
        slope[CONSTANT] = weight[CONSTANT] * by_kernel.sum()
        slope[NOISE] = weight[NOISE] * np.trace(by_kernel)
        slope[[CURVE, EVERYWHERE]] = weight[[CURVE, EVERYWHERE]] * (self.fixed.reshape(2, -1) @ by_kernel.ravel())
        slope[FEW], slope[NEAR] = by_few.sum(), (by_kernel * now.near).sum()
        slope[DECAY] = -weight[DECAY] * (by_few * now.apart).sum()
        slope[LENGTHS] = now.squares.reshape(GROUPS, -1) @ (by_kernel * now.steep).ravel()
        slope[NOISE + 1 :] = -weight[NOISE + 1 :] * weight[DECAY] * (self.differ.reshape(layers, -1) @ by_few.ravel())
        return slope


@dataclass(frozen=True)
class _Terms:
    """The kernel with noise, and what its slope needs: ``(n, n)``, ``squares`` ``(groups, n, n)``."""

    kernel: Floats
    apart: Floats
    few: Floats
    squares: Floats
    near: Floats
    steep: Floats
