"""Images that are not square: searched, judged block by block, delivered, and read by other programs."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

from evo.deliver.__main__ import main as deliver
from evo.round.__main__ import main
from spaces import load_network
from spaces.library.named_spaces import load_space
from studies.database.store import open_store

pytestmark = pytest.mark.usefixtures("unpublished")


NAMES = ("bars", "stripes", "noise")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of 8 x 12 pixels in three classes."""
    folder, rng = tmp_path_factory.mktemp("rectangles"), np.random.default_rng(0)

    def images(n: int) -> tuple[np.ndarray, np.ndarray]:
        x, y = rng.integers(0, 256, (n, 8, 12), np.uint8), np.arange(n) % 3
        x[y == 0, :, ::2] = 0
        x[y == 1, ::2] = 0
        return x, y

    (x, y), (x_test, y_test) = images(180), images(60)
    np.savez(folder / "images.npz", x_train=x, y_train=y, x_test=x_test, y_test=y_test, classes=NAMES)
    return folder


def command(folder: Path, *more: str, space: str = "digits") -> list[str]:
    settings = folder / "settings.toml"
    settings.write_text(
        f'[space]\nname = "{space}"\n[data]\nname = "arrays"\npath = "{folder}/images.npz"\naugment = ["flip", "crop"]\n'
        "[search]\nevaluations = 8\npopulation = 4\n[ground_truth]\nsample = 0\n"
        "[deliver]\nepochs = 12\nbatch_size = 20\nema = 0.9\n"
    )  # fmt: skip
    settings.write_text(settings.read_text() + more[0])
    return ["1", "--config", str(settings), "--storage", f"sqlite:///{folder}/evo.db", "--quiet", *more[1:]]


ONESHOT = '[evaluator]\nkind = "oneshot"\nepochs = 1\n[evolution]\nmethod = "pad_nas"\n'
BLOCKWISE = (
    '[evaluator]\nkind = "blockwise"\nepochs = 1\nteacher = { epochs = 1 }\ncalibration_batches = 1\n'
    '[evolution]\nmethod = "dna"\n'
)


@pytest.fixture(scope="module")
def delivered(folder: Path) -> Path:
    """A network for them, in a folder."""
    assert main(command(folder, ONESHOT, "--run", "oneshot")) == 0
    out = folder / "network"
    assert deliver(["oneshot", "--storage", f"sqlite:///{folder}/evo.db", "--out", str(out)]) == 0
    return out


def test_a_space_is_made_for_them(delivered: Path, folder: Path) -> None:
    with open_store(f"sqlite:///{folder}/evo.db") as store:
        run = store.run("oneshot")
        assert run.space == load_space("digits", size=(8, 12), classes=3)
        assert run.classes == NAMES


def test_what_is_delivered_says_so_and_is_good_at_it(delivered: Path) -> None:
    said = json.loads((delivered / "architecture.json").read_text())
    assert said["preprocessing"]["size"] == [8, 12]
    assert said["classes"] == list(NAMES)
    assert said["test"]["accuracy"] > 0.5
    card = (delivered / "README.md").read_text()
    assert "(n, 1, 8, 12)" in card
    assert "The training's images had 8 x 12 pixels and were not resized" in card
    assert "0 bars, 1 stripes, 2 noise" in card


def test_all_its_forms_give_the_same_scores(delivered: Path) -> None:
    import onnxruntime

    images = torch.rand(5, 1, 8, 12, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        scores = load_network(delivered)(images)
        program = torch.export.load(delivered / "model.pt2").module()(images)
    session = onnxruntime.InferenceSession(delivered / "model.onnx", providers=["CPUExecutionProvider"])
    assert [value.shape for value in session.get_inputs()] == [["n", 1, 8, 12]]
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == list(NAMES)
    (onnx,) = session.run(None, {"images": images.numpy()})
    torch.testing.assert_close(program, scores, atol=1e-4, rtol=0)
    torch.testing.assert_close(torch.from_numpy(onnx), scores, atol=1e-4, rtol=0)


def test_its_python_file_runs(delivered: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In this process; that such a file needs nothing of this project is shown in ``test_network_folder``."""
    runpy.run_path(str(delivered / "model.py"), run_name="__main__")
    assert "images (1, 1, 8, 12) -> scores (1, 3)" in capsys.readouterr().out


def test_blocks_imitate_a_teacher_on_them(folder: Path) -> None:
    assert main(command(folder, BLOCKWISE, "--run", "blockwise")) == 0
    with open_store(f"sqlite:///{folder}/evo.db") as store:
        (row,) = store.rounds(store.run("blockwise"))
        assert row.finished


def test_a_space_that_is_made_for_other_images_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "space.json").write_text(load_space("digits", classes=3).to_json())
    fixed = ["--run", "fixed", "--set", f"space.path={folder / 'space.json'}"]
    assert main(command(folder, ONESHOT, *fixed)) == 1
    assert (
        "the images are 8 x 12 pixels (height x width), and space 'digits' is made for 8 x 8: resize the images with "
        "data.size = [8, 8]"
    ) in capsys.readouterr().err
    assert main(command(folder, ONESHOT, *fixed, "--set", "data.size=[8, 8]")) == 0
