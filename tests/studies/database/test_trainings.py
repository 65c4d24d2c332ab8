"""Trainings: what is remembered comes back, once for each run, and is found by its content in any run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from studies.database.store import open_store
from studies.database.trainings import Trained, find_training, record_training, trainings_of
from studies.runs.manage import delete_run
from tests.studies.database.test_deliveries import CONFIG
from tests.studies.database.test_store import SPACE

FIRST = Trained(
    "ab12", "a everywhere", "a|a", "{}", 2**40, 0.9, 0.4, 200, 3e5, 2e4, 7e9, 1.5, {"settings": {"epochs": 1.0}}
)


def test_a_training_comes_back_and_is_remembered_once_for_each_run(tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path}/evo.db") as store:
        run, other = (store.create_run(name, CONFIG, SPACE, 40.0, {}) for name in ("tiny", "other"))
        second = replace(FIRST, sha256="cd34", accuracy=0.0, nll=None)
        for trained in (FIRST, replace(FIRST, name="again"), second):
            record_training(store, run, trained)
        assert trainings_of(store, run) == [FIRST, second]
        assert trainings_of(store, other) == []
        assert find_training(store, "cd34") == second
        assert find_training(store, "ef56") is None
        record_training(store, other, FIRST)
        assert trainings_of(store, other) == [FIRST]
        delete_run(store, run)
        assert trainings_of(store, run) == []
        assert find_training(store, "ab12") == FIRST
