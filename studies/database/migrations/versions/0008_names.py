"""What the classes of a run's images are called, so that reports know it without the images."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("runs", sa.Column("classes_json", sa.Text))
