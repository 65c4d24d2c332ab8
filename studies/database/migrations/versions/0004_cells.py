"""Bred cells: their parents, their birth, and their fitness over time."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "cells",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("run_id", sa.Integer, sa.ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
        sa.Column("layer_index", sa.Integer, nullable=False),
        sa.Column("layer", sa.String(100), nullable=False),
        sa.Column("cell", sa.String(500), nullable=False),
        sa.Column("origin", sa.String(20), nullable=False),
        sa.Column("parent", sa.String(500)),
        sa.Column("second_parent", sa.String(500)),
        sa.Column("round", sa.Integer, nullable=False),
        sa.Column("iteration", sa.Integer, nullable=False),
        sa.UniqueConstraint("run_id", "layer_index", "cell"),
    )
    op.create_table(
        "fitness",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("cell_id", sa.Integer, sa.ForeignKey("cells.id", ondelete="CASCADE"), nullable=False, index=True),
        sa.Column("round", sa.Integer, nullable=False),
        sa.Column("iteration", sa.Integer, nullable=False),
        sa.Column("fitness", sa.Float, nullable=False),
    )
