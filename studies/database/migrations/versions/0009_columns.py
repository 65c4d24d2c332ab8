"""Columns are called by what they hold; a round's statistics can be queried; a run knows its plugins.

What stands in JSON, settings and statistics, gets the names of today, too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa
from alembic import op

from studies.config.renames import renewed
from studies.database.statistics import STATISTICS, columns_of
from studies.database.views import ROUND_STATS

revision = "0009"
down_revision = "0008"

RENAMED: list[tuple[str, str, str, sa.types.TypeEngine[Any], bool]] = [
    ("runs", "data", "data_sha256", sa.String(64), True),
    ("proposals", "fresh", "is_new", sa.Boolean(), False),
    ("checkpoints", "round", "round_number", sa.Integer(), False),
    ("deliveries", "round", "round_number", sa.Integer(), False),
    ("deliveries", "scale_json", "widths_json", sa.Text(), True),
    ("cells", "round", "round_number", sa.Integer(), False),
    ("fitness", "round", "round_number", sa.Integer(), False),
    ("leases", "process", "pid", sa.Integer(), False),
]
"""Table, old name, new name, type, and whether it may be null."""


def upgrade() -> None:
    for table, old, new, kind, nullable in RENAMED:
        op.alter_column(table, old, new_column_name=new, existing_type=kind, existing_nullable=nullable)
    op.add_column("runs", sa.Column("plugins_json", sa.Text))
    for name, kind in STATISTICS[revision].items():
        op.add_column("rounds", sa.Column(name, kind))
    op.execute("UPDATE choices SET fate = 'added' WHERE fate = 'refilled'")
    _rewrite("runs", "config_json", lambda settings: {"config_json": _present(settings)})
    _rewrite("deliveries", "settings_json", lambda training: {"settings_json": _training(training)})
    _rewrite("rounds", "stats_json", _statistics)
    op.execute(ROUND_STATS["0009"])


def _rewrite(table: str, column: str, values: Callable[[dict[str, Any]], Mapping[str, Any]]) -> None:
    """Set, in every row, what ``values`` makes of the JSON in a column; dictionaries are written as JSON."""
    rows = sa.table(table, sa.column("id"), sa.column(column), *map(sa.column, STATISTICS[revision]))
    connection = op.get_bind()
    for row, text in connection.execute(sa.select(rows.c.id, rows.c[column])).all():
        new = {
            name: json.dumps(value) if isinstance(value, dict) else value
            for name, value in values(json.loads(text)).items()
        }
        connection.execute(rows.update().where(rows.c.id == row).values(new))


def _present(settings: dict[str, Any], section: str = "") -> dict[str, Any]:
    return renewed(settings, lambda _: False, section)[0]


def _training(training: dict[str, Any]) -> dict[str, Any]:
    sections = {"settings": "deliver", "data": "data"}
    return training | {
        name: _present(training[name], section) for name, section in sections.items() if name in training
    }


def _statistics(stats: dict[str, Any]) -> dict[str, Any]:
    stats = {"proposals" if name == "trials" else name: value for name, value in stats.items()}
    columns = {name: value for name, value in columns_of(stats).items() if name in STATISTICS[revision]}
    return {"stats_json": stats, **columns}
