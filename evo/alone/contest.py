"""A run's picks against networks that need no search, at budgets: all have equal MACs, one recipe and the same seeds.

Where several networks stand for one side, a training of each chooses the best on held-out images, and a second training, with
another seed, is what counts: the luck of the first does not. All others have that second training alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from evo.alone.budgets import Budget, arm_networks, find_budgets
from evo.alone.charge import run_macs
from evo.alone.images import require_fitting_images, with_augmentation
from evo.alone.trainer import Trainer
from evo.console import Advance, Reporter
from evo.data.fingerprint import check_fingerprint
from evo.data.loading import load_dataset
from evo.workers.executors import deterministic_torch
from spaces.errors import SpaceError
from spaces.export.baselines import Contender
from spaces.units import format_number
from studies.controls import Control
from studies.database.no_search import PICK, BudgetResult, record_result
from studies.database.rows import StoredRound, StoredRun
from studies.database.store import Store
from studies.records import EvoError

CHOOSING, JUDGING = 0, 1
"""The trainings of a network, by their numbers: that which may choose it, and that which counts."""

LEAST = 2
"""Random networks that are tried, however little the run has cost."""


@dataclass(frozen=True)
class Side:
    """The networks that stand for one arm at one budget; the best of them is compared."""

    arm: str
    budget: Budget
    networks: tuple[Contender, ...]

    @property
    def trainings(self) -> int:
        """How many trainings it takes."""
        return 1 if len(self.networks) == 1 else len(self.networks) + 1


def hold_contest(
    store: Store,
    run: StoredRun,
    row: StoredRound,
    arms: Sequence[Control],
    reporter: Reporter,
    accept_data_change: bool = False,
) -> None:
    """Compare the picks of round ``row`` with ``arms`` at all budgets. Every training and every result is recorded at once, and
    what was trained before is not trained again. An arm that cannot have a budget's MACs is left out there, with a line.

    Raises:
        EvoError: the images have changed, do not fit or have no labels, the round's front is empty, or features are asked for
            and no block of a network fits the teacher's.
    """
    if run.config.data.labels is False:
        raise EvoError(
            f"networks are compared by their accuracy, and the images of run {run.name!r} have no labels: leave out --control "
            f"{arms[0]}"
        )
    config = with_augmentation(run.config)
    with deterministic_torch(config.threads):
        check_fingerprint(run, accept_data_change)
        images = require_fitting_images(load_dataset(config.data, config.device), run.space, run.classes)
        trainer = Trainer.of(store, run, config, images)
        budgets = find_budgets(store, run, row)
        spent = run_macs(store, run, row.number, images)
        number = affordable(trainer, budgets, spent)
        sides = [Side(PICK, budget, budget.finalists) for budget in budgets]
        sides += [
            side for arm in arms for budget in budgets for side in find_side(trainer, arm, budget, number, reporter)
        ]
        sides = [replace(side, networks=tuple(map(trainer.as_trained, side.networks))) for side in sides]
        trainer.check_features(network for side in sides for network in side.networks)
        total = sum(side.trainings for side in sides)
        label = f"{run.name}: training {total} networks alone, at {len(budgets)} budgets"
        with reporter.track(label, total * trainer.steps) as advance:
            for side in sides:
                record_result(store, run, settle(trainer, row.number, side, advance, spent and spent / len(budgets)))


def affordable(trainer: Trainer, budgets: Sequence[Budget], spent: float | None) -> int:
    """How many random networks can be trained at every budget for the MACs that the run and its finalists have cost, and at
    least ``LEAST``."""
    one_each = sum(trainer.training_macs(budget.macs) for budget in budgets)
    if spent is None:
        return LEAST
    chosen = [one.macs for budget in budgets if len(budget.finalists) > 1 for one in budget.finalists]
    return max(LEAST, round((spent + sum(map(trainer.training_macs, chosen))) / one_each))


def find_side(trainer: Trainer, arm: Control, budget: Budget, number: int, reporter: Reporter) -> Iterator[Side]:
    """The networks of an arm at a budget; none where no widths have its MACs, which is said."""
    try:
        yield Side(arm, budget, arm_networks(trainer.run, arm, budget, number))
    except SpaceError as error:
        reporter.say(f"{arm} is left out at {format_number(budget.macs)} MACs: {error}")


def settle(trainer: Trainer, number: int, side: Side, advance: Advance, searching: float | None) -> BudgetResult:
    """The result of one side: its best network, by the training that did not choose it. ``searching``: the run's MACs for
    this budget; None: unknown."""
    chosen, spent = side.networks[0], 0.0
    if len(side.networks) > 1:
        first = [trainer.train(network, CHOOSING, advance) for network in side.networks]
        spent = sum(trained.training_macs for trained in first)
        place = max(range(len(first)), key=lambda i: (first[i].accuracy, -side.networks[i].macs))
        chosen = side.networks[place]
    if side.arm == PICK:
        spent = 0.0 if searching is None else spent + searching
    judged = trainer.train(chosen, JUDGING, advance)
    return BudgetResult(
        number, side.arm, side.budget.place, side.budget.macs, chosen.name, str(chosen.arch), chosen.macs, chosen.params,
        len(side.networks), judged.accuracy, judged.images, spent, judged.sha256,
    )  # fmt: skip
