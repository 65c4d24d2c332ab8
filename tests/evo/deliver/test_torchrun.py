"""torchrun's processes train what is delivered together: one folder comes of it, however often they were killed."""

from __future__ import annotations

import json
import os
import signal
import time
from functools import partial
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from torch import Tensor

from evo.alone import trainer
from evo.data.loading import load_dataset
from evo.data.source import ImageSet, Source
from evo.deliver.__main__ import main
from evo.deliver.session import open_run
from evo.training.loop import DivergedError, Schedule, train
from evo.workers.ranks import ProcessGroup, current_group
from spaces.networks.network import Network
from studies.config import DataSection, StudyConfig, check_config
from studies.database import deliveries
from studies.database.store import open_store
from studies.records import EvoError
from tests import example_run
from tests.evo.workers.processes import LIMIT, commanded, ended, led

WORK = ["--set", "deliver.epochs=4", "--set", "data.max_images=160", "--set", "deliver.drop_path=0.1"]
WORK += ["--set", "deliver.mixup=0.2", "--finalists", "2"]
FILES = {"architecture.json", "model.safetensors", "model.py", "model.onnx", "model.pt2", "preprocess.py", "README.md"}
DIGITS = DataSection(name="digits", max_images=180)


def begun(folder: Path) -> list[str]:
    """The words of a command that delivers a network of a run of two rounds, whose results are made up."""
    folder.mkdir()
    storage = f"sqlite:///{folder}/evo.db"
    with open_store(storage) as store:
        example_run.two_rounds(store)
    return ["tiny", "--storage", storage, "--out", str(folder / "net"), *WORK]


def delivered(folder: Path, words: list[str]) -> tuple[set[str], str, list[Any], list[str]]:
    """What a command leaves: its files, the sha256 of the weights, what was trained before, the rows of the database."""
    assert list(map(ended, commanded(folder, main, words))) == [0, 0], (folder / "said").read_text()
    files = {path.name for path in (folder / "net").iterdir()}
    said = json.loads((folder / "net" / "architecture.json").read_text())
    with open_store(words[2]) as store:
        rows = [row.sha256 for row in deliveries.deliveries_of(store, store.run("tiny"))]
    weights = sha256((folder / "net" / "model.safetensors").read_bytes()).hexdigest()
    return files, weights, said["finalists"]["networks"], rows


def killed(folder: Path, words: list[str], rank: int, progress: str) -> str:
    """What a command says of which one process is killed when an epoch is kept in a file like ``progress``."""
    (folder / "said").unlink(missing_ok=True)
    both = commanded(folder, main, words)
    deadline = time.monotonic() + LIMIT
    while not list(folder.glob(progress)):
        assert time.monotonic() < deadline
        assert [os.waitpid(child, os.WNOHANG) for child in both] == [(0, 0)] * 2, (folder / "said").read_text()
        time.sleep(0.002)
    os.kill(both[rank], signal.SIGKILL)
    codes = list(map(ended, both))
    assert (codes[rank], codes[1 - rank]) == (-signal.SIGKILL, 1)
    return (folder / "said").read_text()


@pytest.mark.usefixtures("unexported")
def test_a_delivery_that_was_killed_ends_with_the_same_bits(tmp_path: Path) -> None:
    """A finalist's training loses the helping process, the last one that which leads."""
    words = begun(tmp_path / "calm")
    calm = delivered(tmp_path / "calm", words)
    assert calm[0] == FILES
    assert calm[3] == [calm[1]]

    again = begun(tmp_path / "killed")
    said = killed(tmp_path / "killed", again, 1, "evo_files/tiny/trainings/*.progress")
    assert "processes broke off their work together" in said
    assert "whole epochs are kept; the same command continues" in said
    assert "Traceback" not in said
    killed(tmp_path / "killed", again, 0, "net/training.progress")
    assert delivered(tmp_path / "killed", again) == calm


# -- what the processes have in common --------------------------------------------------------------------------------


def network() -> Network:
    torch.manual_seed(0)
    return Network(example_run.SECOND.sample(Random(0)), example_run.SECOND)


def without_end(output: Tensor, target: Tensor) -> Tensor:
    return output.sum() * float("inf")


def total_of(source: Source, _: ProcessGroup) -> None:
    """Leaves what a rank was sent."""
    assert isinstance(source, ImageSet)
    torch.distributed.all_reduce(total := source.x.double().sum())
    TOTALS.append((len(source), total.item()))


TOTALS: list[tuple[int, float]] = []


def test_a_training_that_diverges_is_a_result_and_no_process_ends(tmp_path: Path) -> None:
    def work() -> None:
        for _ in range(2):
            with pytest.raises(DivergedError, match="the loss is"):
                train(
                    network(), load_dataset(DIGITS).train, Schedule(1, 32, 0.1), seed=0, loss=without_end,
                    group=current_group(),
                )  # fmt: skip
        (tmp_path / "done").touch()

    assert led(work) == [0, 0]
    assert (tmp_path / "done").exists()


def test_of_joined_images_the_name_of_the_data_set_is_sent(tmp_path: Path) -> None:
    images = load_dataset(DIGITS)
    both = images.train.joined_with(images.validation)
    assert isinstance(both, ImageSet)
    wanted = (len(both), 2 * both.x.double().sum().item())

    def work() -> None:
        current_group().run_on_all_ranks(partial(total_of, both))
        torch.save((both.__reduce_ex__(2), TOTALS[0]), tmp_path / "found")

    assert led(work) == [0, 0]
    (_, (origin,)), found = torch.load(tmp_path / "found", weights_only=False)
    assert (origin.first.part, origin.second.part) == ("train", "validation")
    assert found == wanted


def unreadable_on_others(group: ProcessGroup) -> None:
    if group.rank:
        raise EvoError("photos/a.png cannot be read: put it back")
    torch.distributed.barrier()


def out_of_memory_on_others(group: ProcessGroup) -> None:
    if group.rank:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    torch.distributed.barrier()


@pytest.mark.parametrize(
    ("work", "told"),
    [
        (unreadable_on_others, "error: photos/a.png cannot be read: put it back (on rank 1)\n"),
        (out_of_memory_on_others, "error: there is not enough memory (CUDA out of memory. Tried to allocate 2.00 GiB)"),
    ],
)
def test_an_error_is_told_in_words_by_whatever_process_it_stops(
    work: Any, told: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert led(lambda: current_group().run_on_all_ranks(work)) == [1, 1]
    said = capfd.readouterr().err
    assert told in said
    assert "(on rank 1)" in said
    assert "Traceback" not in said


# -- what is refused --------------------------------------------------------------------------------------------------


def test_a_script_under_torchrun_does_not_deliver_in_each_of_its_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = begun(tmp_path / "run")
    monkeypatch.setenv("WORLD_SIZE", "2")
    refused = pytest.raises(EvoError, match=r"torchrun has started 2 processes.*torchrun \.\.\. -m evo.deliver")
    with refused, open_run("tiny", words[2]):
        pass


def test_features_are_compared_over_whole_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    def settings(**deliver: Any) -> StudyConfig:
        return check_config(example_run.CONFIG | {"deliver": deliver}, "test")

    monkeypatch.setattr(trainer, "current_group", lambda: ProcessGroup(0, 2))
    assert trainer.group_of(settings(teacher="a")).size == 2
    with pytest.raises(EvoError, match="torchrun has started 2 processes, each of which has a part: start one process"):
        trainer.group_of(settings(teacher="a", teacher_features=1.0))
