"""``deliver.formats``: the forms of a delivered network, written, run, measured, listed, or left out with a reason."""

from __future__ import annotations

from pathlib import Path
from shutil import copytree

import pytest

from evo import verify_folder
from evo.deliver.__main__ import main
from evo.deliver.manifest import read_manifest, write_manifest
from evo.deliver.model_card import files_of
from evo.deliver.seal import digest_of, is_sealed, written
from spaces.export import device_formats
from spaces.export.format_table import FORMATS, Package
from studies.database.store import open_store
from tests import example_run

WORK = ["--set", "deliver.epochs=3", "--set", "data.max_images=300"]
UNMEASURED = ("images", "latency")


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run of two rounds on the digits whose results are made up."""
    url = f"sqlite:///{tmp_path_factory.mktemp('run')}/evo.db"
    with open_store(url) as store:
        example_run.two_rounds(store)
    return url


@pytest.fixture(scope="module")
def delivered(storage: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of that run in the usual forms."""
    folder = tmp_path_factory.mktemp("delivered") / "tiny"
    assert main(["tiny", "--storage", storage, "--out", str(folder), *WORK]) == 0
    return folder


@pytest.fixture
def folder(delivered: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(copytree(delivered, tmp_path / "tiny"))


def deliver(folder: Path, storage: str, *words: str) -> int:
    return main(["tiny", "--storage", storage, "--out", str(folder), *WORK, *words])


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def packages_here(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Of the packages of forms, these are installed."""
    monkeypatch.setattr(Package, "is_here", property(lambda package: package.pip in names))


def converted(monkeypatch: pytest.MonkeyPatch, name: str, error: Exception | None = None) -> None:
    """A converter that writes the files of a form, or fails."""

    def write(network: object, example: object, draft: Path, classes: object) -> None:
        if error is not None:
            raise error
        for file in FORMATS[name].files:
            (draft / file).parent.mkdir(parents=True, exist_ok=True)
            (draft / file).write_bytes(b"converted")

    monkeypatch.setitem(device_formats.WRITERS, name, write)


def test_the_usual_forms_are_run_and_listed(delivered: Path) -> None:
    said, card = read_manifest(delivered), (delivered / "README.md").read_text()
    assert "formats" not in said
    assert list(said["forms"]) == ["onnx", "pt2"]
    for name, form in said["forms"].items():
        assert form["bytes"] == (delivered / f"model.{name}").stat().st_size
        assert form["accuracy"] == pytest.approx(said["test"]["accuracy"], abs=1 / 299)
        assert form["distance"] < 1e-4
        assert form["latency"]["ms"] > 0
        assert f"| `model.{name}`, {form['bytes']:,} bytes | {form['runtime']} |" in card


def test_a_form_that_is_asked_for_later_is_all_that_is_written(
    folder: Path, storage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("openvino")
    before = contents(folder)
    assert deliver(folder, storage, "--formats", "onnx,openvino") == 0
    assert "adding openvino to the network" in capsys.readouterr().out
    after = contents(folder)
    assert {name for name in after if after[name] != before.get(name)} == {
        "model.xml", "model.bin", "README.md", "architecture.json"
    }  # fmt: skip
    said = read_manifest(folder)
    assert said["formats"] == ["onnx", "pt2", "openvino"]
    assert said["forms"]["openvino"]["accuracy"] == pytest.approx(said["test"]["accuracy"], abs=1 / 299)
    assert "| `model.xml`, " in (folder / "README.md").read_text()
    found = verify_folder(folder, skip=UNMEASURED)
    assert {one.check: one.status for one in found.findings}["model.xml"] == "same"
    assert found.same
    for words in ([], ["--formats", "openvino"]):
        assert deliver(folder, storage, *words) == 0
        assert contents(folder) == after
    assert "nothing to do" in capsys.readouterr().out
    weights = (folder / "model.bin").read_bytes()
    (folder / "model.bin").write_bytes(weights[:-2] + bytes([weights[-2] ^ 255, weights[-1] ^ 255]))
    differing = [one.check for one in verify_folder(folder, skip=UNMEASURED).findings if one.status == "differs"]
    assert differing == ["files", "model.xml"]


def test_what_is_not_installed_is_left_out_with_a_reason_until_it_is(
    folder: Path, storage: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    packages_here(monkeypatch)
    assert deliver(folder, storage, "--formats", "litert,coreml") == 0
    reason = "litert-torch is not installed: pip install litert-torch"
    assert f"left out  model.tflite: {reason}" in capsys.readouterr().out
    assert f"- `model.tflite`: {reason}\n" in (folder / "README.md").read_text()
    assert "from model import load" in (folder / "README.md").read_text()
    assert written(folder)["left_out"]["model.tflite"] == reason
    assert verify_folder(folder, skip=UNMEASURED).same
    before = contents(folder)
    assert deliver(folder, storage, "--formats", "litert") == 0
    assert contents(folder) == before
    packages_here(monkeypatch, "litert-torch")  # and not what runs the file
    converted(monkeypatch, "litert")
    assert deliver(folder, storage) == 0
    assert not (folder / "model.tflite").exists()  # nobody asked for it
    assert deliver(folder, storage, "--formats", "litert") == 0
    said = written(folder)
    assert list(said["left_out"]) == ["model.mlpackage/Manifest.json"]
    assert said["forms"]["litert"] == {
        "bytes": 9, "not_run": "ai-edge-litert is not installed: pip install ai-edge-litert"
    }  # fmt: skip
    assert "model.tflite" in files_of(said)
    assert said["sha256"] == digest_of(said)
    found = {one.check: one.status for one in verify_folder(folder, skip=UNMEASURED).findings}
    assert found["model.tflite"] == "not checked"


def test_a_core_ml_package_is_written_and_said_not_to_have_been_run(
    folder: Path, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    packages_here(monkeypatch, "coremltools")
    converted(monkeypatch, "coreml")
    assert deliver(folder, storage, "--formats", "coreml") == 0
    card = (folder / "README.md").read_text()
    assert "| `model.mlpackage`, 27 bytes | was not run: it runs on Apple's systems only |" in card
    assert verify_folder(folder, skip=UNMEASURED).same
    lost = folder / FORMATS["coreml"].files[-1]
    lost.unlink()
    assert not verify_folder(folder, skip=UNMEASURED).same
    assert deliver(folder, storage) == 0
    assert lost.exists()
    assert verify_folder(folder, skip=UNMEASURED).same


def test_a_converter_that_fails_is_tried_again_when_it_is_another_version(
    folder: Path, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages_here(monkeypatch, "executorch")
    monkeypatch.setattr(Package, "installed", property(lambda package: f"{package.pip} 1"))
    converted(monkeypatch, "executorch", RuntimeError("no such operator\nat line 3"))
    assert deliver(folder, storage, "--formats", "executorch") == 0
    assert written(folder)["left_out"] == {"model.pte": "executorch 1 cannot write it: no such operator"}
    before = contents(folder)
    assert deliver(folder, storage, "--formats", "executorch") == 0
    assert contents(folder) == before
    monkeypatch.setattr(Package, "installed", property(lambda package: f"{package.pip} 2"))
    assert deliver(folder, storage, "--formats", "executorch") == 0
    assert written(folder)["left_out"] == {"model.pte": "executorch 2 cannot write it: no such operator"}


@pytest.mark.usefixtures("unexported")
def test_fewer_forms_may_be_asked_for_and_train_the_same_network(delivered: Path, storage: str, tmp_path: Path) -> None:
    few = tmp_path / "few"
    assert deliver(few, storage, "--set", "deliver.formats=[]") == 0
    assert {path.name for path in few.iterdir()} == {
        "architecture.json", "model.safetensors", "model.py", "preprocess.py", "README.md"
    }  # fmt: skip
    assert (few / "model.safetensors").read_bytes() == (delivered / "model.safetensors").read_bytes()
    assert written(few)["training"] == written(delivered)["training"]
    assert "onnx" not in (few / "README.md").read_text()
    assert deliver(few, storage, "--formats", "pt2") == 0
    assert written(few)["formats"] == ["pt2"]
    assert is_sealed(few)


def test_a_folder_of_an_earlier_version_is_taken_on_as_it_is(folder: Path, storage: str) -> None:
    """It measured no forms."""
    said = {name: value for name, value in written(folder).items() if name not in ("forms", "sha256")}
    write_manifest(folder, said | {"sha256": digest_of(said)})
    before = contents(folder)
    assert deliver(folder, storage) == 0
    assert contents(folder) == before
    assert verify_folder(folder, skip=UNMEASURED).same


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["--formats", "onnx,tf"], "of onnx, pt2, openvino, litert, executorch, coreml, int8, and found 'tf'"),
        (["--formats", "onnx", "--against", "uniform"], "leave out --formats"),
    ],
)
def test_a_form_that_cannot_be_asked_for_is_told(
    words: list[str], answer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["tiny", *words])
    assert answer in capsys.readouterr().err


def test_in_8_bits_the_file_is_measured_and_says_what_became_of_its_layers(folder: Path, storage: str) -> None:
    before = contents(folder)
    assert deliver(folder, storage, "--formats", "int8", "--set", "deliver.int8_changed=1") == 0
    after = contents(folder)
    assert after.keys() - before.keys() == {"model.int8.onnx"}
    assert {name for name in before if after[name] != before[name]} == {"architecture.json", "README.md"}
    said = read_manifest(folder)
    assert (said["int8"]["in_float"], said["int8"]["checked"], said["int8"]["most"]) == ([], 120, 1)
    assert said["forms"]["int8"]["distance"] > said["forms"]["onnx"]["distance"]
    card = (folder / "README.md").read_text()
    assert f"In 8 bits: all {said['int8']['layers']} layers." in card
    assert "| `model.int8.onnx`" in card
    assert verify_folder(folder, skip=UNMEASURED).same
    (folder / "model.onnx").replace(folder / "model.int8.onnx")  # another file that runs
    assert not verify_folder(folder, skip=UNMEASURED).same


def test_in_8_bits_without_the_form_that_it_is_made_of(storage: str, tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    assert deliver(folder, storage, "--formats", "int8", "--set", "deliver.int8_changed=0") == 0
    assert not (folder / "model.onnx").exists()
    said = read_manifest(folder)
    assert said["int8"]["changed"] == 0
    assert len(said["int8"]["in_float"]) <= said["int8"]["layers"]
