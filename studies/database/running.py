"""Trials in flight: RUNNING in a round's Optuna study while they are measured, and finished in place when they are recorded.

A crash leaves them RUNNING. The run proposes the same again when it goes on, and takes them up: they are known by the number
and the architecture of their proposal. All of it inside the caller's transaction; needs ``optuna_tables.layout_is_known``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from optuna.trial import FrozenTrial, TrialState

from studies.database import optuna_tables
from studies.database.optuna_tables import TRIALS, USER_ATTRS
from studies.database.trials import ARCH_KEY, PROPOSAL_KEY

Key = tuple[int, str]
"""The number and the architecture of a proposal."""


@dataclass(frozen=True)
class Running:
    """A trial in flight: its row, and its number in the study."""

    trial_id: int
    number: int


def key_of(trial: FrozenTrial) -> Key:
    return trial.user_attrs[PROPOSAL_KEY], trial.user_attrs[ARCH_KEY]


def find_running(connection: sa.Connection, study_id: int) -> dict[Key, Running]:
    """Our trials in flight in a study; others' are left out."""
    running = (TRIALS.c.study_id == study_id) & (TRIALS.c.state == TrialState.RUNNING)
    query = (
        sa.select(TRIALS.c.trial_id, TRIALS.c.number, USER_ATTRS.c.key, USER_ATTRS.c.value_json)
        .join(USER_ATTRS, USER_ATTRS.c.trial_id == TRIALS.c.trial_id)
        .where(running, USER_ATTRS.c.key.in_((PROPOSAL_KEY, ARCH_KEY)))
        .order_by(TRIALS.c.trial_id.desc())  # of copies the first counts
    )
    attributes: dict[Running, dict[str, object]] = {}
    for trial_id, number, key, text in connection.execute(query):
        attributes.setdefault(Running(trial_id, number), {})[key] = json.loads(text)
    found: dict[Key, Running] = {}
    for trial, known in attributes.items():
        proposal, arch = known.get(PROPOSAL_KEY), known.get(ARCH_KEY)
        if isinstance(proposal, int) and isinstance(arch, str):
            found[proposal, arch] = trial
    return found


def running_numbers(connection: sa.Connection, name: str) -> set[int]:
    """The numbers of our trials in flight in the study ``name``."""
    study_id = optuna_tables.locked_study(connection, name)
    return set() if study_id is None else {trial.number for trial in find_running(connection, study_id).values()}


def announce_trials(connection: sa.Connection, name: str, trials: Sequence[FrozenTrial]) -> None:
    """Append RUNNING trials that the study ``name`` lacks; nothing where there is no such study any more."""
    study_id = optuna_tables.locked_study(connection, name)
    if study_id is None:
        return
    there = find_running(connection, study_id)
    last_id, first = optuna_tables.last_trial(connection, study_id)
    new = optuna_tables.renumbered([trial for trial in trials if key_of(trial) not in there], first)
    optuna_tables.insert_trials(connection, study_id, last_id, new, optuna_tables.distribution_jsons({}, new))


def record_trials(connection: sa.Connection, name: str, trials: Sequence[FrozenTrial]) -> bool:
    """Finish those of ``trials`` that are RUNNING in the study ``name``, and append the others; False: there is no such study
    with their objectives, and nothing was written.

    Raises:
        ValueError: a trial is not finished, or its values are none.
    """
    study_id = optuna_tables.locked_study(connection, name)
    there = {} if study_id is None else find_running(connection, study_id)
    if not optuna_tables.append_trials(connection, name, [trial for trial in trials if key_of(trial) not in there]):
        return False
    finished = [(there[key_of(trial)], trial) for trial in trials if key_of(trial) in there]
    if finished:
        ids = [running.trial_id for running, _ in finished]
        found = [trial for _, trial in finished]
        ends = [optuna_tables.naive_utc(trial.datetime_complete) for trial in found]
        update = sa.update(TRIALS).where(TRIALS.c.trial_id == sa.bindparam("id"))
        connection.execute(
            update.values(state=sa.bindparam("ended"), datetime_complete=sa.bindparam("at")),
            [{"id": i, "ended": trial.state, "at": end} for i, trial, end in zip(ids, found, ends, strict=True)],
        )
        optuna_tables.delete_details(connection, ids)
        optuna_tables.insert_details(connection, ids, found, optuna_tables.distribution_jsons({}, found))
    return True


def drop_running(connection: sa.Connection, name: str) -> None:
    """Delete our trials in flight of the study ``name``: its round has ended without them."""
    study_id = optuna_tables.locked_study(connection, name)
    ids = [] if study_id is None else [trial.trial_id for trial in find_running(connection, study_id).values()]
    if ids:
        optuna_tables.delete_details(connection, ids)
        connection.execute(sa.delete(TRIALS).where(TRIALS.c.trial_id.in_(ids)))
