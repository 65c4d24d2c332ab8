"""The combination's benchmark: blocks as hard as they can be, and one answer for a budget and for the front."""

from __future__ import annotations

import pytest

from benchmarks.combination import main, synthetic_blocks


@pytest.mark.parametrize("shape", ["uniform", "convex", "uneven"])
def test_no_candidate_is_dominated(shape: str) -> None:
    for block in synthetic_blocks(shape, 0, 3, 200):
        order = block.costs.argsort()
        assert (block.losses[order][:-1] > block.losses[order][1:]).all()
        assert len(set(block.costs.tolist())) == 200


def test_it_checks_budgets_against_the_front(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "1", "--blocks", "3", "--candidates", "30"]) == 0
    assert "| convex |" in capsys.readouterr().out
