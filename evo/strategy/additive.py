"""What operations add: a Bayesian regression of scores on the operations of networks, at equal cost.

    score = cost curve of the round + sum over layers of what the layer's operation adds + interactions + noise

All terms are Gaussian. What an operation adds is itself a sum: what it adds everywhere, in its block, in its layer, and what
the parts of its name (kernel, expansion, ...) add. So the posterior also knows something of operations never measured in a
layer, and says how little. What is good after one epoch need not be good after ten: where rounds train differently, what an
operation adds differs from round to round, too, about a common mean. The variances of all terms are those of highest posterior
density (type II maximum likelihood with a wide prior; Rasmussen & Williams, Gaussian Processes for Machine Learning, 2006,
chapters 2 and 5). Arrays in, arrays out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky
from scipy.optimize import minimize
from scipy.stats import spearmanr
from threadpoolctl import threadpool_limits

from evo.strategy.design import choices_of
from evo.strategy.encoding import Floats
from spaces.architecture import IDENTITIES, Architecture, Op
from studies.records import LayerChoice

COST_VARIANCE = 10.0
"""Prior variance of the cost curve's coefficients, where scores and logarithms of cost have variance 1."""

START = {
    "layer": -3.0,
    "block": -3.0,
    "everywhere": -3.0,
    "part": -3.0,
    "block part": -3.0,
    "interaction": -3.0,
    "noise": -1.5,
}
"""Logarithms of the variances that are most probable beforehand; the scores' own variance is 1."""

OWN_SHARE = 1 / 3
"""The most probable share, beforehand, that is each round's own of the variance of what operations add, where rounds train
differently. Effects in two rounds then correlate by 2/3. Its logit has the same prior as the logarithms of variances."""

SPARE = 1e-9
"""Of the greatest variance, added to all where draws are made: the posterior's covariance has no full rank. Its Cholesky factor
moves as little as it does itself; eigenvectors of equal eigenvalues turn at the last digit of a sum, on other processors."""

PRIOR_DEVIATION = 1.5
"""Standard deviation of the prior over these logarithms."""

MOST_OBSERVATIONS = 300
"""The most observations of the last round, and of all earlier ones together, that are learned from, spread evenly over each
round. Time grows with the cube of their number."""


@dataclass(frozen=True)
class Measured:
    """What one round measured.

    Attributes:
        archs: the networks; ``cost``: theirs, ``(n,)``; ``score``: theirs, ``(n,)``, in any unit, higher is better.
    """

    archs: Sequence[Architecture]
    cost: Floats
    score: Floats

    def thinned(self, most: int) -> Measured:
        """Evenly chosen ones, where there are more than ``most``."""
        if len(self.archs) <= most:
            return self
        some = np.linspace(0, len(self.archs) - 1, most).round().astype(int)
        return Measured([self.archs[i] for i in some], self.cost[some], self.score[some])


@dataclass(frozen=True)
class Features:
    """The additive terms of operations, as columns of numbers.

    Attributes:
        blocks: the block of each layer.
        choices: every operation of every layer that is to be told apart.
    """

    blocks: tuple[str, ...]
    choices: tuple[LayerChoice, ...]

    @cached_property
    def terms(self) -> dict[str, Floats]:
        """Term -> ``(choices, columns)``: what of its columns a choice adds to."""
        blocks = [self.blocks[i] for i, _ in self.choices]
        ops = [_known_as(op) for _, op in self.choices]
        parts = [[("", part) for part in op.split("_")] for op in ops]
        block_parts = [[(block, part) for _, part in here] for block, here in zip(blocks, parts, strict=True)]
        return {
            "layer": np.eye(len(ops)),
            "block": _indicators([[name] for name in zip(blocks, ops, strict=True)]),
            "everywhere": _indicators([[("", op)] for op in ops]),
            "part": _indicators(parts, _likeness),
            "block part": _indicators(block_parts, _likeness),
        }

    def counts(self, archs: Sequence[Architecture]) -> Floats:
        """``(n, choices)``: 1 where an architecture carries an operation at a layer."""
        counts = np.zeros((len(archs), len(self.choices)))
        for row, arch in enumerate(archs):
            counts[row, [self.place[choice] for choice in choices_of(arch)]] = 1.0
        return counts

    @cached_property
    def place(self) -> dict[LayerChoice, int]:
        """The row of each choice."""
        return {choice: i for i, choice in enumerate(self.choices)}


def _known_as(op: Op) -> Op:
    """Identities are one operation, whatever their name."""
    return "id" if op in IDENTITIES else op


Name = tuple[str, str]
"""Where a term holds (a block, or everywhere), and the operation or part of a name that it is of."""


def _indicators(names: Sequence[Sequence[Name]], alike: Callable[[Sequence[Name]], Floats] | None = None) -> Floats:
    """``(rows, distinct names)``: which names stand in each row, how often; ``alike``: correlations of the distinct names."""
    distinct = list(dict.fromkeys(name for row in names for name in row))
    place = {name: i for i, name in enumerate(distinct)}
    matrix = np.zeros((len(names), len(distinct)))
    for row, here in enumerate(names):
        for name in here:
            matrix[row, place[name]] += 1.0
    if alike is None:
        return matrix
    return np.asarray(matrix @ cholesky(alike(distinct) + 1e-9 * np.eye(len(distinct)), lower=True))


def _likeness(names: Sequence[Name]) -> Floats:
    """``(n, n)``: 1 for the same part, and less for the same letters with another number: what is between two numbers is like
    both of them. Parts without numbers are like themselves only."""
    letters, numbers = zip(*(_split_part(part) for _, part in names), strict=True)
    places = [place for place, _ in names]
    kinds = [kind if number else part for kind, number, (_, part) in zip(letters, numbers, names, strict=True)]
    group = np.unique([repr(pair) for pair in zip(places, kinds, strict=True)], return_inverse=True)[1]
    size = np.log2(np.maximum(numbers, 1))
    return np.asarray(np.where(group[:, None] == group, np.exp(-abs(size[:, None] - size)), 0.0))


def _split_part(part: str) -> tuple[str, int]:
    """``("k", 5)`` of ``k5``; the number is 0 where there is none."""
    letters = part.rstrip("0123456789")
    return letters, int(part[len(letters) :] or 0)


@dataclass(frozen=True)
class Posterior:
    """What is known of operations after networks were measured.

    Attributes:
        place: of each choice among the rows of ``mean``; behind them come the two coefficients of the present cost curve.
        mean, covariance: of what each adds, ``(choices + 2,)`` and its square, in units of ``unit``.
        unit: the score that 1 is worth, about the median of the last round.
        centre, spread: mean and standard deviation of the logarithm of cost.
        variances: of the terms, as fitted; ``own``: the share of them that is each round's own.
        agreement: rank correlation of what cost leaves unexplained of the scores, and what the regression predicts of it from
            the other networks alone; ``count``: of how many networks.
    """

    place: Mapping[LayerChoice, int]
    mean: Floats
    covariance: Floats
    unit: float
    centre: float
    spread: float
    variances: Mapping[str, float]
    own: float
    agreement: float
    count: int

    @property
    def useful(self) -> bool:
        """Whether operations predict scores better than chance would in nineteen cases of twenty."""
        return bool(self.agreement > 1.645 / np.sqrt(self.count - 1))

    def draw(self, n: int, rng: np.random.Generator) -> Floats:
        """``(n, choices + 2)``: what operations may add, drawn from the posterior."""
        n_terms = len(self.mean)
        root = cholesky(self.covariance + SPARE * float(np.diag(self.covariance).max()) * np.eye(n_terms), lower=True)
        return np.asarray(self.mean + rng.standard_normal((n, n_terms)) @ root.T)

    def cost_curve(self, drawn: Floats, costs: Floats) -> Floats:
        """``(n, m)``: what each of ``m`` costs is worth by itself, for each of ``n`` drawn rows."""
        return np.asarray(drawn[:, -2:] @ cost_basis(costs, self.centre, self.spread)[:, 1:].T)

    def worth(self, drawn: Floats, choices: Sequence[Sequence[Op]]) -> list[Floats]:
        """Per layer, what its choices add: ``(n, choices of the layer)``, for each of ``n`` drawn rows."""
        return [drawn[:, [self.place[i, op] for op in here]] for i, here in enumerate(choices)]

    def contrasts(self, choices: Sequence[LayerChoice]) -> list[tuple[float, float]]:
        """Mean and standard deviation of what each choice adds beside the mean of all of them."""
        if not choices:
            return []  # NSE may leave a layer empty
        rows = [self.place[choice] for choice in choices]
        contrast = np.eye(len(rows)) - 1 / len(rows)
        mean = contrast @ self.mean[rows]
        variance = np.diag(contrast @ self.covariance[np.ix_(rows, rows)] @ contrast.T)
        return list(zip(mean.tolist(), np.sqrt(np.maximum(variance, 0.0)).tolist(), strict=True))


def cost_basis(costs: Floats, centre: float, spread: float) -> Floats:
    """``(n, 3)``: 1, the standardised logarithm of cost, and its square."""
    z = (np.log(np.maximum(costs, 1e-12)) - centre) / spread
    return np.stack([np.ones_like(z), z, z * z], axis=1)


def fit_operations(
    blocks: Sequence[str],
    choices: Iterable[LayerChoice],
    rounds: Sequence[Measured],
    *,
    differ: bool = False,
    ahead: bool = False,
) -> Posterior | None:
    """What operations add, by all rounds so far; the last counts as the present.

    None while there is nothing to learn: fewer than four measurements in every round, or all alike.

    Args:
        blocks: the block of each layer.
        choices: what is asked for, beside what was measured.
        differ: whether what operations add differs from round to round.
        ahead: whether what they add in a round to come is asked for, and not what they add in the last one.
    """
    with threadpool_limits(1):  # sums in one order, however many cores there are
        return _fitted(blocks, choices, rounds, differ, ahead)


def _fitted(
    blocks: Sequence[str], choices: Iterable[LayerChoice], rounds: Sequence[Measured], differ: bool, ahead: bool
) -> Posterior | None:
    rounds = [measured for measured in rounds if _has_spread(measured)]
    if not rounds:
        return None
    share = MOST_OBSERVATIONS // max(1, len(rounds) - 1)
    rounds = [*(measured.thinned(share) for measured in rounds[:-1]), rounds[-1].thinned(MOST_OBSERVATIONS)]
    seen = (choice for measured in rounds for arch in measured.archs for choice in choices_of(arch))
    features = Features(tuple(blocks), tuple(dict.fromkeys((*choices, *seen))))
    transformed = [gaussian_scores(measured.score) for measured in rounds]
    y = np.concatenate(transformed)
    group = np.repeat(np.arange(len(rounds)), [len(measured.archs) for measured in rounds])
    log_cost = np.log(np.maximum(np.concatenate([measured.cost for measured in rounds]), 1e-12))
    centre, spread = float(log_cost.mean()), float(log_cost.std()) or 1.0
    curves = cost_basis(np.exp(log_cost), centre, spread)
    counts = features.counts([arch for measured in rounds for arch in measured.archs])
    curve = COST_VARIANCE * (curves @ curves.T) * (1.0 + (group[:, None] == group)) / 2
    grams = {term: counts @ (a @ a.T) @ counts.T for term, a in features.terms.items()}
    genes = np.array([arch.genes for measured in rounds for arch in measured.archs], dtype=object)
    noises = {f"noise {r}": np.diag((group == r).astype(float)) for r in range(len(rounds))}
    others = {"interaction": _interaction_kernel(genes)} | noises
    fit = _most_probable(y, curve, grams, others, group if differ else None)
    variances, alpha, inverse = fit.variances, fit.alpha, fit.inverse
    present = group == group[-1]
    shared = 1.0 - fit.own * (np.ones(len(y)) if ahead else ~present)
    cross = _cross_covariance(features, variances, counts, curves, present, shared)
    prior = _prior_covariance(features, variances)
    mean, covariance = cross @ alpha, prior - cross @ inverse @ cross.T
    left_out = y - alpha / np.diag(
        inverse
    )  # what each is predicted to be from all others (Rasmussen & Williams, eq. 5.12)
    return Posterior(
        features.place,
        mean,
        covariance,
        _unit(rounds[-1].score, transformed[-1]),
        centre,
        spread,
        variances,
        fit.own,
        _agreement(y, left_out, curves, group),
        len(y),
    )


def _agreement(scores: Floats, predicted: Floats, curves: Floats, group: NDArray[np.intp]) -> float:
    """Rank correlation of scores and predictions, both beside each round's least squares curve of cost."""
    by_round = np.hstack([curves * (group == one)[:, None] for one in np.unique(group)])
    curve = by_round @ np.linalg.lstsq(by_round, scores, rcond=None)[0]
    return float(np.nan_to_num(spearmanr(scores - curve, predicted - curve).statistic))


def _has_spread(measured: Measured) -> bool:
    return len(measured.archs) >= 4 and float(np.std(measured.score)) > 1e-12


def gaussian_scores(score: Floats) -> Floats:
    """Scores by a monotone transform that makes them as Gaussian as it can (Yeo & Johnson, Biometrika 87(4), 2000)."""
    from sklearn.preprocessing import PowerTransformer

    standard = (score - score.mean()) / score.std()
    return np.asarray(PowerTransformer().fit_transform(standard[:, None])[:, 0])


def _unit(score: Floats, transformed: Floats) -> float:
    """The score that one unit of the transformed scores is worth about their median."""
    low, high = np.quantile(score, (0.25, 0.75))
    below, above = np.quantile(transformed, (0.25, 0.75))
    return float((high - low) / (above - below)) if above > below and high > low else float(score.std())


def _interaction_kernel(genes: NDArray[np.object_]) -> Floats:
    """``(n, n)``: networks are alike that differ in few layers."""
    n, layers = genes.shape
    different = np.zeros((n, n))
    for column in genes.T:
        _, code = np.unique(column.astype(str), return_inverse=True)
        different += code[:, None] != code
    return np.asarray(np.exp(-4.0 * different / layers))


@dataclass(frozen=True)
class _Fit:
    """The parameters of highest posterior density; ``alpha``: ``K^-1 y``; ``inverse``: ``K^-1``."""

    variances: dict[str, float]
    own: float
    alpha: Floats
    inverse: Floats


def _most_probable(
    y: Floats, fixed: Floats, adds: dict[str, Floats], others: dict[str, Floats], group: NDArray[np.intp] | None
) -> _Fit:
    """The variances of ``adds`` and ``others``, and what share of the former is each round's own.

    Args:
        group: the round of each measurement; None: rounds do not differ.
    """
    names, k = [*adds, *others], len(adds)
    parts, rest = np.stack(list(adds.values())), np.stack(list(others.values()))
    apart = np.zeros_like(fixed) if group is None else (group[:, None] != group).astype(float)
    start = np.array([*(START.get(name, START["noise"]) for name in names), np.log(OWN_SHARE / (1 - OWN_SHARE))])

    def solved(theta: Floats) -> tuple[Floats, Floats, Floats, Floats, float]:
        added, own = np.tensordot(np.exp(theta[:k]), parts, 1), float(1 / (1 + np.exp(-theta[-1])))
        covariance = fixed + added * (1 - own * apart) + np.tensordot(np.exp(theta[k:-1]), rest, 1)
        lower = cholesky(covariance + 1e-8 * np.eye(len(y)), lower=True)
        inverse = cho_solve((lower, True), np.eye(len(y)))
        return lower, inverse, inverse @ y, added, own

    def loss(theta: Floats) -> tuple[float, Floats]:
        lower, inverse, alpha, added, own = solved(theta)
        away = (theta - start) / PRIOR_DEVIATION
        value = y @ alpha / 2 + np.log(np.diag(lower)).sum() + away @ away / 2
        steep = (inverse - np.outer(alpha, alpha)) / 2
        slopes = np.concatenate(
            [
                np.einsum("kij,ij->k", parts, steep * (1 - own * apart)) * np.exp(theta[:k]),
                np.einsum("kij,ij->k", rest, steep) * np.exp(theta[k:-1]),
                [-own * (1 - own) * float((steep * apart * added).sum())],
            ]
        )
        return float(value), slopes + away / PRIOR_DEVIATION

    best = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(-12.0, 4.0)] * len(start)).x
    _, inverse, alpha, _, own = solved(best)
    variances = dict(zip(names, np.exp(best[:-1]).tolist(), strict=True))
    return _Fit(variances, 0.0 if group is None else own, alpha, inverse)


def _prior_covariance(features: Features, variances: dict[str, float]) -> Floats:
    """``(choices + 2,) * 2`` of what choices add and of the present cost curve's two coefficients, before any measurement."""
    n = len(features.choices)
    prior = np.zeros((n + 2, n + 2))
    prior[:n, :n] = sum(variances[term] * a @ a.T for term, a in features.terms.items())
    prior[n:, n:] = COST_VARIANCE * np.eye(2)
    return prior


def _cross_covariance(
    features: Features,
    variances: dict[str, float],
    counts: Floats,
    curves: Floats,
    present: NDArray[np.bool_],
    shared: Floats,
) -> Floats:
    """``(choices + 2, n)`` between these and the measurements; ``shared``: how what operations add there correlates with what
    they add in the round that is asked about."""
    adds = shared * sum(variances[term] * a @ (counts @ a).T for term, a in features.terms.items())
    curve = COST_VARIANCE * curves[:, 1:].T * (1.0 + present) / 2
    return np.vstack([np.asarray(adds), curve])
