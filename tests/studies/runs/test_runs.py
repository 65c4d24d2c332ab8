"""Runs on the shelf: listed, shown, renamed, deleted, with their Optuna studies and without touching any other run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
import sqlalchemy as sa

from studies.database.store import Store, open_store
from studies.runs.__main__ import main
from tests import example_run


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with two runs, closed."""
    path: Path = tmp_path_factory.mktemp("runs") / "evo.db"
    with open_store(f"sqlite:///{path}") as store:
        for name in ("one", "two"):
            example_run.two_rounds(store, name)
    return path


@pytest.fixture
def store(database: Path, tmp_path: Path) -> Iterator[Store]:
    """A copy of it."""
    with open_store(f"sqlite:///{shutil.copy(database, tmp_path)}") as store:
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


def test_what_is_measured_for_the_truth_is_no_evaluation_of_the_search(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    one = store.run("one")
    (evaluation, *_) = [proposal.evaluation for proposal in store.proposals(store.rounds(one)[0])]
    store.record_evaluations(one, one.space, [replace(evaluation, judge="scratch:truth")])
    (first, _) = json.loads(said(store, capsys, "--json"))
    assert first["evaluations"] == 6


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


# -- rows that cannot be read -----------------------------------------------------------------------------------------

NO_NUMBER = "json_set(config_json, '$.search.evaluations', NULL)"
DAMAGE = {
    "null for a number": f"UPDATE runs SET config_json = {NO_NUMBER} WHERE name = 'one'",
    "unknown evaluator": "UPDATE runs SET config_json = replace(config_json, 'oneshot', 'crystal') WHERE name = 'one'",
    "unknown method": "UPDATE runs SET config_json = replace(config_json, 'pad_nas', 'magic') WHERE name = 'one'",
    "missing plugin": "UPDATE runs SET config_json = json_set(config_json, '$.plugins', json('[\"mine.py\"]')) "
    "WHERE name = 'one'",
    "damaged JSON": "UPDATE runs SET config_json = substr(config_json, 1, 99) WHERE name = 'one'",
    "JSON of another kind": "UPDATE runs SET config_json = '[]' WHERE name = 'one'",
    "empty JSON": "UPDATE runs SET config_json = '' WHERE name = 'one'",
    "bytes": "UPDATE runs SET config_json = x'00ff00' WHERE name = 'one'",
    "no space": "UPDATE runs SET space_json = '{}' WHERE name = 'one'",
    "no classes": "UPDATE runs SET classes_json = '7' WHERE name = 'one'",
    "text for a cost": "UPDATE runs SET max_cost = 'much' WHERE name = 'one'",
    "no time": "UPDATE runs SET created_at = 'yesterday' WHERE name = 'one'",
    "text for a hypervolume": "UPDATE rounds SET hypervolume = 'large' WHERE run_id = 1",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_run_that_cannot_be_read_is_listed_renamed_and_deleted_and_blocks_no_other(
    store: Store, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    with store.writing() as connection:
        connection.execute(sa.text(DAMAGE[damage]))
    lines = said(store, capsys).splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["run", "one", "two"]
    assert lines[3].startswith("run one cannot be read: ")
    assert lines[1].split()[1:4] == ["?", "?", "?"]
    assert len(lines) == 4
    (bad, good) = json.loads(said(store, capsys, "--json"))
    assert (bad["name"], bad["proposals"], bad["evaluations"], good["problem"]) == ("one", 7, 6, None)
    assert bad["problem"] in lines[3]
    assert [run.name for run in store.readable_runs()][-1] == "two"
    assert [row.hypervolume for row in store.rounds(store.run("two"))] == [0.63, 0.735]

    assert said(store, capsys, "rename", "one", "bad") == "run one is now bad\n"
    assert optuna.load_study(study_name="bad/round-02", storage=store.optuna).user_attrs["run"] == "bad"
    assert said(store, capsys, "delete", "bad", "--yes").startswith(
        "deleted run bad: 2 rounds, 6 evaluations, 7 trials"
    )
    assert optuna.get_all_study_names(store.optuna) == ["two/round-01", "two/round-02"]
    assert len(said(store, capsys).splitlines()) == 2


def test_a_report_and_a_comparison_do_not_stumble_over_another_run(
    store: Store, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from analysis import compare, report

    example_run.two_rounds(store, "three")
    with store.writing() as connection:
        connection.execute(sa.text(DAMAGE["null for a number"]))
    page = ["--out", str(tmp_path / "page.html"), "--storage", store.url]
    assert report.main(["two", *page]) == 0
    assert compare.main(["two", "three", *page]) == 0
    capsys.readouterr()
    for main_of, names in ((report.main, ["one"]), (compare.main, ["one", "two"])):
        assert main_of([*names, *page]) == 1
        told = capsys.readouterr().err
        assert told.startswith("error: run 'one'")
        assert "Traceback" not in told


def test_a_name_that_a_study_has_already_is_not_given(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    optuna.create_study(study_name="new/round-02", storage=store.optuna)
    assert "an Optuna study 'new/round-02' already" in said(store, capsys, "rename", "one", "new", code=1)
    assert store.runs() == ["one", "two"]


def test_a_run_whose_studies_are_gone_is_renamed_and_deleted(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("one/round-01", "one/round-02"):
        optuna.delete_study(study_name=name, storage=store.optuna)
    said(store, capsys, "rename", "one", "new")
    said(store, capsys, "delete", "new", "--yes")
    assert store.runs() == ["two"]
