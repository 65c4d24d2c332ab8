"""What is counted without numbers is what torch's profiler measures of the same steps on a CPU."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from evo.alone.features import feature_loss
from evo.alone.recipe import train_by_recipe
from evo.alone.teacher import Teacher
from evo.data.source import ImageSet
from evo.evaluators.autospace.breeding import all_cells
from evo.evaluators.autospace.fitness import Breeding
from evo.evaluators.autospace.measuring import measure_cells
from evo.evaluators.autospace.population import alphabet_of
from evo.evaluators.blockwise.distillation import TeacherGuided
from evo.evaluators.blockwise.in_step import BlocksInStep, paths_in_step, sum_of_losses
from evo.evaluators.blockwise.stages import extract_features
from evo.evaluators.blockwise.teacher import largest_architecture, teacher_stages
from evo.evaluators.cuts.imitation import BeforeAndBehind, relative_error
from evo.evaluators.oneshot.first_batches import first_batches
from evo.evaluators.oneshot.nse_gates import Gates, Indicators, balanced_paths
from evo.evaluators.oneshot.paths import uniform_paths
from evo.evaluators.oneshot.scoring import Scorer
from evo.memory.alone import delivery_memory
from evo.memory.blocks import blocks_memory
from evo.memory.cells import breeding_memory
from evo.memory.counting import count_memory
from evo.memory.cuts import pool_memory
from evo.memory.shapes import ImageShapes
from evo.memory.step import StepMemory
from evo.memory.supernets import gates_memory, scoring_memory, supernet_memory
from evo.methods.registry import evolution_of
from evo.training.loop import Paths, Schedule, schedule_of, train
from spaces.atomic_files import write_text
from spaces.costs.table import cost_table
from spaces.export.additions import add_to_contender
from spaces.export.baselines import contender
from spaces.export.network_folder import DESCRIPTION, describe_network
from spaces.export.scaling import scale_widths
from spaces.layer import Layer
from spaces.library.named_spaces import load_space
from spaces.networks.cell_supernet import CellSupernet
from spaces.networks.modules import Resize
from spaces.networks.network import MixedLayer, Network
from spaces.networks.supernet import BlockSupernet, Supernet
from spaces.pretrained.cut_space import whole_alone
from spaces.space import SearchSpace
from studies import config as settings
from studies.config import StudyConfig
from tests.evo.memory.measured import measured_peak

CLOSE = 0.15
"""How far a count may be from what is measured, as a share of the latter."""

SHAPES = ImageShapes(train=256, validation=128, channels=1, size=8, classes=10)


def images(count: int) -> ImageSet:
    x = torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return ImageSet(x.contiguous(memory_format=torch.channels_last), torch.arange(count) % 10)


TRAIN, VALIDATION = images(SHAPES.train), images(SHAPES.validation)


def configured(preset: str, *changes: str) -> tuple[StudyConfig, SearchSpace]:
    """A preset without limits, and its first space."""
    given = settings.load_config(preset, ["limits={}", *changes])
    first = load_space(given.space.name, channels=1, size=8, classes=10)
    return given, evolution_of(given).prepare(first, Random(0))


def check(step: StepMemory, work: Callable[[], object], held: int = 0) -> None:
    """What ``work`` takes, beyond the bytes ``held`` before, is what was counted."""
    measured = measured_peak(work).tensors + held
    assert abs(step.total - measured) < CLOSE * measured, (step, measured)


def as_counted(paths: Paths) -> Paths:
    """The draws among which the dearest is counted, one a step: others differ by chance, which many steps even out."""
    drawn = Random(0)
    return lambda rng: paths(drawn)


def cells_of(breeding: Breeding) -> Paths:
    layers = breeding.mixture([alpha.detach() for alpha in breeding.alphas])
    if breeding.settings.score == "weights":
        return lambda rng: ((layers,),)
    return lambda rng: (([{rng.choice(list(layer)): 1.0} for layer in layers],),)


def test_pieces_hold_two_images_at_least() -> None:
    config, space = configured("digits", "evaluator.accumulate=64")
    step = supernet_memory(config, space, SHAPES, 1)
    assert (step.images, step.pieces) == (2, 32)


@pytest.mark.parametrize("pieces", [1, 4])
def test_a_supernet_that_is_trained_path_by_path(pieces: int) -> None:
    config, space = configured("digits", "evaluator.epochs=3", f"evaluator.accumulate={pieces}")
    one_shot = section(config)

    def work() -> None:
        train(
            Supernet(space),
            TRAIN,
            schedule_of(one_shot, config.data, 1),
            seed=0,
            paths=as_counted(uniform_paths(space)),
        )

    step = supernet_memory(config, space, SHAPES, 1)
    assert (step.images, step.pieces) == (64 // pieces, pieces)
    check(step, work)


def test_gates_and_the_branches_between_whose_steps_they_learn() -> None:
    config, space = configured("nse_digits", "evaluator.epochs=1", "evaluator.batch_size=16")
    one_shot, gates, table = section(config), Gates(space), cost_table(space)
    assert one_shot.gates is not None
    model = Supernet(space)

    def work() -> None:
        train(model, TRAIN, schedule_of(one_shot, config.data, 1), seed=0, paths=as_counted(balanced_paths(gates)))

    check(supernet_memory(config, space, SHAPES, 1), work, byte_size(model))
    step = gates_memory(config, space, table, SHAPES)
    learner = Indicators(
        gates, table, VALIDATION, one_shot.gates.model_copy(update={"update_every": 1}), batch_size=16, cost="macs",
        inherited=[frozenset()] * len(space.layers), seed=0,
    )  # fmt: skip
    check(step, lambda: [learner(model, number) for number in range(4)], step.fixed)


@pytest.mark.parametrize("score", ["weights", "networks"])
def test_cells_that_are_bred(score: str) -> None:
    config, space = configured("autospace_digits", f"evaluator.cells.score={score}", "evaluator.cells.epochs=2")
    cells, table = section(config).cells, cost_table(space)
    assert cells is not None
    training, between = breeding_memory(config, space, table, SHAPES, 1)
    model = CellSupernet(space, all_cells(space, alphabet_of(cells)))
    breeding = Breeding(space, table, VALIDATION, cells, cost="macs", n=1, seed=0)
    schedule = schedule_of(cells, config.data, 1)
    check(
        training, lambda: train(model, TRAIN, schedule, seed=0, paths=as_counted(cells_of(breeding))), byte_size(model)
    )
    if score == "networks":
        own = [list(layer.fitness) for layer in breeding.layers]
        check(between, lambda: measure_cells(model, own, VALIDATION, networks=1, images=128, seed=0), between.fixed)
    else:
        check(between, lambda: breeding(model, 1), between.fixed)


def test_a_block_behind_its_teacher() -> None:
    config, space = configured("dna_digits", "evaluator.epochs=2")
    blockwise = config.evaluator
    assert isinstance(blockwise, settings.BlockwiseSection)
    _, step, _ = blocks_memory(config, space, SHAPES)
    block = int(step.name.split()[-1]) - 1
    stages = teacher_stages(config, space)
    names = list(stages)[max(0, block - 1) : block + 1]
    start, stop = space.blocks[block]
    teacher = Network(largest_architecture(space), scale_widths(space, blockwise.teacher.width)).eval()
    shown = extract_features(teacher, names)
    guided = TeacherGuided(TRAIN, shown)  # type: ignore[arg-type]

    def work() -> None:
        supernet = BlockSupernet(space, start, stop, stages[names[0]][0] if block else 1, stages[names[-1]][0])
        schedule = Schedule(epochs=2, batch_size=64, learning_rate=0.002, decay=0.9)
        train(
            supernet,
            guided,
            schedule,
            seed=0,
            loss=F.mse_loss,
            paths=as_counted(uniform_paths(space.slice(start, stop))),
        )

    check(step, work, sum(parameter.numel() * 4 for parameter in shown.parameters()))


def test_blocks_in_step_behind_one_teacher() -> None:
    config, space = configured("dna_digits", "evaluator.epochs=2", "evaluator.in_step=true")
    blockwise = config.evaluator
    assert isinstance(blockwise, settings.BlockwiseSection)
    _, step, _ = blocks_memory(config, space, SHAPES)
    assert step.name == f"training {len(space.blocks)} blocks in step"
    stages, count = teacher_stages(config, space), len(space.blocks)
    teacher = Network(largest_architecture(space), scale_widths(space, blockwise.teacher.width)).eval()
    shown, given = extract_features(teacher, list(stages)), [1, *(channels for channels, _ in stages.values())]

    def work() -> None:
        blocks = {i: BlockSupernet(space, *space.blocks[i], given[i], given[i + 1]) for i in range(count)}
        train(
            BlocksInStep(blocks, shown.forward),
            TRAIN,
            Schedule(epochs=2, batch_size=64, learning_rate=0.002, decay=0.9),
            seed=0,
            loss=sum_of_losses,
            paths=as_counted(paths_in_step({i: uniform_paths(space.slice(*space.blocks[i])) for i in range(count)})),
        )

    check(step, work, sum(parameter.numel() * 4 for parameter in shown.parameters()))


@pytest.mark.parametrize("add", ["[]", '["se", "swish"]'])
def test_a_network_that_is_delivered(add: str) -> None:
    config, space = configured("digits", "deliver.epochs=1", f"deliver.add={add}")
    found = add_to_contender(contender("", largest_architecture(space), space), config.deliver.add, "macs")

    def work() -> None:
        train_by_recipe(Network(found.arch, found.space), config, TRAIN, 10, 0)

    check(delivery_memory(config, largest_architecture(space), space, SHAPES), work)


@pytest.mark.parametrize("features", [0.0, 1.0])
def test_a_network_that_another_teaches(features: float, tmp_path: Path) -> None:
    """The teacher sees whole batches; with features, what its blocks give is kept until the loss is there."""
    config, space = configured(
        "digits", "deliver.epochs=1", "deliver.mixup=0.2", "deliver.batch_size=32", "deliver.learning_rate=1e-9"
    )
    arch = largest_architecture(space)
    wide = space if features else scale_widths(space, 2.0)
    teacher = Network(arch, wide)
    write_text(tmp_path / DESCRIPTION, json.dumps(describe_network(arch, wide, (0.5,), (0.2,))))
    section = config.deliver.model_copy(update={"teacher": str(tmp_path), "teacher_features": features})
    taught = config.model_copy(update={"deliver": section})
    module = torch.nn.Sequential(Resize(8), teacher).eval().requires_grad_(False)
    shown = Teacher("a", "", 0, contender("a", arch, wide), module)

    def work() -> None:
        student = Network(arch, space)
        loss = feature_loss(student, contender("", arch, space), shown, section)
        train_by_recipe(student, taught, TRAIN, 10, 0, teacher=shown, features=loss)

    counted = delivery_memory(taught, arch, space, SHAPES)
    check(counted, work, byte_size(teacher))
    assert counted.total > delivery_memory(config, arch, space, SHAPES).total


def test_an_operation_that_a_layer_is_taught() -> None:
    made = ("mb_k3_e1", "mb_k3_e3")
    config, space = configured("digits")
    origin = space.replace_layers(replace(layer, candidates=("mb_k5_e3",), pending=made) for layer in space.layers)
    section = settings.CutsSection(kind="cuts", pool=settings.PoolSection(operations=made, batch_size=64, epochs=1))
    (step,) = pool_memory(config, section, origin, SHAPES)
    assert (step.setting, step.accumulate, step.images) == ("evaluator.pool.batch_size", "", 64)
    network, peaks = Network(*whole_alone(origin)).eval().requires_grad_(False), []
    for place, layer in enumerate(origin.layers):
        for op in made:
            guided = TeacherGuided(TRAIN, BeforeAndBehind(network, place).eval())  # type: ignore[arg-type]

            def work(layer: Layer = layer, op: str = op, guided: TeacherGuided = guided) -> None:
                model = MixedLayer(layer.shape, (op,), origin.merge)
                train(model, guided, Schedule(1, 64, 0.005, decay=0.9), seed=0, loss=relative_error)

            peaks.append(measured_peak(work).tensors)
    measured = max(peaks) + byte_size(network)
    assert abs(step.total - measured) < CLOSE * measured
    assert pool_memory(config, settings.CutsSection(kind="cuts"), origin, SHAPES) == []


def test_what_workers_hold_is_there_as_often_as_there_are_workers() -> None:
    config, space = configured("digits", "ground_truth.sample=4")
    table = cost_table(space)
    one, three = (count_memory(config, space, table, SHAPES, workers=workers) for workers in (1, 3))
    times = {mine.name: theirs.total / mine.total for mine, theirs in zip(one, three, strict=True)}
    assert times == {"training the supernet": 1, "scoring": 3, "training alone": 3, "delivery": 1}


def test_scoring_keeps_what_it_may_and_no_more() -> None:
    """The count is a bound: a walk over many architectures comes near it."""
    config, space = configured("digits", "evaluator.eval_batch_size=64", "evaluator.prefix_memory_mb=4")
    rng = Random(0)
    archs = [largest_architecture(space), *(space.sample(rng) for _ in range(9))]
    step = scoring_memory(section(config), space, archs[0], SHAPES, 64)

    def work() -> None:
        Scorer(Supernet(space), first_batches(images(256), 64, 4), VALIDATION, 64, 4 << 20)(archs)

    measured = measured_peak(work).tensors
    assert step.at_most
    assert 0.85 * step.total < measured <= step.total


def section(config: StudyConfig) -> settings.OneShotSection:
    assert isinstance(config.evaluator, settings.OneShotSection)
    return config.evaluator


def byte_size(model: torch.nn.Module) -> int:
    tensors: list[Tensor] = [*model.parameters(), *model.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
