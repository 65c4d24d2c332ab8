"""What networks take that are trained alone: by an evaluator, for comparison, and at delivery."""

from __future__ import annotations

import json
from functools import partial
from random import Random

import numpy as np
from torch import nn

from evo.alone.features import feature_loss
from evo.alone.recipe import train_by_recipe
from evo.alone.teacher import Teacher, teacher_folder
from evo.evaluators.blockwise.teacher import largest_architecture, meta_network
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
from spaces.export.network_folder import DESCRIPTION
from spaces.export.scaling import scaled_size, shrink
from spaces.networks.modules import Resize
from spaces.networks.network import Network
from spaces.pretrained.cut_space import whole_alone
from spaces.space import SearchSpace
from studies.config import IMITATED, WHOLE, StudyConfig, Training

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
    """A step of the last training, with its averaged weights, and its teacher, if it has one.

    Raises:
        EvoError: there is no such teacher.
    """
    wanted = add_to_contender(
        contender("", arch, space, config.search.macs_convention), config.deliver.add, config.search.macs_convention
    )
    schedule = schedule_of(config.deliver, config.data, 1)
    shapes = images.source(images.train + images.validation)
    recipe = config.deliver.model_copy(update={"momentum": 0.0, "epochs": 1.0})
    with counting_without_numbers() as live:
        network = build_on_meta(partial(Network, wanted.arch, wanted.space))
        teacher = teacher_without_numbers(config, space)
        fixed = live.restart() + optimizer_bytes(network, schedule)
        fixed += fixed_average(network) if config.deliver.ema else 0
        before, settings = live.now, config.model_copy(update={"deliver": recipe})
        train_by_recipe(
            network, settings, shapes, images.classes, 0, teacher=teacher,
            features=feature_loss(network, wanted, teacher, recipe),
        )  # fmt: skip
        peak = live.peak - before
    return step_of(
        "delivery", fixed + images.kept, fixed + images.kept + peak, shapes, schedule_of_share(schedule, 1), "deliver"
    )


def teacher_without_numbers(config: StudyConfig, space: SearchSpace) -> Teacher | None:
    """The network that ``deliver.teacher`` names, on the device ``meta``; None: there is none.

    Raises:
        EvoError: there is no such folder.
    """
    name, convention = config.deliver.teacher, config.search.macs_convention
    if name is None:
        return None
    if name == WHOLE:
        itself = contender(WHOLE, *whole_alone(space), convention)
    elif name == IMITATED:
        return Teacher(name, "", 0, None, meta_network(config, space).eval().requires_grad_(False))
    else:
        said = json.loads((teacher_folder(name) / DESCRIPTION).read_text(encoding="utf-8"))
        there = SearchSpace.from_json(json.dumps(said["space"]))
        itself = contender(name, Architecture.parse(said["arch"]), there, convention)
    network = build_on_meta(partial(Network, itself.arch, itself.space))
    module = nn.Sequential(Resize(itself.space.stem.size), network).eval().requires_grad_(False)
    return Teacher(name, "", itself.macs, itself, module)


def fixed_average(network: nn.Module) -> int:
    """Bytes of averaged weights."""
    return sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())
