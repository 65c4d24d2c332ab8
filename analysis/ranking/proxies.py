"""Which cheaper training ranks networks as their full training does, and is cheap enough to be worth it.

The truth is what networks reach after full trainings. A proxy is a training that costs less: fewer epochs, images, pixels or
channels (Zhou et al., EcoNAS, CVPR 2020, https://arxiv.org/abs/2001.01233). Every tau here is one of two single trainings:
that of a proxy and a full one, the mean over the full ones. So a proxy's tau, that of counted MACs, and that of two full
trainings, above which noise lets hardly anything rise, are of one kind. All are resampled together: a difference between two of
them is one of the same networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from analysis.ranking.kendall import Floats, resamples, tau_b

Interval = tuple[float, float]

LEAST_NETWORKS = 3
"""Fewer have no rankings to compare."""

ENOUGH_NETWORKS = 8
"""Fewer give no advice: intervals resampled from so few are no intervals."""

QUANTILES = (0.025, 0.975)


@dataclass(frozen=True)
class Rank:
    """How a way to judge networks ranks them, beside their counted MACs. In every number higher is better.

    Attributes:
        tau: Kendall's tau-b with a full training, the mean over these; None where all networks tie.
        interval: 95 % bootstrap interval of ``tau``, over networks resampled with replacement.
        ahead: by how much ``tau`` exceeds that of MACs, or 0 where all networks have equally many; ``ahead_interval``: of the
            difference, both resampled together.
    """

    tau: float | None = None
    interval: Interval | None = None
    ahead: float | None = None
    ahead_interval: Interval | None = None

    @property
    def beats_macs(self) -> bool:
        """Whether it is shown to rank better than MACs alone, and, as these may rank backwards, better than chance: both
        intervals lie above zero."""
        return all(interval is not None and interval[0] > 0 for interval in (self.interval, self.ahead_interval))


@dataclass(frozen=True)
class Judged:
    """What one proxy says of all networks.

    Attributes:
        cost: of its trainings, as a share of that of full ones.
        scores: one per network, higher is better.
    """

    name: str
    cost: float
    scores: tuple[float, ...]


@dataclass(frozen=True)
class ProxyRanking:
    """Proxies beside full trainings of the same networks.

    Attributes:
        truth: per full training, the accuracy of every network.
        macs: of every network.
        seed: of the bootstrap.

    Raises:
        ValueError: there are fewer than three networks, lists of different lengths, or numbers that are not finite.
    """

    truth: tuple[tuple[float, ...], ...]
    macs: tuple[float, ...]
    proxies: tuple[Judged, ...]
    seed: int = 0

    def __post_init__(self) -> None:
        lists = [*self.truth, self.macs, *(proxy.scores for proxy in self.proxies)]
        lengths = {len(numbers) for numbers in lists}
        if not self.truth or len(lengths) != 1 or min(lengths) < LEAST_NETWORKS:
            raise ValueError(f"expected lists of one length from {LEAST_NETWORKS} on, found lengths {sorted(lengths)}")
        if not all(np.isfinite(numbers).all() for numbers in lists):
            raise ValueError("accuracies and MACs must be finite numbers; leave out what has none")

    @property
    def networks(self) -> int:
        return len(self.macs)

    @cached_property
    def _times(self) -> Floats:
        """``(1 + draws, networks)``: every network once, then the bootstrap samples."""
        return np.vstack([np.ones(self.networks), resamples(self.networks, self.seed)])

    def _taus(self, scores: ArrayLike, others: Sequence[ArrayLike]) -> Floats:
        """``(1 + draws,)``: tau-b of ``scores`` with each of ``others``, their mean; nan where all networks tie."""
        x = np.asarray(scores, dtype=np.float64)
        found = [tau_b(x, np.asarray(other, dtype=np.float64), self._times) for other in others]
        return np.asarray(np.mean(found, axis=0))

    @cached_property
    def _macs_taus(self) -> Floats:
        """Those of MACs; zeros where all networks have equally many."""
        return self._taus(self.macs, self.truth) if np.ptp(self.macs) else np.zeros(len(self._times))

    @cached_property
    def _proxy_taus(self) -> tuple[Floats, ...]:
        return tuple(self._taus(proxy.scores, self.truth) for proxy in self.proxies)

    def _rank(self, taus: Floats) -> Rank:
        if np.isnan(taus[0]):
            return Rank()
        ahead = taus - self._macs_taus
        return Rank(float(taus[0]), _interval(taus), float(ahead[0]), _interval(ahead))

    @cached_property
    def ranks(self) -> tuple[Rank, ...]:
        """One per proxy, in their order."""
        return tuple(map(self._rank, self._proxy_taus))

    @cached_property
    def of_macs(self) -> Rank:
        """How counted MACs rank, which cost nothing; without a tau where all networks have equally many."""
        return self._rank(self._macs_taus) if np.ptp(self.macs) else Rank()

    @cached_property
    def ceiling(self) -> Rank | None:
        """How a full training ranks as another one does, the mean of all pairs; None: there is only one of each network."""
        pairs = list(combinations(self.truth, 2))
        return self._rank(np.mean([self._taus(x, (y,)) for x, y in pairs], axis=0)) if pairs else None

    def separably_below(self, place: int, other: int) -> bool:
        """Whether a proxy is shown to rank worse than another: the interval of the difference of their taus lies below zero."""
        low, _ = _interval(self._proxy_taus[other] - self._proxy_taus[place])
        return low > 0

    @property
    def known(self) -> list[int]:
        """Places of the proxies that have a tau, the cheapest first."""
        places = (place for place, rank in enumerate(self.ranks) if rank.tau is not None)
        return sorted(places, key=lambda place: (self.proxies[place].cost, place))

    @property
    def best(self) -> int | None:
        """The place of the proxy with the highest tau, the cheapest of equal ones; None: none has one."""
        return max(self.known, key=lambda place: self.ranks[place].tau or 0.0, default=None)

    def recommended(self, trust: float | None = None) -> int | None:
        """The place of the cheapest proxy that ranks better than MACs and can be trusted; None: no proxy is shown to, or there
        are too few networks.

        Args:
            trust: the least that the lower end of its tau's interval must be. None: it must not be separably below the best.
        """
        if self.networks < ENOUGH_NETWORKS:
            return None
        return next((place for place in self.known if self.ranks[place].beats_macs and self._fits(place, trust)), None)

    def _fits(self, place: int, trust: float | None) -> bool:
        if trust is None:
            return self.best is not None and not self.separably_below(place, self.best)
        interval = self.ranks[place].interval
        return interval is not None and interval[0] >= trust


def _interval(draws: Floats) -> Interval:
    """The 95 % interval of what stands behind the first number, which is of the networks themselves."""
    low, high = np.nanquantile(draws[1:], QUANTILES).tolist()
    return low, high


# -- in words ---------------------------------------------------------------------------------------------------------


def advice(found: ProxyRanking, trust: float | None = None, unit: str = "MACs") -> list[str]:
    """Which proxy to take, and what this rests on, a sentence or two each; ``unit``: what costs are shares of."""
    return [_verdict(found, trust, unit), *_reliability(found)]


def _verdict(found: ProxyRanking, trust: float | None, unit: str) -> str:
    place, best = found.recommended(trust), found.best
    if best is None:
        return "No proxy ranks anything: each gave all networks one accuracy. Take larger shares."
    if found.networks < ENOUGH_NETWORKS:
        return (
            f"{found.networks} networks are too few to take a proxy by: expected {ENOUGH_NETWORKS} or more (--networks 16). "
            f"The best of them, {found.proxies[best].name}, has {tau_text(found.ranks[best])}."
        )
    if place is not None:
        rank, bar = found.ranks[place], _bar(found, place, best, trust)
        return (
            f"Take {found.proxies[place].name}: it costs {found.proxies[place].cost:.1%} of the {unit} of full training, and "
            f"its tau is {tau_text(rank)}, ahead of MACs alone by {ahead_text(rank)}; {bar}."
        )
    if not any(rank.beats_macs for rank in found.ranks):
        return _no_better_than_macs(found, best)
    return (
        f"No proxy can be trusted as far as was asked: of those that rank better than MACs alone, none has a tau whose "
        f"interval begins at {trust:g} or above. The best is {found.proxies[best].name}, with {tau_text(found.ranks[best])}."
    )


def _bar(found: ProxyRanking, place: int, best: int, trust: float | None) -> str:
    """Why a proxy is taken."""
    if trust is not None:
        return f"it is the cheapest that does so with an interval from {trust:g} on"
    if place == best:
        return "every cheaper one is worse, or not shown to be ahead of MACs"
    return (
        f"that of the best, {found.proxies[best].name}, is {tau_text(found.ranks[best])}, and {found.networks} networks do not "
        "tell the two apart"
    )


def _no_better_than_macs(found: ProxyRanking, best: int) -> str:
    macs, rank = found.of_macs, found.ranks[best]
    rival = "chance" if macs.tau is None else f"counting MACs alone, whose tau is {tau_text(macs)}"
    also = ", and than chance" if macs.tau is not None and macs.tau <= 0 else ""
    return (
        f"No proxy is shown to rank better than {rival}{also}: the best, {found.proxies[best].name}, has {tau_text(rank)}, "
        f"ahead by {ahead_text(rank)}. Do not pay for one on this evidence; more networks tell smaller differences."
    )


def _reliability(found: ProxyRanking) -> list[str]:
    """How far full trainings can be trusted, above which no proxy can be shown to rank."""
    ceiling = found.ceiling
    if ceiling is None:
        return [
            "How reliable the truth is itself is not known: each network was trained in full once (--seeds 2 asks)."
        ]
    if ceiling.tau is None:
        return ["How reliable the truth is itself is not known: a full training gave all networks one accuracy."]
    said = f"Two full trainings of the same networks agree with tau {tau_text(ceiling)}: no proxy can be expected to do better."
    if found.of_macs.tau is not None and not ceiling.beats_macs:
        said += " Nor is that shown to be better than MACs alone, so these networks hardly differ beyond their MACs and noise."
    return [said]


def tau_text(rank: Rank) -> str:
    """A tau and its interval: ``0.62 (0.31 to 0.83)``; ``unknown``."""
    return _number(rank.tau, rank.interval, "")


def ahead_text(rank: Rank) -> str:
    """By how much it is ahead of MACs: ``+0.12 (-0.03 to +0.25)``."""
    return _number(rank.ahead, rank.ahead_interval, "+")


def _number(value: float | None, interval: Interval | None, sign: str) -> str:
    if value is None or interval is None:
        return "unknown"
    told, low, high = (
        f"{round(number, 2) + 0.0:{sign}.2f}" for number in (value, *interval)
    )  # + 0.0: no minus before 0
    return f"{told} ({low} to {high})"
