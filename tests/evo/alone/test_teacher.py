"""A trained network teaches another: its probabilities are a part of the targets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from evo.alone.budgets import Budget
from evo.alone.contest import affordable
from evo.alone.recipe import blend_targets, mix_images, train_by_recipe
from evo.alone.teacher import find_teacher
from evo.alone.trainer import Trainer
from evo.data.loading import load_dataset
from evo.data.paths import file_hash
from evo.data.source import Images, ImageSet
from evo.deliver.session import training_settings
from spaces import load_network
from spaces.architecture import Architecture
from spaces.costs.table import count_costs
from spaces.errors import UserError
from spaces.export.baselines import contender
from spaces.export.network_folder import DESCRIPTION, WEIGHTS, build_described, describe_network
from spaces.layer import Head, Layer, Shape, Stem
from spaces.networks.network import Network
from spaces.space import SearchSpace
from studies.config import DeliverSection, StudyConfig, check_config
from studies.database.rows import StoredRun
from studies.database.store import Store, open_store
from studies.records import EvoError
from tests import example_run

ARCH = Architecture(("mb_k3_e1",))


def space_of(size: int = 8, classes: int = 10, channels: int = 1) -> SearchSpace:
    layers = (Layer(Shape(8, 8, 1, size), ("mb_k3_e1",)),)
    return SearchSpace("teacher", layers, Stem(8, 1, c_in=channels, size=size), Head(0, classes))


def made_folder(
    folder: Path, space: SearchSpace, names: tuple[str, ...] = (), moments: tuple[float, float] = (0.7, 0.2)
) -> Path:
    """A folder as ``evo.deliver`` makes them, whose network has another mean and deviation than the digits."""
    mean, std = ([value] * space.stem.c_in for value in moments)
    described = describe_network(ARCH, space, mean, std) | {"classes": list(names)}
    folder.mkdir()
    (folder / DESCRIPTION).write_text(json.dumps(described))
    torch.manual_seed(1)
    network = build_described(described)
    nn.init.normal_([part for part in network.modules() if isinstance(part, nn.Linear)][-1].weight)  # it has opinions
    save_file(network.state_dict(), folder / WEIGHTS)
    return folder


def settings(teacher: object, **deliver: object) -> StudyConfig:
    data = {"name": "digits", "max_images": 120}
    known = {"epochs": 1, "batch_size": 16, "teacher": str(teacher)} | deliver
    return check_config(example_run.CONFIG | {"data": data, "deliver": known}, "test")


def digits(config: StudyConfig) -> Images:
    return load_dataset(config.data, "cpu")


# -- targets ----------------------------------------------------------------------------------------------------------


def hidden(x: Tensor) -> Tensor:
    """A made-up teacher's probabilities of four classes: they depend on the image alone."""
    return (x.mean(dim=(1, 2, 3)).unsqueeze(1) * torch.arange(1, 5)).softmax(1)


@pytest.mark.parametrize(("share", "smoothing"), [(0.0, 0.1), (0.3, 0.0), (0.3, 0.2), (1.0, 0.2)])
def test_the_loss_is_that_of_hinton_at_temperature_1(share: float, smoothing: float) -> None:
    """A share of minus sum p log q, of the teacher's p; the rest is the usual loss, whose labels alone are smoothed."""
    torch.manual_seed(0)
    x, y, scores = torch.randn(6, 1, 8, 8), torch.tensor([0, 1, 2, 3, 0, 1]), torch.randn(6, 4)
    section = DeliverSection(teacher="made-up", teacher_share=share, label_smoothing=smoothing)
    same, targets = blend_targets(None, hidden, section, 4)(x, y)
    assert same is x
    by_labels = F.cross_entropy(scores, y, label_smoothing=smoothing)
    by_teacher = -(hidden(x) * scores.log_softmax(1)).sum(1).mean()
    expected = (1 - share) * by_labels + share * by_teacher
    torch.testing.assert_close(F.cross_entropy(scores, targets), expected)


def test_the_teacher_sees_blended_images() -> None:
    section = DeliverSection(mixup=0.5, cutmix=1.0, teacher="made-up", teacher_share=1.0)
    blend, x, y = blend_targets(mix_images(section, 4), hidden, section, 4), torch.randn(4, 1, 8, 8), torch.arange(4)
    blended, targets = blend(x, y)
    assert not torch.equal(blended, x)
    torch.testing.assert_close(targets, hidden(blended))


def test_a_training_smooths_labels_once(tmp_path: Path) -> None:
    """With a share of zero a teacher changes nothing, up to the order of float additions."""
    config = settings("made-up", teacher_share=0.0, mixup=0, ema=0, label_smoothing=0.3)
    images, found = digits(config), []
    for teacher in (None, lambda x: torch.full((len(x), 10), 0.1)):
        torch.manual_seed(0)
        network = Network(ARCH, space_of())
        progress = tmp_path / f"{len(found)}.progress"
        train_by_recipe(network, config, images.train, 10, 3, teacher=teacher, checkpoint=progress)
        found.append(network.state_dict())
    for name, tensor in found[0].items():
        torch.testing.assert_close(found[1][name], tensor, msg=name)


# -- a folder ---------------------------------------------------------------------------------------------------------


def raw_digits() -> Tensor:
    """The pictures themselves, from scikit-learn, as floats from 0 to 1."""
    from sklearn.datasets import load_digits

    return torch.tensor(load_digits().images[5::6]).float().unsqueeze(1).mul(255 / 16).floor() / 255  # type: ignore[attr-defined]


def test_a_folder_says_of_normalised_images_what_it_says_of_raw_ones(tmp_path: Path) -> None:
    """Its own mean and deviation are in it; those of the data set, and the size, are others."""
    for size in (8, 12):
        folder = made_folder(tmp_path / f"size-{size}", space_of(size))
        config = settings(folder)
        images = digits(config)
        assert isinstance(images.test, ImageSet)
        teacher = find_teacher(config, None, images)
        assert teacher is not None
        raw = raw_digits()
        if size != 8:
            raw = F.interpolate(raw, (12, 12), mode="bilinear", antialias=True)
        with torch.no_grad():
            expected = load_network(folder)(raw).softmax(1)
        assert float(expected.std(0).mean()) > 1e-3  # it is not the same of all images
        torch.testing.assert_close(teacher(images.test.x), expected, atol=1e-5, rtol=1e-4)


def test_a_teacher_does_not_learn(tmp_path: Path) -> None:
    config = settings(made_folder(tmp_path / "teacher", space_of()))
    images = digits(config)
    teacher = find_teacher(config, None, images)
    assert teacher is not None
    before = {name: tensor.clone() for name, tensor in teacher.module.state_dict().items()}
    network = Network(ARCH, space_of())
    train_by_recipe(network, config, images.train, 10, 3, teacher=teacher, checkpoint=tmp_path / "progress")
    assert all(torch.equal(tensor, before[name]) for name, tensor in teacher.module.state_dict().items())
    assert not teacher(images.train.x).requires_grad  # type: ignore[attr-defined]


def test_a_folder_is_found_below_the_folder_of_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_folder(tmp_path / "teacher", space_of())
    monkeypatch.setenv("EVO_DATA", str(tmp_path))
    config = settings("teacher")
    teacher = find_teacher(config, None, digits(config))
    assert teacher is not None
    assert teacher.sha256 == file_hash(tmp_path / "teacher" / WEIGHTS)


NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def test_what_cannot_teach_is_answered_in_words(tmp_path: Path) -> None:
    narrow = made_folder(tmp_path / "narrow", space_of(classes=4))
    coloured = made_folder(tmp_path / "coloured", space_of(channels=3))
    named = made_folder(tmp_path / "named", space_of(), NAMES)
    empty = made_folder(tmp_path / "empty", space_of())
    (empty / WEIGHTS).unlink()
    images = replace(digits(settings(named)), class_names=(*NAMES[:8], "nine", "eight"))
    for teacher, said in (
        (
            tmp_path / "nowhere",
            "expected 'whole', for a run of evaluator 'cuts', 'imitated', for one of 'blockwise' that names its teacher, or",
        ),
        ("n" * 5000, "found no architecture.json in a folder of this name"),
        (
            narrow,
            "a network for images of 1 channel in 4 classes, and these are images of 1 channel in 10 classes: ",
        ),
        (coloured, "a network for images of 3 channels in 10 classes"),
        (named, "whose class 8 is 'eight', and class 8 of the images is 'nine'"),
        (empty, "has no model.safetensors"),
    ):
        with pytest.raises(UserError, match=said):
            find_teacher(settings(teacher), None, images)


# -- it counts --------------------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path: Path) -> Iterator[tuple[Store, StoredRun]]:
    with open_store(f"sqlite:///{tmp_path}/evo.db") as store:
        yield store, example_run.two_rounds(store)


def trainer_of(store: Store, run: StoredRun, *more: str) -> Trainer:
    config = training_settings(run, ["deliver.epochs=1", "data.max_images=120", "deliver.batch_size=16", *more])
    return Trainer.of(store, run, config, load_dataset(config.data, config.device))


def test_a_training_is_found_by_its_teacher_and_its_share(run: tuple[Store, StoredRun], tmp_path: Path) -> None:
    """Where the teacher lies plays no part."""
    here, there = (made_folder(tmp_path / name, space_of()) for name in ("here", "there"))
    other = made_folder(tmp_path / "other", space_of(), moments=(0.1, 0.3))
    mine = contender("mine", Architecture.parse(example_run.DEAR), example_run.SECOND)

    def identity(*more: str) -> str:
        return trainer_of(*run, *more).identity(mine, 0)

    taught = [f"deliver.teacher={folder}" for folder in (here, there, other)]
    assert identity(taught[0]) == identity(taught[1])
    assert (
        len({identity(), identity(taught[0]), identity(taught[2]), identity(taught[0], "deliver.teacher_share=1")}) == 4
    )


def test_a_teacher_costs_a_forward_pass_of_every_image(run: tuple[Store, StoredRun], tmp_path: Path) -> None:
    space = space_of(12)
    trainer = trainer_of(*run, f"deliver.teacher={made_folder(tmp_path / 'teacher', space)}")
    mine = contender("mine", Architecture.parse(example_run.DEAR), example_run.SECOND)
    trained = trainer.train(mine, 0, lambda steps: None)
    seen = 96  # four fifths of 120 images, once
    assert trained.training_macs == (3 * mine.macs + count_costs(space, ARCH).macs) * seen


def test_fewer_random_networks_are_affordable_beside_a_teacher(run: tuple[Store, StoredRun], tmp_path: Path) -> None:
    mine = contender("mine", Architecture.parse(example_run.DEAR), example_run.SECOND)
    budgets = [Budget(0, mine.macs, (mine,))]
    teacher = space_of(12)
    alone, taught = trainer_of(*run), trainer_of(*run, f"deliver.teacher={made_folder(tmp_path / 'teacher', teacher)}")
    spent = 40.0 * 3 * mine.macs * 96
    assert affordable(alone, budgets, spent) == 40
    assert affordable(taught, budgets, spent) == round(
        40 * 3 * mine.macs / (3 * mine.macs + count_costs(teacher, ARCH).macs)
    )


def test_the_whole_network_teaches_runs_that_have_fine_tuned_one() -> None:
    with pytest.raises(EvoError, match="deliver.teacher is 'whole', .* and evaluator.kind is 'oneshot': give a folder"):
        settings("whole")
