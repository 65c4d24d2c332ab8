"""A database that cannot go on says where, why and what to do; nothing half-written is left."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
import sqlalchemy as sa
from sqlalchemy import event

from studies.database.rows import StoredRound, StoredRun
from studies.database.store import Store
from studies.records import EvoError
from tests.studies.database.test_store import CONFIG, FIRST, SPACE


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(f"sqlite:///{tmp_path}/evo.db")
    yield opened
    opened.close()


@pytest.fixture
def run(store: Store) -> StoredRun:
    return store.create_run("tiny", CONFIG, SPACE, 40.0, {"evo": "0"})


@pytest.fixture
def row(store: Store, run: StoredRun) -> StoredRound:
    return store.open_round(run, 1, SPACE, {"round": 1})


def limited(store: Store) -> None:
    """From now on the file may not grow by a single page."""

    def limit(connection: sqlite3.Connection, *_: object) -> None:
        connection.execute(f"PRAGMA max_page_count = {connection.execute('PRAGMA page_count').fetchone()[0]}")

    store.engine.dispose()
    event.listen(store.engine, "connect", limit)


def test_a_full_disk_leaves_nothing_of_a_generation(store: Store, run: StoredRun, row: StoredRound) -> None:
    limited(store)
    many = [replace(FIRST[0], number=n, origin="o" * 20) for n in range(2000)]
    with pytest.raises(
        EvoError, match=r"evo.db cannot be written \(database or disk is full\).*Free there: .*Make room"
    ):
        store.record(run, row, many)
    assert store.proposals(row) == []
    assert optuna.load_study(study_name=row.study, storage=store.optuna).trials == []
    with pytest.raises(EvoError, match="cannot be written"):
        store.create_run("x" * 200, CONFIG, SPACE, 1.0, {"long": "l" * 2_000_000})
    assert store.runs() == ["tiny"]


def test_a_damaged_page_is_found_before_anything_is_written(
    store: Store, run: StoredRun, row: StoredRound, tmp_path: Path
) -> None:
    store.record(run, row, FIRST)
    store.examine()
    store.close()
    path = tmp_path / "evo.db"
    content = bytearray(path.read_bytes())
    content[-4096:-3996] = b"\xa5" * 100
    path.write_bytes(content)
    damaged = Store(f"sqlite:///{path}")
    with pytest.raises(EvoError, match=r"evo.db is damaged \(.*\); nothing was written. Bring a copy back, or"):
        damaged.examine()
    damaged.close()
    assert path.read_bytes() == content


@pytest.mark.parametrize(("state", "words"), [("53100", "its disk is full"), ("XX001", "it is damaged")])
def test_postgresql_says_the_same_by_number(postgres: str, state: str, words: str) -> None:
    raising = f"DO $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '{state}'; END $$"
    server = Store(postgres)
    with (
        server.engine.connect() as connection,
        pytest.raises(EvoError, match=rf"{words} \(could not extend file\); nothing"),
    ):
        connection.execute(sa.text(raising))
    server.close()


def test_other_errors_are_left_as_they_are(store: Store) -> None:
    with store.engine.connect() as connection, pytest.raises(sa.exc.OperationalError, match="no such table"):
        connection.execute(sa.text("SELECT * FROM nobody"))
