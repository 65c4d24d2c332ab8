"""Which network of a run is wanted, and which one that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from analysis import picks
from spaces.architecture import Architecture
from spaces.space import SearchSpace
from studies.records import Evaluation, EvoError, Round, complete
from studies.store import RoundRow, Run, Store


@dataclass(frozen=True)
class Wish:
    """Which network of a run is wanted.

    Attributes:
        most: what it may cost: the name of a cost -> its limit, beside the run's own.
        arch: this very one (else the most accurate).
        knee: the one where the front bends most, rather than the most accurate.
        scale_to: the MACs to widen or slim it to.
    """

    most: Mapping[str, float]
    arch: Architecture | None = None
    knee: bool = False
    scale_to: float | None = None


@dataclass(frozen=True)
class Pick:
    """The network that a wish means; ``evaluation`` is what the round's judge said of it, if it was asked."""

    arch: Architecture
    space: SearchSpace
    round: int
    evaluation: Evaluation | None


def pick(store: Store, run: Run, wish: Wish) -> Pick:
    """The network that ``wish`` means, of the run's last finished round.

    Raises:
        EvoError: no round is finished, or nothing on its front is cheap enough.
        ValueError: the architecture asked for is in none of the run's spaces.
    """
    rows = [row for row in store.rounds(run) if row.finished]
    if not rows:
        raise EvoError(
            f"run {run.name!r} has no finished round to pick from; run: python -m evo.round 1 --run {run.name}"
        )
    evaluations = complete(proposal.evaluation for proposal in store.proposals(rows[-1]))
    if wish.arch is not None:
        found = next((e for e in evaluations if e.arch == wish.arch), None)
        return Pick(wish.arch, space_of(wish.arch, run, rows), rows[-1].number, found)
    cost = run.config.search.cost
    limits = run.config.limits.given()
    held = tuple(e for e in evaluations if all(low <= e.cost(name) <= high for name, (low, high) in limits.items()))
    allowed = picks.within(Round(rows[-1].number, rows[-1].space, held, cost=cost).front, wish.most)
    best = picks.knee(allowed, cost) if wish.knee else picks.best(allowed, cost)
    return Pick(best.arch, rows[-1].space, rows[-1].number, best)


def space_of(arch: Architecture, run: Run, rows: list[RoundRow]) -> SearchSpace:
    """The latest of the run's spaces that holds ``arch``.

    Raises:
        ValueError: none does; the message names the layer.
    """
    spaces = [run.space, *(row.space for row in rows)]
    return next((space for space in reversed(spaces) if arch in space), None) or run.space.only(arch)
