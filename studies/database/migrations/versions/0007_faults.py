"""What failed and why: an evaluation without an accuracy, and a view of them. The data that a run's results rest on."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from studies.database.views import FAILURES, RESULTS

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("runs", sa.Column("data", sa.String(64)))
    op.add_column("evaluations", sa.Column("reason", sa.Text))
    _let_accuracy_be_null()
    op.execute(FAILURES["0007"])


def _let_accuracy_be_null() -> None:
    """SQLite changes no column in place; to make the table anew would delete all that refers to it."""
    op.execute("DROP VIEW results")
    op.add_column("evaluations", sa.Column("remade", sa.Float))
    op.execute("UPDATE evaluations SET remade = accuracy")
    op.drop_column("evaluations", "accuracy")
    op.alter_column("evaluations", "remade", new_column_name="accuracy", existing_type=sa.Float)
    op.execute(RESULTS["0002"])
