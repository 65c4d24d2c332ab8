"""A run that begins on grey images sees them in one channel, and goes on so; one that was begun otherwise goes on as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from evo.data.inspection import settle_data
from evo.data.loading import load_dataset
from evo.round.arms import find_run
from evo.round.new_run import begin_run
from studies.config import StudyConfig, load_config
from studies.database.store import open_store
from studies.records import EvoError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of grey pictures, in all of Pillow's ways to store grey."""
    rng = np.random.default_rng(0)
    for name in ("ant", "bee"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(12):
            grey = Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8))
            deep = Image.fromarray(rng.integers(256, 65536, (8, 8), np.uint16))
            (grey, grey.convert("LA"), grey.convert("1"), deep)[i % 4].save(tmp_path / "photos" / name / f"{i}.png")
    return tmp_path / "photos"


def settings(folder: Path, preset: str = "images", *more: str) -> StudyConfig:
    return load_config(preset, [f"data.path={folder}", "data.size=8", "data.workers=0", *more])


def test_grey_files_are_seen_in_one_channel(folder: Path) -> None:
    config = settle_data(settings(folder))
    assert config.data.channels == 1
    assert config == settings(folder, "images", "data.channels=1")
    assert load_dataset(config.data).channels == 1


def test_one_image_in_colours_is_enough_for_three(folder: Path) -> None:
    Image.new("RGB", (8, 8), (9, 8, 7)).save(folder / "bee/1.png")
    assert settle_data(settings(folder)) == settings(folder)


@pytest.mark.parametrize(
    "more",
    [("data.channels=3",), ("space.channels=3",), ("deliver.teacher=somewhere",)],
)
def test_what_is_said_stays(folder: Path, more: tuple[str, ...]) -> None:
    assert settle_data(settings(folder, "images", *more)) == settings(folder, "images", *more)


def test_a_trained_network_sees_what_it_has_seen(folder: Path) -> None:
    assert settle_data(settings(folder, "pretrained")) == settings(folder, "pretrained")


def test_a_run_goes_on_with_the_channels_that_it_began_with(folder: Path, tmp_path: Path) -> None:
    """Be it named with its settings again or not; one that continues another has the channels of that."""
    asked = settings(folder)
    with open_store(f"sqlite:///{tmp_path / 'studies.db'}") as store:
        earlier = begin_run(store, "earlier", asked)  # as versions did that saw all in three
        later = begin_run(store, "later", settle_data(asked))
        assert (earlier.space.stem.c_in, later.space.stem.c_in) == (3, 1)
        for run, channels in ((earlier, None), (later, 1)):
            found: Any = find_run(store, run.name, asked)
            assert found.config.data.channels == channels
            assert settle_data(asked, earlier=found.config).data.channels == channels
        with pytest.raises(EvoError, match=r"data.channels was 1 and is now 3"):
            find_run(store, "later", settings(folder, "images", "data.channels=3"))
