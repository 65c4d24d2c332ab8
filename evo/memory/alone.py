"""What networks take that are trained alone: by an evaluator, for comparison, and at delivery."""

from __future__ import annotations

from functools import partial
from random import Random

import numpy as np
import torch

from evo.alone.recipe import train_by_recipe
from evo.evaluators.blockwise.teacher import largest_architecture
from evo.evaluators.standalone import shrunk_in_round
from evo.memory.meter import counting_without_numbers
from evo.memory.shapes import ImageShapes
from evo.memory.step import StepMemory
from evo.memory.training import build_on_meta, optimizer_bytes, schedule_of_share, step_of, training_memory
from evo.strategy.nsga2 import CandidateFilter
from evo.training.loop import schedule_of
from spaces.architecture import Architecture
from spaces.costs.table import COLUMNS, CostTable
from spaces.export.additions import add_to_contender
from spaces.export.baselines import contender
from spaces.export.scaling import scaled_size, shrink
from spaces.networks.network import Network
from spaces.space import SearchSpace
from studies.config import StudyConfig, Training

SAMPLES = 2000
"""Networks among which the dearest within the limits is found, where the largest of all is above them."""


def dearest_architecture(config: StudyConfig, space: SearchSpace, table: CostTable) -> Architecture:
    """Of most MACs: of all, or where that is outside the limits, of ``SAMPLES`` inside; of all where none is inside."""
    largest = largest_architecture(space)
    inside = CandidateFilter(space, table, config.limits.given())
    if inside.feasible([largest]).all():
        return largest
    rng = Random(0)
    drawn = [space.sample(rng) for _ in range(SAMPLES)]
    found = [arch for arch, feasible in zip(drawn, inside.feasible(drawn), strict=True) if feasible]
    if not found:
        return largest
    return found[int(np.argmax(table.count(found)[:, COLUMNS.index("macs")]))]


def alone_memory(
    name: str, training: Training, config: StudyConfig, arch: Architecture, space: SearchSpace, images: ImageShapes,
    section: str = "evaluator",
) -> StepMemory:  # fmt: skip
    """A step of training one architecture alone, in the round in which networks are largest."""
    width, resolution = max(shrunk_in_round(training, n) for n in range(1, 33))
    size = scaled_size(images.size, resolution)
    shapes = ImageShapes(images.train, images.validation, images.channels, size, images.classes)
    build = partial(Network, *shrink(arch, space, width, resolution))
    schedule = schedule_of(training, config.data, 1)
    return training_memory(name, build, shapes.source(images.train), schedule, beside=images.kept, section=section)


def delivery_memory(config: StudyConfig, arch: Architecture, space: SearchSpace, images: ImageShapes) -> StepMemory:
    """A step of the last training, with its averaged weights; without its teacher, if it has one."""
    wanted = add_to_contender(
        contender("", arch, space, config.search.macs_convention), config.deliver.add, config.search.macs_convention
    )
    schedule = schedule_of(config.deliver, config.data, 1)
    shapes = images.source(images.train + images.validation)
    recipe = config.deliver.model_copy(update={"momentum": 0.0, "epochs": 1.0})
    with counting_without_numbers() as live:
        network = build_on_meta(partial(Network, wanted.arch, wanted.space))
        fixed = live.restart() + optimizer_bytes(network, schedule)
        fixed += fixed_average(network) if config.deliver.ema else 0
        before = live.now
        train_by_recipe(network, config.model_copy(update={"deliver": recipe}), shapes, images.classes, 0)
        peak = live.peak - before
    return step_of(
        "delivery", fixed + images.kept, fixed + images.kept + peak, shapes, schedule_of_share(schedule, 1), "deliver"
    )


def fixed_average(network: torch.nn.Module) -> int:
    """Bytes of averaged weights."""
    return sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())
