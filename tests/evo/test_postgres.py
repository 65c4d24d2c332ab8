"""The same run on PostgreSQL and on SQLite: the same results, spaces, fates, and Optuna trials."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import optuna
import pytest

from evo.round import main
from studies.keeping import delete, entries, rename
from studies.leases import held, lease
from studies.store import opened
from tests.evo.test_control import POOL, config

QUERIES = (
    "SELECT round, number, arch, judge, accuracy, macs, params FROM results ORDER BY round, number",
    "SELECT number, state, space_json, next_space_json, judge, hypervolume FROM rounds ORDER BY number",
    "SELECT layer, op, rating, share, fate, rule FROM choices ORDER BY round_id, layer_index, op",
    "SELECT judge, canonical, arch, accuracy, macs FROM evaluations ORDER BY id",
)


def test_a_run_on_postgresql_is_the_run_on_sqlite(
    tmp_path: Path, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    genes = list(product(POOL, repeat=3))
    table = "arch,accuracy\n" + "".join(f"{'|'.join(g)},{0.5 + n / 200}\n" for n, g in enumerate(genes))
    path = config(tmp_path, 'method = "pad_nas"', table)
    states: list[Any] = []
    for url in (f"sqlite:///{tmp_path}/evo.db", postgres):
        assert main(["2", "--config", path, "--storage", url, "--quiet"]) == 0
        assert main(["2", "--config", path, "--storage", url, "--quiet"]) == 0  # and again, with nothing to do
        with opened(url) as store:
            studies = [optuna.load_study(study_name=f"made/round-0{n}", storage=store.optuna) for n in (1, 2)]
            trials = [[(t.number, t.params, t.values, t.user_attrs, t.system_attrs) for t in s.trials] for s in studies]
            states.append([*(store.frame(query).values.tolist() for query in QUERIES), trials])
    assert states[0] == states[1]
    with opened(postgres) as store:
        run, words = store.run("made"), list[str]()
        with held(store, run, words.append):
            assert lease(store, run)
        rename(store, "made", "kept")
        (entry,) = entries(store)
        assert (entry.name, entry.rounds, entry.finished) == ("kept", 2, 2)
        delete(store, store.run("kept"))
        assert (store.runs(), optuna.get_all_study_names(store.optuna), words) == ([], [], [])
