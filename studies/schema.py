"""Our tables, beside Optuna's in one database, and their migrations (alembic, with a version table of our own).

No foreign key points at Optuna's tables: SQLite reuses their ids after a deletion. A round refers to its Optuna study by
name, a proposal to its trial by number. Text columns named ``*_json`` hold JSON.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from itertools import count
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    BigInteger,
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
from sqlalchemy.ext.compiler import compiles

from studies.engines import tell, writing
from studies.records import EvoError

for kind, name in ((Float, "DOUBLE"), (Text, "LONGTEXT"), (DateTime, "DATETIME(6)")):  # what MySQL has is smaller
    compiles(kind, "mysql", "mariadb")(lambda *_, name=name, **__: name)

VERSION_TABLE = "evo_version"
MIGRATIONS = Path(__file__).parent / "migrations"

metadata = MetaData()

runs = Table(
    "runs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(200), nullable=False, unique=True),
    Column("config_json", Text, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("versions_json", Text, nullable=False),
    Column("space_json", Text, nullable=False),  # the first round's space
    Column("max_cost", Float, nullable=False),  # the hypervolume's box, fixed for all rounds
    Column("min_accuracy", Float, nullable=False),
    Column("created_at", DateTime, nullable=False),
    Column("data", String(64)),  # fingerprint of what its results rest on; null until the next round looks
    Column("classes_json", Text),  # names, in the order of the labels; null: no images, or begun before they were kept
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
    Column("judge", Text),
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
    Column("layer", Text, nullable=False),
    Column("op", Text, nullable=False),
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
    Column("judge", Text, nullable=False),
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
    Column("layer", Text, nullable=False),
    Column("cell", Text, nullable=False),
    Column("origin", String(20), nullable=False),  # random, mutation, crossover
    Column("parent", Text),  # of the same layer; so is the second one, which a crossover has
    Column("second_parent", Text),
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
    Column("run_id", Integer, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("token", String(32), nullable=False),  # the holder's alone
    Column("holder", String(300), nullable=False),  # user@host, process 123
    Column("place", String(200), nullable=False),  # where that process has this number
    Column("process", Integer, nullable=False),
    Column("beats", Integer, nullable=False),
    Column("taken_at", DateTime, nullable=False),  # by the holder's clock, in UTC
)


def is_current(engine: Engine) -> bool:
    """Whether our tables are of this program's version already."""
    with engine.connect() as connection:
        return _found(connection) == _scripts().get_current_head()


def upgrade(engine: Engine) -> None:
    """Bring our tables to this program's version, in one transaction, with a copy of an SQLite file made first.

    Raises:
        EvoError: the database was written by a later version of this program, or there is no room for the copy.
    """
    scripts, head = _scripts(), _scripts().get_current_head()
    with engine.connect() as connection:
        found = _found(connection)
    if found is not None and found not in {script.revision for script in scripts.walk_revisions()}:
        raise EvoError(
            f"the database has schema version {found}, and this program knows {head}: "
            "it was written by a later version; update this program"
        )
    if found not in (None, head):
        kept = f"a copy as it was: {copied(engine, f'before-{head}')}" if engine.dialect.name == "sqlite" else BACKUP
        tell(f"upgrading the database from schema version {found} to {head}; {kept}")
    with writing(engine) as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(MIGRATIONS))
        command.upgrade(config, "head")


BACKUP = "in one transaction; a copy from before would be yours to make (pg_dump)"


def copied(engine: Engine, suffix: str) -> Path:
    """A copy of an SQLite database, beside it; a copy from earlier is never overwritten.

    Raises:
        EvoError: it cannot be written.
    """
    database = Path(str(engine.url.database))
    names = (f"{database.name}.{suffix}" + (f"-{n}" if n else "") for n in count())
    path = next(path for path in map(database.with_name, names) if not path.exists())
    partial = path.with_name(f"{path.name}.part")
    try:
        with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(partial)) as target:
            source.backup(target)
        partial.replace(path)
    except (sqlite3.Error, OSError) as error:
        with suppress(OSError):
            partial.unlink()
        raise EvoError(f"{database} is not upgraded, since a copy of it cannot be written to {path}: {error}") from None
    return path


def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(MIGRATIONS))


def _found(connection: Connection) -> str | None:
    return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()
