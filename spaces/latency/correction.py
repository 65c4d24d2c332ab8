"""What whole networks teach about a table of parts: how far its sums are off, and what each part really takes.

A table adds up what parts take by themselves. In a network they take something else: a runtime joins neighbours, keeps
outputs in the cache, and takes time for the call itself. The time of a network with the parts ``p`` is modelled as

    intercept + sum over p of (scale * ms(p) + call + deviation(operation of p) * ms(p))

Intercept, scale and the time of a call are least squares; deviations are shrunk towards zero by a ridge penalty, which
leave-one-out errors choose. The model adds up over parts, so a corrected table is a table like any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from spaces.errors import SpaceError
from spaces.latency.measure import Part

Floats = NDArray[np.float64]

PENALTIES = tuple(10.0**power for power in range(-4, 5))
"""Of the squared deviations, in units of the mean square of the whole networks' times; the last one leaves none."""

LEAST = 8
"""Networks without which nothing is learned."""

FASTEST = 1e-6
"""Milliseconds that a part takes at least."""


@dataclass(frozen=True)
class Agreement:
    """How well predicted and measured times of networks agree.

    Attributes:
        rank: Spearman's rank correlation, 1 is best.
        error: the mean of the errors' sizes, as a share of the measured time.
        bias: the mean of the errors, predicted less measured, as such a share.
    """

    networks: int
    rank: float
    error: float
    bias: float

    @classmethod
    def of(cls, predicted: Floats, measured: Floats) -> Agreement:
        off = (predicted - measured) / measured
        rank = float(spearmanr(predicted, measured).statistic) if len(measured) > 2 else float("nan")
        return cls(len(measured), rank, float(np.abs(off).mean()), float(off.mean()))

    def __str__(self) -> str:
        return f"rank correlation {self.rank:.3f}, error {self.error:.1%} (on average {self.bias:+.1%})"


@dataclass(frozen=True)
class Correction:
    """What was learned.

    Attributes:
        intercept, call: milliseconds of every network, and of every operation of a layer.
        scale: what a table's milliseconds are multiplied by; ``deviations``: operation -> what is added to that.
        before: the table's sums beside the measured times. ``after``: the corrected sums, each network's by what the others
            teach.
    """

    intercept: float
    call: float
    scale: float
    deviations: Mapping[str, float]
    before: Agreement
    after: Agreement

    def of_part(self, part: Part, milliseconds: float, stem: bool, layer: bool) -> float:
        """What a part takes in a network; the stem has the intercept, too."""
        corrected = milliseconds * (self.scale + self.deviations.get(part[0], 0.0))
        return max(FASTEST, corrected + self.call * layer + self.intercept * stem)

    def of_network(self, parts: Sequence[Part], table: Mapping[Part, float]) -> float:
        """What a network takes: the sum over its parts, of which the stem and the head come first."""
        return sum(self.of_part(part, table[part], i == 0, i > 1) for i, part in enumerate(parts))


def learn_correction(
    networks: Sequence[Sequence[Part]], measured: Sequence[float], table: Mapping[Part, float]
) -> Correction:
    """What measured networks teach about a table.

    Args:
        networks: of each its parts, the stem and the head first; ``measured``: milliseconds of each.

    Raises:
        SpaceError: they are too few.
    """
    if len(networks) < LEAST:
        raise SpaceError(
            f"{len(networks)} networks were measured, and {LEAST} are needed to correct a table: give --networks"
        )
    y = np.array(measured, float)
    sums = np.array([sum(table[part] for part in parts) for parts in networks])
    layers = np.array([len(parts) - 2 for parts in networks], float)
    names = sorted({name for parts in networks for name, _ in parts[2:]})
    by_name = np.array(
        [[sum(table[part] for part in parts[2:] if part[0] == name) for name in names] for parts in networks]
    )
    free = _independent(np.column_stack([np.ones_like(y), sums, layers]))
    unit = float((y**2).mean())
    fits = [_fit(free, by_name, y, penalty * unit) for penalty in PENALTIES]
    weights, left_out = min(fits, key=lambda fit: float(((fit[1] - y) ** 2).sum()))
    return Correction(
        float(weights[0]),
        float(weights[2]),
        float(weights[1]),
        dict(zip(names, weights[3:].tolist(), strict=True)),
        Agreement.of(sums, y),
        Agreement.of(left_out, y),
    )


def _independent(columns: Floats) -> Floats:
    """The columns, those set to 0 that others give already: where all networks have as many layers, a call is no question."""
    kept = columns.copy()
    for last in range(1, columns.shape[1]):
        if np.linalg.matrix_rank(kept[:, : last + 1]) <= np.linalg.matrix_rank(kept[:, :last]):
            kept[:, last] = 0
    return kept


def _fit(free: Floats, shrunk: Floats, y: Floats, penalty: float) -> tuple[Floats, Floats]:
    """The weights of all columns, and what each network's time would be by the others' alone."""
    x = np.column_stack([free, shrunk])
    ridge = np.diag([0.0] * free.shape[1] + [penalty] * shrunk.shape[1])
    solve = np.linalg.pinv(x.T @ x + ridge) @ x.T
    weights, leverage = solve @ y, np.einsum("ij,ji->i", x, solve)
    left_out = y - (y - x @ weights) / np.maximum(1 - leverage, 1e-9)
    return weights, left_out
