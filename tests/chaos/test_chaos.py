"""A few strikes of every kind that is quick; ``make chaos`` does all of them, and often."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.chaos.__main__ import PAGE
from tests.chaos.faults import FAULTS
from tests.chaos.page import Outcome, written
from tests.chaos.stage import Stage

OFTEN = {
    "coordinator": 3,
    "raises": 1,
    "progress": 1,
    "lost-weights": 1,
    "page": 1,
    "no-database": 1,
    "full-recording": 1,
    "data": 1,
}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return Stage(tmp_path_factory.mktemp("chaos"), Random(1))


@pytest.mark.parametrize("name", OFTEN)
def test_a_fault_leaves_what_it_should(stage: Stage, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is killed at any moment may be killed while it publishes; elsewhere that would only take its time."""
    if name != "coordinator":
        monkeypatch.setattr("evo.round.dashboard.publish", lambda *_: None)
    assert len(list(FAULTS[name].strike(stage, OFTEN[name]))) == OFTEN[name]


def test_the_page_tells_of_every_fault_and_is_the_harness_own() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert all(f"| {name} | {fault.done} |" in page for name, fault in FAULTS.items())
    assert "**no" not in page
    bad = written(FAULTS, dict.fromkeys(FAULTS, Outcome(3, "a | b", "two differ")))
    assert "`a \\| b`" in bad
    assert "**no: two differ**" in bad


def test_a_strike_that_leaves_something_else_is_told(tmp_path: Path) -> None:
    """A harness that cannot fail proves nothing."""
    stage = Stage(tmp_path, Random(0), {"moody": ["another result"]})
    with pytest.raises(AssertionError, match="who failed depends on how"):
        next(FAULTS["raises"].strike(stage, 1))


def test_damage_is_damage(tmp_path: Path) -> None:
    from tests.chaos.faults import damage

    path = tmp_path / "file"
    for seed in range(50):
        path.write_bytes(bytes(range(100)))
        what = damage(path, Random(seed))
        found = path.read_bytes()
        assert len(found) < 100 if what == "cut" else len(found) == 100
        assert found != bytes(range(100))
