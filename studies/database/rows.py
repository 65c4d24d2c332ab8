"""Runs, rounds and evaluations as rows: from columns to records, and back."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, RowMapping

from spaces.architecture import Architecture
from spaces.space import SearchSpace, canonical_arch
from studies.config import StudyConfig, check_config
from studies.database.schema import cells, evaluations
from studies.records import Evaluation


@dataclass(frozen=True)
class StoredRun:
    """A row of ``runs``: one configuration, one seed, any number of rounds.

    Attributes:
        data_sha256: the fingerprint of the data that its results rest on (``evo.data.fingerprint``); None until it is computed.
        plugins: a user's own files and modules, by name: their ``path`` and ``sha256`` when the run began.
        classes: the names of the classes of its images; None where it has none, or was begun before they were kept.
    """

    id: int
    name: str
    config: StudyConfig
    space: SearchSpace
    max_cost: float
    min_accuracy: float
    data_sha256: str | None = None
    plugins: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    classes: tuple[str, ...] | None = None


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
    """One candidate of one layer after a round: its worth, its share of the front, what became of it and why."""

    layer_index: int
    op: str
    rating: float | None
    share: float | None
    fate: str
    rule: str


EVALUATION = (
    evaluations.c.judge, evaluations.c.accuracy, evaluations.c.nll, evaluations.c.macs, evaluations.c.params,
    evaluations.c.latency_ms, evaluations.c.seconds, evaluations.c.state, evaluations.c.reason, evaluations.c.rungs_json,
)  # fmt: skip


def cell_ids(connection: Connection, run: StoredRun) -> dict[tuple[int, str], int]:
    """(layer, cell) -> its row."""
    query = sa.select(cells.c.layer_index, cells.c.cell, cells.c.id).where(cells.c.run_id == run.id)
    return {(layer, cell): row for layer, cell, row in connection.execute(query)}


def evaluation_of(row: RowMapping) -> Evaluation:
    """The evaluation in a row of ``evaluations``."""
    return Evaluation(
        arch=Architecture.parse(row["arch"]),
        judge=row["judge"],
        accuracy=math.nan if row["accuracy"] is None else row["accuracy"],
        macs=row["macs"],
        params=row["params"],
        latency_ms=row["latency_ms"],
        nll=row["nll"],
        seconds=row["seconds"],
        rungs=tuple((epochs, accuracy) for epochs, accuracy in json.loads(row["rungs_json"])),
        pruned=row["state"] == "pruned",
        failed=row["reason"] or "",
    )


def evaluation_columns(run: StoredRun, evaluation: Evaluation, space: SearchSpace) -> dict[str, Any]:
    """An evaluation as the columns of ``evaluations``."""
    return {
        "run_id": run.id,
        "judge": evaluation.judge,
        "canonical": str(canonical_arch(evaluation.arch, space)),
        "arch": str(evaluation.arch),
        "accuracy": None if evaluation.failed else evaluation.accuracy,
        "nll": evaluation.nll,
        "macs": evaluation.macs,
        "params": evaluation.params,
        "latency_ms": evaluation.latency_ms,
        "seconds": evaluation.seconds,
        "created_at": utc_now(),
        "state": evaluation.state,
        "reason": evaluation.failed or None,
        "rungs_json": json.dumps(evaluation.rungs),
    }


def run_of(row: RowMapping) -> StoredRun:
    """The run in a row of ``runs``."""
    plugins = json.loads(row["plugins_json"] or "{}")
    folders = [Path(plugin["path"]).parent for plugin in plugins.values()]
    config = check_config(json.loads(row["config_json"]), f"run {row['name']!r}", folders)
    space = SearchSpace.from_json(row["space_json"])
    classes = tuple(json.loads(row["classes_json"])) if row["classes_json"] else None
    return StoredRun(
        row["id"], row["name"], config, space, row["max_cost"], row["min_accuracy"], row["data_sha256"],
        plugins, classes,
    )  # fmt: skip


def round_of(row: RowMapping) -> StoredRound:
    """The round in a row of ``rounds``."""
    return StoredRound(
        id=row["id"],
        number=row["number"],
        study=row["study"],
        finished=row["state"] == "finished",
        space=SearchSpace.from_json(row["space_json"]),
        next_space=SearchSpace.from_json(row["next_space_json"]) if row["next_space_json"] else None,
        judge=row["judge"],
        hypervolume=row["hypervolume"],
        stats=json.loads(row["stats_json"]),
    )


def utc_now() -> datetime:
    """The time, as it stands in all tables: UTC without saying so."""
    return datetime.now(UTC).replace(tzinfo=None)
