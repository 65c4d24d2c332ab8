"""What making operations takes that no cut gives: a layer learns to give what one of the whole network gives."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from torch import nn

from evo.evaluators.blockwise.distillation import TeacherGuided
from evo.evaluators.cuts.imitation import BeforeAndBehind, relative_error
from evo.memory.meter import byte_size, counting_without_numbers
from evo.memory.shapes import ImageShapes, ShapesOnly
from evo.memory.step import StepMemory
from evo.memory.training import build_on_meta, training_memory
from evo.training.loop import Schedule
from spaces.networks.network import MixedLayer, Network
from spaces.pretrained.cut_space import whole_alone
from spaces.space import SearchSpace
from studies.config import CutsSection, StudyConfig
from studies.records import LayerChoice


def pool_memory(config: StudyConfig, section: CutsSection, space: SearchSpace, images: ImageShapes) -> list[StepMemory]:
    """The making of an operation of the pool, of the layer and the operation where that takes most; none without a pool."""
    wanted = set(section.pool.operations) if section.pool else set()
    known: dict[object, LayerChoice] = {}
    for place, layer in enumerate(space.layers):
        for op in wanted & {*layer.candidates, *layer.pending}:
            known.setdefault((layer.shape, op), (place, op))
    steps = [_making(config, section, space, images, choice) for choice in known.values()]
    return [max(steps, key=lambda step: step.total)] if steps else []


def _making(
    config: StudyConfig, section: CutsSection, space: SearchSpace, images: ImageShapes, choice: LayerChoice
) -> StepMemory:
    assert section.pool is not None
    place, op = choice
    arch, whole = whole_alone(space)
    with counting_without_numbers():
        network = build_on_meta(partial(Network, arch, whole))
        shown = BeforeAndBehind(network, place).eval()
    schedule = Schedule(
        section.pool.epochs, section.pool.batch_size, section.pool.learning_rate, decay=section.pool.decay
    )
    step = training_memory(
        "making an operation",
        partial(_layer, whole, place, op),
        TeacherGuided(ShapesOnly(images.train, images.channels, images.size), shown),
        schedule,
        loss=relative_error,
        beside=byte_size(network.parameters()) + images.kept,
        section="evaluator.pool",
    )
    return replace(step, accumulate="")


def _layer(whole: SearchSpace, place: int, op: str) -> nn.Module:
    return MixedLayer(whole.layers[place].shape, (op,), whole.merge)
