"""Runs on the shelf: listed, shown, renamed, deleted, with their Optuna studies and without touching any other run."""

from __future__ import annotations

import json
from collections.abc import Iterator

import optuna
import pytest
import sqlalchemy as sa

from studies.database.store import Store, open_store
from studies.runs.__main__ import main
from tests import example_run


@pytest.fixture
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path_factory.mktemp('runs') / 'evo.db'}") as store:
        for name in ("one", "two"):
            example_run.two_rounds(store, name)
        yield store


def said(store: Store, capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    assert main([*words, "--storage", store.url]) == code
    shown = capsys.readouterr()
    return shown.err if code else shown.out


def counts(store: Store) -> dict[str, int]:
    """Rows of every table, ours and Optuna's."""
    with store.engine.connect() as connection:
        tables = sa.inspect(connection).get_table_names()
        return {table: connection.scalar(sa.text(f"SELECT count(*) FROM {table}")) or 0 for table in tables}


def test_runs_are_listed_oldest_first(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(store, capsys).splitlines()
    assert [line.split()[:6] for line in lines] == [
        ["run", "method", "space", "evaluator", "seed", "rounds"],
        ["one", "pad_nas", "tiny", "oneshot", "0", "2"],
        ["two", "pad_nas", "tiny", "oneshot", "0", "2"],
    ]
    (first, _) = json.loads(said(store, capsys, "--json"))
    assert (first["name"], first["proposals"], first["evaluations"], first["hypervolume"]) == ("one", 7, 6, 0.735)


def test_a_run_is_shown_with_its_rounds_and_settings(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    shown = said(store, capsys, "show", "one")
    assert "run one: 2 layers of tiny, 6 architectures" in shown
    assert 'method = "pad_nas"' in shown
    told = json.loads(said(store, capsys, "show", "one", "--json"))
    assert [row["hypervolume"] for row in told["rounds"]] == [0.63, 0.735]
    assert told["settings"]["evolution"]["method"] == "pad_nas"


def test_a_renamed_run_goes_on_under_its_new_name(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(store, capsys, "rename", "one", "first") == "run one is now first\n"
    assert store.runs() == ["first", "two"]
    assert [row.study for row in store.rounds(store.run("first"))] == ["first/round-01", "first/round-02"]
    study = optuna.load_study(study_name="first/round-02", storage=store.optuna)
    assert (len(study.trials), study.user_attrs["run"]) == (3, "first")
    with pytest.raises(KeyError):
        optuna.load_study(study_name="one/round-02", storage=store.optuna)
    assert "there is a run 'two' already" in said(store, capsys, "rename", "first", "two", code=1)


def test_a_deleted_run_leaves_nothing_and_touches_no_other(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    both = counts(store)
    deleted = said(store, capsys, "delete", "one", "--yes")
    assert deleted == "deleted run one: 2 rounds, 6 evaluations, 7 trials in Optuna's studies one/round-*\n"
    left = counts(store)
    versions = {table for table in both if "version" in table}
    assert {table: 2 * n for table, n in left.items() if table not in versions} == {
        table: n for table, n in both.items() if table not in versions
    }
    assert optuna.get_all_study_names(store.optuna) == ["two/round-01", "two/round-02"]
    with store.engine.connect() as connection:
        assert connection.execute(sa.text("PRAGMA foreign_key_check")).all() == []
    said(store, capsys, "delete", "two", "--yes")
    assert {table for table, n in counts(store).items() if n} == versions


def test_tables_of_an_unknown_optuna_are_emptied_through_optuna(store: Store) -> None:
    from studies.runs.manage import delete_run

    store.bulk = False
    delete_run(store, store.run("one"))
    assert optuna.get_all_study_names(store.optuna) == ["two/round-01", "two/round-02"]
    assert store.runs() == ["two"]


def test_nothing_is_deleted_unasked(
    store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = counts(store)
    assert "confirm with --yes" in said(store, capsys, "delete", "one", code=1)  # nobody at the terminal
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda question: "")
    assert "nothing was deleted" in said(store, capsys, "delete", "one", code=1)
    assert "runs: one, two" in said(store, capsys, "delete", "one", "three", "--yes", code=1)
    assert counts(store) == before
    monkeypatch.setattr("builtins.input", lambda question: "y")
    assert said(store, capsys, "delete", "one").startswith("deleted run one")
