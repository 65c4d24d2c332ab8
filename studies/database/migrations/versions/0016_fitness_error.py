"""The standard error of a cell's fitness stands beside it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.add_column("fitness", sa.Column("error", sa.Float))
