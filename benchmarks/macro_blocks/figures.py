"""How rightly summed losses rank networks whose accuracies are known, beside multiply-accumulates; higher taus are better."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import kendalltau

from spaces.architecture import Architecture
from spaces.space import SearchSpace

Floats = NDArray[np.float64]

BINS = 20
"""Of as many networks each, in order of MACs."""


def summed_losses(archs: Sequence[Architecture], losses: Sequence[Mapping[str, float]], space: SearchSpace) -> Floats:
    """What the blocks of each network lose in sum, lower is better."""
    parts = list(zip(space.blocks, losses, strict=True))
    return np.array(
        [sum(known[str(Architecture(arch.genes[start:stop]))] for (start, stop), known in parts) for arch in archs]
    )


@dataclass(frozen=True)
class Taus:
    """Kendall's tau with the accuracies.

    Attributes:
        loss: of minus the losses; ``macs``: of MACs alone.
        partial: of both the first, where the influence of MACs is taken out of either (Kendall, 1942).
        loss_in_bins: over the pairs of networks of one of ``BINS`` bins of about equal MACs; ``macs_in_bins``: of what MACs
            still tell apart there.
    """

    loss: float
    macs: float
    partial: float
    loss_in_bins: float
    macs_in_bins: float


def taus(accuracy: Floats, macs: Floats, losses: Floats) -> Taus:
    """All of them, ``(n,)`` each."""
    by_loss, by_macs, both = (_tau(x, y) for x, y in ((-losses, accuracy), (macs, accuracy), (-losses, macs)))
    rest = math.sqrt((1 - by_macs**2) * (1 - both**2))
    return Taus(
        by_loss,
        by_macs,
        (by_loss - by_macs * both) / rest if rest else 0.0,
        tau_within_bins(-losses, accuracy, macs),
        tau_within_bins(macs, accuracy, macs),
    )


def tau_within_bins(scores: Floats, accuracy: Floats, macs: Floats, bins: int = BINS) -> float:
    """Pairs of one bin in the same order, less those in the other, as a share of all pairs of one bin."""
    signed, pairs = 0.0, 0
    for places in np.array_split(np.argsort(macs, kind="stable"), bins):
        x, y = scores[places], accuracy[places]
        above = np.triu_indices(len(places), 1)
        signed += float(np.sum(np.sign(x[:, None] - x)[above] * np.sign(y[:, None] - y)[above]))
        pairs += len(above[0])
    return signed / pairs if pairs else 0.0


def _tau(scores: Floats, truth: Floats) -> float:
    found = float(kendalltau(scores, truth).statistic)
    return 0.0 if math.isnan(found) else found


@dataclass(frozen=True)
class Picked:
    """Accuracies of networks of at most ``budget`` MACs, of which there are ``count``.

    Attributes:
        least_loss: of the one whose blocks lose least; ``rank``: its place by accuracy, 1 is the best.
        best, median: of all of them; ``dearest``: of the one with the most MACs.
    """

    budget: float
    count: int
    least_loss: float
    rank: int
    best: float
    median: float
    dearest: float


def pick(truth: pd.DataFrame, losses: Floats, budget: float) -> Picked | None:
    """What ``budget`` buys; None: nothing costs so little."""
    inside = (truth["macs"] <= budget).to_numpy()
    if not inside.any():
        return None
    accuracy, macs = truth["accuracy"].to_numpy()[inside], truth["macs"].to_numpy()[inside]
    chosen = float(accuracy[int(np.argmin(losses[inside]))])
    return Picked(
        budget,
        int(inside.sum()),
        chosen,
        1 + int((accuracy > chosen).sum()),
        float(accuracy.max()),
        float(np.median(accuracy)),
        float(accuracy[int(np.argmax(macs))]),
    )
