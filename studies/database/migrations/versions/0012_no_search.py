"""What a run's picks and networks that need no search reach at budgets: the control arms that search nothing."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.create_table(
        "no_search",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("run_id", sa.Integer, sa.ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
        sa.Column("round_number", sa.Integer, nullable=False),
        sa.Column("arm", sa.String(50), nullable=False),
        sa.Column("place", sa.Integer, nullable=False),
        sa.Column("budget", sa.Float, nullable=False),
        sa.Column("network", sa.Text, nullable=False),
        sa.Column("arch", sa.Text, nullable=False),
        sa.Column("macs", sa.Float, nullable=False),
        sa.Column("params", sa.Float, nullable=False),
        sa.Column("networks", sa.Integer, nullable=False),
        sa.Column("accuracy", sa.Float, nullable=False),
        sa.Column("images", sa.Integer, nullable=False),
        sa.Column("choosing_macs", sa.Float, nullable=False),
        sa.Column("training_sha256", sa.String(64), nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.UniqueConstraint("run_id", "round_number", "arm", "place"),
    )
