"""Deliveries: what is remembered comes back, once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from studies.config import check_config
from studies.database.deliveries import Delivery, deliveries_of, record_delivery
from studies.database.store import open_store
from tests.studies.database.test_store import SPACE

CONFIG = check_config(
    {"space": {"name": "tiny"}, "evaluator": {"kind": "scratch"}, "evolution": {"method": "fixed"}}, "test"
)
FIRST = Delivery(3, "a|b", {"8": 16}, 0.98, 3e5, 2e4, 0.5, "delivered/tiny", "abc", {"settings": {"epochs": 60.0}})


def test_a_delivery_comes_back_and_is_remembered_once(tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path}/evo.db") as store:
        run = store.create_run("tiny", CONFIG, SPACE, 40.0, {})
        other = store.create_run("other", CONFIG, SPACE, 40.0, {})
        second = replace(FIRST, widths=None, folder="elsewhere")
        for delivery in (FIRST, FIRST, second):
            record_delivery(store, run, delivery)
        assert deliveries_of(store, run) == [FIRST, second]
        assert deliveries_of(store, other) == []
