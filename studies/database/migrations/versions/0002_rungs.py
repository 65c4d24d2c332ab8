"""Early stopping: an evaluation's state and its accuracies on the way; ``results`` holds complete evaluations only."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from studies.database.views import RESULTS

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("evaluations", sa.Column("state", sa.String(20), nullable=False, server_default="complete"))
    op.add_column("evaluations", sa.Column("rungs_json", sa.Text, nullable=False, server_default="[]"))
    op.execute("DROP VIEW results")
    op.execute(RESULTS["0002"])
