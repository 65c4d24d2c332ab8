"""Images that stay in their files give what images in memory give, and the same batches however many workers read."""

from __future__ import annotations

from pathlib import Path
from random import Random
from shutil import copytree

import numpy as np
import pytest
import torch
from PIL import Image

from evo.data.augmentation import spelled
from evo.data.image_folders import Photographs
from evo.data.loading import _load_cached, load_dataset
from evo.data.source import Images, ImageSet
from evo.data.streaming import StreamedImages, read_images
from evo.evaluators.oneshot.paths import uniform_paths
from evo.evaluators.oneshot.scoring import Scorer
from evo.training.loop import Schedule, train
from spaces.library.named_spaces import load_space
from spaces.networks.supernet import Supernet
from studies.config import DataSection
from studies.records import EvoError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of twelve pictures, larger than they are wanted and not square."""
    root, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for label, name in enumerate(("ant", "bee", "cat")):
        (root / name).mkdir()
        for i in range(12):
            pixels = rng.integers(0, 80, (20, 24, 3)) + 80 * np.eye(3, dtype=int)[label]
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{i}.png")
    return root


def images(folder: Path, in_memory: bool | None = False, workers: int = 0) -> Images:
    return load_dataset(
        DataSection(
            name="images", path=str(folder), size=16, in_memory=in_memory, workers=workers, validation_fraction=0.3
        )
    )


def test_few_images_are_taken_into_memory(folder: Path) -> None:
    assert isinstance(images(folder, None).train, ImageSet)
    assert isinstance(images(folder).train, StreamedImages)


def test_files_hold_the_same_images_as_memory(folder: Path) -> None:
    here, there = images(folder, in_memory=True), images(folder)
    assert (there.classes, there.channels, there.size) == (here.classes, here.channels, here.size) == (3, 3, 16)
    for ours, theirs in ((there.train, here.train), (there.validation, here.validation), (there.test, here.test)):
        batches = list(ours.batches(5))
        assert all(len(x) == 5 for x, _ in batches[:-1])
        assert isinstance(theirs, ImageSet)
        assert torch.allclose(torch.cat([x for x, _ in batches]), theirs.x, atol=1e-6)
        assert torch.equal(torch.cat([y for _, y in batches]), theirs.y)
        chosen = torch.tensor([3, 0])
        assert torch.allclose(ours.take(chosen)[0], theirs.take(chosen)[0], atol=1e-6)


def test_classes_are_called_as_their_folders_are(folder: Path) -> None:
    assert images(folder).class_names == ("ant", "bee", "cat")
    assert load_dataset(DataSection(name="digits")).class_names == tuple("0123456789")


def test_test_images_have_the_labels_of_the_training_images_class_folders(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "train").symlink_to(folder)
    for name in ("bee", "cat"):
        copytree(folder / name, tmp_path / "test" / name)
    assert images(tmp_path).class_names == ("ant", "bee", "cat")
    assert images(tmp_path).test.y.tolist() == [1] * 12 + [2] * 12
    copytree(folder / "ant", tmp_path / "test" / "dog")
    _load_cached.cache_clear()
    with pytest.raises(EvoError, match=r"test has the class 'dog', and the training images have only ant, bee, cat"):
        images(tmp_path)


def test_parts_are_joined_one_behind_the_other(folder: Path) -> None:
    for found in (images(folder), images(folder, in_memory=True)):
        whole = found.train.joined_with(found.validation)
        assert len(whole) == len(found.train) + len(found.validation) == 30
        assert torch.equal(whole.y, torch.cat((found.train.y, found.validation.y)))
        last = torch.tensor([29])
        assert torch.equal(whole.take(last)[0], found.validation.take(last - len(found.train))[0])


AUGMENT = ("resized_crop", "flip", "colour_jitter", "cutout")


def test_an_epoch_is_decided_by_its_seed_and_not_by_the_workers(folder: Path) -> None:
    before = torch.get_rng_state()
    alone, helped, other = (
        list(images(folder, workers=workers).train.epoch(8, AUGMENT, seed))
        for workers, seed in ((0, 1), (2, 1), (0, 2))
    )
    assert [x.shape for x, _ in alone] == [(8, 3, 16, 16)] * 2  # 21 images in whole batches
    for (x, y), (x_helped, y_helped) in zip(alone, helped, strict=True):
        assert torch.equal(x, x_helped)
        assert torch.equal(y, y_helped)
    assert not torch.equal(alone[0][0], other[0][0])
    assert torch.equal(torch.get_rng_state(), before)


def test_files_are_jittered_as_far_as_is_said(folder: Path) -> None:
    """Nothing at all, without crops; by default as torchvision's 0.4; and hue, too."""
    section = images(folder).train

    def epoch(*jitter: float) -> torch.Tensor:
        return torch.cat([x for x, _ in section.epoch(8, spelled(["colour_jitter"], jitter), 1)])

    plain = torch.cat([x for x, _ in section.epoch(8, (), 1)])
    usual = torch.cat([x for x, _ in section.epoch(8, ("colour_jitter",), 1)])
    assert torch.equal(epoch(0, 0, 0, 0), plain)
    assert torch.equal(epoch(0.4, 0.4, 0.4, 0), usual)
    assert not torch.equal(usual, plain)
    near = (epoch(0.06, 0.06, 0.06, 0) - plain).abs().mean()
    assert 0 < near < (usual - plain).abs().mean() / 2
    assert not torch.equal(epoch(0, 0, 0, 0.5), plain)


def test_a_rectangle_is_cut_from_the_middle_of_an_image_that_just_covers_it(tmp_path: Path) -> None:
    """Images of 20 x 40 pixels whose colour is their column: a cut of 10 x 10 holds the middle half of the columns."""
    columns = np.broadcast_to(np.arange(40, dtype=np.uint8)[None, :, None] * 6, (20, 40, 3))
    for name in ("ant", "bee"):
        (tmp_path / name).mkdir()
        for i in range(6):
            Image.fromarray(columns).save(tmp_path / name / f"{i}.png")
    middle = read_images(Photographs(np.array([str(tmp_path / "ant" / "0.png")] * 2)), (10, 10 + 2))
    assert middle.shape == (2, 10, 12, 3)
    spread = middle[0, :, :, 0].mean(axis=0) / 6
    assert spread[0] == pytest.approx(8.5, abs=1)
    assert spread[-1] == pytest.approx(30.5, abs=1)
    for in_memory in (True, False):
        section = DataSection(
            name="images", path=str(tmp_path), size=(10, 12), in_memory=in_memory, workers=0, validation_fraction=0.5
        )
        found = load_dataset(section)
        assert found.size == (10, 12)
        for x, _ in found.train.epoch(2, AUGMENT, 0):
            assert x.shape == (2, 3, 10, 12)


def test_a_supernet_trains_and_is_scored_from_files(folder: Path) -> None:
    space = load_space("digits", channels=3, size=16, classes=3)
    scores = []
    for source in (images(folder), images(folder, in_memory=True)):
        torch.manual_seed(0)
        net = Supernet(space)
        train(net, images(folder).train, Schedule(1, 8, 0.05), seed=0, paths=uniform_paths(space))
        calibration = [x for x, _ in images(folder).train.batches(8)]
        archs = [draw[0] for draw in uniform_paths(space)(Random(0))]
        scores.append(Scorer(net, calibration, source.validation, 4)(archs)[0])
    assert scores[0].accuracy == scores[1].accuracy
    assert scores[0].nll == pytest.approx(scores[1].nll, rel=1e-4)


def test_only_a_folder_can_stay_in_its_files() -> None:
    with pytest.raises(EvoError, match=r"data\.in_memory = false is for .* or a data set of torch, found 'digits'"):
        load_dataset(DataSection(name="digits", in_memory=False))
