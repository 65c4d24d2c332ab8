"""Ctrl-C, closed pipes, ends of input and terminals without UTF-8: every command ends in a line, without a traceback."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from argparse import Namespace
from pathlib import Path

import pytest

from spaces import _interrupts, shell
from spaces.errors import SpaceError
from studies.database.store import open_store
from studies.runs import __main__ as runs
from tests import example_run

ROOT = Path(__file__).resolve().parent.parent.parent


def command(*words: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", *words], cwd=ROOT, env=os.environ | environment, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


PRESS = """
import os, signal, sys

class Press:
    def find_spec(self, name, path=None, target=None):
        if name == os.environ.get("PRESS_AT"):
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Press())
"""
"""Ctrl-C when a module is about to be imported."""


@pytest.mark.parametrize("module", ["argparse", "sqlalchemy", "torch"])
def test_ctrl_c_while_a_command_is_imported_is_one_line(module: str, tmp_path: Path) -> None:
    """Before our first line Python itself answers: that takes some hundredths of a second."""
    (tmp_path / "sitecustomize.py").write_text(PRESS, encoding="utf-8")
    path = os.pathsep.join([str(tmp_path), str(ROOT), os.environ.get("PYTHONPATH", "")])
    words = ("evo.round", "1", "--storage", f"sqlite:///{tmp_path}/evo.db")
    with command(*words, PYTHONPATH=path, PRESS_AT=module) as process:
        _, said = process.communicate()
    assert process.returncode in (130, -signal.SIGINT)  # a shell calls both 130
    assert said.strip().startswith("interrupted")
    assert len(said.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("argv", "module", "ours"),
    [(["-m"], "evo.round", True), (["-m"], "pytest", False), (["x.py"], "evo.round", False)],
)
def test_only_our_own_commands_are_answered_for(
    argv: list[str], module: str, ours: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", argv)
    monkeypatch.setattr(sys, "orig_argv", ["python", "-u", "-m", module, "1"])
    assert _interrupts.starts_command() is ours


def test_ctrl_c_that_a_library_made_another_exception_of_is_ctrl_c(capsys: pytest.CaptureFixture[str]) -> None:
    def work(args: Namespace) -> int:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
        except KeyboardInterrupt:
            raise ImportError("numpy.core.multiarray failed to import") from None
        return 0

    before = signal.getsignal(signal.SIGINT)
    assert shell.run_command(work, Namespace(traceback=False), "all is kept") == 130
    assert capsys.readouterr().err == "\ninterrupted; all is kept\n"
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interruption_that_was_given_a_reason_is_told_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    """A lease that is lost wakes the main thread up as Ctrl-C does."""

    def work(args: Namespace) -> int:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
        except KeyboardInterrupt:
            raise SpaceError("the run was taken over") from None
        return 0

    assert shell.run_command(work, Namespace(traceback=False)) == 1
    assert capsys.readouterr().err == "error: the run was taken over\n"


def test_the_end_of_input_is_an_answer(capsys: pytest.CaptureFixture[str]) -> None:
    def work(args: Namespace) -> int:
        raise EOFError

    assert shell.run_command(work, Namespace(traceback=False)) == 1
    assert capsys.readouterr().err == "error: the input ended where an answer was expected\n"


def test_the_end_of_input_deletes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path}/evo.db"
    with open_store(url) as store:
        example_run.begin(store)
        terminal = io.StringIO("")
        monkeypatch.setattr(terminal, "isatty", lambda: True)
        monkeypatch.setattr(sys, "stdin", terminal)
        assert runs.main(["delete", "tiny", "--storage", url]) == 1
        assert capsys.readouterr().err.endswith("nothing was deleted\n")
        monkeypatch.setattr(sys, "stdin", None)
        assert runs.main(["delete", "tiny", "--storage", url]) == 1
        assert store.runs() == ["tiny"]


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["mobile_28"]])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_nobody_reads_what_a_command_prints(words: list[str], unbuffered: str) -> None:
    with command("spaces.show", *words, PYTHONUNBUFFERED=unbuffered) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()
    assert (process.returncode, said) == (0, "")


def test_a_full_disk_is_told_once() -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        said = subprocess.run(
            [sys.executable, "-m", "spaces.show", "digits"], cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True
        )
    told = "No space left on device: what was to be written is not complete; make room, or write to another place"
    assert (said.returncode, said.stderr) == (1, f"error: {told}\n")


def test_without_standard_streams_there_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert shell.run_command(lambda args: 0, Namespace(traceback=False)) == 0


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_terminal_gets_what_it_can_show(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding))
    assert shell.run_command(lambda args: print("Größe → 8² \udcff") or 0, Namespace(traceback=False)) == 0
    shown = raw.getvalue().decode(encoding)
    assert shown.startswith(
        {"ascii": r"Gr\xf6\xdfe \u2192 8\xb2", "latin-1": r"Größe \u2192 8²"}.get(encoding, "Größe → 8²")
    )
    assert shown.endswith("\\udcff\n")


def test_a_command_can_be_pasted() -> None:
    assert shell.command_line("analysis.report", "digits") == "python -m analysis.report digits"
    given = ["evo.deliver", "it's mine; rm -rf $HOME", "--storage", "sqlite:///my db?x=1&y=2"]
    echoed = subprocess.run(
        ["sh", "-c", shell.command_line(*given).replace("python -m", "printf '%s\\n'")], capture_output=True, text=True
    )
    assert echoed.stdout.splitlines() == given
