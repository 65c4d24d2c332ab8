"""What a run's picks and networks that need no search reach at budgets, as ``--control uniform`` and its like have found."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from studies.database.engines import retry_while_unavailable
from studies.database.rows import StoredRun, from_row, to_row, utc_now
from studies.database.schema import no_search
from studies.database.store import Store

PICK = "pick"
"""The arm that is the run's own pick."""


@dataclass(frozen=True)
class BudgetResult:
    """A row of ``no_search``: what one side of the comparison reaches at one budget.

    Attributes:
        round_number: the run's round from whose front the budgets and the picks were taken.
        arm: ``pick``, or a value of ``studies.controls.Control``.
        place: the budget's place, from 0, the least first; ``budget``: its MACs.
        network: what it is, in words; ``arch``: its architecture.
        networks: among how many it was chosen, by a training of each.
        accuracy: on the validation images, which did not train it, of a training that did not choose it; higher is better.
        images: how many validation images there were.
        choosing_macs: multiply-accumulates of the trainings by which it was chosen; the pick has an equal share of the
            run's, too; 0 where that is not known.
        training_sha256: of the training that ``accuracy`` is of, in the table ``trainings``.
    """

    round_number: int
    arm: str
    place: int
    budget: float
    network: str
    arch: str
    macs: float
    params: float
    networks: int
    accuracy: float
    images: int
    choosing_macs: float
    training_sha256: str


@retry_while_unavailable
def record_result(store: Store, run: StoredRun, result: BudgetResult) -> None:
    """Write a result down, in the place of an earlier one of the same round, arm and budget."""
    columns = no_search.c
    same = sa.and_(
        columns.run_id == run.id,
        columns.round_number == result.round_number,
        columns.arm == result.arm,
        columns.place == result.place,
    )
    with store.writing() as connection:
        connection.execute(no_search.delete().where(same))
        connection.execute(no_search.insert().values(to_row(result, no_search, run_id=run.id, created_at=utc_now())))


@retry_while_unavailable
def results_of(store: Store, run: StoredRun, round_number: int) -> list[BudgetResult]:
    """What was found after one round of a run: by arm, the least budget first."""
    query = sa.select(no_search).where(no_search.c.run_id == run.id, no_search.c.round_number == round_number)
    with store.engine.connect() as connection:
        rows = connection.execute(query.order_by(no_search.c.arm, no_search.c.place)).mappings()
        return [from_row(BudgetResult, row) for row in rows]


@retry_while_unavailable
def compared_rounds(store: Store, run: StoredRun) -> list[int]:
    """The rounds after which a run was compared with networks that need no search, first to last."""
    query = sa.select(no_search.c.round_number).where(no_search.c.run_id == run.id).distinct()
    with store.engine.connect() as connection:
        return sorted(connection.scalars(query))
