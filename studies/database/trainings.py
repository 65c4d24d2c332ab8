"""Networks that were trained alone, remembered by all that their result depends on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from studies.database.engines import retry_while_unavailable
from studies.database.rows import StoredRun, from_row, to_row, utc_now
from studies.database.schema import trainings
from studies.database.store import Store


@dataclass(frozen=True)
class Trained:
    """A row of ``trainings``: one network, trained once.

    Attributes:
        sha256: of all that the result depends on.
        name: what it was trained as first.
        space_json: the space that holds ``arch`` and nothing else.
        accuracy: on the validation images, which did not train it; 0 where the training diverged.
        nll: on the same images, lower is better; None where the training diverged.
        images: how many validation images there were.
        training_macs: that the training took.
        seconds: that it took, from its last interruption on.
        settings: of its training.
    """

    sha256: str
    name: str
    arch: str
    space_json: str
    seed: int
    accuracy: float
    nll: float | None
    images: int
    macs: float
    params: float
    training_macs: float
    seconds: float
    settings: Mapping[str, Any]


@retry_while_unavailable
def find_training(store: Store, sha256: str) -> Trained | None:
    """The result of a training that any run of the database has made; None: none has."""
    query = sa.select(trainings).where(trainings.c.sha256 == sha256).order_by(trainings.c.id).limit(1)
    with store.engine.connect() as connection:
        row = connection.execute(query).mappings().first()
    return None if row is None else _from_row(row)


@retry_while_unavailable
def record_training(store: Store, run: StoredRun, trained: Trained) -> None:
    """Write a result down, once for each run."""
    same = sa.select(trainings.c.id).where(trainings.c.run_id == run.id, trainings.c.sha256 == trained.sha256)
    settings = json.dumps(dict(trained.settings))
    values = to_row(trained, trainings, run_id=run.id, settings_json=settings, created_at=utc_now())
    with store.writing() as connection:
        if connection.scalar(same) is None:
            connection.execute(trainings.insert().values(values))


@retry_while_unavailable
def trainings_of(store: Store, run: StoredRun) -> list[Trained]:
    """What was trained for a run, oldest first."""
    query = sa.select(trainings).where(trainings.c.run_id == run.id).order_by(trainings.c.id)
    with store.engine.connect() as connection:
        return [_from_row(row) for row in connection.execute(query).mappings()]


def _from_row(row: sa.RowMapping) -> Trained:
    return from_row(Trained, row, settings=json.loads(row["settings_json"]))
