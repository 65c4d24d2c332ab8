"""Delivered networks, remembered beside the runs that found them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from studies.database.rows import StoredRun, from_row, to_row, utc_now
from studies.database.schema import deliveries
from studies.database.store import Store


@dataclass(frozen=True)
class Delivery:
    """A row of ``deliveries``.

    Attributes:
        round: from whose front it was picked.
        widths: old channels -> new channels; None: as it was searched.
        accuracy: on the test images.
        latency_ms: of one image, measured where it was delivered.
        sha256: of ``model.safetensors`` in ``folder``.
        settings: of its training.
        flash_kb, memory_kb: on the device of ``[target]``; None where the run has none.
    """

    round: int
    arch: str
    widths: Mapping[str, int] | None
    accuracy: float
    macs: float
    params: float
    latency_ms: float
    folder: str
    sha256: str
    settings: Mapping[str, Any]
    flash_kb: float | None = None
    memory_kb: float | None = None


def record_delivery(store: Store, run: StoredRun, delivery: Delivery) -> None:
    """Write a delivery down, once for each folder and weights."""
    same = sa.select(deliveries.c.id).where(
        deliveries.c.run_id == run.id,
        deliveries.c.folder == delivery.folder,
        deliveries.c.sha256 == delivery.sha256,
    )
    values = to_row(
        delivery,
        deliveries,
        run_id=run.id,
        round_number=delivery.round,
        widths_json=None if delivery.widths is None else json.dumps(dict(delivery.widths)),
        settings_json=json.dumps(dict(delivery.settings)),
        created_at=utc_now(),
    )
    with store.writing() as connection:
        if connection.scalar(same) is None:
            connection.execute(deliveries.insert().values(values))


def deliveries_of(store: Store, run: StoredRun) -> list[Delivery]:
    """What was delivered of a run, oldest first."""
    query = sa.select(deliveries).where(deliveries.c.run_id == run.id).order_by(deliveries.c.id)
    with store.engine.connect() as connection:
        return [
            from_row(
                Delivery,
                row,
                round=row["round_number"],
                widths=json.loads(row["widths_json"]) if row["widths_json"] else None,
                settings=json.loads(row["settings_json"]),
            )
            for row in connection.execute(query).mappings()
        ]
