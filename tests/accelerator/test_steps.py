"""A training step waits for no device, whatever is trained; a step of gates or alphas waits at most twice.

Each runs on the pretended device, whose result must be the CPU's to the bit, and on a GPU where there is one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
import torch
from torch import Tensor

from evo.alone.recipe import train_by_recipe
from evo.data.augmentation import AUGMENTATIONS
from evo.data.loading import load_dataset
from evo.evaluators.oneshot.paths import SAMPLING
from evo.evaluators.standalone import measure_network
from evo.training.loop import Schedule, train
from evo.training.precision import Precision
from spaces.networks.network import Network
from spaces.networks.supernet import Supernet
from studies.config import DataSection, StudyConfig, load_config
from tests.accelerator.backend import MODULE
from tests.accelerator.judges import SCORING, SPACE, judged
from tests.accelerator.steps import Device, Pretended, Watch
from tests.evo.evaluators.cut_examples import network_folder, settings

network = pytest.fixture(scope="module")(network_folder)

DIGITS = DataSection(name="digits", validation_fraction=0.35, max_images=200, augment=tuple(AUGMENTATIONS))


@pytest.mark.parametrize("sampling", SAMPLING)
def test_a_supernets_steps_wait_for_nothing(device: Device, sampling: str) -> None:
    def work(word: str, watch: Watch) -> dict[str, Tensor]:
        torch.manual_seed(0)
        net, images = Supernet(SPACE), load_dataset(DIGITS, word).train
        train(net, images, Schedule(2, 64, 0.1), seed=1, paths=SAMPLING[sampling](SPACE), track=watch.track)
        return net.state_dict()

    assert waits(device.compare(work), "training") == [0, 0, 0]


def test_a_call_of_a_supernets_judge_waits_twice(fitted: Callable[..., Watch]) -> None:
    watch = fitted("digits")
    assert waits(watch, "training the supernet") == [0, 0, 0]
    assert waits(watch, SCORING) == [2]


@pytest.mark.parametrize(("name", "most"), [("digits", 0), ("nse_digits", 1)])
def test_in_bfloat16_nothing_waits_longer(fitted: Callable[..., Watch], name: str, most: int) -> None:
    """And it is ``torch.autocast`` of the device at hand: numbers are those of bfloat16 on a CPU."""
    watch = fitted(name, "precision=bf16")
    assert watch.most("training the supernet") == most
    assert waits(watch, SCORING) == [2]


def test_a_network_alone_in_bfloat16_waits_for_nothing(device: Device) -> None:
    def work(word: str, watch: Watch, precision: Precision = "bf16") -> list[Tensor]:
        torch.manual_seed(0)
        network, images = Network(SPACE.sample(Random(1)), SPACE), load_dataset(DIGITS, word)
        train(network, images.train, Schedule(2, 64, 0.1), seed=1, track=watch.track, precision=precision)
        measured = torch.tensor(measure_network(network, images.validation, precision))
        return [*(tensor.cpu() for tensor in network.state_dict().values()), measured]

    assert waits(device.compare(work), "training") == [0, 0, 0]
    assert not all(map(torch.equal, work("cpu", Watch()), work("cpu", Watch(), "fp32")))


def test_nses_weight_steps_wait_for_nothing_and_its_gates_once(fitted: Callable[..., Watch]) -> None:
    gates = ("evaluator.gates.update_every=2", "evaluator.gates.drop_below=-0.05", "evaluator.epochs=2")
    steps = waits(fitted("nse_digits", *gates), "training the supernet")
    assert set(steps[1::2]) == {0}
    assert set(steps[::2]) == {1}


CELLS = (
    "evaluator.cells.epochs=4", "evaluator.cells.steps=4", "evaluator.cells.batch_size=64", "evolution.population=4",
    "evolution.k=2", "evaluator.cells.parallel_cells=2", "evaluator.cells.expansions=[1]", "evolution.references=0",
)  # fmt: skip


def test_autospaces_weight_steps_wait_for_nothing_nor_do_its_alphas(fitted: Callable[..., Watch]) -> None:
    cells = (*CELLS, "evaluator.cells.score='weights'", "evaluator.cells.update_every=2")
    watch = fitted("autospace_digits", *cells)
    assert waits(watch, "breeding cells") == [0, 0, 1, 0, 0, 0, 1]  # the last of an iteration reads what was learned
    assert waits(watch, "training the supernet") == [0, 0, 0]


def test_blocks_wait_for_nothing_and_a_call_of_their_judge_once_each(fitted: Callable[..., Watch]) -> None:
    small = ("evaluator.teacher.epochs=1", "evaluator.teacher.batch_size=32", "evaluator.candidates=3")
    watch = fitted("dna_digits", *small)
    for label in ("training the teacher", "training block 1", "training block 2", "training block 3"):
        assert set(waits(watch, label)) == {0}
    assert waits(watch, SCORING) == [2]  # two of the three blocks have more candidates than were scored


def test_a_network_and_its_cuts_wait_for_nothing(device: Device, tmp_path: Path, network: Path) -> None:
    said = {
        "importance": "taylor", "refit": True, "channel_images": 64, "epochs": 1, "batch_size": 32,
        "joint": {"epochs": 1, "cuts": 2, "learning_rate": 0.05},
    }  # fmt: skip
    data = {"name": "digits", "max_images": 200, "validation_fraction": 0.3}

    def config(word: str) -> StudyConfig:
        return settings(network, evaluator=said, data=data).model_copy(update={"device": word})

    watch = device.compare(judged(config, tmp_path))
    assert set(waits(watch, "fine-tuning")) == set(waits(watch, "and its cuts")) == {0}
    assert waits(watch, SCORING) == [2]


def test_a_delivery_waits_for_nothing(device: Device, tmp_path: Path) -> None:
    """With blended images, dropped paths, averaged weights and a teacher; to measure the network reads two numbers."""
    recipe = {"epochs": 2, "batch_size": 64, "mixup": 0.2, "cutmix": 1.0, "drop_path": 0.2, "teacher_share": 0.5}
    config = load_config("digits", [f"deliver.{key}={value}" for key, value in recipe.items()])

    def work(word: str, watch: Watch) -> tuple[float, float]:
        torch.manual_seed(0)
        images = load_dataset(DIGITS, word)
        student, taught = (Network(SPACE.sample(Random(seed)), SPACE) for seed in (1, 2))
        taught.eval().requires_grad_(False).to(images.train.device)
        train_by_recipe(
            student, config, images.train, 10, 1, teacher=lambda x: taught(x).softmax(1),
            checkpoint=tmp_path / word / str(len(watch.seen)), track=watch.track,
        )  # fmt: skip
        (tmp_path / word / str(len(watch.seen) - 1)).unlink(missing_ok=True)
        with watch.during(SCORING):
            return measure_network(student, images.validation)

    watch = device.compare(work)
    assert waits(watch, "training") == [0, 0, 0]
    assert waits(watch, SCORING) == [2]


def test_images_in_files_wait_for_nothing_and_leave_the_devices_generator_alone(
    device: Device, pictures: DataSection
) -> None:
    def work(word: str, watch: Watch) -> list[Tensor]:
        images = load_dataset(pictures, word)
        torch.manual_seed(3)
        with watch.during("an epoch"):
            batches = list(images.train.epoch(4, pictures.augment, 7))
        with watch.during("in order"):
            batches += images.validation.batches(4)
        return [tensor.cpu() for batch in batches for tensor in batch]

    watch = device.compare(work)
    assert waits(watch, "an epoch") == waits(watch, "in order") == [0]
    assert MODULE.seeds == [3] if isinstance(device, Pretended) else torch.cuda.initial_seed() == 3


def waits(watch: Watch, label: str) -> list[int]:
    """How often each step waited."""
    return [step.total() for step in watch.steps(label)]
