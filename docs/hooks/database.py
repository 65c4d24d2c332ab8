"""Reference: the tables and views of a database, from the metadata that the program uses."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import sqlalchemy as sa

from docs.hooks.markdown import block, code, table
from studies.database.schema import metadata
from studies.database.store import open_store

INTRODUCTION = """# Tables and views

Our tables stand beside Optuna's in one database. No foreign key points from ours to Optuna's: a round names its Optuna study,
a proposal the number of its trial. Text columns named `*_json` hold JSON. Times are in UTC.

Start with the view `results`. [Results in SQL](../howto/sql.md) has queries to copy.
"""


def page() -> str:
    """The page, as Markdown."""
    parts = [INTRODUCTION, "## Views"]
    for view, (columns, text) in views().items():
        parts += [f"### {view}", table(["column", "meaning"], [[code(c), meaning(view, c)] for c in columns])]
        parts += [block(text, "sql")]
    parts += ["## Tables"]
    for sql_table in metadata.sorted_tables:
        parts += [f"### {sql_table.name}", str(sql_table.info.get("doc", "")), columns_of(sql_table)]
    return "\n\n".join(part for part in parts if part) + "\n"


def columns_of(sql_table: sa.Table) -> str:
    """A table's columns."""
    rows = [
        [code(column.name), str(column.type).lower(), "may be null" if column.nullable else "", _refers(column)]
        for column in sql_table.columns
    ]
    return table(["column", "type", "", "meaning"], rows)


def _refers(column: sa.Column[object]) -> str:
    keys = [f"`{key.column.table.name}.{key.column.name}`" for key in column.foreign_keys]
    primary = ["primary key"] if column.primary_key and not keys else []
    return "; ".join([*primary, *keys, *([column.doc] if column.doc else [])])


def views() -> dict[str, tuple[list[str], str]]:
    """Every view of a new database: its columns and its statement."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'evo.db'}"
        with open_store(url):
            pass
        engine = sa.create_engine(url)
        with engine.connect() as connection:
            rows = connection.execute(sa.text("SELECT name, sql FROM sqlite_master WHERE type = 'view' ORDER BY name"))
            texts = {str(name): str(text) for name, text in rows}
        columns = {name: [str(c["name"]) for c in sa.inspect(engine).get_columns(name)] for name in texts}
        engine.dispose()
    return {name: (columns[name], _break_lines(text)) for name, text in texts.items()}


def _break_lines(text: str) -> str:
    """A statement with its clauses on lines of their own."""
    text = re.sub(r" (?=(SELECT|FROM|(LEFT )?JOIN|WHERE|GROUP BY) )", "\n", text).replace("LEFT\nJOIN", "LEFT JOIN")
    return text.replace(", ", ",\n       ")


def meaning(view: str, column: str) -> str:
    """What a view's column means: what the table's column of that name does, or the place it is taken from."""
    if column in NAMED:
        return NAMED[column]
    tables = [metadata.tables[name] for name in FROM[view]]
    docs = (sql_table.columns[column].doc for sql_table in tables if column in sql_table.columns)
    return next((doc for doc in docs if doc), "")


NAMED = {
    "run": "the run's name",
    "round": "the round's number, from 1",
    "number": "the Optuna trial's number",
    "proposals": "how many architectures the search proposed",
    "distinct_networks": "how many different networks are among them",
    "measured": "how many of them were measured in this round, not known before",
    "pruned": "how many of the measured ones were stopped early",
    "failed": "how many of the measured ones failed",
    "found": "how many of the measured ones another run had measured before",
    "front": "networks on the round's Pareto front; null while it runs, like all that follows",
}
FROM = {
    "results": ("evaluations", "proposals"),
    "failures": ("evaluations", "proposals"),
    "round_stats": ("rounds",),
}
"""The tables in which the columns of a view are looked for, in this order."""
