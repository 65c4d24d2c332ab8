"""Networks of a space, spread over MACs and drawn by seed; those that are trained already come first."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from random import Random

import numpy as np

from evo.seeds import derive_seed
from spaces.architecture import Architecture
from spaces.costs.sampling import sample_rows_evenly, sample_stratified
from spaces.costs.table import CostTable
from spaces.space import canonical_arch
from studies.config import StudyConfig
from studies.records import COSTS

BITS = 7
POOL = 2**BITS
"""Networks are chosen among so many, which are spread evenly over MACs."""

NEAR = 0.15
"""A trained network stands for a drawn one that has up to this share of MACs less or more."""


def draw_networks(
    config: StudyConfig, costs: CostTable, number: int, trained: Collection[Architecture] = ()
) -> tuple[Architecture, ...]:
    """Up to ``number`` distinct networks within all limits, spread evenly over MACs, cheapest first.

    What is drawn for one number is drawn for every larger one, too.

    Args:
        trained: each stands for the first drawn network that it is near enough to.

    Raises:
        SpaceError: there is none.
    """
    space, rng = costs.space, Random(derive_seed(config.seed, "proxies", "networks"))
    sample = sample_rows_evenly if space.variant_blocks else sample_stratified
    pool = sample(costs, POOL, rng, limits=config.limits.given())
    places = dict.fromkeys(place * len(pool) // POOL for place in spread_places(rng))
    drawn = [pool[place] for place in list(places)[:number]]
    chosen = _with_trained(drawn, trained, costs)
    return tuple(sorted(chosen, key=lambda arch: (_macs([arch], costs)[0], str(arch))))


def spread_places(rng: Random) -> Iterator[int]:
    """Every place of the pool once, so that the first few are spread evenly over it, whatever their number: van der Corput's
    sequence, its digits shifted at random."""
    shift = rng.randrange(POOL)
    for place in range(POOL):
        yield int(f"{place:0{BITS}b}"[::-1], 2) ^ shift


def _with_trained(
    drawn: list[Architecture], trained: Collection[Architecture], costs: CostTable
) -> Iterator[Architecture]:
    """The drawn networks, each that is not trained exchanged for the nearest trained one that is near enough."""
    drawn_forms = [canonical_arch(arch, costs.space) for arch in drawn]
    known = {canonical_arch(arch, costs.space) for arch in trained}
    waiting = sorted(known - set(drawn_forms), key=str)
    for arch, form in zip(drawn, drawn_forms, strict=True):
        near = None if form in known else _nearest(arch, waiting, costs)
        yield arch if near is None else waiting.pop(near)


def _nearest(arch: Architecture, waiting: list[Architecture], costs: CostTable) -> int | None:
    """The place of the network whose MACs are nearest; None: none is near enough."""
    if not waiting:
        return None
    (wanted,) = _macs([arch], costs)
    away = np.abs(_macs(waiting, costs) - wanted)
    place = int(away.argmin())
    return place if away[place] <= NEAR * wanted else None


def _macs(archs: list[Architecture], costs: CostTable) -> np.ndarray:
    return np.asarray(costs.count(archs)[:, COSTS.index("macs")])
