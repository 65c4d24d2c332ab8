"""What the steps of a one-shot evaluator take: its supernet's training, the gates that learn between its steps, scoring."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from evo.data.source import InOrder
from evo.evaluators.oneshot.nse_gates import Gates, Indicators, balanced_paths
from evo.evaluators.oneshot.paths import SAMPLING
from evo.evaluators.oneshot.scoring import PrefixRunner
from evo.memory.meter import byte_size, counting_without_numbers
from evo.memory.shapes import ImageShapes, ShapesOnly
from evo.memory.step import StepMemory
from evo.memory.training import build_on_meta, optimizer_bytes, training_memory
from evo.training.loop import piece_count, schedule_of
from spaces.architecture import Architecture
from spaces.costs.table import CostTable
from spaces.networks.supernet import BlockSupernet, Supernet
from spaces.space import SearchSpace
from studies.config import CutsSection, OneShotSection, StudyConfig

LEARNING_DRAWS = 4
"""Steps of gates among which the dearest is found."""


REREAD = 2
"""Batches of calibration on the device: one is made while the one before is still there."""


def supernet_memory(config: StudyConfig, space: SearchSpace, images: ImageShapes, processes: int) -> StepMemory:
    """A step of the supernet's training."""
    section = config.evaluator
    assert isinstance(section, OneShotSection)
    paths = balanced_paths(Gates(space)) if section.gates else SAMPLING[section.sampling](space)
    return training_memory(
        "training the supernet",
        partial(Supernet, space),
        images.source(images.train),
        schedule_of(section, config.data, 1),
        paths=paths,
        beside=images.kept,
        processes=processes,
    )


def gates_memory(config: StudyConfig, space: SearchSpace, table: CostTable, images: ImageShapes) -> StepMemory:
    """A step of the gates, which see whole batches of validation images in every process, or their pieces."""
    section = config.evaluator
    assert isinstance(section, OneShotSection)
    assert section.gates is not None
    settings = section.gates.model_copy(update={"update_every": 1, "drop_below": None})
    schedule = schedule_of(section, config.data, 1)
    with counting_without_numbers() as live:
        model = build_on_meta(partial(Supernet, space))
        fixed = live.restart() + optimizer_bytes(model, schedule) + images.kept
        before = live.now
        learner = Indicators(
            Gates(space), table, images.source(images.validation), settings, batch_size=section.batch_size,
            cost=config.search.cost, inherited=[frozenset()] * len(space.layers), seed=0, accumulate=section.accumulate,
        )  # fmt: skip
        for step in range(LEARNING_DRAWS):
            learner(model, step)
        peak = live.peak - before
    pieces = piece_count(learner.batch_size, section.accumulate)
    at_once = -(-learner.batch_size // pieces)
    return StepMemory(
        "learning the gates", fixed, at_once, peak / at_once, "evaluator.batch_size", "evaluator.accumulate", pieces
    )  # fmt: skip


# -- scoring ----------------------------------------------------------------------------------------------------------


def scoring_memory(
    section: OneShotSection | CutsSection, space: SearchSpace, arch: Architecture, images: ImageShapes, evaluations: int
) -> StepMemory:
    """Scoring architectures of ``space`` with shared weights.

    Args:
        arch: the dearest of them.
        evaluations: how many are scored.
    """
    shapes = images.source(images.validation)
    size = min(section.eval_batch_size, images.train)
    count = min(section.calibration_batches, images.train // size)
    held = min(count, REREAD)
    walk = Walk("scoring", size, count, held, section.prefix_memory_mb << 20, evaluations, images.kept)
    return walk_memory(walk, partial(Supernet, space), shapes, shapes.first(size), images.validation, arch)


@dataclass(frozen=True)
class Walk:
    """How architectures are scored: so many ``images`` at once, ``calibration`` batches, of which so many are ``held`` at once,
    ``memory`` to keep outputs, so many ``evaluations``; ``kept`` bytes are there all the time."""

    name: str
    images: int
    calibration: int
    held: int
    memory: int
    evaluations: int
    kept: int


def walk_memory(
    walk: Walk,
    build: Callable[[], Supernet | BlockSupernet],
    calibration: ShapesOnly,
    validation: InOrder,
    count: int,
    arch: Architecture,
) -> StepMemory:
    """What ``evo.evaluators.oneshot.scoring`` takes: a walk that keeps nothing, with one batch of calibration and one of
    validation images, for others take no more; and beside it the images of calibration that are held, and what the walk may
    keep.

    Args:
        validation: one batch; ``count``: images in all of them.
        arch: the dearest of those that are scored.
    """
    with counting_without_numbers() as live:
        model = build_on_meta(build)
        images, _ = calibration.batch(walk.images)
        fixed = live.restart()
        runs = PrefixRunner(model, [images], validation, walk.images, 0)
        runs.run([arch], lambda scores, labels, places: None)
        peak = live.peak - fixed
    streams = walk.calibration + -(-count // walk.images)
    nodes = walk.evaluations * (len(model.layers) + 1)
    fixed += (walk.held - 1) * byte_size(iter([images])) + walk.kept
    return StepMemory(
        walk.name,
        fixed + min(walk.memory, nodes * streams * runs.largest),
        walk.images,
        peak / walk.images,
        "evaluator.eval_batch_size",
        at_most=True,
    )
