"""Databases of every earlier version of the schema: opened, they are copied, upgraded, and say the same as before.

Each of ``databases/*.sql`` was written by the program of its time, which said ``TOLD`` of it:
``python -m evo.round 2 --config made.toml --run old`` on ``table.csv``; then ``.dump``. Upgraded ones are 0011 (of 0010), 0014
(of 0013), 0015 (of 0014), 0016 (of 0015), 0017 (of 0016) and 0018 (of 0017).
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest

from evo.round.__main__ import main
from studies.config.renames import renewed
from studies.database import schema
from studies.database.store import open_store
from studies.records import EvoError

DATABASES = Path(__file__).parent / "databases"
HEAD = schema._script_directory().get_current_head()
VERSIONS = sorted(path.stem for path in DATABASES.glob("*.sql"))
EARLIER = [version for version in VERSIONS if version != HEAD]

TOLD = """\
  round    space  proposals  distinct    front  best acc  its cost  hypervolume     kept  dropped    added  seconds
      1       27         10        10        7    55.00%       105       0.3704        7        2        0      0.0
      2       12          9         9        7    56.00%       115       0.3696        7        0        0      0.0
"""


@pytest.fixture
def database(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database of an earlier version, in the current folder, with the table that its run asks."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(DATABASES / "table.csv", tmp_path)
    path = Path("evo.db")
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((DATABASES / f"{request.param}.sql").read_text(encoding="utf-8"))
    return path


def everything(path: Path) -> dict[str, list[Any]]:
    """The rows of every table, and of the view of results."""
    with closing(sqlite3.connect(path)) as connection:
        names: list[str] = [
            row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
        ]
        connection.row_factory = lambda cursor, row: dict(zip((c[0] for c in cursor.description), row, strict=True))
        return {name: connection.execute(f'SELECT * FROM "{name}"').fetchall() for name in names}


def version(path: Path) -> str:
    return str(everything(path)[schema.VERSION_TABLE][0]["version_num"])


RENAMED = {
    ("runs", "data"): "data_sha256",
    ("proposals", "fresh"): "is_new",
    ("checkpoints", "round"): "round_number",
    ("deliveries", "round"): "round_number",
    ("deliveries", "scale_json"): "widths_json",
    ("cells", "round"): "round_number",
    ("fitness", "round"): "round_number",
    ("leases", "process"): "pid",
}


def today(table: str, row: dict[str, Any]) -> dict[str, Any]:
    """A row of an earlier version as one of today says the same."""
    row = {RENAMED.get((table, key), key): value for key, value in row.items()}
    if table == "runs":
        row["config_json"] = json.dumps(renewed(json.loads(row["config_json"]), lambda _: False)[0])
    if table == "rounds":
        row["stats_json"] = row["stats_json"].replace('"trials":', '"proposals":')
    if row.get("fate") == "refilled":
        row["fate"] = "added"
    return row


def as_read(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows whose JSON has been read."""
    return [
        {key: json.loads(value) if key.endswith("_json") and value else value for key, value in row.items()}
        for row in rows
    ]


def without_seconds(text: str) -> list[str]:
    return [line[:113] for line in text.splitlines()]


def test_there_is_a_database_of_every_earlier_version() -> None:
    assert {script.revision for script in schema._script_directory().walk_revisions()} - {HEAD} <= set(VERSIONS)


@pytest.mark.parametrize("database", EARLIER, indirect=True)
def test_an_earlier_database_is_copied_and_upgraded_and_says_the_same(
    database: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = everything(database)
    assert main(["2", "--run", "old"]) == 0
    out, err = capfd.readouterr()
    copy = Path(f"evo.db.before-{HEAD}")
    assert f"upgrading the database from schema version {version(copy)} to {HEAD}; a copy as it was: {copy}" in err
    assert without_seconds(out)[1:4] == without_seconds(TOLD)
    assert everything(copy) == before
    after = everything(database)
    assert version(database) == HEAD
    for name in before.keys() - {schema.VERSION_TABLE}:  # columns may have been added
        expected = [today(name, row) for row in before[name]]
        found = [{key: row[key] for key in old} for row, old in zip(after[name], expected, strict=True)]
        assert as_read(found) == as_read(expected)

    columns = ("run", "round", "state", "proposals", "distinct_networks", "measured", "failed", "front", "tau")
    assert [tuple(row[name] for name in columns) for row in after["round_stats"]] == [
        ("old", 1, "finished", 10, 10, 10, 0, 7, None),
        ("old", 2, "finished", 9, 9, 6, 0, 7, None),
    ]
    for row in after["round_stats"]:
        stats = next(json.loads(r["stats_json"]) for r in after["rounds"] if r["number"] == row["round"])
        spent = row["fitting_seconds"] + row["searching_seconds"] + row["truth_seconds"]
        assert spent == pytest.approx(sum(stats["seconds"].values()))

    assert main(["3", "--run", "old"]) == 0  # and it goes on
    told = capfd.readouterr()
    assert "upgrading" not in told.err
    assert without_seconds(told.out)[1:4] == without_seconds(TOLD)
    with open_store("sqlite:///evo.db") as store:
        assert [row.finished for row in store.rounds(store.run("old"))] == [True] * 3
        assert len(optuna.load_study(study_name="old/round-02", storage=store.optuna).trials) == 9
    assert [path.name for path in Path().glob("evo.db.before-*")] == [copy.name]


@pytest.mark.parametrize("database", EARLIER[:1], indirect=True)
def test_settings_are_the_same_under_the_names_of_their_time(database: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert "trials = 10" in (DATABASES / "made.toml").read_text()
    assert main(["2", "--run", "old", "--config", str(DATABASES / "made.toml")]) == 0
    assert main(["2", "--run", "old", "--config", str(DATABASES / "made.toml"), "--set", "search.evaluations=11"]) == 1
    assert "search.evaluations was 10 and is now 11" in capfd.readouterr().err


@pytest.mark.parametrize("database", EARLIER[:1], indirect=True)
def test_a_copy_is_never_overwritten_and_without_one_nothing_is_upgraded(database: Path) -> None:
    earlier = Path(f"evo.db.before-{HEAD}")
    earlier.write_bytes(b"mine")
    blocked = Path(f"{earlier}-1.part")
    blocked.mkdir()
    before = everything(database)
    with pytest.raises(EvoError, match=f"evo.db is not upgraded, since a copy of it cannot be written to {earlier}-1"):
        open_store("sqlite:///evo.db").__enter__()
    assert everything(database) == before
    blocked.rmdir()
    with open_store("sqlite:///evo.db") as store:
        assert store.runs() == ["old"]
    assert earlier.read_bytes() == b"mine"
    assert everything(Path(f"{earlier}-1")) == before
