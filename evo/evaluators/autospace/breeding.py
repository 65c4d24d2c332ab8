"""Breeding cells, as the first half of fitting a supernet to a space of cells; what comes of it is one file per round."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from evo.data.loading import load_dataset
from evo.evaluators import FitContext
from evo.evaluators.autospace.fitness import Breeding, bred_cell_from_json
from evo.evaluators.autospace.population import alphabet_of
from evo.seeds import derive_seed
from evo.training import checkpoints as files
from evo.training.loop import schedule_of, train
from evo.training.precision import precision_of
from spaces.architecture import Op
from spaces.networks.cell_supernet import CellSupernet
from spaces.networks.supernet import inherit_weights
from spaces.operations.cells import Alphabet, Genome, covering_cells, parse_cell, reference_cells
from spaces.space import SearchSpace
from studies.config import CellsSection, StudyConfig
from studies.records import BredCell


@dataclass(frozen=True)
class BredPopulations:
    """The result of breeding.

    Attributes:
        weights: file of the ``CellSupernet``'s weights.
        ratings: (layer, cell) -> fitness of the living cells, higher is better.
        bred_cells: all cells that ever lived.
        iterations: number of iterations of the run so far.
    """

    weights: Path
    ratings: Mapping[tuple[int, Op], float]
    bred_cells: tuple[BredCell, ...]
    iterations: int


def breed_populations(
    section: CellsSection,
    config: StudyConfig,
    space: SearchSpace,
    context: FitContext,
    before: BredPopulations | None,
    weights: Path,
) -> BredPopulations:
    """The populations of ``space`` after this round's iterations; ``weights`` is the file that keeps them.

    Interrupted and called again, it continues where it was.

    Args:
        before: of the round before: its weights and its cells' fitness are where this round starts.
    """
    if not files.is_intact(weights):
        torch.manual_seed(derive_seed(context.seed, "cells"))
        supernet = CellSupernet(space, all_cells(space, alphabet_of(section)))
        if before is not None:
            inherit_weights(supernet, files.read_checkpoint(before.weights)[0])
        images = load_dataset(config.data, config.device)
        breeding = Breeding(
            space,
            context.table,
            images.validation,
            section,
            cost=config.search.cost,
            n=context.n,
            seed=derive_seed(context.seed, "breeding"),
            known=before.bred_cells if before else (),
            past=before.iterations if before else 0,
            precision=precision_of(config),
        )
        progress = weights.with_suffix(".progress")
        train(
            supernet,
            images.train,
            schedule_of(section, config.data, context.n),
            seed=derive_seed(context.seed, "cells"),
            paths=breeding.paths(),
            between=breeding,
            checkpoint=progress,
            track=context.track,
            label=f"round {context.n}: breeding cells",
            group=context.group,
            precision=precision_of(config),
        )
        breeding.finish(supernet)
        facts = {
            "ratings": [[i, op, value] for (i, op), value in breeding.ratings().items()],
            "lives": [asdict(life) for life in breeding.bred_cells()],
            "iterations": breeding.iterations,
        }
        files.write_checkpoint(supernet.state_dict(), weights, facts)
        files.delete_progress(progress)
    return read_populations(weights)


def read_populations(weights: Path) -> BredPopulations:
    """What a file of ``breed_populations`` holds.

    Raises:
        DamagedError: it is not there, or not what was written.
    """
    _, facts = files.read_checkpoint(weights)
    ratings = {(i, op): value for i, op, value in facts["ratings"]}
    return BredPopulations(weights, ratings, tuple(map(bred_cell_from_json, facts["lives"])), facts["iterations"])


def all_cells(space: SearchSpace, alphabet: Alphabet) -> list[Genome]:
    """All that the shared weights must serve: whatever may be bred, and what is there."""
    there = {op for layer in space.layers for op in layer.candidates + layer.pending if op.startswith("cell:")}
    return [*covering_cells(alphabet), *reference_cells(alphabet), *map(parse_cell, sorted(there))]
