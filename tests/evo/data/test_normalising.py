"""Bytes that are kept in memory give the batches that floats gave, bit for bit, in a quarter of the memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from evo.data.augmentation import AUGMENTATIONS, spelled
from evo.data.datasets import DATASETS
from evo.data.loading import load_dataset
from evo.data.source import Images, ImageSet
from evo.memory.counting import kept_bytes
from studies.config import DataSection

SHAPES = [(61, 8, 8, 1), (61, 8, 8, 3), (50, 7, 9, 3), (40, 32, 32, 3), (37, 5, 6)]


def data(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x, labels = rng.integers(0, 256, shape, np.uint8), np.arange(shape[0]) % 3
    return x, labels, x[::-1][:20], labels[::-1][:20]


def load(monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], **more: object) -> Images:
    monkeypatch.setitem(DATASETS, "own", lambda section: data(shape))
    return load_dataset(DataSection(name="own", **more))  # type: ignore[arg-type]


def as_floats(part: ImageSet, images: Images) -> ImageSet:
    """The same images as they were kept before: all normalised at once, channels last."""
    x = part.kept.contiguous().permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)  # as arrays are
    x = x.to(torch.float32, copy=True).div_(255.0)
    mean, std = (torch.tensor(np.array(values)).float().view(1, -1, 1, 1) for values in (images.mean, images.std))
    return ImageSet(x.sub_(mean).div_(std).contiguous(memory_format=torch.channels_last), part.y)


def test_the_plan_counts_images_as_they_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    assert kept_bytes(load(monkeypatch, (61, 8, 8, 3))) == (61 + 20) * 8 * 8 * 3  # bytes, and not floats


def same(ours: tuple[Tensor, Tensor], theirs: tuple[Tensor, Tensor]) -> bool:
    """Bits and places in memory, of which the order of sums may depend."""
    return all(torch.equal(*both) and both[0].stride() == both[1].stride() for both in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("shape", SHAPES)
def test_batches_have_the_bits_that_they_had(monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...]) -> None:
    images = load(monkeypatch, shape)
    augment = spelled(list(AUGMENTATIONS), (0.4, 0.3, 0.2, 0.1))
    for part in (images.train, images.validation, images.test):
        assert isinstance(part, ImageSet)
        assert part.kept.dtype == torch.uint8
        before = as_floats(part, images)
        assert same((part.x, part.y), (before.x, before.y))
        chosen = torch.tensor([3, 0, 2])
        assert same(part.take(chosen), before.take(chosen))
        assert all(map(same, part.batches(7), before.batches(7)))
        assert all(map(same, part.first(9).batches(4), before.first(9).batches(4)))
        for changes in ((), augment):
            ours, theirs = (list(one.epoch(8, changes, 5)) for one in (part, before))
            assert len(ours) == len(theirs) > 0 or len(part) < 8
            assert all(map(same, ours, theirs))
    joined = images.train.joined_with(images.validation)
    assert isinstance(joined, ImageSet)
    assert joined.kept.dtype == torch.uint8
    assert torch.equal(joined.x, torch.cat((images.train.x, images.validation.x)))  # type: ignore[attr-defined]


def test_bytes_take_a_quarter_of_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    images = load(monkeypatch, (60, 32, 32, 3))
    kept = [part.kept.untyped_storage().nbytes() for part in (images.train, images.validation, images.test)]  # type: ignore[attr-defined]
    assert kept == [48 * 32 * 32 * 3, 12 * 32 * 32 * 3, 20 * 32 * 32 * 3]
    (x, _), *_ = images.train.batches(4)
    assert x.untyped_storage().nbytes() == 4 * 32 * 32 * 3 * 4  # no floats but those of the batch
    before = as_floats(images.train, images)  # type: ignore[arg-type]
    assert before.kept.untyped_storage().nbytes() == 4 * kept[0]


def test_what_has_to_be_resized_is_resized_once(monkeypatch: pytest.MonkeyPatch) -> None:
    resized = load(monkeypatch, (60, 8, 8, 3), size=6).train
    assert isinstance(resized, ImageSet)
    assert (resized.kept.dtype, resized.size, resized.normalise) == (torch.float32, 6, None)


def test_images_are_the_data_sets_own_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a maker does with its arrays later changes nothing."""
    made = data((60, 8, 8, 1))
    monkeypatch.setitem(DATASETS, "own", lambda section: made)
    images = load_dataset(DataSection(name="own"))
    before = images.test.take(torch.arange(4))[0]
    made[2][:] = 0
    assert torch.equal(images.test.take(torch.arange(4))[0], before)
