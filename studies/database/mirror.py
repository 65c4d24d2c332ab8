"""A round's Optuna study as the mirror of our rows: made when it is not there, completed, and told from what others put in.

Anybody may delete or rename a study, or add trials to it, also while a run goes on. Our rows stay the truth. Our trials are
known by an attribute, since numbers are Optuna's to give: what others add comes in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
import sqlalchemy as sa
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial

from studies.database import optuna_tables, running
from studies.database.engines import write_transaction
from studies.database.rows import StoredRun
from studies.database.trials import ARCH_KEY, PROPOSAL_KEY

UNREADABLE = (ValueError, TypeError, LookupError, ArithmeticError, AssertionError, AttributeError)
"""What Optuna raises where rows hold what it never writes: an attribute that is no JSON, a value that is missing."""

MAX_NAMES = 100
"""So many names are tried for a study before another program's are in the way."""


@dataclass(frozen=True)
class Completion:
    """What a study lacked, and what it has that is not ours.

    Attributes:
        study: its name.
        made: why it is made again; empty: it was there.
        written: how many trials were written.
        foreign: how many trials others have put there.
    """

    study: str
    made: str
    written: int
    foreign: int

    def words(self, expected: int = 0) -> str:
        """What a user may want to know, in a line; empty: nothing. ``expected``: how many trials were to be written."""
        said = []
        if self.made:
            said.append(f"{self.made}, and is made again from what is recorded (trials: {self.written})")
        elif self.written > expected:
            said.append(f"it lacked trials of the run, which are written again: {self.written}")
        if self.foreign and not expected:
            said.append(f"trials in it that are not the run's are left alone and not used: {self.foreign}")
        return f"Optuna study {self.study}: {'; '.join(said)}" if said else ""


def metrics_of(run: StoredRun) -> dict[str, optuna_tables.Direction]:
    """The values of a run's trials, and which way each is better."""
    metrics: dict[str, optuna_tables.Direction] = {run.config.score: "maximize"}
    for cost in run.config.search.costs:
        metrics[cost] = "minimize"
    return metrics


def study_attrs(run: StoredRun, number: int) -> dict[str, Any]:
    """What optuna-dashboard shows about the study of a round."""
    return {"run": run.name, "round": number, "method": run.config.evolution.method}


def ensure_study(storage: RDBStorage, run: StoredRun, name: str, attrs: Mapping[str, Any]) -> str:
    """The name of a study for a round, which is there afterwards: ``name``, or the next like it where a study of that name
    has other objectives, and so is somebody else's, or cannot be read.

    Raises:
        ValueError: there are too many of them.
    """
    with storage.engine.begin() as connection:
        optuna_tables.delete_remains(connection)
    for free in (name, *(f"{name} ({n})" for n in range(2, MAX_NAMES))):
        try:
            _check_readable(optuna_tables.create_study(storage, free, metrics_of(run), attrs))
        except UNREADABLE:
            continue
        return free
    raise ValueError(f"{MAX_NAMES} Optuna studies like {name!r} have other objectives, or cannot be read")


def _check_readable(study: optuna.Study) -> None:
    """Raises one of ``UNREADABLE`` where a trial of the study is none."""
    for trial in study.get_trials(deepcopy=False):
        if not isinstance(trial.number, int):
            raise ValueError(f"expected the number of a trial, found {trial.number!r}")


def own_trials(stored: Iterable[tuple[int, Mapping[str, Any]]], archs: Mapping[int, str]) -> dict[int, int]:
    """Which of a study's trials are ours: proposal -> number of its trial. Of copies, the first is.

    Args:
        stored: number and user attributes of the study's trials, by number. Those of earlier versions of this program do
            not name their proposal: it has the same number.
        archs: proposal -> architecture, as we have recorded them.
    """
    ours: dict[int, int] = {}
    for number, attrs in stored:
        proposal = attrs.get(PROPOSAL_KEY, number)
        if isinstance(proposal, int) and archs.get(proposal, "") == attrs.get(ARCH_KEY):
            ours.setdefault(proposal, number)
    return ours


def complete_study(
    engine: sa.Engine,
    storage: RDBStorage,
    bulk: bool,
    run: StoredRun,
    number: int,
    name: str,
    trials: Sequence[FrozenTrial],
) -> Completion:
    """Let the study ``name`` of round ``number`` hold all of ``trials``, whatever has become of it. Said twice, it changes
    nothing.

    Args:
        bulk: whether Optuna's tables are written directly (``optuna_tables.layout_is_known``).
    """
    with engine.connect() as connection:
        there = optuna_tables.has_study(connection, name, len(metrics_of(run)))
    wanted, name = name, ensure_study(storage, run, name, study_attrs(run, number))
    archs = {trial.number: str(trial.user_attrs[ARCH_KEY]) for trial in trials}

    def lacking(stored: Sequence[tuple[int, Mapping[str, Any]]]) -> tuple[list[FrozenTrial], int]:
        ours = own_trials(stored, archs)
        return [trial for trial in trials if trial.number not in ours], len(stored) - len(ours)

    if bulk:
        with write_transaction(engine) as connection:
            in_flight = running.running_numbers(connection, name)
            stored = optuna_tables.user_attributes(connection, name, (PROPOSAL_KEY, ARCH_KEY))
            missing, foreign = lacking([trial for trial in stored if trial[0] not in in_flight])
            running.record_trials(connection, name, missing)
    else:
        study = optuna.load_study(study_name=name, storage=storage)
        trials_there = study.get_trials(deepcopy=False)
        missing, foreign = lacking([(trial.number, trial.user_attrs) for trial in trials_there])
        optuna_tables.add_trials(study, optuna_tables.renumbered(missing, len(trials_there)))
    made = "it was not there" if not there else f"{wanted} cannot be read" if name != wanted else ""
    return Completion(name, made, len(missing), foreign)
