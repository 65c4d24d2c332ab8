"""A run by a user's own operation, evaluator and data set, which are three of the examples."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.stage import State, state_at
from tests.conftest import ROOT

PLUGINS = ("01_own_operation", "02_own_evaluator", "03_own_data_set")

SETTINGS = (
    "data={ name = 'narrow_digits', cut = 1 }", "space.add_operations=['sep_k3']", "ground_truth.sample=0",
    "evaluator={ kind = 'activations', images = 8 }", "evolution={ method = 'pad_nas' }", "search.evaluations=16",
    "search.population=4", "search.surrogate=false",
)  # fmt: skip


def command(folder: Path, *words: str) -> list[str]:
    """The words for ``python -m evo.round`` that bring such a run to the end of round 1."""
    plugins = [word for name in PLUGINS for word in ("--plugin", str(ROOT / "examples" / f"{name}.py"))]
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    return ["1", "--quiet", "--storage", storage(folder), *plugins, *settings, *words]


def storage(folder: Path) -> str:
    return f"sqlite:///{folder}/evo.db"


def state(folder: Path) -> State:
    """All that may not differ, of a run that has used the user's own code."""
    found = state_at(storage(folder))
    assert {judge for _, _, _, judge, *_ in found[0]} == {"activations:8"}
    assert any("sep_k3" in arch for _, _, arch, *_ in found[0])
    return found
