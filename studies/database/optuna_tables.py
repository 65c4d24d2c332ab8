"""Optuna's own tables, written a generation at a time.

The search runs in memory and our tables hold the truth; Optuna's tables are a mirror of the finished trials, complete
after every generation, for ``optuna.load_study`` and optuna-dashboard. Through Optuna, a trial of 24 parameters is 110
statements and 36 commits; ``write_trials`` is at most seventeen per generation, inside the caller's transaction.

Nothing private of Optuna is imported. What is relied on is the layout of its tables, and that has a name: the schema
revision. Where ``layout_is_known`` says no, ``add_trials`` does the same through Optuna's public interface.
"""

from __future__ import annotations

import json
import math
import sqlite3
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from copy import copy
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal

import optuna
import sqlalchemy as sa
from optuna.distributions import check_distribution_compatibility, distribution_to_json, json_to_distribution
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.types import TypeEngine

from studies.database.engines import connect_args, is_sqlite_file, is_writable, read_only_uri
from studies.database.urls import parse_url

Direction = Literal["minimize", "maximize"]

KNOWN_REVISION = "v3.2.0.a"
"""The schema revision that the tables below describe; Optuna keeps it in ``alembic_version``."""

TIMEOUT = 60.0
"""Seconds to wait for another process that writes, or creates the tables."""

_LOCK_KEY = 0x6E_6173  # any number, the same in every process


def _table(name: str, **columns: TypeEngine[Any]) -> sa.Table:
    return sa.Table(name, _OPTUNA, *(sa.Column(key, kind) for key, kind in columns.items()))


_OPTUNA = sa.MetaData()
_INTEGER, _REAL, _TEXT, _TIME = sa.Integer(), sa.Float(53), sa.String(), sa.DateTime()
_FINITE = ("FINITE", "INF_POS", "INF_NEG")
REVISION = _table("alembic_version", version_num=_TEXT)
_STUDIES = _table("studies", study_id=_INTEGER, study_name=_TEXT)
_DIRECTIONS = _table("study_directions", study_id=_INTEGER)
TRIALS = _table(
    "trials",
    trial_id=_INTEGER,
    study_id=_INTEGER,
    number=_INTEGER,
    state=sa.Enum(TrialState),
    datetime_start=_TIME,
    datetime_complete=_TIME,
)
_PARAMS = _table("trial_params", trial_id=_INTEGER, param_name=_TEXT, param_value=_REAL, distribution_json=_TEXT)
_VALUES = _table(
    "trial_values",
    trial_id=_INTEGER,
    objective=_INTEGER,
    value=_REAL,
    value_type=sa.Enum(*_FINITE, name="trialvaluetype"),
)
_REPORTS = _table(
    "trial_intermediate_values",
    trial_id=_INTEGER,
    step=_INTEGER,
    intermediate_value=_REAL,
    intermediate_value_type=sa.Enum(*_FINITE, "NAN", name="trialintermediatevaluetype"),
)
USER_ATTRS = _table("trial_user_attributes", trial_id=_INTEGER, key=_TEXT, value_json=_TEXT)
_SYSTEM_ATTRS = _table("trial_system_attributes", trial_id=_INTEGER, key=_TEXT, value_json=_TEXT)
_HEARTBEATS = _table("trial_heartbeats", trial_id=_INTEGER)
_STUDY_USER_ATTRS = _table("study_user_attributes", study_id=_INTEGER, key=_TEXT, value_json=_TEXT)
_STUDY_SYSTEM_ATTRS = _table("study_system_attributes", study_id=_INTEGER, key=_TEXT, value_json=_TEXT)

_DETAILS = (_PARAMS, _VALUES, _REPORTS, USER_ATTRS, _SYSTEM_ATTRS, _HEARTBEATS)
"""All that is known of a trial but that it is there."""

TABLES = (_STUDIES, TRIALS, _PARAMS, USER_ATTRS, _SYSTEM_ATTRS)
"""Of Optuna's tables those that every version has."""

NAMES = frozenset(table.name for table in TABLES)
"""The names of tables by which Optuna's can be known; its ``alembic_version`` others have, too."""


@contextmanager
def creation_lock(engine: sa.Engine) -> Iterator[None]:
    """Keeps every other process from creating or migrating tables in the database of ``engine``.

    Look again inside whether anything is left to create: another process may just have done it. SQLite has no lock that
    outlives a commit, so an empty file ``<database>.lock`` is locked instead. It stays: others may be waiting for it.
    A database in memory is nobody else's.
    """
    if engine.dialect.name == "sqlite" and not is_sqlite_file(engine.url):
        yield
    elif engine.dialect.name == "sqlite":
        path = f"{engine.url.database}.lock"
        with closing(sqlite3.connect(path, timeout=TIMEOUT, isolation_level=None)) as lock:
            lock.execute("BEGIN EXCLUSIVE")
            yield
    elif engine.dialect.name == "postgresql":
        with engine.begin() as connection:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK_KEY)))
            yield
    else:
        with engine.connect() as connection:
            connection.execute(sa.select(sa.func.get_lock(str(_LOCK_KEY), TIMEOUT)))
            yield
            connection.execute(sa.select(sa.func.release_lock(str(_LOCK_KEY))))


def open_storage(engine: sa.Engine) -> RDBStorage:
    """Optuna's storage in the database of ``engine``, whose tables are created when they are not there yet.

    Raises:
        RuntimeError: the tables are of another Optuna version; the message says how to upgrade them.
    """
    # Two processes that create the tables at the same moment collide on alembic_version, which is written last.
    with creation_lock(engine) if _revision(engine) is None else nullcontext():
        return RDBStorage(
            engine.url.render_as_string(hide_password=False),
            # Without a pool, no connection stays open.
            engine_kwargs={"connect_args": connect_args(engine.url), "poolclass": sa.NullPool},
            skip_compatibility_check=layout_is_known(engine),  # it reads all migrations of Optuna
        )


def existing_storage(text: str) -> RDBStorage:
    """Optuna's storage in a database that has its tables, which are left as they are; read only where it cannot be written."""
    url = parse_url(text)
    if is_sqlite_file(url) and not is_writable(path := Path(str(url.database))):
        url = sa.make_url(f"sqlite:///{read_only_uri(path)}&uri=true")
    return RDBStorage(
        url.render_as_string(hide_password=False),
        engine_kwargs={"connect_args": connect_args(url), "poolclass": sa.NullPool},
        skip_compatibility_check=True,
        skip_table_creation=True,
    )


def revision_and_studies(connection: sa.Connection) -> tuple[str | None, tuple[str, ...]]:
    """The revision of Optuna's tables, if they say it, and the names of the studies, oldest first."""
    has_revision = sa.inspect(connection).has_table(REVISION.name)
    revision = connection.scalar(sa.select(REVISION.c.version_num)) if has_revision else None
    names = connection.scalars(sa.select(_STUDIES.c.study_name).order_by(_STUDIES.c.study_id))
    return revision, tuple(map(str, names))


def is_revision(connection: sa.Connection) -> bool:
    """Whether the database's ``alembic_version`` names a schema of Optuna's, whatever has become of Optuna's tables."""
    found = set(connection.scalars(sa.select(REVISION.c.version_num)))
    return bool(found) and found <= {installed_revision(), *earlier_revisions()}


def installed_revision() -> str:
    """The schema revision of the installed Optuna."""
    return KNOWN_REVISION if optuna.__version__.startswith("5.") else _in_memory().get_head_version()


@cache
def earlier_revisions() -> frozenset[str]:
    """The schema revisions that the installed Optuna can upgrade."""
    storage = _in_memory()
    return frozenset(storage.get_all_versions()) - {storage.get_head_version()}


def _in_memory() -> RDBStorage:
    return RDBStorage("sqlite:///:memory:")


def layout_is_known(engine: sa.Engine) -> bool:
    """Whether ``write_trials`` may be used: Optuna 5, and tables of the revision that this module describes."""
    return optuna.__version__.startswith("5.") and _revision(engine) == KNOWN_REVISION


def create_study(
    storage: RDBStorage, name: str, metrics: Mapping[str, Direction], user_attrs: Mapping[str, Any]
) -> optuna.Study:
    """The study ``name``, made when it is not there yet. Said twice, it changes nothing.

    Args:
        metrics: what is measured, in the order of a trial's values, and whether to ``maximize`` or ``minimize`` it.
        user_attrs: what optuna-dashboard shows about the study.

    Raises:
        ValueError: a study of that name has other directions.
    """
    directions = list(metrics.values())
    study = optuna.create_study(storage=storage, study_name=name, directions=directions, load_if_exists=True)
    existing = [direction.name.lower() for direction in study.directions]
    if existing != directions:
        raise ValueError(
            f"expected to {', '.join(directions)} in the Optuna study {name!r}, and it exists with "
            f"{', '.join(existing)}: choose another name, or delete it"
        )
    if study.metric_names != list(metrics):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names(list(metrics))
    for key, value in user_attrs.items():
        if study.user_attrs.get(key) != value:
            study.set_user_attr(key, value)
    return study


def has_study(connection: sa.Connection, name: str, objectives: int) -> bool:
    """Whether there is a study ``name`` with so many objectives."""
    study_id = locked_study(connection, name)
    return study_id is not None and count_objectives(connection, study_id) == objectives


def user_attributes(connection: sa.Connection, name: str, keys: Sequence[str]) -> list[tuple[int, dict[str, Any]]]:
    """Number and user attributes of all trials of the study ``name``, by number; of the attributes only ``keys``."""
    attributes = (USER_ATTRS.c.trial_id == TRIALS.c.trial_id) & USER_ATTRS.c.key.in_(keys)
    query = (
        sa.select(TRIALS.c.number, USER_ATTRS.c.key, USER_ATTRS.c.value_json)
        .join(_STUDIES, _STUDIES.c.study_id == TRIALS.c.study_id)
        .outerjoin(USER_ATTRS, attributes)
        .where(_STUDIES.c.study_name == name)
        .order_by(TRIALS.c.number, TRIALS.c.trial_id)
    )
    found: dict[int, dict[str, Any]] = {}
    for number, key, value in connection.execute(query):
        found.setdefault(number, {}).update({} if key is None else {key: json.loads(value)})
    return list(found.items())


def append_trials(connection: sa.Connection, name: str, trials: Sequence[FrozenTrial]) -> bool:
    """Appends finished trials to the study ``name`` under the numbers that come next, whoever has added to it before;
    False: there is no such study with their objectives, and nothing was written. Needs ``layout_is_known``.

    Raises:
        ValueError: a trial is not finished, or its values are none.
    """
    objectives = next((len(trial.values) for trial in trials if trial.values is not None), None)
    study_id = locked_study(connection, name)
    if study_id is None or objectives not in (None, count_objectives(connection, study_id)):
        return False
    last_id, first = last_trial(connection, study_id)
    appended = renumbered(trials, first)
    for number, trial in enumerate(appended, start=first):
        check_trial(trial, number, objectives or 0, name)
    insert_trials(connection, study_id, last_id, appended, distribution_jsons({}, appended))
    return True


def renumbered(trials: Sequence[FrozenTrial], first: int) -> list[FrozenTrial]:
    """Copies of ``trials`` with numbers from ``first`` on."""
    copies = [copy(trial) for trial in trials]
    for number, trial in enumerate(copies, start=first):
        trial.number = number
    return copies


def write_trials(connection: sa.Connection, name: str, trials: Sequence[FrozenTrial]) -> None:
    """Appends finished trials to the study ``name``, inside the transaction of ``connection``.

    Optuna reads back what ``add_trials`` would have stored. Needs ``layout_is_known``.

    Raises:
        ValueError: there is no such study, or a trial does not continue it: its number is not the next one, it is not
            finished, its values do not fit the objectives, or its distributions differ from the study's.
    """
    study_id = locked_study(connection, name)
    if study_id is None:
        raise ValueError(f"there is no Optuna study {name!r} to append to: call create_study first")
    objectives = count_objectives(connection, study_id)
    last_id, first = last_trial(connection, study_id)
    for number, trial in enumerate(trials, start=first):
        check_trial(trial, number, objectives, name)
    of_last = sa.select(_PARAMS.c.param_name, _PARAMS.c.distribution_json).where(_PARAMS.c.trial_id == last_id)
    known = {row.param_name: row.distribution_json for row in connection.execute(of_last)} if trials else {}
    insert_trials(connection, study_id, last_id, trials, distribution_jsons(known, trials))


def locked_study(connection: sa.Connection, name: str) -> int | None:
    """The id of the study ``name``, if there is one."""
    # FOR UPDATE, as Optuna does it: two writers cannot give out one number. SQLite has one writer anyway.
    of_name = sa.select(_STUDIES.c.study_id).where(_STUDIES.c.study_name == name).with_for_update()
    study_id: int | None = connection.scalar(of_name)
    return study_id


def count_objectives(connection: sa.Connection, study_id: int) -> int:
    return connection.scalar(sa.select(sa.func.count()).where(_DIRECTIONS.c.study_id == study_id)) or 0


def last_trial(connection: sa.Connection, study_id: int) -> tuple[int, int]:
    """The id of a study's last trial, 0 where it has none, and the number of the next one."""
    of_study = sa.select(TRIALS.c.trial_id, TRIALS.c.number).where(TRIALS.c.study_id == study_id)
    last = connection.execute(of_study.order_by(TRIALS.c.trial_id.desc()).limit(1)).one_or_none()
    return (last.trial_id, last.number + 1) if last else (0, 0)


def insert_trials(
    connection: sa.Connection, study_id: int, last_id: int, trials: Sequence[FrozenTrial], jsons: Mapping[int, str]
) -> None:
    """Insert trials behind the study's last one; ``jsons`` as ``distribution_jsons`` gives them."""
    if not trials:
        return
    connection.execute(sa.insert(TRIALS), [trial_row(study_id, trial) for trial in trials])
    # The database gives out the ids, ascending: a PostgreSQL sequence must not fall behind ids chosen here.
    new = (TRIALS.c.study_id == study_id) & (TRIALS.c.trial_id > last_id)
    ids = connection.scalars(sa.select(TRIALS.c.trial_id).where(new).order_by(TRIALS.c.trial_id)).all()
    if connection.dialect.name == "sqlite":  # whose shell deletes a trial alone, and which gives the id out again
        delete_details(connection, ids)
    insert_details(connection, ids, trials, jsons)


def insert_details(
    connection: sa.Connection, ids: Sequence[int], trials: Sequence[FrozenTrial], jsons: Mapping[int, str]
) -> None:
    """Insert what is known of trials whose ``ids`` are there."""
    stored = list(zip(ids, map(_storage_trial, trials), strict=True))
    rows: dict[sa.Table, list[tuple[Any, ...]]] = {
        _PARAMS: [
            (i, key, distribution.to_internal_repr(trial.params[key]), jsons[id(distribution)])
            for i, trial in stored
            for key, distribution in trial.distributions.items()
        ],
        _VALUES: [(i, n, *_representation(v)) for i, trial in stored for n, v in enumerate(trial.values or ())],
        _REPORTS: [(i, n, *_representation(v)) for i, trial in stored for n, v in trial.intermediate_values.items()],
        USER_ATTRS: [(i, key, json.dumps(v)) for i, trial in stored for key, v in trial.user_attrs.items()],
        _SYSTEM_ATTRS: [(i, key, json.dumps(v)) for i, trial in stored for key, v in trial.system_attrs.items()],
    }
    for table, values in rows.items():
        if values:
            columns = table.columns.keys()
            connection.execute(sa.insert(table), [dict(zip(columns, row, strict=True)) for row in values])


def add_trials(study: optuna.Study, trials: Sequence[FrozenTrial]) -> None:
    """Appends those of ``trials`` that ``study`` lacks, each in a transaction of Optuna's: slow, for any Optuna.

    A study that fell behind, because the process died between our commit and Optuna's, is completed by naming all
    trials again.

    Raises:
        ValueError: a trial does not continue the study.
    """
    stored = len(study.get_trials(deepcopy=False))
    for number, trial in enumerate((t for t in trials if t.number >= stored), start=stored):
        check_trial(trial, number, len(study.directions), study.study_name)
        study.add_trial(_storage_trial(trial))


def _revision(engine: sa.Engine) -> str | None:
    """The revision of Optuna's tables; None where they are not there, or not completely."""
    with engine.connect() as connection:
        if not sa.inspect(connection).has_table(REVISION.name):
            return None
        return connection.scalar(sa.select(REVISION.c.version_num))


def check_trial(trial: FrozenTrial, number: int, objectives: int, name: str) -> None:
    """Raises ValueError when ``trial`` cannot be trial ``number`` of the study ``name``."""
    if trial.number != number:
        raise ValueError(f"the Optuna study {name!r} continues with trial {number}, found trial {trial.number}")
    if not trial.state.is_finished() or trial.datetime_start is None or trial.datetime_complete is None:
        raise ValueError(
            f"trial {number} of {name!r} is {trial.state.name}, from {trial.datetime_start} to "
            f"{trial.datetime_complete}: only finished trials are written, with both times"
        )
    if trial.state == (TrialState.COMPLETE if trial.values is None else TrialState.FAIL):
        raise ValueError(f"trial {number} of {name!r} is {trial.state.name} and its values are {trial.values}")
    if trial.values is not None and (len(trial.values) != objectives or any(map(math.isnan, trial.values))):
        raise ValueError(
            f"trial {number} of {name!r} has the values {trial.values}: expected {objectives} numbers, none of them NaN"
        )


def _storage_trial(trial: FrozenTrial) -> FrozenTrial:
    """``trial`` as the mirror shows it: its constraints are the list ``constraints``, in the order they were set.

    ``Trial.set_constraint`` writes ``constraints:<key>``, which optuna-dashboard 0.21 ignores. It reads the list that
    earlier versions wrote, and so does Optuna 5, as the constraints "0", "1", ...; both at once would count twice. The
    sampler sees the same violations; what they are called belongs to the study's attributes.
    """
    others = {key: value for key, value in trial.system_attrs.items() if not key.startswith("constraints:")}
    if len(others) == len(trial.system_attrs):
        return trial
    published = copy(trial)
    published.system_attrs = others | {"constraints": list(trial.constraints.values())}
    return published


def distribution_jsons(before: Mapping[str, str], trials: Sequence[FrozenTrial]) -> dict[int, str]:
    """The JSON of every distribution, by the ``id`` of the object: a study's trials share a few dozen.

    Args:
        before: parameter -> JSON of its distribution in the study so far.

    Raises:
        ValueError: Optuna takes a distribution for incompatible with those of the study so far.
    """
    known = dict(before)
    jsons: dict[int, str] = {}
    for trial in trials:
        for name, distribution in trial.distributions.items():
            text = jsons[id(distribution)] = jsons.get(id(distribution)) or distribution_to_json(distribution)
            if known.setdefault(name, text) == text:
                continue
            try:
                check_distribution_compatibility(json_to_distribution(known[name]), distribution)
            except ValueError as error:
                raise ValueError(
                    f"parameter {name!r} of trial {trial.number} is {text} and was {known[name]}: "
                    "a study is one fixed space, another space needs another study"
                ) from error
    return jsons


def trial_row(study_id: int, trial: FrozenTrial) -> dict[str, Any]:
    return {
        "study_id": study_id,
        "number": trial.number,
        "state": trial.state,
        "datetime_start": naive_utc(trial.datetime_start),
        "datetime_complete": naive_utc(trial.datetime_complete),
    }


def _representation(value: float) -> tuple[float | None, str]:
    """A number as Optuna stores it: what is not finite has a name instead."""
    if math.isnan(value):
        return None, "NAN"
    if math.isinf(value):
        return None, "INF_POS" if value > 0 else "INF_NEG"
    return float(value), "FINITE"


def naive_utc(time: datetime | None) -> datetime | None:
    """Optuna stores UTC and shows local time, both without a zone; a time without a zone is local."""
    return None if time is None else time.astimezone(UTC).replace(tzinfo=None)


# -- renaming and deleting ---------------------------------------------------------------------------------------------


def rename_study(connection: sa.Connection, old: str, new: str, user_attrs: Mapping[str, Any]) -> None:
    """Give a study another name, and these of its attributes other values, inside the transaction of ``connection``.

    Needs ``layout_is_known``: Optuna itself renames nothing.
    """
    study_id = connection.scalar(sa.select(_STUDIES.c.study_id).where(_STUDIES.c.study_name == old))
    connection.execute(sa.update(_STUDIES).where(_STUDIES.c.study_id == study_id).values(study_name=new))
    for key, value in user_attrs.items():
        this = (_STUDY_USER_ATTRS.c.study_id == study_id) & (_STUDY_USER_ATTRS.c.key == key)
        connection.execute(sa.update(_STUDY_USER_ATTRS).where(this).values(value_json=json.dumps(value)))


def delete_studies(connection: sa.Connection, names: Sequence[str]) -> None:
    """Delete studies and all of their trials, inside the transaction of ``connection``; a name that is not there is none.

    Through Optuna, 3,000 trials take eight seconds; this is thirteen statements. Needs ``layout_is_known``.
    """
    studies = sa.select(_STUDIES.c.study_id).where(_STUDIES.c.study_name.in_(names))
    trials = sa.select(TRIALS.c.trial_id).where(TRIALS.c.study_id.in_(studies))
    delete_details(connection, trials)
    ids = list(connection.scalars(studies))  # the names go last, and everything refers to them
    for table in (TRIALS, _DIRECTIONS, _STUDY_USER_ATTRS, _STUDY_SYSTEM_ATTRS, _STUDIES):
        connection.execute(sa.delete(table).where(table.c.study_id.in_(ids)))


def delete_details(connection: sa.Connection, trials: Sequence[int] | sa.Select[tuple[int]]) -> None:
    """Delete all that is known of trials but that they are there."""
    for table in _DETAILS:
        connection.execute(sa.delete(table).where(table.c.trial_id.in_(trials)))


def delete_remains(connection: sa.Connection) -> None:
    """Delete what was left of studies and trials that are gone: SQLite's shell deletes one row alone, and its id is given out
    again. Other databases leave nothing behind."""
    if connection.dialect.name == "sqlite":
        for table in (_DIRECTIONS, _STUDY_USER_ATTRS, _STUDY_SYSTEM_ATTRS, TRIALS):
            connection.execute(sa.delete(table).where(table.c.study_id.not_in(sa.select(_STUDIES.c.study_id))))
        for table in _DETAILS:
            connection.execute(sa.delete(table).where(table.c.trial_id.not_in(sa.select(TRIALS.c.trial_id))))
