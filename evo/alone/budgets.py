"""Budgets at which a run is compared with networks that need no search, and what the run picks at each of them.

The budgets are spread over the front of a finished round. Nothing here imports torch: a comparison that is complete is told at
once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from evo.alone.candidates import Candidate, choose_widths
from evo.alone.rivals import BASELINES, Task, cut_without_search, random_networks
from evo.alone.selection import (
    Criteria,
    Selected,
    allowed_front,
    favourites,
    last_round,
    promises_after,
    within_limits,
)
from evo.strategy.promised import Promises
from spaces.errors import SpaceError, UserError
from spaces.export.baselines import Contender, contender, filled_contender
from spaces.pretrained.cut_space import whole_alone
from spaces.units import format_number
from studies.controls import Control
from studies.database.no_search import PICK, results_of
from studies.database.rows import StoredRound, StoredRun
from studies.database.store import Store
from studies.records import Evaluation

BUDGETS = 3
"""At how many budgets a run is compared."""

FINALISTS = 4
"""How many networks of a run are trained alone at each budget, the best of which is its pick."""


@dataclass(frozen=True)
class Budget:
    """A budget, and what the run picks there.

    Attributes:
        place: from 0, the least first.
        macs: the budget; where the pick keeps its widths, its own MACs.
        finalists: the judge's favourite first; trainings alone choose among them.
    """

    place: int
    macs: float
    finalists: tuple[Contender, ...]


def spread_budgets(front: Sequence[Evaluation], number: int = BUDGETS) -> list[float]:
    """``number`` budgets of MACs in equal ratios between a front's fewest and most, without the fewest and with the most:
    for 100 and 800 MACs 200, 400 and 800. One where the front has one network."""
    macs = [e.macs for e in front]
    least, most = min(macs), max(macs)
    if least in (0, most):
        return [most]
    return [least * (most / least) ** (part / number) for part in range(1, number)] + [most]


def find_budgets(store: Store, run: StoredRun, row: StoredRound, finalists: int = FINALISTS) -> list[Budget]:
    """The budgets after round ``row``, the least first, each with the networks that the run favours there, widened to it.

    Args:
        finalists: how many, if there are so many; the first one is the same for all numbers.

    Raises:
        EvoError: nothing on the round's front is within the run's limits.
    """
    finished = last_round(store, run, [one for one in store.rounds(run) if one.number <= row.number])
    front = allowed_front(run, finished)
    within_limits(front, {})
    promises = promises_after(finished, run)
    return [_budget(run, promises, place, macs, finalists) for place, macs in enumerate(spread_budgets(front))]


def _budget(run: StoredRun, promises: Promises, place: int, macs: float, number: int) -> Budget:
    """Where the favourite may not be widened, as other limits of the run forbid it, it keeps its widths and is the pick; others
    that may not be are left out."""
    convention, n = run.config.search.macs_convention, promises.finished.n
    named = f"of round {n} at {format_number(macs)} MACs"
    if run.config.evaluator.starts_networks:  # its weights are those of its widths
        (favourite,) = favourites(promises, run, {"macs": macs}, 1)
        pick = Candidate(favourite, None).contender(f"pick {named}", convention)
        return Budget(place, pick.macs, (pick,))
    favourite, *others = favourites(promises, run, {"macs": macs}, number, widened=True)
    first = _filled(favourite, run, macs, f"finalist 1 {named}")
    if first is None:
        pick = Candidate(favourite, None).contender(f"pick {named}", convention)
        return Budget(place, pick.macs, (pick,))
    filled = (_filled(one, run, macs, f"finalist {i} {named}") for i, one in enumerate(others, start=2))
    return Budget(place, macs, (first, *filter(None, filled)))


def _filled(chosen: Selected, run: StoredRun, macs: float, name: str) -> Contender | None:
    """A network widened to a budget; None where that cannot be."""
    convention = run.config.search.macs_convention
    with suppress(UserError):
        widths = choose_widths(chosen, run, Criteria({"macs": macs}, fill=True))
        return filled_contender(Candidate(chosen, widths).contender(name, convention), macs, convention)
    return None


def arm_networks(run: StoredRun, arm: Control, budget: Budget, number: int) -> tuple[Contender, ...]:
    """The networks that stand for an arm at a budget, widened to it where they have no weights yet; ``number``: how many random
    ones.

    Raises:
        SpaceError: no widths have these MACs.
    """
    task = Task(run.space, budget.macs, run.config, number)
    networks = ARMS[arm](task)
    return (
        networks if arm.is_trained else tuple(filled_contender(one, budget.macs, task.convention) for one in networks)
    )


def is_complete(store: Store, run: StoredRun, row: StoredRound, arms: Iterable[Control]) -> bool:
    """Whether all that can be had of what is asked for has been recorded after this round."""
    found = {(result.arm, result.place) for result in results_of(store, run, row.number)}
    if not found:
        return False
    budgets = find_budgets(store, run, row, finalists=1)
    if not all((PICK, budget.place) in found for budget in budgets):
        return False
    missing = [(arm, budget) for arm in arms for budget in budgets if (arm, budget.place) not in found]
    return not any(_can_be_had(run, arm, budget) for arm, budget in missing)


def _can_be_had(run: StoredRun, arm: Control, budget: Budget) -> bool:
    try:
        return bool(arm_networks(run, arm, budget, 1))
    except SpaceError:
        return False


ARMS: dict[Control, Callable[[Task], tuple[Contender, ...]]] = {
    Control.UNIFORM: lambda task: BASELINES["uniform"](task).networks,
    Control.RANDOM_NETWORKS: lambda task: random_networks(task, task.seeds),
    Control.MOBILENET_V2: lambda task: BASELINES["mobilenet_v2"](task).networks,
    Control.EFFICIENTNET_B0: lambda task: BASELINES["efficientnet_b0"](task).networks,
    Control.PRETRAINED: lambda task: cut_without_search(task),
    Control.WHOLE: lambda task: (contender("the whole network", *whole_alone(task.space), task.convention),),
}
"""What stands for an arm that needs no search; ``Task.seeds`` is the number of random networks."""
