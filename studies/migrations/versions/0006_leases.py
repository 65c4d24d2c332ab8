"""Leases: who works on a run, since when, and that they live. And no lengths or widths where nothing limits them.

SQLite enforces neither, and has no ALTER for them: there the types stay as they were declared.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

RESULTS = (
    "CREATE VIEW results AS "
    "SELECT runs.name AS run, rounds.number AS round, proposals.number AS number, proposals.arch AS arch, "
    "evaluations.judge AS judge, evaluations.accuracy AS accuracy, evaluations.macs AS macs, "
    "evaluations.params AS params, evaluations.latency_ms AS latency_ms, evaluations.seconds AS seconds "
    "FROM proposals JOIN rounds ON rounds.id = proposals.round_id JOIN runs ON runs.id = rounds.run_id "
    "JOIN evaluations ON evaluations.id = proposals.evaluation_id WHERE evaluations.state = 'complete'"
)
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
    _retype(sa.BigInteger(), dict.fromkeys(TEXTS, sa.Text()))


def downgrade() -> None:
    _retype(sa.Integer(), {column: sa.String(length) for column, length in TEXTS.items()})
    op.drop_table("leases")


def _retype(seed: sa.types.TypeEngine[int], texts: dict[tuple[str, str], sa.types.TypeEngine[str]]) -> None:
    """Change types where they bind. PostgreSQL changes none that a view looks at; MySQL has no index of whole texts."""
    backend = op.get_bind().dialect.name
    if backend != "sqlite":
        op.alter_column("runs", "seed", type_=seed, existing_nullable=False)
    if backend == "postgresql":
        op.execute("DROP VIEW results")
        for (table, column), kind in texts.items():
            op.alter_column(table, column, type_=kind)
        op.execute(RESULTS)
