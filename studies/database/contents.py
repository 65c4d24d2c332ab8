"""What a database holds, found out by reading alone: our tables, Optuna's, or another program's.

Nothing is written to a database before it has been looked at here.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

import optuna
import sqlalchemy as sa

from studies.database import optuna_tables, schema
from studies.database.engines import first_line, open_reader
from studies.database.urls import redacted
from studies.database.views import VIEW_NAMES
from studies.records import EvoError

MAX_NAMES = 5
"""So many names are told."""


@dataclass(frozen=True)
class Contents:
    """What a database holds.

    Attributes:
        tables: the names of all tables and views.
        revision: of our tables; None: there are none, or they do not say.
        has_optuna: whether Optuna has made its tables here.
        optuna_revision: of Optuna's tables; None: there are none, or they do not say.
        studies: names of Optuna's studies.
        taken: tables of another program that have names of ours, or of Optuna's.
    """

    tables: frozenset[str]
    revision: str | None
    has_optuna: bool
    optuna_revision: str | None
    studies: tuple[str, ...]
    taken: tuple[str, ...]


def look(engine: sa.Engine) -> Contents:
    """What the database of ``engine`` holds."""
    with engine.connect() as connection:
        inspector = sa.inspect(connection)
        tables = frozenset([*inspector.get_table_names(), *inspector.get_view_names()])
        revision = schema.current_revision(connection) if schema.VERSION_TABLE in tables else None
        has_optuna = tables >= optuna_tables.NAMES
        optuna_revision, studies = optuna_tables.revision_and_studies(connection) if has_optuna else (None, ())
        taken = _taken_names(connection, tables, revision, has_optuna)
    return Contents(tables, revision, has_optuna, optuna_revision, studies, taken)


def _taken_names(
    connection: sa.Connection, tables: frozenset[str], revision: str | None, has_optuna: bool
) -> tuple[str, ...]:
    """Tables with names of ours, or of Optuna's, that lack columns; or with Alembic's name, which others use, too."""
    wanted = [] if revision else [*schema.metadata.tables.values()]
    wanted += [] if has_optuna else [*optuna_tables.TABLES, optuna_tables.REVISION]
    inspector = sa.inspect(connection)
    taken = {
        table.name
        for table in wanted
        if table.name in tables
        and not {column.name for column in table.columns} <= {c["name"] for c in inspector.get_columns(table.name)}
    }
    alembic = optuna_tables.REVISION.name
    if not has_optuna and alembic in tables - taken and not optuna_tables.is_revision(connection):
        taken.add(alembic)
    return tuple(sorted(taken))


def require_runs(contents: Contents, url: str) -> None:
    """Let only a database with our tables pass.

    Raises:
        EvoError: it has none, or not all of them, or those of a later version.
    """
    place = f"--storage {redacted(url)}"
    if contents.revision is None:
        if schema.metadata.tables.keys() <= contents.tables:
            raise EvoError(f"{place} is damaged: its table {schema.VERSION_TABLE} is missing; bring a copy back")
        raise EvoError(f"{place}: there is no run of this program in it; {_what_else(contents, url)}")
    schema.check_revision(contents.revision)
    expected = {*schema.metadata.tables, *VIEW_NAMES}
    if schema.is_head(contents.revision) and (missing := sorted(expected - contents.tables)):
        raise EvoError(f"{place} is damaged: it has no {', '.join(missing)}; bring a copy back")


def require_studies(url: str) -> None:
    """Let only a database pass whose Optuna tables the installed Optuna can use.

    Raises:
        EvoError: it has none, those of another Optuna, or cannot be read.
    """
    engine = open_reader(url)
    try:
        contents = look(engine)
    except sa.exc.DBAPIError as error:
        raise EvoError(f"--storage {redacted(url)}: cannot be opened: {first_line(error)}") from None
    finally:
        engine.dispose()
    if problem := optuna_problem(contents, url):
        raise EvoError(problem)
    if not contents.has_optuna:
        raise EvoError(f"--storage {redacted(url)}: there is no Optuna study in it; {_what_else(contents, url)}")


def _what_else(contents: Contents, url: str) -> str:
    """What a database without our tables holds, and what to do about it."""
    place = shlex.quote(redacted(url))
    if contents.studies:
        several = len(contents.studies) > 1
        counted = f"{len(contents.studies)} Optuna studies" if several else "an Optuna study"
        holds = f"it holds {counted} ({_listed(contents.studies)})"
        if problem := _optuna_problem(contents, place):
            return f"{holds}, and {problem}"
        return f"{holds}: optuna-dashboard {place} shows {'them' if several else 'it'}"
    if contents.tables and not contents.has_optuna:
        return f"it holds tables of another program ({_listed(tuple(sorted(contents.tables)))}); name another database"
    return f"it is empty; python -m evo.round 1 --storage {place} begins one"


def _listed(names: tuple[str, ...]) -> str:
    """The first names, and how many there are besides."""
    further = len(names) - MAX_NAMES
    return ", ".join(names[:MAX_NAMES]) + (f" and {further} more" if further > 0 else "")


def optuna_problem(contents: Contents, url: str) -> str | None:
    """Why the installed Optuna cannot use the database's Optuna tables, and what to do; None: it can, or there are none."""
    problem = _optuna_problem(contents, shlex.quote(redacted(url)))
    return problem and f"--storage {redacted(url)}: {problem}"


def _optuna_problem(contents: Contents, place: str) -> str | None:
    revision, expected = contents.optuna_revision, optuna_tables.installed_revision()
    if revision in (None, expected):
        return None
    found = f"Optuna's tables in it have schema {revision}, where Optuna {optuna.__version__} expects {expected}"
    if revision in optuna_tables.earlier_revisions():
        return f"{found}: make a copy, then upgrade them: optuna storage upgrade --storage {place}"
    return f"{found}: a later Optuna has written them; update it: pip install -U optuna"


def check_writable(contents: Contents, url: str) -> None:
    """Let only a database pass to which our tables and Optuna's can be written, beside whatever it holds.

    Raises:
        EvoError: tables of other Optunas, of a later version of this program, or of another program are in the way.
    """
    if problem := optuna_problem(contents, url):
        raise EvoError(problem)
    if contents.revision is not None:
        schema.check_revision(contents.revision)
    if contents.taken:
        raise EvoError(
            f"--storage {redacted(url)}: its tables {', '.join(contents.taken)} belong to another program, and this one "
            "needs these names; nothing was written. Name another database"
        )
