"""What the steps take in which cells are bred: training, the weights of the sum that learn between, measuring."""

from __future__ import annotations

from functools import partial

from torch import nn

from evo.evaluators.autospace.breeding import all_cells
from evo.evaluators.autospace.fitness import Breeding
from evo.evaluators.autospace.measuring import measure_cells
from evo.evaluators.autospace.population import alphabet_of
from evo.memory.meter import counting_without_numbers
from evo.memory.shapes import ImageShapes
from evo.memory.step import StepMemory
from evo.memory.training import build_on_meta, optimizer_bytes, training_memory
from evo.training.loop import schedule_of
from spaces.costs.table import CostTable
from spaces.networks.cell_supernet import CellSupernet
from spaces.size import pixel_count
from spaces.space import SearchSpace
from studies.config import CellsSection, OneShotSection, StudyConfig

SECTION = "evaluator.cells"

SHOWN = 2
"""Cells of a layer that stand for the others, which come one after the other."""


def breeding_memory(
    config: StudyConfig, space: SearchSpace, table: CostTable, images: ImageShapes, processes: int
) -> list[StepMemory]:
    """Every kind of step of breeding."""
    section = config.evaluator
    assert isinstance(section, OneShotSection)
    assert section.cells is not None
    build = partial(CellSupernet, space, all_cells(space, alphabet_of(section.cells)))
    schedule = schedule_of(section.cells, config.data, 1)
    breeding = _breeding(section.cells, config, space, table, images)
    training = training_memory(
        "breeding cells", build, images.source(images.train), schedule, paths=breeding.paths(), beside=images.kept,
        section=SECTION, processes=processes,
    )  # fmt: skip
    with counting_without_numbers() as live:
        model = build_on_meta(build)
        fixed = live.restart() + optimizer_bytes(model, schedule)
        before = live.now
        if section.cells.score == "weights":
            name, count, setting = "learning the weights of cells", breeding.batch_size, f"{SECTION}.batch_size"
            breeding(model, 0)
        else:
            name, count = "measuring cells", min(section.cells.measured_images, images.validation)
            setting = f"{SECTION}.measured_images"
            _measure(model, breeding, images, count)
        peak = live.peak - before
    if section.cells.score == "noise":
        return [training]
    cuts, pieces = (f"{SECTION}.accumulate", section.cells.accumulate) if section.cells.score == "weights" else ("", 1)
    at_once = -(-count // pieces)
    return [training, StepMemory(name, fixed + images.kept, at_once, peak / at_once, setting, cuts, pieces)]


def _measure(model: nn.Module, breeding: Breeding, images: ImageShapes, count: int) -> None:
    """Measure cells in one network: all of the layer whose outputs, which are kept side by side, take most, and ``SHOWN`` of each
    other one."""
    assert isinstance(model, CellSupernet)
    shapes = [cell.shape for cell in model.layers]
    widest = max(range(len(shapes)), key=lambda i: shapes[i].c_out * pixel_count(shapes[i].size_out))  # type: ignore[union-attr, operator]
    cells = [list(layer.fitness)[: None if i == widest else SHOWN] for i, layer in enumerate(breeding.layers)]
    measure_cells(model, cells, images.source(images.validation), networks=1, images=count, seed=0)


def _breeding(
    section: CellsSection, config: StudyConfig, space: SearchSpace, table: CostTable, images: ImageShapes
) -> Breeding:
    settings = section.model_copy(update={"update_every": 1, "steps": 1 << 40})
    return Breeding(
        space, table, images.source(images.validation), settings, cost=config.search.cost, n=1, seed=0
    )
