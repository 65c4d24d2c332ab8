"""How every command begins and ends: its options, its exit status, and what it prints where something goes wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from spaces import shell
from spaces.errors import SpaceError
from studies.records import EvoError
from tests.commands import main_of

ROOT = Path(__file__).resolve().parent.parent.parent
COMMANDS = (
    "evo.round",
    "evo.deliver",
    "evo.headroom",
    "evo.proxies",
    "analysis.report",
    "analysis.compare",
    "spaces.show",
    "spaces.latency",
    "studies.dashboard",
    "studies.runs",
)


def raises(error: BaseException) -> Callable[[Namespace], int]:
    def work(args: Namespace) -> int:
        raise error

    return work


def ended(work: Callable[[Namespace], int], *options: str, kept: str = "") -> int:
    return shell.run_command(work, shell.parser("x", "", "").parse_args(options), kept)


@pytest.mark.parametrize(
    "error", [EvoError("no run 'x'"), SpaceError("unknown space 'x'"), FileNotFoundError(2, "No such file", "x")]
)
def test_what_a_user_can_put_right_is_said_in_words(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(raises(error)) == 1
    assert capsys.readouterr().err == f"error: {error}\n"


def test_the_traceback_of_an_error_is_shown_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(raises(EvoError("no run 'x'")), "--traceback") == 1
    said = capsys.readouterr().err
    assert said.startswith("Traceback (most recent call last)")
    assert said.endswith("error: no run 'x'\n")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
            "error: there is not enough memory (CUDA out",
        ),
        (
            torch.AcceleratorError("CUDA error: unspecified launch failure\nmore"),
            "error: the device has failed (CUDA error: unspe",
        ),
        (
            RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
            "error: there is not enough memory (CUDA error: CUBLAS_STATUS_ALLOC_FAILED",
        ),
        (
            RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
            "error: the device has failed (cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
        ),
    ],
)
def test_what_a_device_raises_is_said_in_words(error: Exception, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(raises(error)) == 1
    said = capsys.readouterr().err
    assert said.startswith(told)
    assert said.count("\n") == 1
    assert ended(raises(error), "--traceback") == 1
    assert capsys.readouterr().err.startswith("Traceback")


def test_a_fault_of_the_program_is_shown_whole(capsys: pytest.CaptureFixture[str]) -> None:
    """A ValueError of ours is no user's mistake: without its traceback nobody could find it."""
    assert ended(raises(ValueError("operands could not be broadcast"))) == 1
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert "ValueError: operands could not be broadcast" in said
    assert said.splitlines()[-1] == f"error: {shell.FAULT}"


def test_an_interruption_says_what_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(raises(KeyboardInterrupt()), kept="all is kept") == 130
    assert capsys.readouterr().err == "\ninterrupted; all is kept\n"
    assert ended(raises(KeyboardInterrupt("rank 1 is lost")), kept="all is kept") == 1
    assert capsys.readouterr().err == "\nerror: rank 1 is lost; all is kept\n"


def test_the_status_of_the_work_is_that_of_the_command() -> None:
    assert ended(lambda args: 0) == 0
    assert ended(lambda args: 1) == 1


@pytest.mark.parametrize("text", ["0", "9", "-1", "two", "", "1.5", "²", "٣"])
def test_a_whole_number_outside_is_answered(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="expected a whole number from 1 to 8, found"):
        shell.integer(1, 8)(text)


def test_a_whole_number_is_read() -> None:
    assert [shell.integer(1, 8)(text) for text in ("1", "8")] == [1, 8]
    assert shell.integer(0)("1000000") == 10**6
    with pytest.raises(ArgumentTypeError, match="expected a whole number from 1 on, found '0'"):
        shell.integer(1)("0")


def test_an_options_earlier_name_is_taken_with_a_notice(capsys: pytest.CaptureFixture[str]) -> None:
    command = ArgumentParser()
    command.add_argument("--out", type=Path)
    command.add_argument("--svg", dest="out", type=Path, action=shell.Renamed)
    assert command.parse_args(["--svg", "a.svg"]).out == Path("a.svg")
    assert capsys.readouterr().err == "--svg is now --out; the next release will not accept --svg\n"
    assert command.parse_args(["--out", "a.svg"]).out == Path("a.svg")
    assert command.parse_args([]).out is None
    assert capsys.readouterr().err == ""
    assert "--svg" not in command.format_help()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_its_version_and_refuses_what_it_cannot_read(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main = main_of(name)
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    said = capsys.readouterr().out
    assert said == f"{shell.versions()}\n"
    assert "evo-nas " in said
    assert "torch " in said
    with pytest.raises(SystemExit) as stop:
        main(["--no-such-option"])
    assert stop.value.code == 2


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("evo.round", ["1", "--storage", "sqlite:///none/evo.db"]),
        ("evo.deliver", ["x", "--storage", "sqlite:///none.db"]),
        ("evo.headroom", ["--config", "none"]),
        ("evo.proxies", ["x", "--storage", "sqlite:///none.db"]),
        ("analysis.report", ["x", "--storage", "sqlite:///none.db"]),
        ("analysis.compare", ["x", "--storage", "sqlite:///none.db"]),
        ("spaces.show", ["x"]),
        ("spaces.latency", ["--space", "x", "--out", "x.csv"]),
        ("studies.dashboard", ["--storage", "sqlite:///none.db"]),
        ("studies.dashboard", ["sqlite:///none.db"]),
        ("studies.runs", ["show", "x", "--storage", "sqlite:///none.db"]),
    ],
)
def test_every_command_answers_a_mistake_with_1_and_shows_its_traceback_when_asked_to(
    name: str, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    main = main_of(name)
    assert main(words) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert main([*words, "--traceback"]) == 1
    assert "Traceback" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_output_that_finds_no_room_is_told() -> None:
    show = [sys.executable, "-m", "spaces.show", "digits"]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(show, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        "error: No space left on device: what was to be written is not complete; make room, or write to another place\n"
    )


def test_a_current_folder_that_is_gone_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert ended(lambda args: len(os.getcwd())) == 1
    assert capsys.readouterr().err.startswith(
        "error: the folder in which the command runs is not there any more: change"
    )


def test_a_reader_who_has_gone_is_no_error() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "spaces.show", "pad_nas_large"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()
    assert (process.returncode, said) == (0, "")
