"""The published methods: one short function each, with its paper. A method is an evolution composed of parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from evo.cells import Bred, Populate
from evo.evolution import (
    Above,
    Best,
    Deal,
    Everything,
    Evolution,
    Learned,
    NextUnseen,
    Nothing,
    OnFront,
    ShareAmongRanks,
    Uniform,
    with_unseen,
)
from evo.population import alphabet_of
from spaces.architecture import IDENTITIES
from spaces.cells import reference_cells
from studies.config import (
    AutoSpaceEvolution,
    DnaEvolution,
    FixedEvolution,
    NseEvolution,
    OneShotSection,
    PadNasEvolution,
    StudyConfig,
)


def fixed(section: FixedEvolution, config: StudyConfig) -> Evolution:
    """The control arm: the space stays what it is."""
    return Evolution(Uniform(), Everything(), Nothing())


def pad_nas(section: PadNasEvolution, config: StudyConfig) -> Evolution:
    """Progressive automatic design of search space (Xia et al., https://arxiv.org/abs/2005.07564).

    An operation stays at a layer when more than 1 % of the architectures of nondomination rank < 10 carry it there.
    """
    return Evolution(ShareAmongRanks(section.rank), Above(section.share), Nothing())


def nse(section: NseEvolution, config: StudyConfig) -> Evolution:
    """Evolving search space (Ci et al., ICCV 2021, https://arxiv.org/abs/2011.10904).

    What the Pareto front uses stays; the next unseen operations of a layer's pool, in an order fixed by the seed, fill it
    up to ``k``.
    """
    return Evolution(
        OnFront(config.limits.given()),
        Above(0.0),
        NextUnseen(section.k),
        prepare=Deal(section.k, section.branches),
        continued=partial(with_unseen, k=section.k),
    )


def dna(section: DnaEvolution, config: StudyConfig) -> Evolution:
    """Block-wise distillation (Li et al., CVPR 2020, https://arxiv.org/abs/1911.13053).

    An operation is worth minus the loss of the best candidate of its block that has it. The paper has one round and drops
    nothing; ``keep`` leaves the best of each layer to the next one.
    """
    return Evolution(Learned(), Best(section.keep) if section.keep else Everything(), Nothing())


def autospace(section: AutoSpaceEvolution, config: StudyConfig) -> Evolution:
    """AutoSpace-style: spaces made of evolved cells (Zhou et al., ICCV 2021, https://arxiv.org/abs/2103.11833).

    Cells are bred and rated while the evaluator is fitted (``evo.fitness``); a layer's fittest ``k`` and the reference
    cells are the next space, and its population goes on.
    """
    assert isinstance(config.evaluator, OneShotSection)
    assert config.evaluator.cells is not None  # the configuration is checked for both
    alphabet = alphabet_of(config.evaluator.cells)
    stays = IDENTITIES | set(map(str, reference_cells(alphabet)))
    first = Populate(alphabet, section.k, section.population, section.references)
    return Evolution(Learned(), Best(section.k, stays), Bred(section.k), first)


def evolution_of(config: StudyConfig) -> Evolution:
    """The configuration's method. A control arm begins in the same space, which then stays what it is."""
    evolution = METHODS[config.evolution.method](config.evolution, config)
    return replace(evolution, rate=Uniform(), keep=Everything(), refill=Nothing()) if config.control else evolution


METHODS: dict[str, Callable[[Any, StudyConfig], Evolution]] = {
    "fixed": fixed,
    "pad_nas": pad_nas,
    "nse": nse,
    "dna": dna,
    "autospace": autospace,
}
