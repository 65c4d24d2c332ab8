"""An index of proposals by evaluation: without it, deleting a run of 10,000 trials takes 14 seconds."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_index("ix_proposals_evaluation_id", "proposals", ["evaluation_id"])
