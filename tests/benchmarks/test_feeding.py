"""The benchmark of feeding compares like with like: every way gives the same number of images, of one size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import feeding


def test_all_ways_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVO_CACHE", str(tmp_path / "cache"))
    for name, value in (("BATCH", 4), ("SIZE", 16), ("SHORT_SIDE", 20), ("WIDTH", 50), ("HEIGHT", 37)):
        monkeypatch.setattr(feeding, name, value)
    shapes: dict[int, list[tuple[int, ...]]] = {}

    def counted(feed: feeding.Feed, seed: int) -> float:
        batches = list(feed(seed))
        shapes.setdefault(len(shapes), [tuple(x.shape) for x in batches])
        assert {x.dtype for x in batches} <= {torch.uint8, torch.float32}
        return 1.0 + len(shapes)

    monkeypatch.setattr(feeding, "images_per_second", counted)
    feeding.make_folder(tmp_path / "photos", 60)
    found = feeding.measure(tmp_path / "photos", 1)
    assert {shape for given in shapes.values() for shape in given} == {(4, 3, 16, 16)}
    assert len(found) == 1 + len(shapes) == 7
    lines = feeding.table(found).splitlines()
    assert lines[4] == "| evo, from files, bytes | 3 | 1.50 |"


def test_pictures_are_like_photographs_without_noise(tmp_path: Path) -> None:
    """As large as ImageNet's as files, some 110 kB; nothing is as fine as pixels."""
    feeding.make_folder(tmp_path, 4)
    files = [path.stat().st_size for path in tmp_path.rglob("*.jpg")]
    assert 60_000 < sum(files) / 4 < 160_000
    pixels = np.asarray(feeding.make_image(np.random.default_rng(0))).astype(float)
    assert pixels.shape == (375, 500, 3)
    spectrum = np.abs(np.fft.rfft2(pixels.mean(axis=2) - pixels.mean())) ** 2
    fine = np.hypot(np.fft.fftfreq(375)[:, None], np.fft.rfftfreq(500)[None]) > 0.4
    assert spectrum[fine].sum() < 0.002 * spectrum.sum()
