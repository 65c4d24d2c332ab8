"""Runs, rounds, proposals and evaluations as rows: from records to columns, and back.

A column with the name of a record's field is that field (``to_row``, ``from_row``); the others are named where they are made.
"""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import RowMapping

from spaces.architecture import Architecture
from spaces.errors import UserError
from spaces.space import SearchSpace, canonical_arch
from studies.config import StudyConfig, check_config
from studies.database.schema import choices, evaluations, proposals
from studies.database.statistics import columns_of
from studies.plugins import Plugin
from studies.records import Evaluation, EvoError, Proposal

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

R = TypeVar("R", bound="DataclassInstance")


@dataclass(frozen=True)
class RunKey:
    """A run that is there, whether or not the rest of its row can be read."""

    id: int
    name: str


@dataclass(frozen=True)
class StoredRun(RunKey):
    """A row of ``runs``: one configuration, one seed, any number of rounds.

    Attributes:
        data_sha256: the fingerprint of the data that its results rest on (``evo.data.fingerprint``); None until it is computed.
        plugins: a user's own files and modules, by name: their ``path`` and ``sha256`` when the run began.
        classes: the names of the classes of its images; None where it has none, or was begun before they were kept.
        version: of the program that began it; empty where that is not known.
    """

    config: StudyConfig
    space: SearchSpace
    max_cost: float
    min_accuracy: float
    data_sha256: str | None = None
    plugins: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    classes: tuple[str, ...] | None = None
    version: str = ""
    further_max_costs: tuple[float, ...] = ()

    @property
    def max_costs(self) -> float | tuple[float, ...]:
        """The most of the cost, or of each of several, in the box in which hypervolume is measured."""
        return (self.max_cost, *self.further_max_costs) if self.further_max_costs else self.max_cost


@dataclass(frozen=True)
class StoredRound:
    """A row of ``rounds``."""

    id: int
    number: int
    study: str
    finished: bool
    space: SearchSpace
    next_space: SearchSpace | None
    judge: str | None
    hypervolume: float | None
    stats: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Choice:
    """One candidate of one layer after a round: its worth, its share of the front, what became of it and why.

    Attributes:
        measured: networks of the round that carry it.
        effect: what it adds to the score at equal cost, beside the mean of its layer's candidates; ``effect_low`` to
            ``effect_high``: the 95 % interval. None where nothing is known.
        learned: what the evaluator learned about it in the round, higher is better; None: nothing.
    """

    layer_index: int
    op: str
    rating: float | None
    share: float | None
    fate: str
    rule: str
    measured: int | None = None
    effect: float | None = None
    effect_low: float | None = None
    effect_high: float | None = None
    learned: float | None = None


@dataclass(frozen=True, slots=True)
class LessonRow:
    """A row of ``lessons``: what ``judge`` of the run ``source`` has measured of a network."""

    source: str
    judge: str
    arch: str
    accuracy: float
    nll: float | None


@contextmanager
def reading(run: str, what: str) -> Iterator[None]:
    """Where rows are made into records, in the body: say which of them cannot be.

    Raises:
        EvoError: they hold what this program never writes.
    """
    try:
        yield
    except UserError:
        raise
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise EvoError(
            f"run {run!r}: {what} cannot be read ({type(error).__name__}: {reason}): the database was edited or is damaged. "
            f"Bring a copy back, or delete the run: python -m studies.runs delete {shlex.quote(run)}"
        ) from error


def to_row(record: DataclassInstance, table: sa.Table, **others: Any) -> dict[str, Any]:
    """A record as columns of ``table``: its fields are the columns of their names, but for those in ``others``."""
    return {name: getattr(record, name) for name in _field_names(type(record)) if name in table.c} | others


def from_row(kind: type[R], row: RowMapping, **others: Any) -> R:
    """The record in a row: its fields are the columns of their names, but for those in ``others``."""
    return kind(**{name: row[name] for name in _field_names(kind) if name not in others}, **others)


@cache
def _field_names(kind: type[DataclassInstance]) -> tuple[str, ...]:
    return tuple(f.name for f in fields(kind))


def run_to_row(
    name: str,
    config: StudyConfig,
    space: SearchSpace,
    max_costs: Sequence[float],
    versions: Mapping[str, str],
    data: str | None,
    classes: Sequence[str] | None,
    plugins: Sequence[Plugin],
) -> dict[str, Any]:
    """A new run as columns of ``runs``; see ``Store.create_run``."""
    named = {plugin.name: {"path": plugin.path, "sha256": plugin.sha256} for plugin in plugins}
    return {
        "name": name,
        "config_json": config.model_dump_json(),
        "seed": config.seed,
        "versions_json": json.dumps(dict(versions)),
        "space_json": space.to_json(),
        "max_cost": max_costs[0],
        "further_max_costs_json": json.dumps(list(max_costs[1:])) if len(max_costs) > 1 else None,
        "min_accuracy": config.search.min_accuracy,
        "created_at": utc_now(),
        "data_sha256": data,
        "classes_json": json.dumps(list(classes)) if classes is not None else None,
        "plugins_json": json.dumps(named) if named else None,
    }


def run_from_row(row: RowMapping) -> StoredRun:
    """The run in a row of ``runs``."""
    with reading(row["name"], "its settings or its space"):
        plugins = json.loads(row["plugins_json"] or "{}")
        folders = [Path(plugin["path"]).parent for plugin in plugins.values()]
        return from_row(
            StoredRun,
            row,
            config=check_config(_stored_settings(row["config_json"]), f"run {row['name']!r}", folders),
            space=SearchSpace.from_json(row["space_json"]),
            max_cost=_finite(row["max_cost"]),
            further_max_costs=tuple(map(_finite, json.loads(row["further_max_costs_json"] or "[]"))),
            min_accuracy=_finite(row["min_accuracy"]),
            plugins=plugins,
            classes=tuple(json.loads(row["classes_json"])) if row["classes_json"] else None,
            version=str(json.loads(row["versions_json"]).get("evo", "")),
        )


def _stored_settings(text: str) -> dict[str, Any]:
    """The settings of a run. Earlier versions let limits begin below 0, where no cost is, and computed in fp32 everywhere."""
    settings: dict[str, Any] = {"precision": "fp32"} | json.loads(text)
    for limit in (settings.get("limits") or {}).values():
        if isinstance(limit, list) and limit and isinstance(limit[0], (int, float)):
            limit[0] = max(limit[0], 0)
    return settings


def _finite(value: Any) -> float:
    """A number of a database.

    Raises:
        ValueError, TypeError: it is none, or has no end.
    """
    if not math.isfinite(number := float(value)):
        raise ValueError(f"expected a finite number, found {number}")
    return number


def round_to_row(run: StoredRun, number: int, study: str, space: SearchSpace) -> dict[str, Any]:
    """A round that begins as columns of ``rounds``."""
    return {
        "run_id": run.id,
        "number": number,
        "study": study,
        "state": "running",
        "space_json": space.to_json(),
        "stats_json": "{}",
        "started_at": utc_now(),
    }


def outcome_to_row(next_space: SearchSpace, judge: str, hypervolume: float, stats: Mapping[str, Any]) -> dict[str, Any]:
    """A round's end as columns of ``rounds``."""
    return {
        "state": "finished",
        "next_space_json": next_space.to_json(),
        "judge": judge,
        "hypervolume": hypervolume,
        "stats_json": json.dumps(dict(stats)),
        **columns_of(stats),
        "finished_at": utc_now(),
    }


def round_from_row(row: RowMapping) -> StoredRound:
    """The round in a row of ``rounds``."""
    return from_row(
        StoredRound,
        row,
        finished=row["state"] == "finished",
        number=int(row["number"]),
        study=str(row["study"]),
        space=SearchSpace.from_json(row["space_json"]),
        next_space=SearchSpace.from_json(row["next_space_json"]) if row["next_space_json"] else None,
        hypervolume=None if row["hypervolume"] is None else float(row["hypervolume"]),
        stats=dict(json.loads(row["stats_json"])),
    )


def choice_to_row(row: StoredRound, choice: Choice) -> dict[str, Any]:
    """A candidate's fate in round ``row`` as columns of ``choices``."""
    return to_row(choice, choices, round_id=row.id, layer=row.space.names[choice.layer_index])


def proposal_to_row(row: StoredRound, proposal: Proposal, evaluation_id: int) -> dict[str, Any]:
    """A proposal of round ``row`` as columns of ``proposals``."""
    return to_row(proposal, proposals, round_id=row.id, arch=str(proposal.arch), evaluation_id=evaluation_id)


def proposal_from_row(row: RowMapping) -> Proposal:
    """The proposal in a row of ``proposals``, joined with its evaluation's columns of other names."""
    return from_row(Proposal, row, evaluation=evaluation_from_row(row))


def evaluation_to_row(run: StoredRun, evaluation: Evaluation, space: SearchSpace) -> dict[str, Any]:
    """An evaluation as columns of ``evaluations``."""
    return to_row(
        evaluation,
        evaluations,
        run_id=run.id,
        canonical=str(canonical_arch(evaluation.arch, space)),
        arch=str(evaluation.arch),
        accuracy=None if evaluation.failed else evaluation.accuracy,
        created_at=utc_now(),
        state=evaluation.state,
        reason=evaluation.failed or None,
        rungs_json=json.dumps(evaluation.rungs),
    )


def evaluation_from_row(row: RowMapping) -> Evaluation:
    """The evaluation in a row of ``evaluations``."""
    return from_row(
        Evaluation,
        row,
        arch=Architecture.parse(row["arch"]),
        accuracy=math.nan if row["accuracy"] is None else float(row["accuracy"]),
        macs=float(row["macs"]),
        params=float(row["params"]),
        rungs=tuple((epochs, accuracy) for epochs, accuracy in json.loads(row["rungs_json"])),
        pruned=row["state"] == "pruned",
        failed=row["reason"] or "",
    )


def utc_now() -> datetime:
    """The time, as it stands in all tables: UTC without saying so."""
    return datetime.now(UTC).replace(tzinfo=None)
