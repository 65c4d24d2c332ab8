"""AutoSpace-style: spaces made of evolved cells (Zhou et al., ICCV 2021, https://arxiv.org/abs/2103.11833)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from evo.evaluators.autospace.population import alphabet_of
from evo.methods.evolution import Best, Evolution, Learned, ranked_ops
from spaces.architecture import IDENTITIES, Op
from spaces.layer import Layer
from spaces.operations.cells import Alphabet, random_cell, reference_cells
from spaces.space import SearchSpace
from studies.config import (
    AutoSpaceEvolution,
    OneShotSection,
    StudyConfig,
)
from studies.records import EvoError, Ratings


@dataclass(frozen=True)
class StartPopulations:
    """The space with cells in place of its operations: reference cells, then ``k`` of a random population of ``size``; the
    others wait. Where a layer may be left out, it still may (AutoSpace).

    Attributes:
        references: how many of ``spaces.operations.cells.reference_cells``, the plainest first.
    """

    alphabet: Alphabet
    k: int
    size: int
    references: int

    def __call__(self, space: SearchSpace, rng: Random) -> SearchSpace:
        if space.variant_blocks:
            raise EvoError(f"{space.name!r} has blocks with rows, and no layers for cells: choose another space")
        return space.replace_layers(self._populated(layer, rng) for layer in space.layers)

    def _populated(self, layer: Layer, rng: Random) -> Layer:
        known = [str(cell) for cell in reference_cells(self.alphabet)]
        cells: dict[Op, None] = {}
        for _ in range(100 * self.size):
            if len(cells) == self.size:
                break
            op = str(random_cell(self.alphabet, rng))
            if op not in known:
                cells[op] = None
        else:
            raise EvoError(
                f"evolution.population is {self.size}, and only {len(cells)} different cells were found: allow more in "
                "evaluator.cells (nodes, codes, expansions), or ask for fewer"
            )
        plain = tuple(op for op in layer.candidates if op in IDENTITIES)
        first = (*known[: self.references], *list(cells)[: self.k], *plain)
        return replace(layer, candidates=first, pending=tuple(cells)[self.k :])


@dataclass(frozen=True)
class AddTopBred:
    """The best that was bred, until all of a layer's best ``k`` are candidates; the rest of what was rated waits.

    Mutation and crossover have happened while the evaluator was fitted: a child must train to be rated (AutoSpace).
    """

    k: int

    def __call__(self, space: SearchSpace, ratings: Ratings, rng: Random) -> SearchSpace:
        return space.replace_layers(self._filled(layer, ranked_ops(ratings, i)) for i, layer in enumerate(space.layers))

    def _filled(self, layer: Layer, ranked: list[Op]) -> Layer:
        new = tuple(op for op in ranked[: self.k] if op not in layer.candidates)
        waiting = tuple(op for op in ranked[self.k :] if op not in layer.candidates)
        return replace(layer, candidates=layer.candidates + new, pending=waiting)

    def __str__(self) -> str:
        return f"with the best cells that were bred, up to {self.k}"


def autospace(section: AutoSpaceEvolution, config: StudyConfig) -> Evolution:
    """AutoSpace-style: spaces made of evolved cells (Zhou et al., ICCV 2021, https://arxiv.org/abs/2103.11833).

    Cells are bred and rated while the evaluator is fitted (``evo.evaluators.autospace.fitness``); a layer's fittest
    ``k`` and the reference cells are the next space, and its population goes on.
    """
    assert isinstance(config.evaluator, OneShotSection)
    assert config.evaluator.cells is not None  # the configuration is checked for both
    alphabet = alphabet_of(config.evaluator.cells)
    stays = IDENTITIES | set(map(str, reference_cells(alphabet)))
    first = StartPopulations(alphabet, section.k, section.population, section.references)
    return Evolution(Learned(), Best(section.k, stays), AddTopBred(section.k), first)
