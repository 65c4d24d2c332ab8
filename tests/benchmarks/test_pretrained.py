"""The benchmark of trained networks: its images are divided as it says, and it counts as the program counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.pretrained.counting import counted, module_macs, module_params
from benchmarks.pretrained.data import make_once, take_few, write_cells
from benchmarks.pretrained.ledger import Ledger, Spent
from evo.data.image_folders import read_folder
from spaces.architecture import Architecture
from spaces.costs.table import count_costs
from spaces.networks.network import Network
from spaces.pretrained.efficientnet_lite import efficientnet_lite
from spaces.space import SearchSpace


@pytest.fixture(scope="module")
def whole() -> tuple[Architecture, SearchSpace]:
    found = efficientnet_lite("efficientnet_lite0", 96)
    return found.arch, found.space


def photographs(folder: Path, classes: int, images: int) -> Path:
    """A folder of ``classes`` class folders, with so many images in each."""
    for name in map(str, range(classes)):
        (folder / name).mkdir(parents=True)
        for place in range(images):
            Image.new("RGB", (4, 4), (place, 0, 0)).save(folder / name / f"{name}-{place:02}.png")
    return folder


def names(paths: np.ndarray) -> list[str]:
    return sorted(Path(path).name for path in paths)


def test_few_images_are_drawn_by_the_seed_and_the_test_images_stay(tmp_path: Path) -> None:
    source = photographs(tmp_path / "all", 3, 12)
    drawn = {}
    for seed in (0, 1):
        take_few(source, tmp_path / str(seed), 5, seed)
        found = read_folder(tmp_path / str(seed))
        assert np.bincount(found.y_train).tolist() == [5, 5, 5]
        assert names(found.x_test.paths) == names(read_folder(source).x_test.paths)
        assert set(names(found.x_train.paths)) < set(names(read_folder(source).x_train.paths))
        drawn[seed] = names(found.x_train.paths)
    assert drawn[0] != drawn[1]
    with pytest.raises(ValueError, match="10 training images: expected at least 11"):
        take_few(source, tmp_path / "more", 11, 0)


def test_solar_cells_are_divided_class_by_class(tmp_path: Path) -> None:
    probabilities = np.repeat([0, 1 / 3, 2 / 3, 1], [20, 10, 5, 15])
    images = np.arange(50, dtype=np.uint8)[:, None, None] * np.ones((50, 4, 4), np.uint8)
    write_cells(images, probabilities, tmp_path)
    found = read_folder(tmp_path)
    assert found.class_names == ("defective", "functional")
    assert np.bincount(found.y_train).tolist() == [16, 24]
    assert np.bincount(found.y_test).tolist() == [4, 6]
    for part in (found.x_train, found.x_test):
        for path in part.paths:
            value = int(np.asarray(Image.open(path))[0, 0])
            assert (probabilities[value] >= 0.5) == (Path(path).parent.name == "defective")


def test_a_folder_is_made_once_and_appears_whole(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_once(tmp_path / "data", fail)
    assert not (tmp_path / "data").exists()
    make_once(tmp_path / "data", lambda folder: (folder / "all").touch())
    make_once(tmp_path / "data", fail)
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["all"]


def test_a_module_is_counted_as_the_program_counts(whole: tuple[Architecture, SearchSpace]) -> None:
    arch, space = whole
    network, cost = Network(arch, space), count_costs(space, arch)
    assert module_macs(network, 3, 96) == cost.macs
    assert module_params(network) == cost.params


def test_all_that_runs_is_counted() -> None:
    layer = torch.nn.Conv2d(8, 8, 3, padding=1, groups=8)
    with counted() as count:
        for _ in range(2):
            layer(torch.rand(3, 8, 6, 6))
    assert count.macs == 2 * 3 * 8 * 6 * 6 * 9


def test_costs_add_up_over_interruptions(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "costs.json")
    ledger.add("scores", Spent(1.0, 10.0))
    with pytest.raises(KeyboardInterrupt), Ledger(tmp_path / "costs.json").timed("scores"):
        raise KeyboardInterrupt
    assert ledger.sum_of("scores").macs == 10
    assert ledger.sum_of("scores").seconds > 1
    assert ledger.sum_of("other") == Spent()
