"""NSE from the outside: what a round begins with, what it says of its guard band, and how a run is continued."""

from __future__ import annotations

from typing import Any

import pytest

import evo
from evo.round.context import RoundContext, fit_context, open_round, run_context
from evo.workers.executors import map_inline
from studies.database.rows import StoredRun
from studies.database.store import Store, open_store
from studies.database.urls import files_folder

pytestmark = pytest.mark.usefixtures("unpublished")

SETTINGS: dict[str, Any] = {
    "space": {"name": "digits"},
    "data": {"name": "digits", "max_images": 240, "validation_fraction": 0.35},
    "search": {"evaluations": 40, "population": 4, "surrogate": False},
    "limits": {"macs": [1.5e5, 4.5e5]},
    "evaluator": {
        "kind": "oneshot",
        "sampling": "branches",
        "inherit": False,
        "epochs": 1,
        "gates": {"cost_target": 3e5, "learning_rate": 0.02, "drop_below": -0.01},
    },
    "evolution": {"method": "nse", "k": 3, "samples": 24, "guard_samples": 3},
}
"""Gates drop what one step of Adam has moved down."""

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
