"""What failed and why: an evaluation without an accuracy, and a view of them. The data that a run's results rest on."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_SELECT = (
    "SELECT runs.name AS run, rounds.number AS round, proposals.number AS number, proposals.arch AS arch, "
    "evaluations.judge AS judge, {columns} "
    "FROM proposals JOIN rounds ON rounds.id = proposals.round_id JOIN runs ON runs.id = rounds.run_id "
    "JOIN evaluations ON evaluations.id = proposals.evaluation_id WHERE evaluations.state = '{state}'"
)
RESULTS = "CREATE VIEW results AS " + _SELECT.format(
    columns="evaluations.accuracy AS accuracy, evaluations.macs AS macs, evaluations.params AS params, "
    "evaluations.latency_ms AS latency_ms, evaluations.seconds AS seconds",
    state="complete",
)
FAILURES = "CREATE VIEW failures AS " + _SELECT.format(columns="evaluations.reason AS reason", state="failed")


def upgrade() -> None:
    op.add_column("runs", sa.Column("data", sa.String(64)))
    op.add_column("evaluations", sa.Column("reason", sa.Text))
    _remade_accuracy(sa.Column("remade", sa.Float))
    op.execute(FAILURES)


def downgrade() -> None:
    op.execute("DROP VIEW failures")
    op.execute("UPDATE evaluations SET state = 'pruned', accuracy = 0 WHERE state = 'failed'")
    _remade_accuracy(sa.Column("remade", sa.Float, nullable=False, server_default="0"))
    op.drop_column("evaluations", "reason")
    op.drop_column("runs", "data")


def _remade_accuracy(column: sa.Column[float]) -> None:
    """SQLite changes no column in place; to make the table anew would delete all that refers to it."""
    op.execute("DROP VIEW results")
    op.add_column("evaluations", column)
    op.execute("UPDATE evaluations SET remade = accuracy")
    op.drop_column("evaluations", "accuracy")
    op.alter_column("evaluations", "remade", new_column_name="accuracy", existing_type=sa.Float)
    op.execute(RESULTS)
