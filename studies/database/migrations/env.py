"""How alembic runs our migrations: on the connection it is given, remembering its place in our own version table."""

from __future__ import annotations

from alembic import context

from studies.database.schema import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    include_name=lambda name, kind, _: kind != "table" or name in metadata.tables,  # never touch Optuna's tables
)
with context.begin_transaction():
    context.run_migrations()
