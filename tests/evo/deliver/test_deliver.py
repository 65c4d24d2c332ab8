"""``python -m evo.deliver``: the right network, in a folder that is whole, however often it was killed on the way."""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch

from evo.alone.selection import Criteria, select_network
from evo.console import Reporter
from evo.data.fingerprint import fingerprint, hash_images
from evo.data.loading import load_dataset
from evo.data.source import ImageSet
from evo.deliver.__main__ import main
from evo.deliver.manifest import create_or_verify, read_manifest, write_manifest
from evo.deliver.pipeline import deliver_run, train_in
from evo.deliver.session import training_settings
from spaces import load_network
from spaces.architecture import Architecture
from spaces.units import format_number
from studies.config import DataSection, check_config
from studies.database import deliveries
from studies.database.store import open_store
from studies.records import EvoError
from tests import example_run
from tests.evo.conftest import interrupted_at

WORK = ["--set", "deliver.epochs=20", "--set", "data.max_images=300", "--set", "deliver.drop_path=0.1"]
FILES = {"architecture.json", "model.safetensors", "model.py", "model.onnx", "model.pt2", "preprocess.py", "README.md"}
KILLS = 8


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run of two rounds on the digits whose results are made up."""
    url = f"sqlite:///{tmp_path_factory.mktemp('run')}/evo.db"
    with open_store(url) as store:
        example_run.two_rounds(store)
    return url


@pytest.fixture(scope="module")
def folder(storage: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A delivered network of that run."""
    folder = tmp_path_factory.mktemp("delivered") / "tiny"
    assert main(["tiny", "--storage", storage, "--out", str(folder), *WORK]) == 0
    return folder


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}


def test_the_folder_is_whole_and_says_what_the_network_can_do(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == FILES
    said = json.loads((folder / "architecture.json").read_text())
    assert said["arch"] == example_run.DEAR
    assert said["classes"] == [str(digit) for digit in range(10)]
    assert (said["provenance"]["run"], said["provenance"]["round"]) == ("tiny", 2)
    assert (said["provenance"]["judge"], said["provenance"]["judged_accuracy"]) == ("oneshot@2:abc", 0.9)
    assert said["training"]["images"] == 300  # all of them: the validation ones too
    network = load_network(folder)
    assert said["costs"]["params"] == sum(weight.numel() for weight in network.parameters())
    card = (folder / "README.md").read_text()
    assert f"{said['test']['accuracy']:.2%}" in card
    assert f"{said['latency']['ms']:.2f} ms" in card
    assert "from model import load" in card


def test_the_accuracy_is_that_of_the_test_images_from_0_to_1(folder: Path) -> None:
    """A second way to it: the pictures themselves, from scikit-learn."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = torch.tensor(bunch.images[5::6]).float().unsqueeze(1).mul(255 / 16).floor() / 255
    network = load_network(folder)
    with torch.no_grad():
        right = (network(images).argmax(1) == torch.tensor(bunch.target[5::6])).double().mean().item()
    test = read_manifest(folder)["test"]
    assert test["accuracy"] == pytest.approx(right, abs=1e-9)
    assert test["accuracy"] > 0.5
    assert test["low"] < test["accuracy"] < test["high"]
    assert test["images"] == 299


def test_saying_it_again_changes_nothing(folder: Path, storage: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(folder)
    assert main(["tiny", "--storage", storage, "--out", str(folder), *WORK]) == 0
    assert contents(folder) == before
    assert "nothing to do" in capsys.readouterr().out
    assert main(["tiny", "--storage", storage, "--out", str(folder), "--json", *WORK]) == 0
    assert json.loads(capsys.readouterr().out) == {"folder": str(folder), **read_manifest(folder)}
    with open_store(storage) as store:
        (row,) = [
            row for row in deliveries.deliveries_of(store, store.run("tiny")) if row.folder == str(folder.resolve())
        ]
    assert (row.round, row.arch, row.widths) == (2, example_run.DEAR, None)
    assert row.accuracy == read_manifest(folder)["test"]["accuracy"]


def test_every_file_has_the_permissions_of_a_new_one(folder: Path) -> None:
    (folder.parent / "new").touch()
    usual = (folder.parent / "new").stat().st_mode
    assert {path.stat().st_mode for path in folder.iterdir()} == {usual}


@pytest.mark.usefixtures("unexported")
def test_images_that_changed_since_the_search_are_not_taken_in_silence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Labels were corrected after the search: the command asks, and goes on when its user says so."""
    rng, labels = np.random.default_rng(0), np.arange(60) % 10
    parts = {
        "x_train": rng.integers(0, 256, (60, 8, 8), np.uint8),
        "x_test": rng.integers(0, 256, (20, 8, 8), np.uint8),
    }
    np.savez(tmp_path / "a.npz", y_train=labels, y_test=labels[:20], **parts)
    data = {"name": "arrays", "path": str(tmp_path / "a.npz")}
    config = check_config(example_run.CONFIG | {"data": data, "deliver": {"epochs": 1}}, "test")
    storage, out = f"sqlite:///{tmp_path}/evo.db", tmp_path / "net"
    with open_store(storage) as store:
        run = store.create_run("tiny", config, example_run.FIRST, 100.0, {}, fingerprint(config))
        for n in (1, 2):
            example_run.finish(store, example_run.search(store, run, n))
    np.savez(tmp_path / "a.npz", y_train=labels[::-1], y_test=labels[:20], **parts)
    command = ["tiny", "--storage", storage, "--out", str(out)]
    assert main(command) == 1
    assert "run 'tiny' was begun on data with the fingerprint" in capsys.readouterr().err
    assert not out.exists()
    assert main([*command, "--accept-data-change"]) == 0
    assert read_manifest(out)["data_sha256"] == hash_images(config.data)


def test_a_folder_of_release_0_1_is_taken_on(folder: Path, storage: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Its settings had other names."""
    training = read_manifest(folder)["training"]
    old = {"warmup_fraction": "warmup", "max_images": "limit", "validation_fraction": "held_out"}
    for name in ("settings", "data"):
        training[name] = {old.get(key, key): value for key, value in training[name].items()}
    now = (folder / "architecture.json").read_text()
    later = ("data_sha256", "resize")
    write_manifest(folder, {k: v for k, v in read_manifest(folder).items() if k not in later} | {"training": training})
    (folder / "preprocess.py").unlink()
    assert '"warmup"' in (folder / "architecture.json").read_text()
    assert main(["tiny", "--storage", storage, "--out", str(folder), *WORK]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert not (folder / "preprocess.py").exists()
    (folder / "architecture.json").write_text(now)
    assert main(["tiny", "--storage", storage, "--out", str(folder), *WORK]) == 0
    assert (folder / "preprocess.py").exists()


def test_killed_at_any_moment_it_ends_with_the_same_weights(folder: Path, storage: str, tmp_path: Path) -> None:
    rough, rng = tmp_path / "rough", Random(0)
    work = ["tiny", "--storage", storage, "--out", str(rough), *WORK]
    kills = sum(killed_after(rng.uniform(0.1, 0.7), work) for _ in range(KILLS))
    assert kills >= KILLS - 2  # the machine may be quick
    assert main(work) == 0
    assert {path.name for path in rough.iterdir()} == FILES
    for name in ("model.safetensors", "model.py"):
        assert (rough / name).read_bytes() == (folder / name).read_bytes()
    ours, theirs = read_manifest(rough), read_manifest(folder)
    assert ours["test"] == theirs["test"]


def killed_after(seconds: float, work: list[str]) -> bool:
    """Work in a process of its own, killed after some time; whether it was still alive then."""
    child = os.fork()
    if child == 0:
        os._exit(main([*work, "--json"]))
    time.sleep(seconds)
    finished, _ = os.waitpid(child, os.WNOHANG)
    if finished:
        return False
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


TAUGHT = ["--set", "deliver.epochs=5", "--set", "data.max_images=300", "--set", "deliver.teacher_share=0.7"]


@pytest.mark.usefixtures("unexported")
def test_a_network_that_is_taught_says_by_whom_and_ends_with_the_same_bits_when_it_was_interrupted(
    folder: Path, storage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher, wish, overrides = f"deliver.teacher={folder}", Criteria({"macs": 39}), [*TAUGHT[1::2]]
    for name, stops in (("whole", ()), ("rough", (3, 11))):  # of 20 steps, 4 an epoch
        for stop in stops:
            with pytest.raises(KeyboardInterrupt):
                deliver_run(
                    "tiny", storage, wish, tmp_path / name, [*overrides, teacher], Reporter(track=interrupted_at(stop))
                )
        deliver_run("tiny", storage, wish, tmp_path / name, [*overrides, teacher])
    files = [tmp_path / name / "model.safetensors" for name in ("whole", "rough")]
    assert files[0].read_bytes() == files[1].read_bytes()
    said = read_manifest(tmp_path / "whole")
    assert said["teacher"] == {
        "name": str(folder),
        "sha256": sha256((folder / "model.safetensors").read_bytes()).hexdigest(),
        "arch": example_run.DEAR,
        "macs": read_manifest(folder)["costs"]["macs"],
    }
    macs, digest = format_number(said["teacher"]["macs"]), said["teacher"]["sha256"][:12]
    clause = f"distilled from `{folder}` ({macs} MACs, sha256 `{digest}`): its probabilities are 70% of each target"
    assert clause in (tmp_path / "whole" / "README.md").read_text()
    untaught = ["tiny", "--storage", storage, "--max-macs", "39", *TAUGHT, "--out"]
    assert main([*untaught, str(tmp_path / "whole")]) == 1
    assert "holds another network, with other training, teacher:" in capsys.readouterr().err
    assert main([*untaught, str(tmp_path / "alone")]) == 0
    assert (tmp_path / "alone" / "model.safetensors").read_bytes() != files[0].read_bytes()
    assert "distilled" not in (tmp_path / "alone" / "README.md").read_text()


def test_a_teacher_that_is_missing_is_told_before_anything_is_made(
    storage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["tiny", "--storage", storage, "--out", str(tmp_path / "new"), *WORK]
    assert main([*words, "--set", f"deliver.teacher={tmp_path}/gone"]) == 1
    assert "deliver.teacher is '" in capsys.readouterr().err
    assert main([*words, "--set", "deliver.teacher=whole"]) == 1
    assert (
        "deliver.teacher is 'whole', the network that a run of evaluator 'cuts' has fine-tuned"
        in capsys.readouterr().err
    )
    assert not (tmp_path / "new").exists()


@pytest.mark.usefixtures("unexported")
def test_a_run_without_trained_weights_is_trained_from_scratch_anyway(
    folder: Path, storage: str, tmp_path: Path
) -> None:
    before = contents(folder)
    assert main(["tiny", "--storage", storage, "--out", str(folder), *WORK, "--from-scratch"]) == 0
    assert contents(folder) == before


@pytest.mark.usefixtures("unexported")
def test_a_folder_from_before_there_were_teachers_is_taken_on(folder: Path, storage: str) -> None:
    said = json.loads((folder / "architecture.json").read_text())
    now = (folder / "architecture.json").read_text()
    for name in ("teacher", "teacher_share", "teacher_features"):
        del said["training"]["settings"][name]
    write_manifest(folder, said)
    before = contents(folder)
    assert main(["tiny", "--storage", storage, "--out", str(folder), *WORK]) == 0
    assert contents(folder) == before
    (folder / "architecture.json").write_text(now)


def test_test_images_do_not_train(folder: Path, storage: str, tmp_path: Path) -> None:
    """With other test images the weights are the same."""
    said = {name: value for name, value in read_manifest(folder).items() if name not in ("test", "latency", "versions")}
    write_manifest(tmp_path, said)
    with open_store(storage) as store:
        config = training_settings(store.run("tiny"), [word for word in WORK if word != "--set"])
    images = load_dataset(DataSection(name="digits", max_images=300))
    assert isinstance(images.test, ImageSet)
    noise = ImageSet(torch.randn_like(images.test.x), images.test.y)
    train_in(tmp_path, config, replace(images, test=noise), lambda label, total: _unseen())
    assert (tmp_path / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()


def _unseen() -> Any:
    from evo.console import untracked

    return untracked("", 0)


@pytest.mark.parametrize(
    ("wish", "arch"),
    [
        (Criteria({}), example_run.DEAR),
        (Criteria({"macs": 39}), example_run.CHEAP),
        (Criteria({"params": 15}), example_run.FREE),
        (Criteria({}, knee=True), example_run.CHEAP),  # .3, .6, .9 at 5, 10, 40 MACs: log2 0, 1, 3
        (Criteria({"macs": 10}, knee=True), example_run.CHEAP),
        (Criteria({}, arch=Architecture.parse("mb_k7_e3|mb_k3_e1")), "mb_k7_e3|mb_k3_e1"),  # dropped after round 1
    ],
)
def test_the_network_is_picked_from_the_last_front(storage: str, wish: Criteria, arch: str) -> None:
    with open_store(storage) as store:
        picked = select_network(store, store.run("tiny"), wish)
    assert (str(picked.arch), picked.round) == (arch, 2)
    assert picked.arch in picked.space


def test_a_run_without_a_finished_round_has_nothing_to_pick_from(tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path}/evo.db") as store:
        run = example_run.begin(store)
        with pytest.raises(EvoError, match=r"no finished round to pick from; run: python -m evo.round 1 --run tiny"):
            select_network(store, run, Criteria({}))


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["--max-macs", "4"], "no network of the front has at most 4 macs: they begin at 5 macs"),
        (["--max-latency-ms", "8"], "latency_ms of .* is not known: give a latency table"),
        (["--arch", "mb_k9_e3|mb_k3_e1"], "stage1.layer1 of 'tiny' cannot be 'mb_k9_e3'; its candidates: "),
        (["--arch", "id||id"], "gene 2 of 'id||id' is empty"),
        (["--scale-to", "900"], "900 MACs are too few: .* at its narrowest"),
        (
            ["--set", "search.evaluations=5"],
            "those of deliver and data, device, precision and threads may be changed here",
        ),
        (["--set", "deliver.epoch=5"], "unknown key 'deliver.epoch' .* allowed there: .*epochs"),
        (["--set", "data.size=16"], "the images are 1 x 16 x 16 in 10 classes, and 'tiny' is made for 1 x 8 x 8 in 10"),
        (["--out", "OCCUPIED"], "exists and is not a delivered network: choose another folder"),
        (["--out", "DELIVERED", "--knee"], "holds another network, with other arch, .*give another folder with --out"),
    ],
)
def test_what_cannot_be_is_answered_and_leaves_nothing(
    words: list[str], answer: str, storage: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "occupied").mkdir()
    (tmp_path / "occupied" / "thesis.tex").touch()
    out = {"OCCUPIED": str(tmp_path / "occupied"), "DELIVERED": str(folder)}
    words = [out.get(word, word) for word in words]
    where = [] if "--out" in words else ["--out", str(tmp_path / "new")]
    before = contents(folder)
    assert main(["tiny", "--storage", storage, *WORK, *where, *words]) == 1
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    import re

    assert re.search(answer, said.err), said.err
    assert contents(folder) == before
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "words", [["--max-macs", "many"], ["--arch", "a|b", "--knee"], ["--arch", "a", "--max-macs", "5M"]]
)
def test_words_that_make_no_sense_are_answered(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["tiny", *words])
    assert stop.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_a_database_or_a_run_that_is_not_there_is_answered(
    storage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tiny", "--storage", f"sqlite:///{tmp_path}/none.db"]) == 1
    assert "no database" in capsys.readouterr().err
    assert main(["tine", "--storage", storage]) == 1
    assert "no run 'tine' in this database; runs: tiny" in capsys.readouterr().err


def test_a_folder_is_continued_on_the_device_that_it_was_begun_on(tmp_path: Path) -> None:
    """Another GPU gives other bits; folders of earlier versions say only that it was one."""
    first, other = ({"arch": "a", "training": {"device": f"GPU {name}, CUDA 13.0"}} for name in "AB")
    create_or_verify(tmp_path / "net", first)
    create_or_verify(tmp_path / "net", first)
    with pytest.raises(EvoError, match="holds another network, with other training"):
        create_or_verify(tmp_path / "net", other)
    write_manifest(tmp_path / "net", {"arch": "a", "training": {"device": "cuda"}})
    create_or_verify(tmp_path / "net", other)
    with pytest.raises(EvoError, match="holds another network, with other training"):
        create_or_verify(tmp_path / "net", {"arch": "a", "training": {"device": "cpu"}})
