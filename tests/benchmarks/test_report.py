"""Made-up runs are runs, and a report of one is timed whole."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from analysis.frames import load
from benchmarks import dashboard
from benchmarks.report import main
from benchmarks.synthetic import fill
from studies.database.store import open_store


def test_a_made_up_run_is_one_that_can_be_reported(tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path / 'evo.db'}") as store:
        frames = load(store, fill(store, rounds=2, trials=30))
    assert [(row.proposals, row.measured, row.kept) for row in frames.rounds] == [(30, 30, 168)] * 2
    assert frames.rounds[-1].hypervolume > 0.2


def test_a_report_is_timed_with_its_imports(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--evaluations", "100"]) == 0
    assert re.search(r"\| 100 \| [\d.]+ \| [\d.]+ \| 5\.\d \| 0\.\d+ \|", capsys.readouterr().out)


def test_the_dashboard_is_not_measured_without_a_browser(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    assert dashboard.main([]) == 1
    assert "needs chromium" in capsys.readouterr().err
