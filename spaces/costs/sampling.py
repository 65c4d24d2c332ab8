"""Architectures drawn at random within limits of cost: uniformly, or evenly over one cost.

One limit is met by dynamic programming (``spaces.costs.cost_histogram``), and so is any upper limit of memory. What is drawn is
thrown away again only where a bucket is too coarse to tell or a limit of a second cost is left; where that happens too often,
the draws are tilted towards that limit, and what the tilt favours is thrown away as much more often.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random

import numpy as np
from numpy.typing import NDArray

from spaces.architecture import Architecture
from spaces.costs.cost_histogram import CostHistogram, Places
from spaces.costs.table import COLUMNS, PEAKS, CostTable, Floats
from spaces.errors import SpaceError
from spaces.space import canonical_arch

Limit = tuple[float, float]
"""The least and the most an architecture may cost, both allowed."""

Limits = Mapping[str, Limit]
"""Limits by the name of their cost, one of ``spaces.costs.table.COLUMNS``."""

NO_LIMIT: Limit = (-np.inf, np.inf)

MAX_LISTED = 4096
"""Up to so many architectures are listed instead of drawn: then it is certain when there are no more."""

BATCH, PATIENCE = 512, 1 << 15
"""The most draws at a time; how many without a new network before there is taken to be none."""

ROW_DRAWS, STRATA, ENOUGH = 20, 32, 4
"""Networks drawn row by row for each that is wanted; from how many strata of cost they are taken in turn; which part of what is
wanted is enough."""

RARE, TILTS, STEEP = 0.05, 12, 300.0
"""Draws are tilted when less than this share is of use, so many times, by at most a factor of e to this power."""


def sample_uniform(table: CostTable, n: int, rng: Random, *, limits: Limits | None = None) -> list[Architecture]:
    """``n`` distinct networks within all limits, drawn uniformly over the architectures of the space.

    Fewer than ``n`` where no more are found.

    Raises:
        SpaceError: a limit is not one, or no architecture lies in all of them; the message has the space's bounds.
    """
    draws = _Sampler(table, _check_limits(table, limits or {}), rng)
    summed = {cost: limit for cost, limit in draws.limits.items() if cost not in PEAKS} or {"macs": NO_LIMIT}
    covers = [(draws.histogram(cost), limit) for cost, limit in summed.items()]
    buckets, limit = min(covers, key=lambda cover: cover[0].count(*cover[1]))
    return draws.require_some(draws.take(buckets, *limit, n), n)


def sample_stratified(
    table: CostTable, n: int, rng: Random, *, cost: str = "macs", limits: Limits | None = None
) -> list[Architecture]:
    """``n`` distinct networks spread evenly over the range of ``cost``, within all limits; cheapest stratum first.

    The range, cut to the limit of ``cost``, is divided into ``n`` strata of one width, and from each an architecture
    is drawn uniformly. An empty stratum's turn goes to the nearest one of those that have given least. Fewer than
    ``n`` where no more are found.

    Raises:
        SpaceError: a limit is not one, no architecture lies in all of them, or the cost is a peak; the message has the space's
            bounds.
    """
    limits = _check_limits(table, {cost: NO_LIMIT, **(limits or {})})
    sample_uniform(
        table, min(n, 1), Random(0), limits=limits
    )  # raises now, not stratum by stratum, where there is nothing
    draws = _Sampler(table, limits, rng)
    buckets = draws.histogram(cost)
    least, most = table.bounds()[:, COLUMNS.index(cost)]
    low, high = limits[cost]
    edges = [low, *np.linspace(max(low, least), min(high, most), n + 1)[1:-1], high]
    strata = [(edges[i], edges[i + 1]) for i in range(n)]
    by_stratum = [draws.take(buckets, *stratum, 1) for stratum in strata]
    open_strata = {i for i in range(n) if by_stratum[i]}
    for turn in [i for i in range(n) if not by_stratum[i]]:
        more: list[Architecture] = []
        while open_strata and not more:
            i = min(open_strata, key=lambda i: (len(by_stratum[i]), abs(i - turn)))
            more = draws.take(buckets, *strata[i], 1)
            by_stratum[i] += more
            open_strata -= set() if more else {i}
    return draws.require_some([arch for archs in by_stratum for arch in archs], n)


def sample_rows_evenly(
    table: CostTable, n: int, rng: Random, *, cost: str = "macs", limits: Limits | None = None
) -> list[Architecture]:
    """Up to ``n`` distinct networks spread over ``cost`` within all limits, cheapest first, of a space with rows.

    Every row is drawn as often as any other, then its operations. Of all strings of such a space nearly all have the deepest
    rows, so those drawn by ``sample_stratified`` would say nothing of the others.

    Raises:
        SpaceError: as ``sample_stratified``.
    """
    limits = _check_limits(table, limits or {})
    drawn = list(dict.fromkeys(table.space.sample(rng) for _ in range(ROW_DRAWS * n)))
    found = _spread(table, drawn, n, cost, limits)
    if len(found) > n // ENOUGH:
        return found
    others = sample_stratified(table, n, rng, cost=cost, limits=limits)  # limits that hardly any row keeps
    return _spread(table, list(dict.fromkeys([*found, *others])), n, cost, limits)


def _spread(table: CostTable, archs: list[Architecture], n: int, cost: str, limits: Limits) -> list[Architecture]:
    """Up to ``n`` of the networks within all limits, cheapest first, as evenly from ``STRATA`` strata of cost as can be."""
    counted = table.count(archs)
    columns = {name: counted[:, COLUMNS.index(name)] for name in {cost, *limits}}
    inside = [(low <= columns[name]) & (columns[name] <= high) for name, (low, high) in limits.items()]
    places = np.flatnonzero(np.all(inside, axis=0) if inside else np.ones(len(archs), bool))
    if not len(places):
        return []
    price = columns[cost][places]
    edges = np.linspace(price.min(), price.max(), STRATA + 1)[1:-1]
    stratum = np.searchsorted(edges, price)
    order = stratum.argsort(kind="stable")
    turn = np.empty(len(places), np.intp)
    turn[order] = np.arange(len(places)) - np.searchsorted(stratum[order], stratum[order])
    chosen = np.lexsort((stratum, turn))[:n]
    return [archs[places[i]] for i in chosen[price[chosen].argsort(kind="stable")]]


def _check_limits(table: CostTable, limits: Limits) -> dict[str, Limit]:
    for cost, (low, high) in limits.items():
        if cost not in table.columns:
            raise SpaceError(f"unknown cost {cost!r}; known: {', '.join(table.columns)}")
        if not low <= high:
            raise SpaceError(f"the limit of {cost} is [{low:g}, {high:g}]: expected the least first, then the most")
    return dict(limits)


@dataclass
class _Sampler:
    """Draws from one space, within all its limits; no network is given twice."""

    table: CostTable
    limits: Limits
    rng: Random
    seen: set[Architecture] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.generator = np.random.default_rng(self.rng.getrandbits(64))

    def histogram(self, cost: str, tilt: Floats | None = None) -> CostHistogram:
        """The architectures whose peaks are within limits, by a cost that adds up."""
        return CostHistogram.of(self.table, cost, tilt, self.limits)

    def take(self, buckets: CostHistogram, low: float, high: float, n: int) -> list[Architecture]:
        """Up to ``n`` new networks between ``low`` and ``high`` by the cost of ``buckets``, and within all limits."""
        ways = buckets.count(low, high)
        box = self._box(buckets.cost, low, high)
        if ways <= MAX_LISTED:
            return self._take_listed(buckets, low, high, self.generator.permutation(int(ways)), box, n)
        archs: list[Architecture] = []
        summed = len(self.table.fixed)
        idle, tilts, tilt, size = 0, 0, np.zeros(summed), max(16, n)
        while len(archs) < n and idle < PATIENCE:
            size = min(2 * size, BATCH)
            places = buckets.draw(low, high, size, self.generator)
            costs = self._costs(places)
            useful = _inside_box(costs, box)
            costs = costs[:, :summed]
            useful &= self.generator.random(size) < np.exp(np.minimum(0, self._lowest(tilt, box) - costs @ tilt))
            new = self._new(places[useful], n - len(archs))
            archs, idle = archs + new, 0 if new else idle + size
            if len(archs) < n and useful.mean() < RARE and len(self.limits) > 1 and tilts < TILTS:
                tilts, tilt = tilts + 1, self._next_tilt(tilt, costs, box[:, :summed], COLUMNS.index(buckets.cost))
                buckets = self.histogram(buckets.cost, tilt)
        return archs

    def _take_listed(
        self, buckets: CostHistogram, low: float, high: float, order: Places, box: Floats, n: int
    ) -> list[Architecture]:
        """The first ``n`` new networks inside ``box``, of all between ``low`` and ``high``, in this order."""
        archs: list[Architecture] = []
        size = 2 * n
        while len(archs) < n and len(order):
            places = buckets.unrank(low, high, order[:size])
            archs += self._new(places[_inside_box(self._costs(places), box)], n - len(archs))
            order, size = order[size:], min(2 * size, BATCH)
        return archs

    def _box(self, cost: str, low: float, high: float) -> Floats:
        """(2, columns) the least and the most that each cost may be: the limits, and ``low`` to ``high`` of ``cost``."""
        box = np.tile([[-np.inf], [np.inf]], len(self.table.columns))
        for name, (lowest, highest) in (*self.limits.items(), (cost, (low, high))):
            column = COLUMNS.index(name)
            box[:, column] = max(box[0, column], lowest), min(box[1, column], highest)
        return box

    def _costs(self, places: Places) -> Floats:
        """(n, columns) true costs, added up in the order in which ``CostTable.count`` does."""
        costs = np.tile(self.table.fixed, (len(places), 1))
        for layer, column in zip(self.table.layers, places.T, strict=True):
            costs += layer.costs[column]
        return np.column_stack((costs, self.table.memory.at(places))) if self.table.memory else costs

    def _lowest(self, tilt: Floats, box: Floats) -> float:
        """The least that ``costs @ tilt`` can be for costs in the box, the box within the bounds of the space."""
        least, most = np.clip(box, *self.table.bounds())[:, : len(tilt)]
        return float(np.where(tilt > 0, least, most) @ tilt)

    def _next_tilt(self, tilt: Floats, costs: Floats, box: Floats, column: int) -> Floats:
        """The tilt under which the mean of the other costs should lie in the box: one Newton step from ``tilt``.

        Args:
            costs: (n, k) drawn under ``tilt``, those that add up.
            column: of the cost whose limit the draws meet anyway.
        """
        span = np.maximum(np.ptp(self.table.bounds(), axis=0), 1e-12)[: len(tilt)]
        mean = costs.mean(axis=0)
        outside = ((mean < box[0]) | (mean > box[1]) | (tilt != 0)) & (np.arange(len(mean)) != column)
        covariance = np.atleast_2d(np.cov((costs / span)[:, outside].T)) + 1e-6 * np.eye(outside.sum())
        towards = ((np.clip(mean, *box) - mean) / span)[outside]
        step = np.zeros_like(tilt)
        step[outside] = np.linalg.solve(covariance, towards)
        return np.asarray(np.clip(tilt * span + step, -STEEP, STEEP) / span)

    def _new(self, places: Places, n: int) -> list[Architecture]:
        """The first ``n`` networks that were not given before."""
        archs: list[Architecture] = []
        for row in places:
            if len(archs) == n:
                break
            genes = (layer.genes[place] for layer, place in zip(self.table.layers, row, strict=True))
            arch = self.table.space.from_qualified_genes(tuple(genes))
            network = canonical_arch(arch, self.table.space)
            if network not in self.seen:
                self.seen.add(network)
                archs.append(arch)
        return archs

    def require_some(self, archs: list[Architecture], n: int) -> list[Architecture]:
        """``archs`` unchanged.

        Raises:
            SpaceError: it is empty although ``n`` architectures were wanted.
        """
        if archs or not n:
            return archs
        limits = ", ".join(f"{cost} in [{low:g}, {high:g}]" for cost, (low, high) in self.limits.items())
        bounds = ", ".join(
            f"{cost} from {low:g} to {high:g}"
            for cost, low, high in zip(self.table.columns, *self.table.bounds(), strict=True)
        )
        name = self.table.space.name
        raise SpaceError(f"no architecture of {name!r} with {limits} was found; the space has {bounds}")


def _inside_box(costs: Floats, box: Floats) -> NDArray[np.bool_]:
    return np.asarray(((costs >= box[0]) & (costs <= box[1])).all(axis=1))
