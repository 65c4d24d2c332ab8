"""The first tables: runs, rounds, choices, evaluations, proposals, checkpoints, and the view ``results``."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from studies.database.views import RESULTS

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(200), nullable=False, unique=True),
        sa.Column("config_json", sa.Text, nullable=False),
        sa.Column("seed", sa.Integer, nullable=False),
        sa.Column("versions_json", sa.Text, nullable=False),
        sa.Column("space_json", sa.Text, nullable=False),
        sa.Column("max_cost", sa.Float, nullable=False),
        sa.Column("min_accuracy", sa.Float, nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
    )
    op.create_table(
        "rounds",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("run_id", sa.Integer, sa.ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("study", sa.String(300), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("space_json", sa.Text, nullable=False),
        sa.Column("next_space_json", sa.Text),
        sa.Column("judge", sa.String(300)),
        sa.Column("hypervolume", sa.Float),
        sa.Column("stats_json", sa.Text, nullable=False),
        sa.Column("started_at", sa.DateTime, nullable=False),
        sa.Column("finished_at", sa.DateTime),
        sa.UniqueConstraint("run_id", "number"),
    )
    op.create_table(
        "choices",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("round_id", sa.Integer, sa.ForeignKey("rounds.id", ondelete="CASCADE"), nullable=False, index=True),
        sa.Column("layer_index", sa.Integer, nullable=False),
        sa.Column("layer", sa.String(100), nullable=False),
        sa.Column("op", sa.String(500), nullable=False),
        sa.Column("rating", sa.Float),
        sa.Column("share", sa.Float),
        sa.Column("fate", sa.String(20), nullable=False),
        sa.Column("rule", sa.Text, nullable=False),
    )
    op.create_table(
        "evaluations",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("run_id", sa.Integer, sa.ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
        sa.Column("judge", sa.String(300), nullable=False),
        sa.Column("canonical", sa.Text, nullable=False),
        sa.Column("arch", sa.Text, nullable=False),
        sa.Column("accuracy", sa.Float, nullable=False),
        sa.Column("nll", sa.Float),
        sa.Column("macs", sa.Float, nullable=False),
        sa.Column("params", sa.Float, nullable=False),
        sa.Column("latency_ms", sa.Float),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
    )
    op.create_index("ix_evaluations_run_judge", "evaluations", ["run_id", "judge"])
    op.create_table(
        "proposals",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("round_id", sa.Integer, sa.ForeignKey("rounds.id", ondelete="CASCADE"), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("origin", sa.String(20), nullable=False),
        sa.Column("fresh", sa.Boolean, nullable=False),
        sa.Column("arch", sa.Text, nullable=False),
        sa.Column("evaluation_id", sa.Integer, sa.ForeignKey("evaluations.id", ondelete="CASCADE"), nullable=False),
        sa.UniqueConstraint("round_id", "number"),
    )
    op.create_table(
        "checkpoints",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("run_id", sa.Integer, sa.ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
        sa.Column("round", sa.Integer, nullable=False),
        sa.Column("kind", sa.String(50), nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
    )
    op.execute(RESULTS["0001"])
