"""A candidate's fate stands beside what the evaluator learned about it: the probability of a gate, a fitness, a loss."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.add_column("choices", sa.Column("learned", sa.Float))
