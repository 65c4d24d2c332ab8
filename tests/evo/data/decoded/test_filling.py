"""Decoding ahead: with progress, in parallel, and from where it was interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evo.console import Advance
from evo.data.decoded import filling
from evo.data.decoded.filling import fill
from evo.data.decoded.kept import KeptPictures, keep_scaled
from evo.data.image_folders import Photographs
from studies.records import EvoError


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeptPictures:
    monkeypatch.setenv("EVO_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    for i in range(20):
        Image.fromarray(rng.integers(0, 256, (9, 12, 3), np.uint8)).save(tmp_path / f"{i:02}.png")
    return keep_scaled(Photographs(np.array(sorted(map(str, tmp_path.glob("*.png"))))), 8, True)


class Told:
    """What a progress bar was told."""

    def __init__(self) -> None:
        self.bars: list[tuple[str, int]] = []
        self.steps: list[int] = []

    @contextmanager
    def __call__(self, label: str, total: int) -> Iterator[Advance]:
        self.bars.append((label, total))
        yield self.steps.append


@pytest.mark.parametrize("threads", [0, 1, 4])
def test_progress_is_told(pictures: KeptPictures, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filling, "AT_ONCE", 8)
    told = Told()
    assert fill(pictures.take(slice(18)), threads, told) == 18
    assert (told.bars, told.steps) == ([("decoding images", 18)], [8, 8, 2])
    assert fill(pictures, threads, told) == 2
    assert fill(pictures, threads, told) == 0
    assert told.bars == [("decoding images", 18), ("decoding images", 2)]


def test_it_goes_on_where_it_was_interrupted(pictures: KeptPictures, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filling, "AT_ONCE", 5)

    @contextmanager
    def interrupted(label: str, total: int) -> Iterator[Advance]:
        def advance(n: int) -> None:
            raise KeyboardInterrupt

        yield advance

    with pytest.raises(KeyboardInterrupt):
        fill(pictures, 2, interrupted)
    assert fill(pictures, 2) == 15


def test_an_image_that_cannot_be_read_is_told(pictures: KeptPictures, tmp_path: Path) -> None:
    (tmp_path / "07.png").write_bytes(b"no image")
    with pytest.raises(EvoError, match=r"07.png cannot be read as an image"):
        fill(pictures, 2)


def test_a_full_disk_ends_it(pictures: KeptPictures, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evo.data.decoded.store.KEPT_FREE", 1.0)
    monkeypatch.setattr(filling, "AT_ONCE", 5)
    assert fill(pictures, 2) == 5
