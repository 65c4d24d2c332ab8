"""How much there is to gain by searching: how far networks of one budget differ beyond the noise of their training.

A few networks drawn at random are trained several times each. Analysis of variance with random effects (S. R. Searle, Linear
Models, 1971, chapter 9) separates what belongs to a network from the noise of its training. Trainings with the same number
may share their seed, and so the order of images: what they have in common is neither, and is taken out as a second factor.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from itertools import combinations
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from analysis.ranking import tau_b

Floats = NDArray[np.float64]
Interval = tuple[float, float]

LEAST_NETWORKS, LEAST_TRAININGS = 3, 2
"""Fewer say nothing about how networks differ, or about noise."""

MOST_EVALUATIONS = 10**6
"""A gain that choosing among so many networks does not reach is called out of reach."""

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Headroom:
    """What trainings of some networks of one budget say about the differences between such networks.

    Attributes:
        accuracies: of each network one per training, fractions from 0 to 1.

    Raises:
        ValueError: there are fewer than three networks or two trainings of each, or not equally many.
    """

    accuracies: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        trainings = {len(row) for row in self.accuracies}
        if len(self.accuracies) < LEAST_NETWORKS or len(trainings) > 1 or min(trainings) < LEAST_TRAININGS:
            raise ValueError(
                f"expected at least {LEAST_NETWORKS} networks, each with the same number of trainings, at least "
                f"{LEAST_TRAININGS}; found {len(self.accuracies)} networks with {sorted(trainings)} trainings"
            )
        if not np.isfinite(self._values).all():
            raise ValueError("accuracies must be finite numbers; leave out networks that have none")

    @cached_property
    def _values(self) -> Floats:
        """(networks, trainings)."""
        return np.array(self.accuracies, dtype=np.float64)

    @property
    def networks(self) -> int:
        return len(self.accuracies)

    @property
    def trainings(self) -> int:
        """Of each network."""
        return len(self.accuracies[0])

    @property
    def mean(self) -> float:
        """The mean accuracy of all trainings."""
        return float(self._values.mean())

    @property
    def freedom(self) -> tuple[int, int]:
        """Degrees of freedom of ``mean_squares``."""
        return self.networks - 1, (self.networks - 1) * (self.trainings - 1)

    @cached_property
    def mean_squares(self) -> tuple[float, float]:
        """Of networks, and of what networks and seeds do not explain; their expectations are ``noise^2 + trainings *
        between^2`` and ``noise^2``."""
        values, (free, free_noise) = self._values, self.freedom
        networks, seeds = values.mean(axis=1, keepdims=True), values.mean(axis=0, keepdims=True)
        between = self.trainings * float(((networks - self.mean) ** 2).sum())
        noise = float(((values - networks - seeds + self.mean) ** 2).sum())
        return between / free, noise / free_noise

    @property
    def sd_between(self) -> float:
        """Standard deviation of true accuracies between networks; 0 where noise alone explains how they differ."""
        between, noise = self.mean_squares
        return sqrt(max(0.0, between - noise) / self.trainings)

    @property
    def sd_noise(self) -> float:
        """Standard deviation of one network's accuracy from training to training."""
        return sqrt(self.mean_squares[1])

    @cached_property
    def sd_between_interval(self) -> Interval:
        """At least about 95 % confidence for ``sd_between``, for normal effects.

        The lower end is that of Tukey and Williams (Williams, Biometrika 49, 1962, pages 278-281). The upper one leaves the
        noise in, which makes it hardly larger, and keeps it above 0 where networks happen to agree better than noise allows.
        """
        from scipy.stats import chi2, f

        (between, noise), (free, free_noise) = self.mean_squares, self.freedom
        upper, lower = (1 + CONFIDENCE) / 2, (1 - CONFIDENCE) / 2
        excess = max(0.0, between - noise * float(f.ppf(upper, free, free_noise)))
        low, high = excess / float(chi2.ppf(upper, free)), between / float(chi2.ppf(lower, free))
        return sqrt(low * free / self.trainings), sqrt(high * free / self.trainings)

    @cached_property
    def sd_noise_interval(self) -> Interval:
        """95 % confidence for ``sd_noise``, for normal noise."""
        from scipy.stats import chi2

        free = self.freedom[1]
        quantiles = (1 + CONFIDENCE) / 2, (1 - CONFIDENCE) / 2
        low, high = (self.sd_noise * sqrt(free / float(chi2.ppf(quantile, free))) for quantile in quantiles)
        return low, high

    @cached_property
    def tau(self) -> float | None:
        """Kendall's tau-b of two trainings of the same networks, the mean of all pairs; None where all networks tie."""
        once = np.ones((1, self.networks))
        pairs = [tau_b(x, y, once)[0] for x, y in combinations(self._values.T, 2)]
        return float(np.mean(pairs)) if np.isfinite(pairs).all() else None

    def gain(self, n: int, between: float | None = None) -> float:
        """By how much the best of ``n`` networks, chosen by one training each, is truly ahead of a random one, on average.

        Args:
            between: the standard deviation between networks; None: as estimated.
        """
        between = self.sd_between if between is None else between
        seen = sqrt(between**2 + self.sd_noise**2)
        return expected_maximum(n) * between**2 / seen if seen else 0.0

    def gain_interval(self, n: int) -> Interval:
        """``gain`` at the ends of ``sd_between_interval``."""
        low, high = (self.gain(n, between) for between in self.sd_between_interval)
        return low, high

    def evaluations_for(self, gain: float, between: float | None = None) -> int | None:
        """The least ``n`` whose ``gain`` is as large; None: more than ``MOST_EVALUATIONS``."""
        low, high = 1, MOST_EVALUATIONS
        if self.gain(high, between) < gain:
            return None
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if self.gain(middle, between) >= gain else (middle + 1, high)
        return low

    def evaluations_interval(self, gain: float) -> tuple[int | None, int | None]:
        """``evaluations_for`` at the ends of ``sd_between_interval``: the least first."""
        low, high = self.sd_between_interval
        return self.evaluations_for(gain, high), self.evaluations_for(gain, low)


@cache
def expected_maximum(n: int) -> float:
    """The expectation of the largest of ``n`` independent standard normal numbers: 0, 0.564, 0.846, ...

    It is the integral from 0 on of the probability that the largest is above ``x``, less that of its being below ``-x``.
    """
    from scipy.integrate import simpson
    from scipy.special import log_ndtr

    x = np.linspace(0, 12, 1201)
    return float(simpson(-np.expm1(n * log_ndtr(x)) - np.exp(n * log_ndtr(-x)), x=x))


# -- in words ---------------------------------------------------------------------------------------------------------

EXAMPLES = (10, 50, 200)
"""Numbers of networks whose gain is told."""

POINT = 0.01


def sentences(found: Headroom, images: int, classes: int) -> list[str]:
    """What ``found`` says and does not say, a sentence or two each.

    Args:
        images: how many validation images the accuracies were measured on, in so many ``classes``.
    """
    return [
        _differences(found),
        _agreement(found),
        *_gains(found),
        *_cautions(found, images),
        *_untrained(found, classes),
    ]


def _differences(found: Headroom) -> str:
    return (
        f"Networks of this budget differ by a standard deviation of {_points(found.sd_between)} points "
        f"({_range(found.sd_between_interval)}); one network by {_points(found.sd_noise)} "
        f"({_range(found.sd_noise_interval)}) from training to training. Mean accuracy: {found.mean:.2%}."
    )


def _agreement(found: Headroom) -> str:
    if found.tau is None:
        return "Whether two trainings rank networks alike is not known: a training gave all of them one accuracy."
    return f"Two trainings of the same {found.networks} networks rank them with Kendall's tau {found.tau:.2f}."


def _gains(found: Headroom) -> list[str]:
    told = "; ".join(f"{n}: +{_points(found.gain(n))} ({_range(found.gain_interval(n))})" for n in EXAMPLES)
    needed, (least, most) = found.evaluations_for(POINT), found.evaluations_interval(POINT)
    if needed is None and least is None:
        verdict = f"No search can gain a point here by choosing: the best of {MOST_EVALUATIONS:,} networks would not."
    elif needed is None:
        verdict = (
            f"By this estimate no search gains a point here by choosing: the best of {MOST_EVALUATIONS:,} networks would "
            f"not. The interval does not exclude that {_count(least)} evaluations do."
        )
    else:
        verdict = f"A gain of one point takes about {_count(needed)} evaluations ({_count(least)} to {_count(most)})."
    return [
        f"The best of N networks, chosen by one training each, is ahead of a random one by, in points: {told}.",
        verdict,
    ]


def _cautions(found: Headroom, images: int) -> list[str]:
    """What a reader must not take for more than it is."""
    luck = sqrt(found.mean * (1 - found.mean) / images)
    cautions = [
        f"All were measured on the same {images:,} images: up to {_points(luck)} points of the differences may be "
        "particular to these."
    ]
    low, high = found.sd_between_interval
    if low == 0:
        return [
            "That networks of this budget differ at all is not shown: the interval begins at 0. Train more networks, or "
            "train longer.",
            *cautions,
        ]
    if high > 3 * low:
        cautions.append(f"{found.networks} networks tell the difference roughly: more networks narrow its interval.")
    return cautions


def _untrained(found: Headroom, classes: int) -> list[str]:
    if found.mean >= 2 / classes:
        return []
    return [
        f"The networks have hardly learned anything (chance: {1 / classes:.2%}), so this says nothing yet: train longer."
    ]


def _points(fraction: float) -> str:
    return f"{100 * fraction:.2f}"


def _range(interval: Interval) -> str:
    return f"{_points(interval[0])} to {_points(interval[1])}"


def _count(n: int | None) -> str:
    return f"more than {MOST_EVALUATIONS:,}" if n is None else f"{n:,}"
