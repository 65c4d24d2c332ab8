"""What the bulk writer stores is what Optuna would have stored: Optuna itself is the second source."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from threading import Barrier
from typing import Any
from wsgiref.util import setup_testing_defaults

import optuna
import optuna_dashboard
import pytest
import sqlalchemy as sa
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import NSGAIISampler
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from studies.database.optuna_tables import (
    add_trials,
    create_study,
    creation_lock,
    layout_is_known,
    open_storage,
    write_trials,
)

METRICS: Any = {"accuracy": "maximize", "macs": "minimize"}
LAYERS: dict[str, BaseDistribution] = {
    f"stage1.layer{n}": CategoricalDistribution(("mb_k3_e3", "mb_k5_e6", "id")) for n in (2, 1, 3)
}
START = datetime(2026, 7, 9, 13, 14, 15, 161718)


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[sa.Engine]:
    """An empty database of either kind."""
    sqlite = request.param == "sqlite"
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'study.db'}" if sqlite else request.getfixturevalue("postgres"))
    yield engine
    engine.dispose()


@pytest.fixture
def storage(engine: sa.Engine) -> RDBStorage:
    return open_storage(engine)


@pytest.fixture
def far_from_greenwich(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "XXX-5:30")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def trial(number: int, state: TrialState = TrialState.COMPLETE, **changes: Any) -> FrozenTrial:
    """Trial ``number``, with changes; its genes, accuracy and MACs spell the number."""
    genes = ("mb_k3_e3", "mb_k5_e6", "id")
    fields: dict[str, Any] = {
        "values": [number / 64, float(number % 7)] if state == TrialState.COMPLETE else None,
        "params": {name: genes[number // 3**place % 3] for place, name in enumerate(LAYERS)},
        "distributions": LAYERS,
        "datetime_start": START + timedelta(seconds=number),
        "datetime_complete": START + timedelta(seconds=number + 1),
        "user_attrs": {},
        "system_attrs": {"NSGAIISampler:generation": number // 8},
        "intermediate_values": {},
    }
    return FrozenTrial(number=number, trial_id=-1, state=state, value=None, **(fields | changes))


def of_every_kind() -> list[FrozenTrial]:
    mixed = LAYERS | {"width": IntDistribution(8, 64, step=8), "rate": FloatDistribution(1e-4, 1.0, log=True)}
    return [
        trial(0),
        trial(1, values=[float("inf"), float("-inf")]),
        trial(2, TrialState.PRUNED, intermediate_values={0: 0.25, 3: float("nan"), 4: float("inf"), 5: float("-inf")}),
        trial(3, TrialState.PRUNED, values=[0.5, 2.0]),
        trial(4, TrialState.FAIL, params={}, distributions={}, system_attrs={}),
        trial(5, params=trial(5).params | {"width": 24, "rate": 0.1}, distributions=mixed),
        trial(6, user_attrs={"note": "größer", "nested": {"a": [1, None, True]}}, datetime_complete=START.astimezone()),
        trial(7, system_attrs={"constraints": [-1.0, 2.0]}),
    ]


def write(engine: sa.Engine, name: str, trials: Sequence[FrozenTrial]) -> None:
    with engine.begin() as connection:
        write_trials(connection, name, trials)


def read(storage: RDBStorage, name: str) -> list[str]:
    """All that Optuna knows of every trial, except its id (the repr, because NaN is not equal to itself)."""
    trials = optuna.load_study(storage=storage, study_name=name).trials
    for found in trials:
        found._trial_id = 0
    return [repr(found) for found in trials]


@pytest.mark.usefixtures("far_from_greenwich")
def test_optuna_reads_the_rows_as_its_own(engine: sa.Engine, storage: RDBStorage) -> None:
    trials = of_every_kind()
    written = create_study(storage, "written", METRICS, {})
    added = create_study(storage, "added", METRICS, {})
    for half in (trials[:4], trials[4:]):
        write(engine, "written", half)
        added.add_trials(half)
    assert read(storage, "written") == read(storage, "added")
    assert [t.number for t in written.trials] == [*range(8)]
    assert [t.number for t in written.best_trials] == [t.number for t in added.best_trials] == [1]
    assert written.trials[0].datetime_start == START
    assert list(written.trials[0].params) == ["stage1.layer2", "stage1.layer1", "stage1.layer3"]


def test_the_public_interface_gives_the_same_and_completes_what_is_missing(
    engine: sa.Engine, storage: RDBStorage
) -> None:
    trials = [*of_every_kind(), trial(8, system_attrs={"constraints:macs": 3.0})]
    create_study(storage, "written", METRICS, {})
    added = create_study(storage, "added", METRICS, {})
    write(engine, "written", trials)
    for known in (trials[:3], trials, trials):
        add_trials(added, known)
    assert read(storage, "written") == read(storage, "added")


def test_nsga2_continues_on_the_rows(engine: sa.Engine, storage: RDBStorage) -> None:
    trials = [trial(number) for number in range(16)]
    create_study(storage, "written", METRICS, {})
    create_study(storage, "added", METRICS, {}).add_trials(trials)
    write(engine, "written", trials)
    proposals = []
    for name in ("written", "added"):
        study = optuna.load_study(storage=storage, study_name=name, sampler=NSGAIISampler(population_size=8, seed=1))
        asked = [study.ask(LAYERS) for _ in range(4)]
        proposals.append([t.params for t in asked])
        assert [study.trials[t.number].system_attrs for t in asked] == [{"NSGAIISampler:generation": 2}] * 4
    assert proposals[0] == proposals[1]


def test_constraints_are_seen_by_optuna_and_by_the_dashboard_once(engine: sa.Engine, storage: RDBStorage) -> None:
    study = create_study(storage, "limited", METRICS, {})
    feasible, infeasible = trial(0), trial(1, values=[0.9, 0.0])
    feasible.set_constraint("macs", -1.0)
    infeasible.set_constraint("macs", 2.0)
    infeasible.set_constraint("params", 0.5)
    write(engine, "limited", [feasible, infeasible])
    assert [t.constraints for t in study.trials] == [{"0": -1.0}, {"0": 2.0, "1": 0.5}]
    assert [t.number for t in study.best_trials] == [0]
    shown = get(optuna_dashboard.wsgi(storage), "/api/studies/1")["trials"]
    assert [t["constraints"] for t in shown] == [[-1.0], [2.0, 0.5]]
    assert infeasible.constraints == {"macs": 2.0, "params": 0.5}


def get(app: Any, path: str) -> Any:
    """The JSON that the WSGI application ``app`` answers."""
    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    statuses: list[str] = []
    body = b"".join(app(environ | {"PATH_INFO": path}, lambda status, headers, *rest: statuses.append(status)))
    assert statuses == ["200 OK"], body
    return json.loads(body)


def test_the_dashboard_serves_the_rows(engine: sa.Engine, storage: RDBStorage) -> None:
    create_study(storage, "run/round-01", METRICS, {"space": "digits"})
    write(engine, "run/round-01", of_every_kind())
    app = optuna_dashboard.wsgi(storage)
    (summary,) = get(app, "/api/studies")["study_summaries"]
    assert (summary["study_name"], summary["directions"]) == ("run/round-01", ["maximize", "minimize"])
    page = get(app, f"/api/studies/{summary['study_id']}")
    assert page["user_attrs"] == [{"key": "space", "value": "digits"}]
    assert page["objective_names"] == ["accuracy", "macs"]
    assert [t["state"] for t in page["trials"]] == ["Complete"] * 2 + ["Pruned"] * 2 + ["Fail"] + ["Complete"] * 3
    assert page["trials"][1]["values"] == ["inf", "-inf"]
    assert [p["param_external_value"] for p in page["trials"][5]["params"][:3]] == [*trial(5).params.values()]


def test_the_rows_share_the_fate_of_the_callers_transaction(engine: sa.Engine, storage: RDBStorage) -> None:
    study = create_study(storage, "one", METRICS, {})
    with engine.connect() as connection, connection.begin() as transaction:
        write_trials(connection, "one", [trial(0)])
        transaction.rollback()
    assert study.trials == []
    write(engine, "one", [])
    write(engine, "one", [trial(0)])
    assert len(study.trials) == 1


def test_a_generation_is_so_many_statements_however_long_the_study(engine: sa.Engine, storage: RDBStorage) -> None:
    create_study(storage, "long", METRICS, {})
    statements: list[str] = []
    sa.event.listen(engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    counts = []
    for first in range(0, 200, 20):
        statements.clear()
        reports: dict[str, Any] = {"user_attrs": {"judge": "table"}, "intermediate_values": {0: 0.5}}
        write(engine, "long", [trial(number, **reports) for number in range(first, first + 20)])
        counts.append(len(statements))
    assert counts == [17 if engine.dialect.name == "sqlite" else 11] * 10


OTHER_SPACES: tuple[BaseDistribution, ...] = (CategoricalDistribution(("id",)), IntDistribution(0, 2))
REFUSED = (
    (trial(2), "continues with trial 1, found trial 2"),
    (trial(0), "continues with trial 1, found trial 0"),
    (trial(1, TrialState.RUNNING, datetime_complete=None), "is RUNNING, .* only finished trials"),
    (trial(1, datetime_complete=None), "only finished trials are written, with both times"),
    (trial(1, values=None), "is COMPLETE and its values are None"),
    (trial(1, TrialState.FAIL, values=[0.1, 1.0]), "is FAIL and its values are"),
    (trial(1, values=[0.1]), "expected 2 numbers, none of them NaN"),
    (trial(1, values=[0.1, float("nan")]), "expected 2 numbers, none of them NaN"),
    (trial(1, params={"stage1.layer1": "id"}, distributions={"stage1.layer1": OTHER_SPACES[0]}), "needs another study"),
    (trial(1, params={"stage1.layer1": 1}, distributions={"stage1.layer1": OTHER_SPACES[1]}), "needs another study"),
    (trial(1, params=dict.fromkeys(LAYERS, "conv")), "'conv' not in"),
)


def test_a_trial_that_does_not_continue_the_study_is_refused(engine: sa.Engine, storage: RDBStorage) -> None:
    study = create_study(storage, "one", METRICS, {})
    write(engine, "one", [trial(0)])
    for wrong, message in REFUSED:
        with pytest.raises(ValueError, match=message):
            write(engine, "one", [wrong])
    assert len(study.trials) == 1


def test_a_study_must_exist(engine: sa.Engine, storage: RDBStorage) -> None:
    with pytest.raises(ValueError, match="no Optuna study 'none' to append to: call create_study first"):
        write(engine, "none", [trial(0)])


def test_a_study_is_created_once(storage: RDBStorage) -> None:
    first = create_study(storage, "one", METRICS, {"space": "digits"})
    again = create_study(storage, "one", METRICS, {"space": "digits", "round": 2})
    assert again.user_attrs == {"space": "digits", "round": 2}
    assert again.metric_names == first.metric_names == ["accuracy", "macs"]
    assert optuna.get_all_study_names(storage) == ["one"]
    with pytest.raises(ValueError, match=r"expected to minimize, minimize in .* exists with maximize, minimize"):
        create_study(storage, "one", {"loss": "minimize", "macs": "minimize"}, {})


def test_an_unknown_layout_is_told(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not layout_is_known(engine)
    open_storage(engine)
    assert layout_is_known(engine)
    with monkeypatch.context() as patch:
        patch.setattr(optuna, "__version__", "6.0.0")
        assert not layout_is_known(engine)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = 'v9.9.9.a'"))
    assert not layout_is_known(engine)


def test_many_may_create_the_tables_at_the_same_moment(engine: sa.Engine) -> None:
    barrier = Barrier(4)

    def create() -> str:
        barrier.wait()
        return open_storage(engine).get_current_version()

    with ThreadPoolExecutor(4) as threads:
        assert {future.result() for future in [threads.submit(create) for _ in range(4)]} == {"v3.2.0.a"}


def test_the_creation_lock_admits_one(engine: sa.Engine) -> None:
    inside: list[int] = []

    def visit(number: int) -> None:
        with creation_lock(engine):
            inside.append(number)
            time.sleep(0.02)
            inside.append(number)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(visit, range(4)))
    assert inside[::2] == inside[1::2]
