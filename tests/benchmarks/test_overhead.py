"""What a trial costs beside its evaluation: the figures come out, and storing by generations beats storing by trials."""

from __future__ import annotations

import pytest

from benchmarks.overhead import main, measure_overhead


def test_ours_and_plain_optuna_are_measured_in_one_run() -> None:
    table, factor = measure_overhead([60], "none")
    assert table.header == ("24 categoricals of 7 choices", "60")
    assert [row[0].strip() for row in table.rows] == [
        "ours, SQLite", "propose (SQLite)", "store (SQLite)", "plain Optuna, SQLite", "plain Optuna, in memory",
    ]  # fmt: skip
    assert factor > 3  # far from what is claimed, so that a busy machine does not fail it


def test_a_size_that_is_too_small_is_answered(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--sizes", "10"])
    assert "expected whole numbers from 60" in capsys.readouterr().err
