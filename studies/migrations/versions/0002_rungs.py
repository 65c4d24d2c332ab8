"""Early stopping: an evaluation's state and its accuracies on the way; ``results`` holds complete evaluations only."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

RESULTS = (
    "CREATE VIEW results AS "
    "SELECT runs.name AS run, rounds.number AS round, proposals.number AS number, proposals.arch AS arch, "
    "evaluations.judge AS judge, evaluations.accuracy AS accuracy, evaluations.macs AS macs, "
    "evaluations.params AS params, evaluations.latency_ms AS latency_ms, evaluations.seconds AS seconds "
    "FROM proposals JOIN rounds ON rounds.id = proposals.round_id JOIN runs ON runs.id = rounds.run_id "
    "JOIN evaluations ON evaluations.id = proposals.evaluation_id"
)


def upgrade() -> None:
    op.add_column("evaluations", sa.Column("state", sa.String(20), nullable=False, server_default="complete"))
    op.add_column("evaluations", sa.Column("rungs_json", sa.Text, nullable=False, server_default="[]"))
    op.execute("DROP VIEW results")
    op.execute(f"{RESULTS} WHERE evaluations.state = 'complete'")


def downgrade() -> None:
    op.execute("DROP VIEW results")
    op.drop_column("evaluations", "rungs_json")
    op.drop_column("evaluations", "state")
    op.execute(RESULTS)
