"""Our tables, beside Optuna's in one database, and their migrations (alembic, with a version table of our own).

No foreign key points at Optuna's tables: SQLite reuses their ids after a deletion. A round refers to its Optuna study by
name, a proposal to its trial by number. Text columns named ``*_json`` hold JSON.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    DateTime,
    Engine,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from studies.records import EvoError

VERSION_TABLE = "evo_version"
MIGRATIONS = Path(__file__).parent / "migrations"

metadata = MetaData()

runs = Table(
    "runs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(200), nullable=False, unique=True),
    Column("config_json", Text, nullable=False),
    Column("seed", Integer, nullable=False),
    Column("versions_json", Text, nullable=False),
    Column("space_json", Text, nullable=False),  # the first round's space
    Column("max_cost", Float, nullable=False),  # the hypervolume's box, fixed for all rounds
    Column("min_accuracy", Float, nullable=False),
    Column("created_at", DateTime, nullable=False),
    Column("data", String(64)),  # fingerprint of what its results rest on; null until the next round looks
)

rounds = Table(
    "rounds",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run_id", Integer, ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("study", String(300), nullable=False),  # the Optuna study's name
    Column("state", String(20), nullable=False),  # running, finished
    Column("space_json", Text, nullable=False),
    Column("next_space_json", Text),
    Column("judge", String(300)),
    Column("hypervolume", Float),
    Column("stats_json", Text, nullable=False),
    Column("started_at", DateTime, nullable=False),
    Column("finished_at", DateTime),
    UniqueConstraint("run_id", "number"),
)

choices = Table(
    "choices",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("round_id", Integer, ForeignKey("rounds.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("layer_index", Integer, nullable=False),
    Column("layer", String(100), nullable=False),
    Column("op", String(500), nullable=False),
    Column("rating", Float),  # what the method's rate gave it
    Column("share", Float),  # of the round's Pareto front
    Column("fate", String(20), nullable=False),  # kept, dropped, refilled
    Column("rule", Text, nullable=False),
)

evaluations = Table(
    "evaluations",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run_id", Integer, ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    Column("judge", String(300), nullable=False),
    Column("canonical", Text, nullable=False),
    Column("arch", Text, nullable=False),
    Column("accuracy", Float),  # null: it failed
    Column("nll", Float),
    Column("macs", Float, nullable=False),
    Column("params", Float, nullable=False),
    Column("latency_ms", Float),
    Column("seconds", Float, nullable=False),
    Column("created_at", DateTime, nullable=False),
    Column(
        "state", String(20), nullable=False, server_default="complete"
    ),  # pruned: accuracy, nll of its last rung; failed
    Column("reason", Text),  # why it failed
    Column("rungs_json", Text, nullable=False, server_default="[]"),  # [epochs, accuracy] wherever training paused
    Index("ix_evaluations_run_judge", "run_id", "judge"),
)

proposals = Table(
    "proposals",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("round_id", Integer, ForeignKey("rounds.id", ondelete="CASCADE"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("origin", String(20), nullable=False),  # survivor, stratified, child
    Column("fresh", Boolean, nullable=False),
    Column("arch", Text, nullable=False),
    Column("evaluation_id", Integer, ForeignKey("evaluations.id", ondelete="CASCADE"), nullable=False, index=True),
    UniqueConstraint("round_id", "number"),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run_id", Integer, ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    Column("round", Integer, nullable=False),
    Column("kind", String(50), nullable=False),
    Column("path", Text, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("created_at", DateTime, nullable=False),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run_id", Integer, ForeignKey("runs.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("round", Integer, nullable=False),  # whose front it was picked from
    Column("arch", Text, nullable=False),
    Column("scale_json", Text),  # old channels -> new channels; null: as searched
    Column("accuracy", Float, nullable=False),  # on the test images
    Column("macs", Float, nullable=False),
    Column("params", Float, nullable=False),
    Column("latency_ms", Float, nullable=False),  # measured where it was delivered
    Column("folder", Text, nullable=False),
    Column("sha256", String(64), nullable=False),  # of model.safetensors
    Column("settings_json", Text, nullable=False),  # of its training
    Column("created_at", DateTime, nullable=False),
)

cells = Table(
    "cells",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run_id", Integer, ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    Column("layer_index", Integer, nullable=False),
    Column("layer", String(100), nullable=False),
    Column("cell", String(500), nullable=False),
    Column("origin", String(20), nullable=False),  # random, mutation, crossover
    Column("parent", String(500)),  # of the same layer; so is the second one, which a crossover has
    Column("second_parent", String(500)),
    Column("round", Integer, nullable=False),  # of its birth; so is the iteration
    Column("iteration", Integer, nullable=False),
    UniqueConstraint("run_id", "layer_index", "cell"),
)

fitness = Table(
    "fitness",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("cell_id", Integer, ForeignKey("cells.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("round", Integer, nullable=False),
    Column("iteration", Integer, nullable=False),
    Column("fitness", Float, nullable=False),  # after this iteration, in which the cell ran
)

leases = Table(
    "leases",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run_id", Integer, ForeignKey("runs.id", ondelete="CASCADE"), nullable=False, unique=True),
    Column("token", String(32), nullable=False),  # the holder's alone
    Column("holder", String(300), nullable=False),  # user@host, process 123
    Column("place", String(200), nullable=False),  # where that process has this number
    Column("process", Integer, nullable=False),
    Column("beats", Integer, nullable=False),
    Column("taken_at", DateTime, nullable=False),  # by the database's clock, in UTC; so is the last beat
    Column("beaten_at", DateTime, nullable=False),
)


def is_current(engine: Engine) -> bool:
    """Whether our tables are of this program's version already."""
    with engine.connect() as connection:
        return _found(connection) == _scripts().get_current_head()


def upgrade(connection: Connection) -> None:
    """Bring our tables to this program's version; a database that is there already does nothing.

    Raises:
        EvoError: the database was written by a later version of this program.
    """
    scripts, found = _scripts(), _found(connection)
    if found is not None and found not in {script.revision for script in scripts.walk_revisions()}:
        raise EvoError(
            f"the database has schema version {found}, and this program knows {scripts.get_current_head()}: "
            "it was written by a later version; update this program"
        )
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(MIGRATIONS))
    command.upgrade(config, "head")


def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(MIGRATIONS))


def _found(connection: Connection) -> str | None:
    return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()
