"""A training step waits for no device, whatever is trained; a step of gates or alphas, and a call of a judge, at most twice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from evo.data.augmentation import AUGMENTATIONS
from evo.data.loading import load_dataset
from evo.evaluators.oneshot.paths import SAMPLING
from evo.training.loop import Schedule, train
from spaces.library.named_spaces import load_space
from spaces.networks.supernet import Supernet
from studies.config import DataSection, StudyConfig, load_config
from tests.accelerator.judges import SCORING, judged
from tests.accelerator.steps import Device, Watch
from tests.evo.evaluators.cut_examples import network_folder, settings

network = pytest.fixture(scope="module")(network_folder)

SMALL = ("data.max_images=240", "evaluator.epochs=2", "evaluator.batch_size=32", "evaluator.eval_batch_size=64")
DIGITS = DataSection(name="digits", validation_fraction=0.35, max_images=240, augment=tuple(AUGMENTATIONS))


def preset(name: str, *overrides: str) -> Callable[[str], StudyConfig]:
    return lambda device: load_config(name, [*SMALL, *overrides, f"device={device}"])


@pytest.mark.parametrize("sampling", SAMPLING)
def test_a_supernets_steps_wait_for_nothing(device: Device, sampling: str) -> None:
    space = load_space("digits")

    def work(word: str, watch: Watch) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        net = Supernet(space)
        images = load_dataset(DIGITS, word).train
        train(net, images, Schedule(2, 32, 0.1), seed=1, paths=SAMPLING[sampling](space), track=watch.track)
        return {name: tensor.cpu() for name, tensor in net.state_dict().items()}

    watch = device.compare(work)
    assert len(watch.steps("training")) > 3
    assert not any(watch.steps("training"))


def test_a_call_of_a_supernets_judge_waits_twice(device: Device, tmp_path: Path) -> None:
    watch = device.compare(judged(preset("digits"), tmp_path))
    assert not any(watch.steps("training the supernet"))
    assert watch.most(SCORING) <= 2


def test_nses_weight_steps_wait_for_nothing_and_its_gates_twice(device: Device, tmp_path: Path) -> None:
    watch = device.compare(judged(preset("nse_digits", "evaluator.gates.update_every=2"), tmp_path))
    steps = [step.total() for step in watch.steps("training the supernet")]
    assert set(steps[::2]) == {0} or set(steps[1::2]) == {0}
    assert max(steps) <= 2


@pytest.mark.parametrize("score", ["networks", "weights"])
def test_autospaces_weight_steps_wait_for_nothing_and_its_alphas_twice(device: Device, tmp_path: Path, score: str) -> None:
    cells = [f"evaluator.cells.score='{score}'", "evaluator.cells.epochs=3", "evaluator.cells.steps=6"]
    watch = device.compare(judged(preset("autospace_digits", *cells), tmp_path))
    steps = [step.total() for step in watch.steps("breeding cells")]
    print(watch.steps("breeding cells"))
    assert not any(watch.steps("training the supernet"))


def test_blocks_wait_for_nothing(device: Device, tmp_path: Path) -> None:
    watch = device.compare(judged(preset("dna_digits", "evaluator.teacher.epochs=2", "evaluator.candidates=40"), tmp_path))
    for label in ("teacher", "block 1", "block 2", "block 3"):
        assert not any(watch.steps(f"training {'the ' if label == 'teacher' else ''}{label}"))
    print(watch.steps(SCORING))


def test_cuts(device: Device, tmp_path: Path, network: Path) -> None:
    said = {"importance": "taylor", "refit": True, "channel_images": 64, "epochs": 2, "batch_size": 32, "joint": {"epochs": 2, "cuts": 2, "learning_rate": 0.05}}
    watch = device.compare(judged(lambda word: settings(network, evaluator=said).model_copy(update={"device": word}), tmp_path))
    print(watch.seen.keys())
    for label in watch.seen: print(label, watch.steps(label)[:3])
