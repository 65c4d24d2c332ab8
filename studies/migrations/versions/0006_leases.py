"""Leases: who works on a run, since when, and that they live. And no lengths or widths where nothing limits them.

SQLite enforces neither, and has no ALTER for them: there the types stay as they were declared.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

TEXTS = {
    ("rounds", "judge"): 300,
    ("evaluations", "judge"): 300,
    ("choices", "layer"): 100,
    ("choices", "op"): 500,
    ("cells", "layer"): 100,
    ("cells", "cell"): 500,
    ("cells", "parent"): 500,
    ("cells", "second_parent"): 500,
}


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
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column("runs", "seed", type_=sa.BigInteger)
        for table, column in TEXTS:
            op.alter_column(table, column, type_=sa.Text)


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for (table, column), length in TEXTS.items():
            op.alter_column(table, column, type_=sa.String(length))
        op.alter_column("runs", "seed", type_=sa.Integer)
    op.drop_table("leases")
