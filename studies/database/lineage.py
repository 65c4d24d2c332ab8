"""Cells that a run bred, and how they fared: rows of ``cells`` and ``fitness``."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy import Connection

from studies.database.engines import retry_while_unavailable
from studies.database.rows import StoredRun, from_row, to_row
from studies.database.schema import cells, fitness
from studies.database.store import Store
from studies.records import BredCell, Fitness


@retry_while_unavailable
def record_bred_cells(store: Store, run: StoredRun, number: int, lives: Sequence[BredCell]) -> None:
    """Write the cells that round ``number`` bred and what it measured, in one transaction; twice changes nothing."""
    with store.writing() as connection:
        known = _cell_ids(connection, run)
        if born := [_cell_to_row(run, life) for life in lives if (life.layer_index, life.cell) not in known]:
            connection.execute(cells.insert(), born)
        known = _cell_ids(connection, run)
        ours = sa.select(cells.c.id).where(cells.c.run_id == run.id)
        connection.execute(fitness.delete().where(fitness.c.round_number == number, fitness.c.cell_id.in_(ours)))
        measured = [
            {
                "cell_id": known[life.layer_index, life.cell],
                "round_number": n,
                "iteration": i,
                "fitness": value,
                "error": error,
            }
            for life in lives
            for n, i, value, error in life.fitness
            if n == number
        ]
        if measured:
            connection.execute(fitness.insert(), measured)


@retry_while_unavailable
def bred_cells(store: Store, run: StoredRun) -> list[BredCell]:
    """All cells that the run has bred, oldest first; empty where it bred none."""
    query = sa.select(cells).where(cells.c.run_id == run.id).order_by(cells.c.id)
    history = sa.select(fitness).join(cells).where(cells.c.run_id == run.id).order_by(fitness.c.id)
    measured: dict[int, list[Fitness]] = {}
    with store.engine.connect() as connection:
        for row in connection.execute(history):
            measured.setdefault(row.cell_id, []).append(
                Fitness(row.round_number, row.iteration, row.fitness, row.error)
            )
        return [
            from_row(
                BredCell,
                row,
                parents=tuple(parent for parent in (row["parent"], row["second_parent"]) if parent),
                round=row["round_number"],
                fitness=tuple(sorted(measured.get(row["id"], []), key=lambda found: found[:2])),
            )
            for row in connection.execute(query).mappings()
        ]


def _cell_to_row(run: StoredRun, life: BredCell) -> dict[str, object]:
    """A cell as columns of ``cells``."""
    parents = dict(zip(("parent", "second_parent"), (*life.parents, None, None), strict=False))
    layer = run.space.names[life.layer_index]
    return to_row(life, cells, run_id=run.id, layer=layer, round_number=life.round, **parents)


def _cell_ids(connection: Connection, run: StoredRun) -> dict[tuple[int, str], int]:
    """(layer, cell) -> its row."""
    query = sa.select(cells.c.layer_index, cells.c.cell, cells.c.id).where(cells.c.run_id == run.id)
    return {(layer, cell): row for layer, cell, row in connection.execute(query)}
