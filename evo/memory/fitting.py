"""Whether the steps of a run fit into a device's memory, and what to do where one does not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from evo.data.loading import load_dataset
from evo.memory.counting import Uncounted, memory_of_run
from evo.memory.machine import Machine, format_memory, machine_of
from evo.memory.step import StepMemory
from spaces.costs.table import CostTable
from spaces.size import pixel_count
from spaces.space import SearchSpace
from studies.config import StudyConfig
from studies.records import EvoError

ROOM = 0.9
"""The part of a device's memory that counted tensors may fill: what libraries need for themselves is not counted."""

LEAST_PIECE = 16
"""Images that a piece of a batch has at least: batch normalisation takes its statistics of them."""

SMALL = 10_000
"""So many times the bytes of its images no step has been seen to take: where that is little, nothing is counted at a start."""


def needs_counting(config: StudyConfig, pixels: int, machine: Machine) -> bool:
    """Whether a batch could be too large for a machine at all.

    Args:
        pixels: numbers of one image.
    """
    sections = (config.evaluator, getattr(config.evaluator, "cells", None), config.deliver)
    trained = max(getattr(section, "batch_size", 0) for section in sections)
    scored = getattr(config.evaluator, "eval_batch_size", 0) // 10  # nothing is kept for a backward pass
    return max(trained, scored) * pixels * 4 * SMALL > machine.memory


def check_start(config: StudyConfig, space: SearchSpace, table: CostTable, workers: int = 1) -> list[str]:
    """What is to be known of the memory of a run that begins here: warnings, a sentence each. Delivery comes later.

    Args:
        workers: processes that evaluate.

    Raises:
        EvoError: a step takes more than there is; the message says what would fit.
    """
    machine = machine_of(config.device)
    if machine is None or not config.evaluator.uses_images:
        return []
    images = load_dataset(config.data, config.device)
    if not needs_counting(config, images.channels * pixel_count(images.size) * workers, machine):
        return []
    try:
        steps = memory_of_run(config, space, table, workers)
    except Uncounted as reason:
        return [str(reason)]
    large = [step for step in too_large(steps, machine) if not step.setting.startswith("deliver.")]
    for step in large:
        if step.total > machine.memory:
            raise EvoError(_does_not_fit(step, machine))
    return [_does_not_fit(step, machine) for step in large]


def too_large(steps: Iterable[StepMemory], machine: Machine) -> list[StepMemory]:
    """The steps that do not fit."""
    return [step for step in steps if step.total > ROOM * machine.memory]


def lines(steps: Sequence[StepMemory], machine: Machine | None) -> list[str]:
    """What each step takes, and what to do about those that do not fit, a line each."""
    said = [describe(step) for step in steps]
    if machine is None or not steps:
        return said
    where = f"{format_memory(machine.memory)} of {machine.name}"
    large = too_large(steps, machine)
    if not large:
        return [*said, f"all of it fits into the {where}"]
    return [*said, *(_does_not_fit(step, machine) for step in large)]


def _does_not_fit(step: StepMemory, machine: Machine) -> str:
    bound = "at most " if step.at_most else ""
    return (
        f"{step.name} takes {bound}{format_memory(step.total)}, and does not fit into the {format_memory(machine.memory)} of "
        f"{machine.name}, of which {1 - ROOM:.0%} are left to libraries: {proposal(step, machine)}"
    )


def describe(step: StepMemory) -> str:
    """``memory of training the supernet: 68.3 GB: 1,024 images of 66.4 MB, and 278 MB beside``."""
    bound = "at most " if step.at_most else ""
    cut = f", in {step.pieces} pieces" if step.pieces > 1 else ""
    times = f"{step.processes} processes of {bound}{format_memory(step.each)}: " if step.processes > 1 else ""
    return (
        f"memory of {step.name}: {bound}{format_memory(step.total)}: {times}{step.images:,} images at once{cut}, "
        f"{format_memory(step.per_image)} each, and {format_memory(step.fixed)} beside"
    )


def proposal(step: StepMemory, machine: Machine) -> str:
    """What would make it fit, in words."""
    if step.processes > 1 and step.each <= ROOM * machine.memory:
        return f"start {int(ROOM * machine.memory / step.each)} processes (--workers)"
    if step.at_most:
        return "set evaluator.eval_batch_size, evaluator.calibration_batches or evaluator.prefix_memory_mb lower"
    images = int((ROOM * machine.memory - step.fixed) / step.per_image)
    if images < 1:
        return f"{format_memory(step.fixed)} are needed beside the images; a device with more memory is needed"
    pieces = -(-step.images * step.pieces // images)
    ways = []
    if step.accumulate and step.images * step.pieces // pieces >= LEAST_PIECE:
        ways.append(
            f"{step.accumulate}={pieces} ({pieces} pieces of a batch, whose gradients add up; batch normalisation then takes "
            "the statistics of each piece)"
        )
    ways.append(f"{step.setting}={images}")
    return f"set {' or '.join(ways)}"
