"""``evo.verify``: what differs from the delivery is found, what does not is not, and nothing is written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

import evo
from evo.deliver.__main__ import main as deliver
from evo.deliver.measuring import measure_latency
from evo.verify import behaviour
from evo.verify.__main__ import main
from evo.verify.finding import Verification
from evo.verify.session import verify_folder
from studies.database.store import open_store
from studies.records import EvoError
from tests import example_run

QUICK = ("forms", "latency")


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    url, folder = f"sqlite:///{tmp_path_factory.mktemp('run')}/evo.db", tmp_path_factory.mktemp("delivered") / "tiny"
    with open_store(url) as store:
        example_run.two_rounds(store)
    assert deliver(["tiny", "--storage", url, "--out", str(folder), "--set", "deliver.epochs=2"]) == 0
    return folder


@pytest.fixture
def folder(delivered: Path, tmp_path: Path) -> Path:
    """A copy that may be changed."""
    return Path(shutil.copytree(delivered, tmp_path / "copy"))


def differing(found: Verification) -> list[str]:
    return [one.check for one in found.findings if one.status == "differs"]


def said(found: Verification, check: str) -> str:
    (one,) = (one for one in found.findings if one.check == check)
    return one.said


def test_a_delivery_is_as_it_was_delivered(delivered: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path.name: path.read_bytes() for path in delivered.iterdir()}
    assert main([str(delivered), "--json", "--skip", "latency"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["same"]
    assert [one["check"] for one in found["findings"]] == [
        "files", "versions", "model.py", "model.onnx", "model.pt2", "data", "accuracy"
    ]  # fmt: skip
    assert {one["status"] for one in found["findings"]} == {"same"}
    assert {path.name: path.read_bytes() for path in delivered.iterdir() if path.is_file()} == before


def _flip_a_bit(name: str) -> Callable[[Path], None]:
    def flip(folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        content[len(content) * 2 // 3] ^= 1
        (folder / name).write_bytes(content)

    return flip


def _other_weights(folder: Path) -> None:
    """A whole file, of the same network: only its content is another."""
    tensors = load_file(folder / "model.safetensors")
    save_file({name: tensor + 1 for name, tensor in tensors.items()}, folder / "model.safetensors")


def _other_word(folder: Path) -> None:
    path = folder / "architecture.json"
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 1'))


@pytest.mark.parametrize(
    ("change", "name"),
    [(_flip_a_bit(name), name) for name in ("model.safetensors", "model.onnx", "model.py", "model.pt2", "README.md")]
    + [(_other_weights, "model.safetensors"), (_other_word, "architecture.json")],
)
def test_a_bit_that_has_flipped_is_found(folder: Path, change: Callable[[Path], None], name: str) -> None:
    change(folder)
    found = verify_folder(folder, skip=("forms", "images", "latency"))
    assert "files" in differing(found)
    assert name in said(found, "files")
    assert not found.same


def test_a_form_that_computes_something_else_is_found(folder: Path) -> None:
    _other_weights(folder)  # model.py reads them, the others hold their own
    found = verify_folder(folder, skip=("latency",))
    assert differing(found) == ["files", "model.onnx", "model.pt2", "accuracy"]
    (folder / "model.pt2").write_bytes(b"no such file")
    assert "it cannot be run" in said(verify_folder(folder, skip=("images", "latency")), "model.pt2")


def test_a_file_that_is_missing_is_found(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "model.pt2").unlink()
    assert main([str(folder), "--skip", "images", "--skip", "latency"]) == 1
    assert "model.pt2: missing" in capsys.readouterr().out


def test_other_images_are_found(folder: Path, tmp_path: Path) -> None:
    rng, labels = np.random.default_rng(0), np.arange(60) % 10
    parts = {f"x_{name}": rng.integers(0, 256, (60, 8, 8), np.uint8) for name in ("train", "test")}
    np.savez(tmp_path / "a.npz", y_train=labels, y_test=labels, **parts)
    found = verify_folder(folder, ["data.name=arrays", f"data.path={tmp_path}/a.npz"], skip=QUICK)
    assert differing(found) == ["data"]
    assert "of 60 test images" in said(found, "accuracy")
    assert "recorded on others" in said(found, "accuracy")


def test_images_that_are_not_there_are_no_difference(folder: Path) -> None:
    found = verify_folder(folder, ["data.name=arrays", "data.path=nowhere.npz"], skip=QUICK)
    assert found.same
    assert "--set data.path=FOLDER names others" in said(found, "data")
    assert "(not checked: data)" in str(found)


@pytest.mark.parametrize(
    ("ms", "iqr", "status", "words"),
    [
        (10.0, 0.5, "slower", "10.0 times slower"),
        (1.2, 0.01, "same", "recorded"),  # a little slower
        (10.0, 8.0, "same", "recorded"),  # no two measurements agree
        (0.1, 0.01, "same", "10.0 times faster"),
    ],
)
def test_a_slower_machine_is_found(
    folder: Path, monkeypatch: pytest.MonkeyPatch, ms: float, iqr: float, status: str, words: str
) -> None:
    path = folder / "architecture.json"
    told = json.loads(path.read_text())
    told["latency"] |= {"ms": 1.0, "iqr_ms": 0.01}
    path.write_text(json.dumps(told))
    real = measure_latency

    def measured(*given: object) -> dict[str, object]:
        return real(*given) | {"ms": ms, "iqr_ms": iqr}  # type: ignore[arg-type]

    monkeypatch.setattr(behaviour, "measure_latency", measured)
    verified = verify_folder(folder, skip=("forms", "images"))
    (found,) = (one for one in verified.findings if one.check == "latency")
    assert (found.status, words in found.said) == (status, True)
    assert ("slower here" in verified.summary()) == (status == "slower" and verified.same)


def test_a_folder_of_an_earlier_version_is_held_against_what_it_has(folder: Path) -> None:
    path = folder / "architecture.json"
    told = json.loads(path.read_text())
    del told["files"], told["sha256"]
    path.write_text(json.dumps(told))
    found = verify_folder(folder, skip=QUICK)
    assert found.same
    assert "the weights' sha256 alone" in said(found, "files")
    _flip_a_bit("model.safetensors")(folder)
    assert differing(verify_folder(folder, skip=QUICK)) == ["files", "network"]


@pytest.mark.parametrize(
    ("content", "words"), [(None, "has no architecture.json"), ("{}", "is not finished"), ("[", "cannot be read")]
)
def test_a_folder_that_holds_something_else_is_told(tmp_path: Path, content: str | None, words: str) -> None:
    if content is not None:
        (tmp_path / "architecture.json").write_text(content)
    with pytest.raises(EvoError, match=words):
        verify_folder(tmp_path)


def test_only_images_and_where_it_runs_may_be_changed(delivered: Path) -> None:
    with pytest.raises(EvoError, match="expected a setting of data, device or threads"):
        verify_folder(delivered, ["deliver.epochs=3"])
    with pytest.raises(EvoError, match="expected some of forms, images, latency, found 'all'"):
        verify_folder(delivered, skip=["all"])


def test_the_same_from_python(delivered: Path) -> None:
    found = evo.verify_folder(delivered, skip=QUICK)
    assert found.same
    assert "accuracy" in found._repr_html_()
