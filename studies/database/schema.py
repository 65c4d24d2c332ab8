"""Our tables, beside Optuna's in one database, and their migrations (alembic, with a version table of our own).

No foreign key points at Optuna's tables: SQLite reuses their ids after a deletion. A round refers to its Optuna study by
name, a proposal to its trial by number. Text columns named ``*_json`` hold JSON.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from functools import cache
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
    text,
)
from sqlalchemy.ext.compiler import compiles

from studies.database.engines import log_line, write_transaction
from studies.database.views import VIEWS
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
    Column("name", String(200), nullable=False, unique=True, doc="unique in the database"),
    Column("config_json", Text, nullable=False, doc="all settings"),
    Column("seed", BigInteger, nullable=False, doc="every random choice follows from it"),
    Column("versions_json", Text, nullable=False, doc="versions of Python and of the libraries"),
    Column("space_json", Text, nullable=False, doc="the space of the first round"),
    Column(
        "max_cost",
        Float,
        nullable=False,
        doc="the largest cost of the box in which hypervolume is measured, the same for all rounds",
    ),
    Column(
        "further_max_costs_json",
        Text,
        doc="the largest of each further cost of that box, in the order of `search.objectives`; null: there is one cost",
    ),
    Column("min_accuracy", Float, nullable=False, doc="the least accuracy of that box"),
    Column("created_at", DateTime, nullable=False),
    Column(
        "data_sha256", String(64), doc="sha256 of the data that results rest on; null until the next round computes it"
    ),
    Column(
        "classes_json",
        Text,
        doc="class names in the order of the labels; null: no images, or a run of an earlier version",
    ),
    Column("plugins_json", Text, doc="the user's own files and modules: name to path and sha256; null: none"),
    info={"doc": "One row for every run."},
)

rounds = Table(
    "rounds",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run_id", Integer, ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    Column("number", Integer, nullable=False, doc="from 1"),
    Column("study", String(300), nullable=False, doc="name of the Optuna study"),
    Column("state", String(20), nullable=False, doc="`running` or `finished`"),
    Column("space_json", Text, nullable=False, doc="the space that the round searches"),
    Column("next_space_json", Text, doc="the space that the evolution made of it; null while the round runs"),
    Column("judge", Text, doc="name of the judge that measured the round"),
    Column("hypervolume", Float, doc="of all that the round measured, in the run's box"),
    Column(
        "front_size", Integer, doc="networks on the round's Pareto front; null while it runs, like all that follows"
    ),
    Column(
        "tau", Float, doc="Kendall's tau of the scores with networks trained alone, higher is better; null: not asked"
    ),
    Column("tau_macs", Float, doc="the tau of multiply-accumulates taken as the score"),
    Column("fitting_seconds", Float, doc="that fitting the evaluator took, e.g. training a supernet"),
    Column("searching_seconds", Float, doc="that proposing, evaluating and storing took"),
    Column("truth_seconds", Float, doc="that training or looking up for `tau` took"),
    Column("training_macs", Float, doc="multiply-accumulates of training the evaluator's weights; null: unknown"),
    Column("scoring_macs", Float, doc="multiply-accumulates of scoring candidates; null: unknown"),
    Column("truth_macs", Float, doc="multiply-accumulates of networks trained alone for `tau`; null: unknown"),
    Column("stats_json", Text, nullable=False, doc="counts, seconds by activity, and how well scores rank"),
    Column("started_at", DateTime, nullable=False),
    Column("finished_at", DateTime),
    UniqueConstraint("run_id", "number"),
    info={"doc": "One row for every round of a run."},
)

choices = Table(
    "choices",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("round_id", Integer, ForeignKey("rounds.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("layer_index", Integer, nullable=False, doc="from 0"),
    Column("layer", Text, nullable=False, doc="name of the layer, e.g. `stage2.layer1`"),
    Column("op", Text, nullable=False, doc="the operation"),
    Column("rating", Float, doc="what the method's rate gave it, higher is better"),
    Column("share", Float, doc="fraction of the round's Pareto front that uses it"),
    Column("fate", String(20), nullable=False, doc="`kept`, `dropped` or `added`"),
    Column("rule", Text, nullable=False, doc="the rule that decided, in words"),
    Column(
        "measured", Integer, doc="networks of the round that carry it; null: added only now, or by an earlier version"
    ),
    Column(
        "effect",
        Float,
        doc="what it adds to the score at equal cost, beside the mean of its layer's candidates; null: not known",
    ),
    Column("effect_low", Float, doc="lower end of the effect's 95 % interval"),
    Column("effect_high", Float, doc="upper end of the effect's 95 % interval"),
    Column(
        "learned",
        Float,
        doc="what the evaluator learned about it in the round, higher is better: how likely NSE's gate is on, a cell's "
        "fitness, minus the loss of a block; null: nothing, the gates dropped it, or an earlier version",
    ),
    info={"doc": "What became of every operation of every layer at the end of a round, and by which rule."},
)

evaluations = Table(
    "evaluations",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run_id", Integer, ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    Column(
        "judge",
        Text,
        nullable=False,
        doc="the judge that measured: `table:...`, `scratch:...`, `oneshot@2:<sha256>`, and with `+truth:<sha256>` the same "
        "calibrated; part of the identity",
    ),
    Column("canonical", Text, nullable=False, doc="the spelling that stands for all spellings of one network"),
    Column("arch", Text, nullable=False, doc="genes joined by `|`"),
    Column("accuracy", Float, doc="from 0 to 1; null where measuring failed"),
    Column(
        "raw_accuracy",
        Float,
        doc="what shared weights gave, where `accuracy` is an estimate of accuracy alone made of it; else null",
    ),
    Column("nll", Float, doc="mean negative log-likelihood, lower is better; null where the judge has none"),
    Column("macs", Float, nullable=False, doc="multiply-accumulates, by `search.macs_convention`"),
    Column("params", Float, nullable=False, doc="weights and biases"),
    Column("latency_ms", Float, doc="by the latency table; null where there is none"),
    Column("flash_kb", Float, doc="KB of weights on the device of `[target]`; null where there is none"),
    Column(
        "memory_kb", Float, doc="KB of activations that are live at one time there, at most; null where there is none"
    ),
    Column("seconds", Float, nullable=False, doc="that measuring took"),
    Column("created_at", DateTime, nullable=False),
    Column(
        "state",
        String(20),
        nullable=False,
        server_default="complete",
        doc="`complete`, `pruned` (accuracy and nll are those of the last rung) or `failed`",
    ),
    Column("reason", Text, doc="why it failed"),
    Column("rungs_json", Text, nullable=False, server_default="[]", doc="[epochs, accuracy] wherever training paused"),
    Column(
        "judge_sha256",
        String(64),
        doc="of all that the judge's answers depend on beside the network: settings, data, seed, device; null: they hold in "
        "this run alone, or an earlier version measured",
    ),
    Column("network_sha256", String(64), doc="of the network; null likewise"),
    Column("found_in", Text, doc="the run that measured it, as it was called then; null: this one did"),
    Index("ix_evaluations_run_judge", "run_id", "judge"),
    Index("ix_evaluations_answer", "judge_sha256", "network_sha256"),
    info={"doc": "One row for every architecture that a judge measured, or failed to measure."},
)

lessons = Table(
    "lessons",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run_id", Integer, ForeignKey("runs.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("source", Text, nullable=False, doc="the run that measured it, as `search.learn_from` names it"),
    Column("judge", Text, nullable=False, doc="the judge that measured it there"),
    Column("arch", Text, nullable=False, doc="genes joined by `|`"),
    Column("accuracy", Float, nullable=False, doc="from 0 to 1"),
    Column("nll", Float, doc="mean negative log-likelihood, lower is better; null where the judge has none"),
    info={
        "doc": "What a run learns from (`search.learn_from`): measurements of other runs, as they were when it began."
    },
)

proposals = Table(
    "proposals",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("round_id", Integer, ForeignKey("rounds.id", ondelete="CASCADE"), nullable=False),
    Column("number", Integer, nullable=False, doc="from 0; the Optuna trial's attribute `proposal`"),
    Column("generation", Integer, nullable=False, doc="generation of the search, from 0"),
    Column(
        "origin",
        String(20),
        nullable=False,
        doc="why it was proposed: `survivor`, `stratified`, `drawn`, `guard`, `combined`, `child`, `screened`, `random`",
    ),
    Column(
        "is_new",
        Boolean,
        nullable=False,
        doc="whether it was measured for this trial, and so counts against `search.evaluations`",
    ),
    Column("arch", Text, nullable=False, doc="genes joined by `|`"),
    Column("evaluation_id", Integer, ForeignKey("evaluations.id", ondelete="CASCADE"), nullable=False, index=True),
    UniqueConstraint("round_id", "number"),
    info={"doc": "One row for every trial of a round: the architecture that the search asked for."},
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run_id", Integer, ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    Column("round_number", Integer, nullable=False, doc="number of the round"),
    Column("kind", String(50), nullable=False, doc="what the file holds, e.g. `weights`"),
    Column("path", Text, nullable=False, doc="where the file lies"),
    Column("sha256", String(64), nullable=False, doc="of the file's content"),
    Column("created_at", DateTime, nullable=False),
    info={"doc": "The files of weights behind a round's judge. The newest of a round and kind counts."},
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run_id", Integer, ForeignKey("runs.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("round_number", Integer, nullable=False, doc="number of the round from whose front the network was picked"),
    Column("arch", Text, nullable=False, doc="genes joined by `|`"),
    Column("widths_json", Text, doc="old channels to new channels; null: as searched"),
    Column("accuracy", Float, nullable=False, doc="on the test images"),
    Column("macs", Float, nullable=False, doc="multiply-accumulates, by `search.macs_convention`"),
    Column("params", Float, nullable=False, doc="weights and biases"),
    Column("latency_ms", Float, nullable=False, doc="measured on the machine that delivered it"),
    Column("flash_kb", Float, doc="KB of weights on the device of `[target]`; null where the run has none"),
    Column(
        "memory_kb",
        Float,
        doc="KB of activations that are live at one time there, at most; null where the run has none",
    ),
    Column("folder", Text, nullable=False, doc="where it was written"),
    Column("sha256", String(64), nullable=False, doc="of `model.safetensors`"),
    Column("settings_json", Text, nullable=False, doc="of its training"),
    Column("created_at", DateTime, nullable=False),
    info={"doc": "What `python -m evo.deliver` delivered."},
)

trainings = Table(
    "trainings",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run_id", Integer, ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    Column("sha256", String(64), nullable=False, doc="of all that the result depends on: it is trained once"),
    Column(
        "name", Text, nullable=False, doc="what it was trained as first, e.g. `finalist 2 of 4`, `mb_k3_e1 everywhere`"
    ),
    Column("arch", Text, nullable=False, doc="genes joined by `|`"),
    Column("space_json", Text, nullable=False, doc="the space that holds this network alone, with its widths"),
    Column("seed", BigInteger, nullable=False, doc="of its first weights and of its training"),
    Column("accuracy", Float, nullable=False, doc="on the validation images, which did not train it; 0: it diverged"),
    Column("nll", Float, doc="mean negative log-likelihood there, lower is better; null: the training diverged"),
    Column("images", Integer, nullable=False, doc="number of these images"),
    Column("macs", Float, nullable=False, doc="multiply-accumulates, by `search.macs_convention`"),
    Column("params", Float, nullable=False, doc="weights and biases"),
    Column(
        "training_macs",
        Float,
        nullable=False,
        doc="that the training took: three times `macs` for every image seen, and a teacher's once, if it had one",
    ),
    Column("seconds", Float, nullable=False, doc="that it took, from its last interruption on"),
    Column("settings_json", Text, nullable=False, doc="of its training"),
    Column("created_at", DateTime, nullable=False),
    UniqueConstraint("run_id", "sha256"),
    info={
        "doc": "Networks that `python -m evo.deliver` (`--finalists`, `--against`), `python -m evo.headroom` and "
        "`python -m evo.proxies` trained alone to compare them, on the training images without the validation images."
    },
)

no_search = Table(
    "no_search",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run_id", Integer, ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    Column(
        "round_number",
        Integer,
        nullable=False,
        doc="number of the round from whose front the budgets and the picks were taken",
    ),
    Column(
        "arm",
        String(50),
        nullable=False,
        doc="`pick` (the run's own), `uniform`, `random-networks`, or the name of a published network",
    ),
    Column("place", Integer, nullable=False, doc="place of the budget, from 0, the least first"),
    Column("budget", Float, nullable=False, doc="multiply-accumulates, by `search.macs_convention`"),
    Column("network", Text, nullable=False, doc="what it is, in words"),
    Column("arch", Text, nullable=False, doc="genes joined by `|`"),
    Column("macs", Float, nullable=False, doc="what it costs at its widths"),
    Column("params", Float, nullable=False, doc="weights and biases"),
    Column("networks", Integer, nullable=False, doc="among how many it was chosen, by a training of each"),
    Column(
        "accuracy",
        Float,
        nullable=False,
        doc="on the validation images, which did not train it, of a training that did not choose it",
    ),
    Column("images", Integer, nullable=False, doc="number of these images"),
    Column(
        "choosing_macs",
        Float,
        nullable=False,
        doc="multiply-accumulates of the trainings by which it was chosen, and of the pick an equal share of the run's",
    ),
    Column(
        "training_sha256", String(64), nullable=False, doc="`sha256` in `trainings` of the training `accuracy` is of"
    ),
    Column("created_at", DateTime, nullable=False),
    UniqueConstraint("run_id", "round_number", "arm", "place"),
    info={
        "doc": "What the picks of a run and networks that need no search reach at budgets: one row for every arm of "
        "`--control uniform`, `random-networks`, `mobilenet_v2` or `efficientnet_b0`, and budget."
    },
)

cells = Table(
    "cells",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run_id", Integer, ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    Column("layer_index", Integer, nullable=False, doc="from 0"),
    Column("layer", Text, nullable=False, doc="name of the layer"),
    Column("cell", Text, nullable=False, doc="the genome"),
    Column("origin", String(20), nullable=False, doc="`random`, `mutation` or `crossover`"),
    Column("parent", Text, doc="a cell of the same layer"),
    Column("second_parent", Text, doc="a cell of the same layer; only after a crossover"),
    Column("round_number", Integer, nullable=False, doc="number of the round of birth"),
    Column("iteration", Integer, nullable=False, doc="iteration of birth; 0: the first population"),
    UniqueConstraint("run_id", "layer_index", "cell"),
    info={"doc": "Cells that a run bred (AutoSpace-style), one row for each layer and cell."},
)

fitness = Table(
    "fitness",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("cell_id", Integer, ForeignKey("cells.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("round_number", Integer, nullable=False, doc="number of the round"),
    Column("iteration", Integer, nullable=False, doc="number of the iteration"),
    Column("fitness", Float, nullable=False, doc="higher is better"),
    Column("error", Float, doc="its standard error; null: nothing is known of it, or an earlier version"),
    info={"doc": "The fitness of a cell after every iteration in which it ran, and at the end of a round."},
)

leases = Table(
    "leases",
    metadata,
    Column("run_id", Integer, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("token", String(32), nullable=False, doc="known to the holder alone"),
    Column("holder", String(300), nullable=False, doc="e.g. `user@host, process 123`"),
    Column(
        "place",
        String(200),
        nullable=False,
        doc="the machine and process namespace in which the process has its number",
    ),
    Column("pid", Integer, nullable=False, doc="number of the process"),
    Column("beats", Integer, nullable=False, doc="counts up while the holder lives"),
    Column("taken_at", DateTime, nullable=False, doc="by the holder's clock, in UTC"),
    info={"doc": "The coordinator that holds a run. A run without a row is free."},
)


def is_head(revision: str | None) -> bool:
    """Whether tables of this revision are this program's own."""
    return revision == _script_directory().get_current_head()


def is_current(engine: Engine) -> bool:
    """Whether our tables are of this program's version already."""
    with engine.connect() as connection:
        return is_head(current_revision(connection))


def check_revision(revision: str) -> None:
    """Let only revisions pass that this program knows.

    Raises:
        EvoError: the database was written by a later version of this program.
    """
    scripts = _script_directory()
    if revision not in {script.revision for script in scripts.walk_revisions()}:
        raise EvoError(
            f"the database has schema version {revision}, and this program knows {scripts.get_current_head()}: "
            "it was written by a later version; update this program"
        )


def upgrade(engine: Engine, keep_copy: bool = True) -> None:
    """Bring our tables to this program's version, in one transaction.

    Args:
        keep_copy: whether a copy of an SQLite file is made first, and a line says so.

    Raises:
        EvoError: the database was written by a later version of this program, or there is no room for the copy.
    """
    head = _script_directory().get_current_head()
    with engine.connect() as connection:
        revision = current_revision(connection)
    if revision is not None:
        check_revision(revision)
    if keep_copy and revision not in (None, head):
        kept = (
            f"a copy as it was: {backup_copy(engine, f'before-{head}')}" if engine.dialect.name == "sqlite" else BACKUP
        )
        log_line(f"upgrading the database from schema version {revision} to {head}; {kept}")
    with write_transaction(engine) as connection:
        if revision is None:
            _create(connection)
        else:
            config = Config(attributes={"connection": connection})
            config.set_main_option("script_location", str(MIGRATIONS))
            command.upgrade(config, "head")


def _create(connection: Connection) -> None:
    """Make what all migrations, one after the other, would have made of nothing."""
    metadata.create_all(connection)
    for view in VIEWS:
        connection.execute(text(view[max(view)]))
    _migration_context(connection).stamp(_script_directory(), "head")


BACKUP = "in one transaction; a copy from before would be yours to make (pg_dump)"


def backup_copy(engine: Engine, suffix: str) -> Path:
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


@cache
def _script_directory() -> ScriptDirectory:
    return ScriptDirectory(str(MIGRATIONS))


def current_revision(connection: Connection) -> str | None:
    """The revision of our tables; None: there are none."""
    return _migration_context(connection).get_current_revision()


def _migration_context(connection: Connection) -> MigrationContext:
    return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
