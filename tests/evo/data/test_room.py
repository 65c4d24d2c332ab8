"""Images are kept in memory where there is room; a run decides it when it begins, says it, and keeps to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from evo.data import inspection, raw
from evo.data.inspection import inspect_data, settle_data
from evo.data.loading import load_dataset
from evo.data.report import summary
from evo.data.source import ImageSet
from evo.training.identity import identity
from studies.config import StudyConfig, check_config

IMAGES, VALUES = 30, 3 * 16 * 16
"""Images of all parts, and numbers of each."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs of noise, larger than they are used."""
    place, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for i in range(IMAGES):
        (place / f"class{i % 2}").mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (24, 20, 3), np.uint8)).save(place / f"class{i % 2}" / f"{i}.png")
    return place


def settings(folder: Path, **data: object) -> StudyConfig:
    given = {"name": "images", "path": str(folder), "size": 16, "workers": 0, "cache": False, **data}
    return check_config(
        {
            "space": {"name": "digits"},
            "data": given,
            "evaluator": {"kind": "scratch"},
            "evolution": {"method": "fixed"},
        },
        "test",
    )


def of(memory: float, patch: pytest.MonkeyPatch) -> None:
    """Let this machine have so many times the memory that images may fill for these to fit in just so."""
    patch.setattr(inspection, "system_memory", lambda: round(memory * IMAGES * VALUES / inspection.SHARE))


def decided(config: StudyConfig) -> bool | None:
    return settle_data(config).data.in_memory


def test_where_the_choice_is_the_usual_one_nothing_is_settled(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So runs of machines with enough memory have the names that they have always had."""
    of(1.0, monkeypatch)
    assert settle_data(settings(folder)) == settings(folder)


def test_a_small_machine_leaves_them_in_their_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of(0.99, monkeypatch)
    assert decided(settings(folder)) is False


def test_a_large_machine_takes_more_than_the_usual_limit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of(1.0, monkeypatch)
    monkeypatch.setattr(
        raw, "IN_MEMORY", 4 * IMAGES * VALUES
    )  # so many bytes as floats are no longer less than the limit
    assert decided(settings(folder)) is True
    of(0.99, monkeypatch)
    assert decided(settings(folder)) is None


def test_parts_are_cut_out_of_whole_images_however_much_memory_there_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of(100.0, monkeypatch)
    monkeypatch.setattr(raw, "IN_MEMORY", 4 * IMAGES * VALUES)
    assert decided(settings(folder, augment=["resized_crop"])) is None


@pytest.mark.parametrize("said", [True, False])
def test_what_the_user_says_stays(said: bool, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of(0.01 if said else 100.0, monkeypatch)
    assert decided(settings(folder, in_memory=said)) is said


def test_a_run_that_continues_another_keeps_to_its_choice(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of(100.0, monkeypatch)
    assert settle_data(settings(folder), settings(folder, in_memory=False)).data.in_memory is False
    of(0.01, monkeypatch)
    assert settle_data(settings(folder), settings(folder)).data.in_memory is None


def test_it_is_part_of_what_results_are_named_by(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of(0.01, monkeypatch)
    small, usual = settle_data(settings(folder)).data, settings(folder).data
    assert identity("weights", 1, data=small) != identity("weights", 1, data=usual)


def test_it_is_said(folder: Path) -> None:
    for in_memory, words in ((True, "read into memory"), (False, "read from their files in every epoch")):
        section = settings(folder, in_memory=in_memory).data
        assert f"3 channels, {words} (data.in_memory)" in summary(inspect_data(section, "cpu"))
    assert "data.in_memory" not in summary(
        inspect_data(settings(folder).data.model_copy(update={"name": "digits", "path": None, "size": None}), "cpu")
    )


def test_images_are_the_same_bits_either_way(folder: Path) -> None:
    """As they are measured; random changes are drawn otherwise, which is why the choice is part of the results."""
    here, there = (load_dataset(settings(folder, in_memory=choice).data) for choice in (True, False))
    assert isinstance(here.train, ImageSet) is not isinstance(there.train, ImageSet)
    for part in ("train", "validation", "test"):
        for (x, y), (others, labels) in zip(here.part(part).batches(7), there.part(part).batches(7), strict=True):
            torch.testing.assert_close(x, others, rtol=0, atol=0)
            assert torch.equal(y, labels)


def test_threads_read_the_same(folder: Path) -> None:
    several = load_dataset(settings(folder, in_memory=True, workers=3).data)
    one = load_dataset(settings(folder, in_memory=True).data)
    assert isinstance(several.train, ImageSet)
    assert isinstance(one.train, ImageSet)
    assert torch.equal(several.train.kept, one.train.kept)
