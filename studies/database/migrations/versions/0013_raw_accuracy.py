"""An accuracy that is an estimate stands beside what the shared weights gave."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.add_column("evaluations", sa.Column("raw_accuracy", sa.Float))
