"""What a round has cost is kept in multiply-accumulates, too."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from studies.database.statistics import STATISTICS
from studies.database.views import ROUND_STATS

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.execute("DROP VIEW IF EXISTS round_stats")
    for name, kind in STATISTICS[revision].items():
        op.add_column("rounds", sa.Column(name, kind))
    op.execute(ROUND_STATS[revision])
