"""NSE from the outside: what a round begins with, what it says of its guard band, and how a run is continued."""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from pathlib import Path
from random import Random
from typing import Any

import pytest

import evo
from analysis.comparison import compare
from analysis.frames import choices, load
from analysis.page import render
from evo.round.__main__ import main
from evo.round.context import RoundContext, fit_context, open_round, run_context
from evo.round.options import RunOptions
from evo.round.plan import make_plan
from evo.round.printing import round_front
from evo.round.survivors import surviving_front
from evo.workers.executors import map_inline
from spaces.costs.table import CostTable
from spaces.space import SearchSpace
from studies.config import check_config
from studies.database.rows import StoredRun
from studies.database.store import Store, open_store
from studies.database.urls import files_folder
from studies.records import Evaluation
from tests.evo.conftest import made_up

pytestmark = pytest.mark.usefixtures("unpublished")

SETTINGS: dict[str, Any] = {
    "space": {"name": "digits"},
    "data": {"name": "digits", "max_images": 240, "validation_fraction": 0.35},
    "search": {"evaluations": 40, "population": 2, "surrogate": False, "objective": "likelihood"},
    "limits": {"macs": [1.5e5, 4.5e5]},
    "evaluator": {
        "kind": "oneshot",
        "sampling": "branches",
        "inherit": False,
        "epochs": 2,
        "gates": {"cost_target": 3e5, "learning_rate": 0.02, "drop_below": -0.03},
    },
    "evolution": {"method": "nse", "k": 3, "samples": 24, "guard_samples": 3},
}
"""Gates drop what two steps of Adam have moved down."""

SMALL = (
    "data.max_images=240",
    "evaluator.epochs=1",
    "search.evaluations=12",
    "search.population=4",
    "evolution.samples=4",
)
"""Settings of a small round."""

SECOND: dict[str, Any] = SETTINGS | {
    "space": {"name": "digits", "add_operations": ["mb_k7_e3", "mb_k7_e6"]},
    "evolution": SETTINGS["evolution"] | {"continue_from": "first"},
}


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two rounds of a run, and two of another one that continues it."""
    url = f"sqlite:///{tmp_path_factory.mktemp('run')}/evo.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("evo.round.dashboard.publish", lambda *_: None)
        evo.search(SETTINGS, rounds=2, run="first", storage=url, progress=False)
        evo.search(SECOND, rounds=2, run="second", storage=url, progress=False)
    return url


def opened(store: Store, run: StoredRun, n: int) -> RoundContext:
    return open_round(run_context(run, store, files_folder(store.url), map_inline), n)


def test_what_an_earlier_run_kept_is_not_dropped_in_the_first_round_of_a_run_that_continues_it(storage: str) -> None:
    with open_store(storage) as store:
        run, earlier = store.run("second"), store.run("first")
        changes = [row.space.diff(row.next_space) for row in store.rounds(earlier)[-1:] if row.next_space]
        kept = [frozenset(change.kept) for change in changes[0]]
        context = opened(store, run, 1)
        assert list(fit_context(context).inherited) == kept
        judged = context.shared.evaluator.fit(context.space, fit_context(context)).space
        proposed = store.proposals(context.row)
    added = [frozenset(layer.candidates) - ops for layer, ops in zip(context.space.layers, kept, strict=True)]
    assert any(kept)
    assert any(added)
    for layer, ops in zip(judged.layers, kept, strict=True):
        assert ops <= frozenset(layer.candidates)
    assert any(new - frozenset(layer.candidates) for layer, new in zip(judged.layers, added, strict=True))
    assert all(p.arch in judged for p in proposed)


def test_a_run_that_release_0_1_began_goes_on_without_that_protection(storage: str) -> None:
    """Its weights are named after what was protected then."""
    with open_store(storage) as store:
        context = opened(store, replace(store.run("second"), version="0.1.0"), 1)
        assert list(fit_context(context).inherited) == []


def inside(store: Store, run: StoredRun, n: int) -> list[Evaluation]:
    """The front of a round, less what lies outside the limits."""
    least, most = SETTINGS["limits"]["macs"]
    return [e for e in round_front(store, run, store.rounds(run)[n - 1]) if least <= e.macs <= most]


def test_the_whole_front_is_measured_again(storage: str) -> None:
    """Also that of the run that is continued, and also where it is larger than a population."""
    with open_store(storage) as store:
        first, second, sizes = store.run("first"), store.run("second"), []
        for run, n, (old, last) in ((first, 2, (first, 1)), (second, 1, (first, 2)), (second, 2, (second, 1))):
            again = [p.arch for p in store.proposals(store.rounds(run)[n - 1]) if p.origin == "survivor"]
            front = [e.arch for e in inside(store, old, last)]
            assert again == front
            sizes.append(len(front))
    assert max(sizes) > SETTINGS["search"]["population"]


def test_what_only_a_guard_point_dominates_does_not_survive(space: SearchSpace, table: CostTable) -> None:
    """As the paper's code takes the guard band out of the front, not out of what the front is made of."""
    config = check_config(SETTINGS | {"limits": {"macs": [2e5, 4e5]}}, "test")
    rng = Random(0)
    archs = sorted((space.sample(rng) for _ in range(60)), key=lambda arch: table.count([arch])[0, 0])
    below = next(arch for arch in reversed(archs) if table.count([arch])[0, 0] < 2e5)
    cheap, dear = [arch for arch in archs if 2e5 < table.count([arch])[0, 0] < 4e5][:2]
    answers = zip(made_up(table, [below, cheap, dear]), (-0.5, -0.7, -0.1), strict=True)
    guard, beaten, best = (replace(e, nll=-score) for e, score in answers)
    assert surviving_front([beaten, best], table, config, 9) == [cheap, dear]
    assert surviving_front([guard, beaten, best], table, config, 9) == [cheap, dear]
    assert surviving_front([guard, beaten, best], table, config, 9, [guard]) == [dear]


def test_a_round_says_how_many_guard_samples_it_has_not_found(
    storage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_store(storage) as store:
        row = store.rounds(store.run("first"))[0]
        found = sum(p.origin == "guard" for p in store.proposals(row))
        assert row.stats["guards"] == {"wanted": 3, "found": found}
    url, settings = f"sqlite:///{tmp_path}/evo.db", ("evolution.guard=1e-9", "evolution.guard_samples=3", *SMALL)
    words = [word for setting in settings for word in ("--set", setting)]
    assert main(["1", "--config", "nse_digits", "--storage", url, *words]) == 0
    assert "round 1: 0 of 3 guard samples were found" in capsys.readouterr().out
    with open_store(url) as store:
        assert store.rounds(store.run("nse_digits"))[0].stats["guards"] == {"wanted": 3, "found": 0}


def test_the_plan_of_a_run_that_continues_another_counts_what_that_one_never_had(storage: str) -> None:
    """Two operations more in a pool that the earlier run has left with a few in each layer."""
    with open_store(storage) as store:
        begun = store.run("second").space
    plan = make_plan(RunOptions(rounds=2, config=SECOND, run="other", storage=storage))
    assert plan.space == begun
    longest = max(len(layer.pending) for layer in begun.layers)
    assert any(f"needs {1 + ceil(longest / 2)} round" in line for line in plan.work)


def test_a_plan_says_where_the_run_to_continue_is_missing(tmp_path: Path) -> None:
    plan = make_plan(RunOptions(rounds=2, config=SECOND, run="other", storage=f"sqlite:///{tmp_path}/evo.db"))
    assert any("evolution.continue_from = 'first'" in line for line in plan.work)
    assert list(tmp_path.iterdir()) == []


def test_the_probabilities_of_gates_are_in_sql_and_in_the_report(storage: str) -> None:
    with open_store(storage) as store:
        run = store.run("first")
        for n in (1, 2):
            context = opened(store, run, n)
            judge = context.shared.evaluator.fit(context.space, fit_context(context))
            found = choices(store, run)
            mine = found[(found["round"] == n) & (found["fate"] != "added")]
            told = {
                (i, op): value for i, op, value in zip(mine["layer_index"], mine["op"], mine["learned"], strict=True)
            }
            assert {choice: value for choice, value in told.items() if value == value} == judge.ratings
            dropped = {(i, op) for i, layer in enumerate(context.space.layers) for op in layer.candidates} - {
                *judge.ratings
            }
            assert {choice for choice, value in told.items() if value != value} == dropped
        frames = load(store, run)
        page = render(frames, compare([frames]))
    value = next(iter(judge.ratings.values()))
    assert f"its gate is on with probability {value:.2f}" in page
