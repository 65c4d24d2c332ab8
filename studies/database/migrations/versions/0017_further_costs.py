"""A run may minimise several costs: the box in which hypervolume is measured has a side for each."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.add_column("runs", sa.Column("further_max_costs_json", sa.Text))
