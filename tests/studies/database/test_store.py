"""The store: what is written comes back, Optuna sees the same, and the schema is what the migrations make."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from math import inf
from pathlib import Path

import optuna
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext

from spaces.architecture import Architecture
from spaces.layer import Head, Layer, Shape, Stem
from spaces.space import SearchSpace
from studies.config import LimitsSection, StudyConfig, check_config
from studies.database import schema
from studies.database.engines import _log_ahead, open_engine
from studies.database.lineage import bred_cells, record_bred_cells
from studies.database.rows import Choice, StoredRound, StoredRun
from studies.database.store import Store, open_store
from studies.records import BredCell, Evaluation, EvoError, Fitness, Proposal, complete_evaluations
from studies.runs.manage import run_summaries

CONFIG: StudyConfig = check_config(
    {
        "space": {"name": "tiny"},
        "evaluator": {"kind": "scratch"},
        "evolution": {"method": "fixed"},
        "limits": {"macs": [0, 25]},
    },
    "test",
)
SHAPE = Shape(4, 4, 1, 8)
SPACE = SearchSpace(
    "tiny",
    (Layer(SHAPE, ("a", "b", "id")), Layer(SHAPE, ("a", "b", "id"), pending=("c",))),
    Stem(4, 1, size=8),
    Head(0, 2),
)


def proposal(
    number: int, genes: str, accuracy: float, macs: float, *, is_new: bool = True, generation: int = 0
) -> Proposal:
    evaluation = Evaluation(Architecture.parse(genes), "test", accuracy, macs, params=2 * macs, seconds=0.5)
    return Proposal(number, generation, "stratified", evaluation, is_new)


FIRST = [proposal(0, "a|a", 0.5, 10.0), proposal(1, "b|id", 0.75, 30.0)]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of either kind."""
    return f"sqlite:///{tmp_path}/evo.db" if request.param == "sqlite" else request.getfixturevalue("postgres")


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with open_store(url) as store:
        yield store


@pytest.fixture
def run(store: Store) -> StoredRun:
    return store.create_run("tiny", CONFIG, SPACE, 40.0, {"evo": "0"})


@pytest.fixture
def row(store: Store, run: StoredRun) -> StoredRound:
    return store.open_round(run, 1, SPACE, {"round": 1})


def test_a_run_comes_back_as_it_was_begun(store: Store, run: StoredRun) -> None:
    assert store.find_run("tiny") == run
    assert (run.config, run.space, run.max_cost) == (CONFIG, SPACE, 40.0)


def test_an_open_limit_blocks_no_listing(store: Store, run: StoredRun) -> None:
    config = CONFIG.model_copy(update={"limits": LimitsSection(macs=(2.0, inf))})
    opened = store.create_run("open", config, SPACE, 40.0, {})
    assert store.run("open") == opened
    assert store.run("open").config.limits.macs == (2.0, inf)
    assert [summary.name for summary in run_summaries(store)] == ["tiny", "open"]
    row = store.open_round(opened, 1, SPACE, {"round": 1})
    store.record(opened, row, [proposal(0, "a|a", 0.5, 10.0)])
    (trial,) = optuna.load_study(study_name=row.study, storage=store.optuna).trials
    assert max(trial.constraints.values()) <= 0


def test_a_limit_below_0_of_an_earlier_version_is_one_from_0_on(store: Store) -> None:
    open_end = CONFIG.model_copy(update={"limits": LimitsSection(macs=(0.0, 20.0))})
    store.create_run("earlier", open_end, SPACE, 40.0, {})
    with store.writing() as connection:
        text = sa.func.replace(schema.runs.c.config_json, "[0.0,20.0]", "[-5.0,20.0]")
        connection.execute(schema.runs.update().where(schema.runs.c.name == "earlier").values(config_json=text))
        (stored,) = connection.execute(sa.text("SELECT config_json FROM runs WHERE name = 'earlier'")).one()
    assert "-5.0" in stored
    assert store.run("earlier").config == open_end


def test_an_unknown_run_is_answered_with_those_there_are(store: Store, run: StoredRun) -> None:
    with pytest.raises(EvoError, match=r"no run 'caf\\udce9' in this database; runs: tiny"):
        store.key("caf\udce9")  # as Python has what is no UTF-8 on a command line
    with pytest.raises(EvoError, match="no run 'tine' in this database; runs: tiny"):
        store.run("tine")


def test_names_of_any_script_are_kept_and_endless_ones_refused(store: Store) -> None:
    name = "Größe-" * 20
    assert store.create_run(name, CONFIG, SPACE, 40.0, {}).name == name
    for wrong in ("n" * 201, "ß" * 101, " ", "a/b", ".."):
        with pytest.raises(EvoError, match="expected a run's name of 1 to 200 bytes"):
            store.create_run(wrong, CONFIG, SPACE, 40.0, {})


def test_nothing_else_has_a_longest_length(store: Store) -> None:
    long = "x" * 3000
    layers = (replace(SPACE.layers[0], candidates=(long, "b")), SPACE.layers[1])
    space = SPACE.replace_layers(layers)
    run = store.create_run("long", CONFIG.model_copy(update={"seed": 2**63 - 1}), space, 40.0, {"evo": long})
    row = store.open_round(run, 1, space, {"note": "short"})
    evaluation = Evaluation(Architecture((long, "a")), f"table:{long}", 0.5, 1e300, params=1e-300, seconds=0.5)
    generation = [Proposal(0, 0, "stratified", evaluation)]
    store.record(run, row, generation)
    assert store.proposals(row) == generation
    store.finish_round(row, space, [Choice(0, long, 0.1, 0.1, "kept", long)], judge=long, hypervolume=0.1, stats={})
    record_bred_cells(store, run, 1, [BredCell(0, "cell:" + "y" * 2000, "random", (), 1, 0, (Fitness(1, 1, 0.1),))])
    assert bred_cells(store, run)[0].cell == "cell:" + "y" * 2000
    assert store.rounds(run)[0].judge == long


def test_what_is_said_twice_is_done_once(store: Store, run: StoredRun, row: StoredRound) -> None:
    for _ in range(2):
        store.record(run, row, FIRST)
        store.record_evaluations(run, SPACE, [replace(FIRST[0].evaluation, judge="truth")])
    assert store.proposals(row) == FIRST
    assert len(store.evaluations(run, "truth")) == 1
    assert len(optuna.load_study(study_name="tiny/round-01", storage=store.optuna).trials) == 2
    with pytest.raises(EvoError, match="begun by another process just now"):
        store.create_run("tiny", CONFIG, SPACE, 40.0, {})


def test_a_generation_comes_back_as_it_was_recorded(store: Store, run: StoredRun, row: StoredRound) -> None:
    store.record(run, row, FIRST)
    second = [proposal(2, "id|b", 0.75, 30.0, is_new=False, generation=1)]  # the same network as b|id
    store.record(run, row, second)
    assert store.proposals(row) == FIRST + second
    assert store.evaluations(run, "test") == [p.evaluation for p in FIRST]


def test_optuna_reads_the_same_trials(store: Store, run: StoredRun, row: StoredRound) -> None:
    store.record(run, row, FIRST)
    storage = optuna.storages.RDBStorage(store.engine.url.render_as_string(hide_password=False))
    study = optuna.load_study(study_name="tiny/round-01", storage=storage)
    assert study.metric_names == ["accuracy", "macs"]
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    trials = study.trials
    assert [t.params for t in trials] == [
        {"stage1.layer1": "a", "stage1.layer2": "a"},
        {"stage1.layer1": "b", "stage1.layer2": "id"},
    ]
    assert [t.values for t in trials] == [[0.5, 10.0], [0.75, 30.0]]
    assert trials[1].user_attrs == {"proposal": 1, "arch": "b|id", "macs": 30.0, "params": 60.0, "origin": "stratified"}
    assert [t.system_attrs["NSGAIISampler:generation"] for t in trials] == [0, 0]
    assert [t.number for t in study.best_trials] == [0]  # the other breaks the limit of 25 MACs
    storage.engine.dispose()


def test_a_generation_that_cannot_be_mirrored_leaves_nothing(store: Store, run: StoredRun, row: StoredRound) -> None:
    with pytest.raises(ValueError, match="'c' not in"):
        store.record(run, row, [proposal(0, "c|a", 0.5, 10.0)])
    assert store.proposals(row) == []
    assert store.evaluations(run, "test") == []


def test_without_the_fast_path_optuna_gets_the_same(store: Store, run: StoredRun, row: StoredRound) -> None:
    store.bulk = False
    store.record(run, row, FIRST)
    trials = optuna.load_study(study_name="tiny/round-01", storage=store.optuna).trials
    assert [(t.number, t.values) for t in trials] == [(0, [0.5, 10.0]), (1, [0.75, 30.0])]


def test_opening_a_round_twice_changes_nothing(store: Store, run: StoredRun, row: StoredRound) -> None:
    assert store.open_round(run, 1, SPACE, {"round": 1}) == row


def test_a_finished_round_tells_every_candidates_fate(store: Store, run: StoredRun, row: StoredRound) -> None:
    later = SPACE.replace_layers([replace(SPACE.layers[0], candidates=("a",)), SPACE.layers[1]])
    fates = [Choice(0, "a", 0.9, 0.5, "kept", "rule"), Choice(0, "b", 0.0, None, "dropped", "rule")]
    store.finish_round(row, later, fates, judge="test", hypervolume=0.25, stats={"front": 2})
    (finished,) = store.rounds(run)
    assert finished.finished
    assert (finished.next_space, finished.hypervolume, finished.stats) == (later, 0.25, {"front": 2})
    told = store.frame("SELECT layer, op, rating, share, fate, rule FROM choices ORDER BY id")
    assert told.values.tolist()[0] == ["stage1.layer1", "a", 0.9, 0.5, "kept", "rule"]
    assert told["fate"].tolist() == ["kept", "dropped"]


def test_the_results_view_has_the_documented_columns(store: Store, run: StoredRun, row: StoredRound) -> None:
    store.record(run, row, FIRST)
    results = store.frame("SELECT * FROM results WHERE run = :run", run="tiny")
    assert results.columns.tolist() == [
        "run", "round", "number", "arch", "judge", "accuracy", "macs", "params", "latency_ms", "seconds",
        "flash_kb", "memory_kb",
    ]  # fmt: skip
    assert results["arch"].tolist() == ["a|a", "b|id"]


def test_what_was_stopped_early_comes_back_and_is_no_result(store: Store, run: StoredRun, row: StoredRound) -> None:
    stopped = replace(FIRST[1], evaluation=replace(FIRST[1].evaluation, rungs=((2, 0.5), (4, 0.75)), pruned=True))
    store.record(run, row, [FIRST[0], stopped])
    assert store.proposals(row) == [FIRST[0], stopped]
    assert store.frame("SELECT arch FROM results")["arch"].tolist() == ["a|a"]
    trial = optuna.load_study(study_name="tiny/round-01", storage=store.optuna).trials[1]
    assert (trial.state.name, trial.values, trial.intermediate_values) == ("PRUNED", None, {2: 0.5, 4: 0.75})


def test_what_failed_comes_back_with_its_reason_and_is_no_result(
    store: Store, run: StoredRun, row: StoredRound
) -> None:
    failed = replace(FIRST[1], evaluation=replace(FIRST[1].evaluation, accuracy=math.nan, failed="took too long"))
    store.record(run, row, [FIRST[0], failed])
    found = store.proposals(row)
    assert found[0] == FIRST[0]
    assert (found[1].evaluation.failed, found[1].evaluation.state) == ("took too long", "failed")
    assert math.isnan(found[1].evaluation.accuracy)
    assert complete_evaluations(p.evaluation for p in found) == (FIRST[0].evaluation,)
    assert store.frame("SELECT arch FROM results")["arch"].tolist() == ["a|a"]
    assert store.frame("SELECT * FROM failures").to_dict("records") == [
        {"run": "tiny", "round": 1, "number": 1, "arch": "b|id", "judge": "test", "reason": "took too long"}
    ]
    trial = optuna.load_study(study_name="tiny/round-01", storage=store.optuna).trials[1]
    assert (trial.state.name, trial.values, trial.user_attrs["reason"]) == ("FAIL", None, "took too long")
    assert "NSGAIISampler:generation" not in trial.system_attrs


AT_0001 = (
    "INSERT INTO runs VALUES (1, 'old', :config, 0, '{}', :space, 40, 0, '2026-01-01 00:00:00')",
    "INSERT INTO rounds VALUES (1, 1, 1, 'old/round-01', 'running', :space, NULL, NULL, NULL, '{}', "
    "'2026-01-01 00:00:00', NULL)",
    "INSERT INTO evaluations VALUES (1, 1, 'test', 'a|a', 'a|a', 0.5, NULL, 10, 20, NULL, 0.5, '2026-01-01 00:00:00')",
    "INSERT INTO evaluations VALUES (2, 1, 'test', 'b|id', 'b|id', 0.75, NULL, 30, 60, NULL, 0.5, "
    "'2026-01-01 00:00:00')",
    "INSERT INTO proposals VALUES (1, 1, 0, 0, 'stratified', TRUE, 'a|a', 1)",
    "INSERT INTO proposals VALUES (2, 1, 1, 0, 'stratified', TRUE, 'b|id', 2)",
)


def test_a_database_of_the_first_version_is_migrated_and_holds_the_same(url: str) -> None:
    results = sa.text("SELECT * FROM results ORDER BY number")
    given = {"config": CONFIG.model_dump_json(exclude={"evaluator": {"rungs"}}), "space": SPACE.to_json()}
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        command.upgrade(migrations(connection), "0001")
        for statement in AT_0001:
            connection.execute(sa.text(statement), given)
        before = connection.execute(results).all()
    engine.dispose()
    with open_store(url) as store:
        assert schema.is_current(store.engine)
        run = store.run("old")
        assert run.config == CONFIG
        assert store.proposals(store.rounds(run)[0]) == FIRST
        with store.engine.begin() as connection:
            assert connection.execute(results).all() == [
                (*row, None, None) for row in before
            ]  # of a device, which it has not
    assert [row.arch for row in before] == ["a|a", "b|id"]


def migrations(connection: sa.Connection) -> Config:
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(schema.MIGRATIONS))
    return config


def views(connection: sa.Connection) -> dict[str, str]:
    """What every view says."""
    inspector = sa.inspect(connection)
    return {name: inspector.get_view_definition(name) for name in sorted(inspector.get_view_names())}


def columns(connection: sa.Connection) -> dict[str, set[tuple[str, str, bool]]]:
    """Every column of our tables: its name, its type (but on SQLite, which cannot change it), and whether it may be null."""
    inspector = sa.inspect(connection)
    typed = connection.dialect.name != "sqlite"
    return {
        table: {(c["name"], str(c["type"]) * typed, c["nullable"]) for c in inspector.get_columns(table)}
        for table in schema.metadata.tables
    }


def test_migrations_make_the_tables_that_the_program_uses(url: str, tmp_path: Path) -> None:
    """A new database has them at once; what all migrations make of nothing is the same."""
    with open_store(url) as made, made.engine.begin() as connection:
        expected = columns(connection), views(connection)
        for view in expected[1]:
            connection.execute(sa.text(f"DROP VIEW {view}"))
        schema.metadata.drop_all(connection)
        connection.execute(sa.text(f"DROP TABLE {schema.VERSION_TABLE}"))
    engine = open_engine(url)
    with engine.connect() as connection:
        command.upgrade(migrations(connection), "head")
        options = {
            "version_table": schema.VERSION_TABLE,
            "compare_type": connection.dialect.name != "sqlite",  # which enforces none, and cannot change them
            "include_name": lambda name, kind, _: kind != "table" or name in schema.metadata.tables,
        }
        assert compare_metadata(MigrationContext.configure(connection, opts=options), schema.metadata) == []
        assert (columns(connection), views(connection)) == expected
        assert schema.current_revision(connection) == schema._script_directory().get_current_head()
    engine.dispose()


def test_a_database_of_a_later_version_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/later.db"
    first = Store(url)
    with first.engine.begin() as connection:
        connection.execute(sa.text(f"UPDATE {schema.VERSION_TABLE} SET version_num = '9999'"))
    first.close()
    with pytest.raises(EvoError, match="schema version 9999.*later version; update this program"):
        Store(url)


@pytest.mark.parametrize("url", ["nonsense", "oracle+nothing://x", "sqlite:////no/such/folder/evo.db"])
def test_a_storage_that_cannot_be_opened_is_answered(url: str) -> None:
    with pytest.raises(EvoError, match="--storage"):
        Store(url)


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "evo.db"
    path.write_bytes(b"my thesis" * 1000)
    with pytest.raises(EvoError, match="not a database"):
        Store(f"sqlite:///{path}")
    assert path.read_bytes() == b"my thesis" * 1000


def test_a_checkpoint_is_remembered_with_its_hash(store: Store, run: StoredRun, tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"abc")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    store.add_checkpoint(run, 1, "weights", path, digest)
    assert store.checkpoint(run, 1, "weights") == (path, digest)
    assert store.checkpoint(run, 2, "weights") is None


def test_the_log_is_switched_on_when_others_let_go() -> None:
    """SQLite answers at once that the file is locked, where it waits elsewhere."""
    busy = sqlite3.OperationalError("database is locked")
    busy.sqlite_errorcode = sqlite3.SQLITE_BUSY
    asked = list[str]()

    class Connection:
        def execute(self, statement: str) -> Connection:
            asked.append(statement)
            if len(asked) in (2, 3):
                raise busy
            return self

        def fetchone(self) -> tuple[int]:
            return (200,)

    _log_ahead(Connection())
    assert asked == ["PRAGMA busy_timeout", *["PRAGMA journal_mode=WAL"] * 3]
    busy.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    asked.clear()
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        _log_ahead(Connection())
    assert len(asked) == 2
