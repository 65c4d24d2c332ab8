"""The same run on SQLite and on PostgreSQL, whose connections break: the same results, spaces, fates, and Optuna trials."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import optuna
import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from analysis import compare, report
from evo.deliver import __main__ as deliver
from evo.round.__main__ import main
from studies.dashboard import open_server
from studies.database import engines
from studies.database.deliveries import Delivery, deliveries_of, record_delivery
from studies.database.leases import current_lease, hold_lease
from studies.database.store import Store, open_store
from studies.database.trainings import Trained, find_training, record_training, trainings_of
from studies.records import EvoError
from studies.runs import __main__ as runs
from studies.runs.manage import delete_run, rename_run, run_summaries
from tests.evo.round.test_control import POOL, config

QUERIES = (
    "SELECT name, seed, config_json, max_cost FROM runs",
    "SELECT round, number, arch, judge, accuracy, macs, params FROM results ORDER BY round, number",
    "SELECT number, state, space_json, next_space_json, judge, hypervolume FROM rounds ORDER BY number",
    "SELECT layer, op, rating, share, fate, rule FROM choices ORDER BY round_id, layer_index, op",
    "SELECT judge, canonical, arch, accuracy, macs FROM evaluations ORDER BY id",
    "SELECT run, round, state, judge, hypervolume, proposals, distinct_networks, measured, failed, front "
    "FROM round_stats ORDER BY round",
)


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A command line without its ``--storage``. Its seed needs more than 32 bits."""
    folder = tmp_path_factory.mktemp("made")
    genes = list(product(POOL, repeat=3))
    table = "arch,accuracy\n" + "".join(f"{'|'.join(g)},{0.5 + n / 200}\n" for n, g in enumerate(genes))
    path = config(folder, 'method = "pad_nas"', table)
    return ["2", "--config", path, "--run", "made", "--seed", str(2**40 + 1), "--quiet"]


def state(url: str) -> list[Any]:
    """All that a run leaves behind, but the times."""
    with open_store(url) as store:
        studies = [optuna.load_study(study_name=f"made/round-0{n}", storage=store.optuna) for n in (1, 2)]
        trials = [[(t.number, t.params, t.values, t.user_attrs, t.system_attrs) for t in s.trials] for s in studies]
        return [*(store.frame(query).values.tolist() for query in QUERIES), trials]


@pytest.fixture(scope="module")
def calm(words: list[str], tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """What the run leaves behind on SQLite."""
    url = f"sqlite:///{tmp_path_factory.mktemp('calm')}/evo.db"
    assert main([*words, "--storage", url]) == 0
    return state(url)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights of runs on a server lie in the current folder."""
    monkeypatch.chdir(tmp_path)


def test_a_run_on_postgresql_is_the_run_on_sqlite(words: list[str], calm: list[Any], postgres: str) -> None:
    for _ in range(2):  # the second time, there is nothing to do
        assert main([*words, "--storage", postgres]) == 0
        assert state(postgres) == calm


def test_every_command_takes_the_url_and_none_tells_its_password(
    words: list[str], postgres: str, capfd: pytest.CaptureFixture[str]
) -> None:
    url = postgres.replace("postgres:@", "postgres:hush%20hush@")
    told = ["--storage", url]
    assert main([*words[:-1], *told]) == 0
    assert report.main(["made", *told, "--out", "report.html"]) == 0
    assert compare.main(["made", f"made@{url}", *told, "--out", "compared.html"]) == 0
    assert runs.main(["show", "made", *told]) == 0
    assert runs.main([*told, "--json"]) == 0
    assert deliver.main(["made", *told, "--max-macs", "1"]) == 1  # no network is as cheap as that
    with open_server(url, "127.0.0.1", 0):
        pass
    for wrong in (["made", "--storage", "hush://u:hush@h"], ["mad", *told], ["mad", *told, "--storage", url]):
        assert report.main(wrong) == 1
    out, err = capfd.readouterr()
    assert "weights: evo_files/made" in out
    assert "(*** is the password" in out
    pages = "".join(path.read_text() for path in Path().glob("*.html"))
    assert "hush" not in out + err.replace("hush://", "") + pages
    with open_store(postgres) as store, store.engine.connect() as connection:
        for table in sa.inspect(connection).get_table_names():
            rows = connection.execute(sa.text(f'SELECT * FROM "{table}"')).all()
            assert "hush" not in str(rows), table


@pytest.mark.parametrize(
    ("who", "reason"),
    [
        ("ann:secret@/postgres", "password authentication failed for user .ann."),
        ("ann:true@/nowhere", "database .nowhere. does not exist"),
        ("ann:true@/postgres", "schema"),
    ],
)
def test_who_may_not_in_is_told_why_at_once(who: str, reason: str, postgres: str) -> None:
    admin = sa.create_engine(postgres, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with admin.connect() as connection:
        connection.execute(sa.text("DROP ROLE IF EXISTS ann"))
        connection.execute(sa.text("CREATE ROLE ann LOGIN PASSWORD 'true'"))
    with pytest.raises(EvoError, match=rf"--storage .*ann:\*\*\*@.* cannot be opened: .*{reason}") as raised:
        Store(postgres.replace("postgres:@/postgres", who))
    assert "secret" not in str(raised.value)


@pytest.mark.usefixtures("silent")
def test_runs_are_kept_on_postgresql_as_they_are_elsewhere(words: list[str], postgres: str) -> None:
    assert main([*words, "--storage", postgres]) == 0
    with open_store(postgres) as store:
        run, said = store.run("made"), list[str]()
        delivery = Delivery(2, "a|b", {"stem": 8}, 0.5, 1e6, 2.0, 3.0, "folder", "0" * 64, {"epochs": 1})
        for _ in range(2):
            record_delivery(store, run, delivery)
        assert deliveries_of(store, run) == [delivery]
        trained = Trained(
            "0" * 64, "a everywhere", "a|b", "{}", 2**32, 0.5, None, 9, 1e6, 2.0, 3e9, 4.0, {"threads": 1}
        )
        for _ in range(2):
            record_training(store, run, trained)
        assert trainings_of(store, run) == [trained] == [find_training(store, "0" * 64)]
        with hold_lease(store, run, said.append):
            assert current_lease(store, run)
        rename_run(store, "made", "kept")
        (entry,) = run_summaries(store)
        assert (entry.name, entry.rounds, entry.finished) == ("kept", 2, 2)
        delete_run(store, store.run("kept"))
        assert (store.runs(), optuna.get_all_study_names(store.optuna), said) == ([], [], [])


def kind(statement: str) -> str:
    """What a statement does, to which table."""
    return " ".join(statement.replace("(", " ").split()[:3])


@contextmanager
def faults(fault: Callable[[sa.Connection], None]) -> Iterator[list[str]]:
    """From the run's first round on, a fault before the first statement of every kind; gives back which were hit."""
    hit = list[str]()

    def before(connection: sa.Connection, cursor: Any, statement: str, *_: Any) -> None:
        begun = hit or statement.startswith("INSERT INTO rounds")
        if begun and kind(statement) not in hit and threading.current_thread() is threading.main_thread():
            hit.append(kind(statement))
            fault(connection)

    sa.event.listen(sa.Engine, "before_cursor_execute", before)
    try:
        yield hit
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", before)


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds publish nothing for optuna-dashboard: other tests here have seen them do so."""
    monkeypatch.setattr("evo.round.dashboard.publish", lambda *_: None)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections that are cut come back at once."""
    monkeypatch.setattr(engines, "RETRY_DELAYS", (0.01, 0.1))


@pytest.mark.usefixtures("hasty")
def test_a_run_whose_connections_are_cut_ends_as_the_calm_one(
    words: list[str], calm: list[Any], postgres: str, capfd: pytest.CaptureFixture[str]
) -> None:
    def terminate(connection: sa.Connection) -> None:
        process = connection.connection.dbapi_connection.info.backend_pid  # type: ignore[union-attr]
        with psycopg.connect(postgres.replace("+psycopg", ""), autocommit=True) as other:
            assert other.execute("SELECT pg_terminate_backend(%s)", [process]).fetchone() == (True,)
            while other.execute("SELECT pid FROM pg_stat_activity WHERE pid = %s", [process]).fetchone():
                time.sleep(0.002)

    with faults(terminate) as hit:
        assert main([*words, "--storage", postgres]) == 0
    assert {"INSERT INTO evaluations", "INSERT INTO proposals", "INSERT INTO trials", "UPDATE rounds SET"} <= set(hit)
    assert "the database does not answer; trying again for 60 seconds" in capfd.readouterr().err
    assert state(postgres) == calm


@pytest.mark.usefixtures("hasty", "silent")
def test_a_commit_whose_answer_is_lost_is_not_done_twice(
    words: list[str], calm: list[Any], postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, lost, last = PGDialect_psycopg.do_commit, list[str](), [""]

    def before(connection: sa.Connection, cursor: Any, statement: str, *_: Any) -> None:
        last[0] = kind(statement)

    def deaf(dialect: PGDialect_psycopg, connection: Any) -> None:
        commit(dialect, connection)
        begun = lost or last[0] == "INSERT INTO runs"
        if begun and last[0] not in lost and threading.current_thread() is threading.main_thread():
            lost.append(last[0])
            connection.dbapi_connection.close()
            raise psycopg.OperationalError("server closed the connection unexpectedly")

    sa.event.listen(sa.Engine, "before_cursor_execute", before)
    monkeypatch.setattr(PGDialect_psycopg, "do_commit", deaf)
    assert main([*words, "--storage", postgres]) == 0
    sa.event.remove(sa.Engine, "before_cursor_execute", before)
    assert {"INSERT INTO trial_system_attributes", "UPDATE rounds SET", "INSERT INTO leases"} <= set(lost)
    monkeypatch.undo()
    assert state(postgres) == calm


@pytest.mark.usefixtures("silent")
def test_a_run_whose_server_restarts_ends_as_the_calm_one(
    words: list[str], calm: list[Any], postgres: str, postgres_server: Any
) -> None:
    started = list[threading.Timer]()

    def restart(_: sa.Connection) -> None:
        if not started:
            postgres_server.stop()
            started.append(threading.Timer(0.5, postgres_server.ensure_postgres_running))
            started[0].start()

    with faults(restart):
        assert main([*words, "--storage", postgres]) == 0
    started[0].join()
    assert state(postgres) == calm


@pytest.mark.usefixtures("silent")
def test_a_server_that_does_not_come_back_is_waited_for_so_long_and_no_longer(
    words: list[str], calm: list[Any], postgres: str, postgres_server: Any,
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(engines, "RETRY_SECONDS", 0.3)
    if (child := os.fork()) == 0:
        with faults(lambda _: postgres_server.stop()):
            os._exit(main([*words, "--storage", postgres]))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    postgres_server.ensure_postgres_running()
    assert "error: the database has not answered for 0.3 seconds" in capfd.readouterr().err
    assert main([*words, "--storage", postgres]) == 0
    assert state(postgres) == calm
