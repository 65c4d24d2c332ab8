"""The lineage of bred cells in SQL: what is written comes back, and writing a round twice changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from studies.database.lineage import bred_cells, record_bred_cells
from studies.database.rows import StoredRun
from studies.database.store import Store
from studies.records import BredCell, Fitness
from tests import example_run

MOTHER = BredCell(0, "cell:e1_3", "random", (), 1, 0, (Fitness(1, 1, 0.5, 0.05),))
FATHER = BredCell(0, "cell:e1_5", "random", (), 1, 0)
CHILD = BredCell(0, "cell:e1_3_-5", "crossover", ("cell:e1_3", "cell:e1_5"), 1, 2, (Fitness(1, 2, 0.25),))
NAMESAKE = BredCell(1, "cell:e1_3", "mutation", ("cell:e1_5",), 1, 2, (Fitness(1, 2, -1.0),))
FIRST = [MOTHER, FATHER, CHILD, NAMESAKE]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(f"sqlite:///{tmp_path}/evo.db")
    yield opened
    opened.close()


@pytest.fixture
def run(store: Store) -> StoredRun:
    return example_run.begin(store)


def test_a_run_without_cells_has_no_lineage(store: Store, run: StoredRun) -> None:
    assert bred_cells(store, run) == []


def test_what_was_bred_comes_back_and_a_later_round_adds_to_it(store: Store, run: StoredRun) -> None:
    record_bred_cells(store, run, 1, FIRST)
    record_bred_cells(store, run, 1, FIRST)
    assert bred_cells(store, run) == FIRST
    older = replace(MOTHER, fitness=(*MOTHER.fitness, Fitness(2, 1, 0.75)))
    born = BredCell(0, "cell:e3_3", "mutation", ("cell:e1_3",), 2, 1, (Fitness(2, 1, 0.1),))
    record_bred_cells(store, run, 2, [older, FATHER, CHILD, NAMESAKE, born])
    assert bred_cells(store, run) == [older, FATHER, CHILD, NAMESAKE, born]
    assert bred_cells(store, example_run.begin(store, "another")) == []


def test_parents_birth_and_fitness_can_be_asked_for_in_sql(store: Store, run: StoredRun) -> None:
    record_bred_cells(store, run, 1, FIRST)
    query = "SELECT layer, cell, origin, parent, second_parent, round_number, iteration FROM cells WHERE origin = 'crossover'"
    assert store.frame(query).values.tolist() == [
        ["stage1.layer1", "cell:e1_3_-5", "crossover", "cell:e1_3", "cell:e1_5", 1, 2]
    ]
    over_time = (
        "SELECT cells.cell, fitness.round_number, fitness.iteration, fitness.fitness "
        "FROM fitness JOIN cells ON cells.id = fitness.cell_id WHERE layer_index = 0 ORDER BY fitness.id"
    )
    assert store.frame(over_time).values.tolist() == [["cell:e1_3", 1, 1, 0.5], ["cell:e1_3_-5", 1, 2, 0.25]]
