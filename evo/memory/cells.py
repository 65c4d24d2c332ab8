"""What the steps take in which cells are bred: training, the weights of the sum that learn between, measuring."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import nn

from evo.evaluators.autospace.breeding import all_cells
from evo.evaluators.autospace.fitness import Breeding
from evo.evaluators.autospace.measuring import measure_cells
from evo.evaluators.autospace.population import alphabet_of
from evo.memory.meter import counting_without_numbers
from evo.memory.shapes import ImageShapes, ShapesOnly
from evo.memory.step import StepMemory
from evo.memory.training import build_on_meta, optimizer_bytes, training_memory
from evo.training.loop import Paths, piece_count, schedule_of
from spaces.architecture import Op
from spaces.costs.table import CostTable
from spaces.networks.cell_supernet import CellSupernet
from spaces.size import pixel_count
from spaces.space import SearchSpace
from studies.config import CellsSection, OneShotSection, StudyConfig

SECTION = "evaluator.cells"

FLOAT = 4
"""Bytes of a number."""


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
        "breeding cells", build, images.source(images.train), schedule, paths=_paths(breeding), beside=images.kept,
        section=SECTION, processes=processes,
    )  # fmt: skip
    with counting_without_numbers() as live:
        model = build_on_meta(build)
        fixed = live.restart() + optimizer_bytes(model, schedule)
        before, beside = live.now, 0
        if section.cells.score == "weights":
            name, count, setting = "learning the weights of cells", breeding.batch_size, f"{SECTION}.batch_size"
            breeding(model, 0)
        else:
            name, count = "measuring cells", min(section.cells.measured_images, images.validation)
            setting = f"{SECTION}.measured_images"
            cells = [list(layer.fitness) for layer in breeding.layers]
            beside = _measure(model, cells, images.source(images.validation), count)
        peak = live.peak - before + beside
    if section.cells.score == "noise":
        return [training]
    cuts, pieces = (f"{SECTION}.accumulate", section.cells.accumulate) if section.cells.score == "weights" else ("", 1)
    pieces = piece_count(count, pieces)
    at_once = -(-count // pieces)
    return [training, StepMemory(name, fixed + images.kept, at_once, peak / at_once, setting, cuts, pieces)]


def _paths(breeding: Breeding) -> Paths:
    """What training steps run in the first iteration: all of a layer's cells side by side, or one of them."""
    layers = breeding.mixture([alpha.detach() for alpha in breeding.alphas])
    if breeding.settings.score == "weights":
        return lambda rng: ((layers,),)
    cells = [list(layer) for layer in layers]
    return lambda rng: (([{rng.choice(own): 1.0} for own in cells],),)


def _measure(model: nn.Module, cells: Sequence[Sequence[Op]], validation: ShapesOnly, count: int) -> int:
    """Measure in one network one cell of each layer, for others come one after the other; gives the bytes of the others'
    outputs, which are kept side by side, in the layer where that is most."""
    assert isinstance(model, CellSupernet)
    measure_cells(model, [own[:1] for own in cells], validation, networks=1, images=count, seed=0)
    shapes = [cell.shape for cell in model.layers]
    outputs = [shape.c_out * pixel_count(shape.size_out) * FLOAT for shape in shapes]  # type: ignore[operator, union-attr, arg-type]
    return count * max((len(own) - 1) * size for own, size in zip(cells, outputs, strict=True))


def _breeding(
    section: CellsSection, config: StudyConfig, space: SearchSpace, table: CostTable, images: ImageShapes
) -> Breeding:
    settings = section.model_copy(update={"update_every": 1, "steps": 1 << 40})
    with counting_without_numbers():  # it reads what it draws cells by
        return Breeding(space, table, images.source(images.validation), settings, cost=config.search.cost, n=1, seed=0)
