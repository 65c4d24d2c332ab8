"""A candidate's fate stands beside the evidence: how often it was measured, and what it adds at equal cost."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.add_column("choices", sa.Column("measured", sa.Integer))
    for name in ("effect", "effect_low", "effect_high"):
        op.add_column("choices", sa.Column(name, sa.Float))
