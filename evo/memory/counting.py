"""Which steps a configuration has, and what each of them takes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from evo.data.loading import load_dataset, resolve_device
from evo.data.source import Images, ImageSet
from evo.memory.alone import alone_memory, dearest_architecture, delivery_memory
from evo.memory.blocks import blocks_memory
from evo.memory.cells import breeding_memory
from evo.memory.cuts import pool_memory
from evo.memory.shapes import ImageShapes
from evo.memory.step import StepMemory
from evo.memory.supernets import gates_memory, scoring_memory, supernet_memory
from evo.memory.training import training_memory
from evo.training.loop import schedule_of
from evo.workers.gpus import visible_gpus
from spaces.costs.table import CostTable
from spaces.networks.network import Network
from spaces.pretrained.cut_space import whole_alone, whole_network
from spaces.space import SearchSpace
from studies.config import (
    BlockwiseSection,
    CutsSection,
    OneShotSection,
    ScratchSection,
    StudyConfig,
)

EVALUATED = ("scoring", "training block", "training architectures", "making an operation")
"""How the names of steps begin that workers do, each by itself."""


class Uncounted(Exception):  # noqa: N818
    """Memory cannot be counted."""


def count_memory(
    config: StudyConfig, space: SearchSpace, table: CostTable, images: ImageShapes, processes: int = 1, workers: int = 1
) -> tuple[StepMemory, ...]:
    """What each kind of step of a run takes, in the order in which they come; the dearest in the first round's space.

    Nothing is computed, and no device is used. Nothing is known of an evaluator of a user's own, nor counted for tables.

    Args:
        table: exact costs of the space's architectures.
        processes: that train together, each a part of every batch.
        workers: that evaluate on one device, each for itself; what they evaluate by is there as often.
    """
    steps: Sequence[StepMemory] = ()
    section = config.evaluator
    if isinstance(section, OneShotSection):
        steps = _one_shot(config, section, space, table, images, processes)
    elif isinstance(section, BlockwiseSection):
        steps = blocks_memory(config, space, images)
    elif isinstance(section, CutsSection):
        steps = _cuts(config, section, space, images, processes)
    elif isinstance(section, ScratchSection):
        arch = dearest_architecture(config, space, table)
        steps = [alone_memory("training architectures", section, config, arch, space, images)]
    if not section.uses_images:
        return tuple(steps)
    steps = [replace(step, processes=workers) if step.name.startswith(EVALUATED) else step for step in steps]
    arch = dearest_architecture(config, space, table)
    checked = config.ground_truth.sample and config.ground_truth.table is None
    alone = (
        [alone_memory("training alone", config.ground_truth, config, arch, space, images, "ground_truth")]
        if checked
        else []
    )
    alone = [replace(step, processes=workers) for step in alone]
    return (*steps, *alone, delivery_memory(config, arch, space, images))


def _one_shot(
    config: StudyConfig,
    section: OneShotSection,
    space: SearchSpace,
    table: CostTable,
    images: ImageShapes,
    processes: int,
) -> list[StepMemory]:
    steps = breeding_memory(config, space, table, images, processes) if section.cells else []
    steps.append(supernet_memory(config, space, images, processes))
    if section.gates:
        steps.append(gates_memory(config, space, table, images))
    arch = dearest_architecture(config, space, table)
    return [*steps, scoring_memory(section, space, arch, images, config.search.measurements(1))]


def _cuts(
    config: StudyConfig, section: CutsSection, space: SearchSpace, images: ImageShapes, processes: int
) -> list[StepMemory]:
    """Fine-tuning; each pass of a joint training takes no more."""
    arch, whole = whole_alone(space)
    scoring = scoring_memory(section, space, whole_network(space), images, config.search.measurements(1))
    if config.data.labels is False:
        return [*pool_memory(config, section, space, images), scoring]
    tuning = training_memory(
        "fine-tuning",
        lambda: Network(arch, whole),
        images.source(images.train),
        schedule_of(section, config.data, 1),
        beside=images.kept,
        processes=processes,
    )
    return [tuning, *pool_memory(config, section, space, images), scoring]


def memory_of_run(
    config: StudyConfig, space: SearchSpace, table: CostTable, workers: int = 1
) -> tuple[StepMemory, ...]:
    """``count_memory`` for the images that a configuration names; torchrun's processes share every batch, and ``workers`` of
    this machine have a GPU in turn, where there are any.

    Raises:
        EvoError: images are missing.
        Uncounted: an operation of a user's own cannot run without numbers.
    """
    if not config.evaluator.uses_images:
        return ()
    shapes = image_shapes(config, space)
    try:
        on_one = -(-workers // (len(visible_gpus()) or 1)) if resolve_device(config.device).type == "cuda" else workers
        return count_memory(config, space, table, shapes, int(os.environ.get("WORLD_SIZE", "1")), on_one)
    except RuntimeError as error:  # what an operation of a user's own says of tensors without numbers, whatever that is
        raise Uncounted(f"memory is not counted: {str(error).splitlines()[0]}") from error


def image_shapes(config: StudyConfig, space: SearchSpace) -> ImageShapes:
    """The shapes of a configuration's images, which are looked at for it.

    Raises:
        EvoError: they are missing.
    """
    images = load_dataset(config.data, config.device)
    return ImageShapes(
        len(images.train), len(images.validation), images.channels, images.size, space.head.classes, kept_bytes(images)
    )


def kept_bytes(images: Images) -> int:
    """Bytes of images that lie on the device all the time."""
    parts = (images.train, images.validation, images.test)
    return sum(part.kept.numel() * part.kept.element_size() for part in parts if isinstance(part, ImageSet))
