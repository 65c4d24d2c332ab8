"""Batches of calibration: the same bits whenever they are gone through, and one at a time where a device has little memory."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from PIL import Image

from evo.data.loading import load_dataset
from evo.data.source import Source
from evo.data.streaming import StreamedImages
from evo.evaluators.oneshot.first_batches import first_batches
from evo.evaluators.oneshot.scoring import Scorer
from evo.memory.meter import LiveBytes
from spaces.library.named_spaces import load_space
from spaces.networks.supernet import Supernet
from studies.config import DataSection

SIZE, COUNT = 5, 3


@pytest.fixture(params=["in memory", "in files", "decoded on disk"])
def images(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    """Photographs of noise."""
    monkeypatch.setenv("EVO_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    for i in range(40):
        (tmp_path / "photos" / f"class{i % 2}").mkdir(parents=True, exist_ok=True)
        noise = rng.integers(0, 256, (18, 20, 1), np.uint8).repeat(3, 2)
        Image.fromarray(noise).save(tmp_path / "photos" / f"class{i % 2}" / f"{i}.png")
    section = DataSection(
        name="images", path=str(tmp_path / "photos"), size=8, in_memory=request.param == "in memory", workers=0,
        cache=request.param == "decoded on disk",
    )  # fmt: skip
    return load_dataset(section).train


def test_they_are_the_first_of_the_images(images: Source) -> None:
    expected = [x.clone() for x, _ in images.batches(SIZE)][:COUNT]
    found = first_batches(images, SIZE, COUNT)
    assert len(found) == COUNT
    for _ in range(2):
        again = list(found)
        assert len(again) == COUNT
        assert all(torch.equal(x, y) for x, y in zip(again, expected, strict=True))
        assert all(x.is_contiguous(memory_format=torch.channels_last) for x in again)


def test_scores_are_the_same_bits_as_with_all_of_them_held(images: Source) -> None:
    space = load_space("digits", channels=3)
    torch.manual_seed(0)
    net, rng = Supernet(space), Random(0)
    archs = [space.sample(rng) for _ in range(3)]
    held = [x for x, _ in images.batches(SIZE)][:COUNT]
    by_held, by_reread = (Scorer(net, batches, images, SIZE) for batches in (held, first_batches(images, SIZE, COUNT)))
    for generation in (archs[:2], archs):
        assert by_held(generation) == by_reread(generation)


def test_a_file_is_decoded_once(images: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    found = first_batches(images, SIZE, COUNT)
    first = list(found)
    if isinstance(images, StreamedImages):
        monkeypatch.setattr("evo.data.streaming._middles", lambda *_: pytest.fail("decoded again"))
    assert all(torch.equal(x, y) for x, y in zip(found, first, strict=True))


def test_two_at_most_are_there_at_once(images: Source) -> None:
    size, count = 4, 6
    found = first_batches(images, size, count)
    of_one = size * 3 * 8 * 8 * 4
    with LiveBytes() as live:
        for _ in found:
            pass
    assert live.peak < 4 * of_one  # two, and what their making takes
