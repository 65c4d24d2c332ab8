"""What the next round begins with: the Pareto front of what was measured before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from spaces.architecture import Architecture
from spaces.space import SearchSpace
from studies.config import StudyConfig
from studies.database.rows import StoredRound, StoredRun
from studies.database.store import Store
from studies.pareto import evenly_spaced
from studies.records import Evaluation, Round, complete_evaluations


def last_evaluations(store: Store, run: StoredRun, earlier: Sequence[StoredRound]) -> list[Evaluation]:
    """What the last of the rounds ``earlier`` measured; before the first round, what the run's predecessor did."""
    if not earlier and (predecessor := run.config.evolution.predecessor):
        earlier = store.rounds(store.run(predecessor))
    return [proposal.evaluation for proposal in store.proposals(earlier[-1])] if earlier else []


def surviving_front(
    before: Iterable[Evaluation], space: SearchSpace, config: StudyConfig, most: int
) -> list[Architecture]:
    """The Pareto front of what was measured before, as far as ``space`` still holds it, cheapest first.

    A front of more than ``most`` is thinned evenly, its two ends kept.
    """
    settings, limits = config.search, config.limits.given()
    held = tuple(
        e
        for e in complete_evaluations(before)
        if e.arch in space and all(least <= e.cost(name) <= most for name, (least, most) in limits.items())
    )
    front = Round(0, space, held, cost=settings.cost, objective=settings.objective).front
    return evenly_spaced([e.arch for e in front], most)
