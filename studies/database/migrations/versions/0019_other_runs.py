"""What other runs have measured is found again by what it depends on, and learned from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from studies.database.views import ROUND_STATS

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    op.execute("DROP VIEW IF EXISTS round_stats")
    for name, kind in (("judge_sha256", sa.String(64)), ("network_sha256", sa.String(64)), ("found_in", sa.Text)):
        op.add_column("evaluations", sa.Column(name, kind))
    op.create_index("ix_evaluations_answer", "evaluations", ["judge_sha256", "network_sha256"])
    op.create_table(
        "lessons",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("run_id", sa.Integer, sa.ForeignKey("runs.id", ondelete="CASCADE"), nullable=False, index=True),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("judge", sa.Text, nullable=False),
        sa.Column("arch", sa.Text, nullable=False),
        sa.Column("accuracy", sa.Float, nullable=False),
        sa.Column("nll", sa.Float),
    )
    op.execute(ROUND_STATS[revision])
