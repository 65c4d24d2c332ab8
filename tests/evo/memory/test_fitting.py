"""What does not fit is said before anything runs, with what would fit; nothing is counted where nothing could be too large."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import evo
from evo.memory import fitting
from evo.memory.counting import count_memory
from evo.memory.fitting import lines, proposal, too_large
from evo.memory.machine import Machine, format_memory, machine_of, parse_memory
from evo.memory.shapes import ImageShapes
from evo.memory.step import StepMemory
from evo.round.__main__ import main
from spaces.costs.table import cost_table
from spaces.library.named_spaces import load_space
from studies import config as settings
from studies.records import EvoError

STEP = StepMemory("training", 1_000, 64, 500.0, "evaluator.batch_size", "evaluator.accumulate")


@pytest.mark.parametrize(
    ("text", "size"),
    [("80GB", 80_000_000_000), ("24 GiB", 24 << 30), ("512mb", 512_000_000), ("1.5TB", 1_500_000_000_000)],
)
def test_memory_is_given_with_its_unit(text: str, size: int) -> None:
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["80", "GB", "-3GB", "0GB", "80 kB", "lots"])
def test_other_text_is_refused_in_words(text: str) -> None:
    with pytest.raises(EvoError, match="expected a number and a unit, such as 80GB"):
        parse_memory(text)


def test_sizes_are_read_at_a_glance() -> None:
    assert [format_memory(size) for size in (68.26e9, 12e6, 1500, 12)] == ["68.3 GB", "12 MB", "1.5 kB", "12 bytes"]


def test_the_memory_of_this_machine_is_known() -> None:
    machine = machine_of("cpu")
    assert machine is None or machine.memory > 1 << 28


def test_what_is_proposed_fits() -> None:
    machine = Machine("the device", 20_000)
    assert too_large([STEP], machine) == [STEP]
    assert "set evaluator.accumulate=2 (" in proposal(STEP, machine)
    assert "evaluator.batch_size=34" in proposal(STEP, machine)
    assert not too_large([STEP.with_pieces(2), STEP.with_images(34)], machine)
    assert too_large([STEP.with_images(35)], machine)


def test_pieces_that_would_be_too_small_are_not_proposed() -> None:
    said = proposal(STEP, Machine("the device", 5_000))
    assert "accumulate" not in said
    assert "evaluator.batch_size=7" in said
    assert "a device with more memory" in proposal(STEP, Machine("the device", 1_000))


def test_fewer_workers_are_proposed_where_one_would_fit() -> None:
    machine, workers = Machine("the device", 200_000), replace(STEP, processes=6)
    assert workers.total == 6 * STEP.total
    assert "6 processes of 33 kB" in lines([workers], machine)[0]
    assert proposal(workers, machine) == "start 5 processes (--workers)"
    assert not too_large([replace(STEP, processes=5)], machine)
    assert "evaluator.batch_size=34" in proposal(workers, Machine("the device", 20_000))  # one alone is too large


def test_a_plan_says_whether_it_fits() -> None:
    assert lines([STEP], Machine("the device", 10**9))[-1] == "all of it fits into the 1 GB of the device"
    assert "does not fit into the 20 kB of the device" in lines([STEP], Machine("the device", 20_000))[-1]
    assert len(lines([STEP], None)) == 1


def test_a_plan_for_another_machine(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    command = [
        "1",
        "--config",
        "digits",
        "--set",
        "ground_truth.sample=0",
        "--plan",
        "--storage",
        f"sqlite:///{tmp_path}/evo.db",
    ]
    assert main([*command, "--memory", "5MB", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["fits"] is False
    assert told["machine"]["memory"] == 5_000_000
    assert [step["name"] for step in told["memory"]] == ["training the supernet", "scoring", "delivery"]
    assert all(step["total"] > step["fixed"] > 0 for step in told["memory"])


def test_memory_and_json_are_for_plans(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["1", "--memory", "80GB"])
    assert "--memory and --json are for --plan" in capsys.readouterr().err


def test_a_run_that_does_not_fit_does_not_begin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(fitting, "machine_of", lambda device: Machine("the device", 12_000_000))
    with pytest.raises(EvoError, match=r"training the supernet takes .* set evaluator\.accumulate="):
        evo.search("digits", rounds=1, storage=f"sqlite:///{tmp_path}/evo.db", progress=False)
    assert not evo.runs(f"sqlite:///{tmp_path}/evo.db")["name"].tolist()


def test_nothing_is_counted_where_images_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "memory_of_run", lambda *_: pytest.fail("counted"))
    monkeypatch.setattr(fitting, "machine_of", lambda device: Machine("the device", 8 << 30))
    space = load_space("digits")
    assert fitting.check_start(settings.load_config("digits"), space, cost_table(space)) == []


def test_pieces_take_less() -> None:
    """A quarter of a batch takes a quarter of what the batch does, beside what is there all the time."""
    config, space = settings.load_config("digits", ["ground_truth.sample=0"]), load_space("digits")
    shapes = ImageShapes(train=256, validation=64, channels=1, size=8, classes=10)
    whole, cut = (
        count_memory(
            settings.change_config(config, [f"evaluator.accumulate={n}"], ""), space, cost_table(space), shapes
        )[0]
        for n in (1, 4)
    )
    assert whole.with_pieces(4).total == pytest.approx(cut.total, rel=0.1)
    assert replace(cut, pieces=1, images=64).total == pytest.approx(whole.total, rel=0.1)


def test_features_are_compared_for_whole_batches() -> None:
    changes = ["deliver.accumulate=2", "deliver.teacher=somewhere", "deliver.teacher_features=0.5"]
    with pytest.raises(settings.ConfigError, match=r"deliver\.accumulate is 2 and deliver\.teacher_features is 0\.5"):
        settings.load_config("digits", changes)
