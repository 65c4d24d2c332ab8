"""Budgets at which a run is compared with networks that need no search, and what the run picks at each of them.

The budgets are spread over the front of a finished round. Nothing here imports torch: a comparison that is complete is told at
once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from evo.alone.candidates import Candidate, choose_widths
from evo.alone.rivals import BASELINES, Task, random_networks
from evo.alone.selection import Criteria, Selected, allowed_front, favourites, finished_round, within_limits
from spaces.errors import SpaceError, UserError
from spaces.export.baselines import Contender, filled_contender
from spaces.units import format_number
from studies.controls import Control
from studies.database.no_search import PICK, results_of
from studies.database.rows import StoredRound, StoredRun
from studies.database.store import Store
from studies.records import Evaluation, Round

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


def find_budgets(store: Store, run: StoredRun, row: StoredRound) -> list[Budget]:
    """The budgets after round ``row``, the least first, each with the networks that the run favours there, widened to it.

    Raises:
        EvoError: nothing on the round's front is within the run's limits.
    """
    finished = finished_round(store, run, [one for one in store.rounds(run) if one.number <= row.number])
    front = allowed_front(run, finished)
    within_limits(front, {})
    return [_budget(run, finished, place, macs) for place, macs in enumerate(spread_budgets(front))]


def _budget(run: StoredRun, finished: Round, place: int, macs: float) -> Budget:
    """Finalists are left out that may not be widened, as other limits of the run forbid it; the favourite keeps its widths."""
    convention = run.config.search.macs_convention
    chosen = favourites(finished, run, {"macs": macs}, FINALISTS)
    named = f"of round {finished.n} at {format_number(macs)} MACs"
    filled = []
    for number, one in enumerate(chosen, start=1):
        with suppress(UserError):
            network = _filled(one, run, macs).contender(f"finalist {number} {named}", convention)
            filled.append(filled_contender(network, macs, convention))
    if filled:
        return Budget(place, macs, tuple(filled))
    pick = Candidate(chosen[0], None).contender(f"pick {named}", convention)
    return Budget(place, pick.macs, (pick,))


def _filled(chosen: Selected, run: StoredRun, macs: float) -> Candidate:
    return Candidate(chosen, choose_widths(chosen, run, Criteria({"macs": macs}, fill=True)))


def arm_networks(run: StoredRun, arm: Control, budget: Budget, number: int) -> tuple[Contender, ...]:
    """The networks that stand for an arm at a budget, widened to it; ``number``: how many random ones.

    Raises:
        SpaceError: no widths have these MACs.
    """
    task = Task(run.space, budget.macs, run.config, number)
    return tuple(filled_contender(one, budget.macs, task.convention) for one in ARMS[arm](task))


def is_complete(store: Store, run: StoredRun, row: StoredRound, arms: Iterable[Control]) -> bool:
    """Whether all that can be had of what is asked for has been recorded after this round."""
    found = {(result.arm, result.place) for result in results_of(store, run, row.number)}
    if not found:
        return False
    budgets = find_budgets(store, run, row)
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
}
"""What stands for an arm that needs no search; ``Task.seeds`` is the number of random networks."""
