"""Rounds as what was measured in them."""

from __future__ import annotations

from collections.abc import Iterable

from studies.config import StudyConfig
from studies.database.rows import StoredRound
from studies.database.store import Store
from studies.records import Round, complete_evaluations


def measured_rounds(store: Store, config: StudyConfig, rows: Iterable[StoredRound]) -> tuple[Round, ...]:
    """Each of the rounds, as far as it was measured; ``earlier``, ``costs`` and ``blocks`` are left out, and ratings that
    do not add up."""
    measured = ((row, complete_evaluations(proposal.evaluation for proposal in store.proposals(row))) for row in rows)
    search, holds = config.search, config.evaluator.scores_hold
    return tuple(
        Round(
            row.number,
            row.space,
            evaluations,
            {(i, op): -loss for i, op, loss in row.stats.get("losses", ())},
            search.cost,
            search.objective,
            scores_hold=holds,
            further_costs=search.costs[1:],
        )
        for row, evaluations in measured
    )
