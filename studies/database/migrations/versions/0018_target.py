"""Evaluations and deliveries know what a network needs on a device: flash and memory."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from studies.database.views import RESULTS

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    op.execute("DROP VIEW IF EXISTS results")
    for table in ("evaluations", "deliveries"):
        for name in ("flash_kb", "memory_kb"):
            op.add_column(table, sa.Column(name, sa.Float))
    op.execute(RESULTS[revision])
