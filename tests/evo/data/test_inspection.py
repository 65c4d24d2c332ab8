"""What commands say of the data before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from evo.alone.images import require_fitting_images
from evo.console import SILENT, TERMINAL
from evo.data.loading import _load_cached, load_dataset
from evo.round.__main__ import main
from evo.round.session import _data_inspector
from spaces.library.named_spaces import load_space
from studies.config import DataSection, check_config
from studies.records import EvoError

FOUND = (
    "10 training images (Train/), 2 validation images (val/), 4 test images (test/); 2 classes of 4 to 6 training images: "
    "ant, bee; 8 x 8 pixels, 3 channels, read into memory (data.in_memory); ignored: 1 file of other kinds (.gif 1)"
)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes in three parts, and a file that is none."""
    for folder, n in {"Train/ant": 6, "Train/bee": 4, "val/ant": 1, "val/bee": 1, "test/ant": 2, "test/bee": 2}.items():
        (tmp_path / folder).mkdir(parents=True)
        for i in range(n):
            Image.new("RGB", (8, 8), (20 * i, 9, 0)).save(tmp_path / folder / f"{i}.png")
    (tmp_path / "Train" / "ant" / "a.gif").write_text("moves")
    _load_cached.cache_clear()
    return tmp_path


def test_a_plan_says_it_and_warns_on_the_other_stream(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = ["1", "--plan", "--config", "images", "--set", f"data.path={photos}", "--set", "data.size=8"]
    assert main([*plan, "--set", "space.name=digits"]) == 0
    said = capsys.readouterr()
    assert f"data set 'images' ({photos}): {FOUND}" in said.out.splitlines()
    assert said.err.startswith(
        f"warning: data set 'images' ({photos}): 1 file with suffixes that are not read (.gif): "
    )


def test_what_cannot_be_used_is_one_line_and_status_1(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "test" / "ant").rename(photos / "test" / "Ant")
    storage = f"sqlite:///{photos}/evo.db"
    assert main(["1", "--config", "images", "--set", f"data.path={photos}", "--storage", storage, "--quiet"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "test has the class 'Ant', and the training images call it 'ant': rename" in said.err


def test_a_round_says_it_once_and_quietly_only_warns(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = {
        "space": {"name": "digits"}, "data": {"name": "images", "path": str(photos), "size": 8},
        "evaluator": {"kind": "scratch"}, "evolution": {"method": "fixed"},
    }  # fmt: skip
    config = check_config(settings, "test")
    inspect = _data_inspector(TERMINAL)
    inspect(config)
    inspect(config.model_copy(update={"seed": 3}))
    said = capsys.readouterr()
    assert said.out == f"data set 'images' ({photos}): {FOUND}\n"
    assert said.err.count("warning: ") == 1
    _data_inspector(SILENT)(config)
    assert capsys.readouterr() == ("", said.err)


def test_a_delivery_has_the_classes_of_its_run(photos: Path) -> None:
    images = load_dataset(DataSection(name="images", path=str(photos), size=8))
    space = load_space("digits", channels=3, size=8, classes=2)
    for classes in (None, ("ant", "bee"), ("0", "1")):
        assert require_fitting_images(images, space, classes) is images
    with pytest.raises(
        EvoError, match="class 0 of the images is 'ant', and the run was searched with 'bee': expected the"
    ):
        require_fitting_images(images, space, ("bee", "ant"))
    with pytest.raises(
        EvoError, match="class 1 of the images is 'bee', and the run was searched with 'cat': .* ant, cat;"
    ):
        require_fitting_images(images, space, ("ant", "cat"))
