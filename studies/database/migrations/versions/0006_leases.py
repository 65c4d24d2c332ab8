"""Leases: who works on a run, since when, and that they live. And no lengths or widths where nothing limits them.

SQLite enforces neither, and has no ALTER for them: there the types stay as they were declared.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from studies.database.views import RESULTS

revision = "0006"
down_revision = "0005"

TEXTS = (
    ("rounds", "judge"),
    ("evaluations", "judge"),
    ("choices", "layer"),
    ("choices", "op"),
    ("cells", "layer"),
    ("cells", "cell"),
    ("cells", "parent"),
    ("cells", "second_parent"),
)


def upgrade() -> None:
    op.create_table(
        "leases",
        sa.Column(
            "run_id", sa.Integer, sa.ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
        ),
        sa.Column("token", sa.String(32), nullable=False),
        sa.Column("holder", sa.String(300), nullable=False),
        sa.Column("place", sa.String(200), nullable=False),
        sa.Column("process", sa.Integer, nullable=False),
        sa.Column("beats", sa.Integer, nullable=False),
        sa.Column("taken_at", sa.DateTime, nullable=False),
    )
    _widen()


def _widen() -> None:
    """Change types where they bind. PostgreSQL changes none that a view looks at; MySQL has no index of whole texts."""
    backend = op.get_bind().dialect.name
    if backend != "sqlite":
        op.alter_column("runs", "seed", type_=sa.BigInteger(), existing_nullable=False)
    if backend == "postgresql":
        op.execute("DROP VIEW results")
        for table, column in TEXTS:
            op.alter_column(table, column, type_=sa.Text())
        op.execute(RESULTS["0002"])
