"""What blocks take that imitate a teacher's: each block's training behind the teacher's pass, the scoring of its candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from torch import nn
from torch.nn import functional as F

from evo.evaluators.blockwise.distillation import TeacherGuided
from evo.evaluators.blockwise.in_step import BlocksInStep, paths_in_step, sum_of_losses
from evo.evaluators.blockwise.stages import FeatureMapShape, blocks_needed, extract_features
from evo.evaluators.blockwise.teacher import largest_architecture, meta_network, teacher_section, teacher_stages
from evo.evaluators.oneshot.paths import uniform_paths
from evo.memory.meter import byte_size
from evo.memory.shapes import ImageShapes, ShapesOnly
from evo.memory.step import StepMemory
from evo.memory.supernets import Walk, walk_memory
from evo.memory.training import training_memory
from evo.training.loop import Schedule, schedule_of
from spaces.export.scaling import scale_widths
from spaces.networks.network import Network
from spaces.networks.supernet import BlockSupernet
from spaces.space import SearchSpace, resolve_variants
from studies.config import BlockwiseSection, StudyConfig, value_in_round


def blocks_memory(config: StudyConfig, space: SearchSpace, images: ImageShapes) -> list[StepMemory]:
    """The teacher's training, where none is given; and of the blocks' training and scoring the dearest."""
    section = config.evaluator
    assert isinstance(section, BlockwiseSection)
    stages, teacher = teacher_stages(config, space), meta_network(config, space)
    training, scoring = [], []
    if section.in_step:
        training = [
            _in_step(blocks, section, space, images, teacher, stages) for blocks in _in_step_blocks(section, space)
        ]
    for block in range(len(space.blocks)):
        names = [list(stages)[i] for i in blocks_needed([block])]
        shown = extract_features(teacher, names)
        shapes = [stages[name] for name in names]
        if not section.in_step:
            training.append(_training(block, section, space, images, shown, shapes))
        scoring.append(_scoring(block, section, space, images, shown, shapes))
    steps = [max(steps, key=lambda step: step.total) for steps in (training, scoring)]
    return steps if teacher_section(config).is_given else [_teacher_training(config, space, images), *steps]


def _in_step_blocks(section: BlockwiseSection, space: SearchSpace) -> list[list[int]]:
    """The blocks that are trained at the same time."""
    found: dict[int, list[int]] = {}
    for block in range(len(space.blocks)):
        found.setdefault(_schedule(section, block).epochs, []).append(block)
    return list(found.values())


def _in_step(
    blocks: Sequence[int],
    section: BlockwiseSection,
    space: SearchSpace,
    images: ImageShapes,
    teacher: nn.Module,
    stages: Mapping[str, FeatureMapShape],
) -> StepMemory:
    names = list(stages)
    shown = extract_features(teacher, [names[i] for i in blocks_needed(blocks)])

    def build() -> BlocksInStep:
        shapes = {block: [stages[names[i]] for i in blocks_needed([block])] for block in blocks}
        return BlocksInStep({block: _build(space, block, shapes[block])() for block in blocks}, shown.forward)

    return training_memory(
        f"training {len(blocks)} blocks in step",
        build,
        images.source(images.train),
        _schedule(section, blocks[0]),
        paths=paths_in_step({block: uniform_paths(space.slice(*space.blocks[block])) for block in blocks}),
        loss=sum_of_losses,
        beside=byte_size(shown.parameters()) + images.kept,
    )


def _schedule(section: BlockwiseSection, block: int) -> Schedule:
    return Schedule(
        epochs=round(value_in_round(section.epochs, block + 1)),
        batch_size=section.batch_size,
        learning_rate=0.001,
        decay=section.decay,
        accumulate=section.accumulate,
    )


def _build(space: SearchSpace, block: int, shapes: Sequence[FeatureMapShape]) -> partial[BlockSupernet]:
    start, stop = space.blocks[block]
    return partial(BlockSupernet, space, start, stop, shapes[0][0] if block else space.stem.c_in, shapes[-1][0])


def _training(
    block: int,
    section: BlockwiseSection,
    space: SearchSpace,
    images: ImageShapes,
    shown: nn.Module,
    shapes: Sequence[FeatureMapShape],
) -> StepMemory:
    return training_memory(
        f"training block {block + 1}",
        _build(space, block, shapes),
        TeacherGuided(images.source(images.train), shown),
        _schedule(section, block),
        paths=uniform_paths(space.slice(*space.blocks[block])),
        loss=F.mse_loss,
        beside=byte_size(shown.parameters()) + images.kept,
    )


def _scoring(
    block: int,
    section: BlockwiseSection,
    space: SearchSpace,
    images: ImageShapes,
    shown: nn.Module,
    shapes: Sequence[FeatureMapShape],
) -> StepMemory:
    """All that is given to a block for calibration is kept; what validation images are for it is computed when it is needed."""
    own = space.slice(*space.blocks[block])
    size = min(section.eval_batch_size, images.train)
    most = (section.validation_batches or images.validation) * size
    walk = Walk(
        f"scoring block {block + 1}",
        size,
        min(section.calibration_batches, images.train // size),
        min(section.calibration_batches, images.train // size),
        section.prefix_memory_mb << 20,
        min(own.size, section.candidates),
        byte_size(shown.parameters()) + images.kept,
    )
    given = images.source(images.train) if not block else ShapesOnly(images.train, *shapes[0])
    looked_at = TeacherGuided(images.source(min(most, images.validation)).first(size), shown)
    return walk_memory(
        walk, _build(space, block, shapes), given, looked_at, min(most, images.validation), largest_architecture(own)
    )


def _teacher_training(config: StudyConfig, space: SearchSpace, images: ImageShapes) -> StepMemory:
    section = teacher_section(config)
    arch, there = resolve_variants(largest_architecture(space), space)
    return training_memory(
        "training the teacher",
        partial(Network, arch, scale_widths(there, section.width)),
        images.source(images.train),
        schedule_of(section, config.data, 1),
        beside=images.kept,
        section="evaluator.teacher",
    )
