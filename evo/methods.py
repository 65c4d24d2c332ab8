"""The published methods: one short function each, with its paper. A method is an evolution composed of parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from evo.evolution import Above, Everything, Evolution, Nothing, ShareAmongRanks, Uniform
from studies.config import FixedEvolution, PadNasEvolution


def fixed(section: FixedEvolution) -> Evolution:
    """The control arm: the space stays what it is."""
    return Evolution(Uniform(), Everything(), Nothing())


def pad_nas(section: PadNasEvolution) -> Evolution:
    """Progressive automatic design of search space (Xia et al., https://arxiv.org/abs/2005.07564).

    An operation stays at a layer when more than 1 % of the architectures of nondomination rank < 10 carry it there.
    """
    return Evolution(ShareAmongRanks(section.rank), Above(section.share), Nothing())


METHODS: dict[str, Callable[[Any], Evolution]] = {"fixed": fixed, "pad_nas": pad_nas}
