"""A run's pick against networks that need no search: all at its MACs, trained alone with one recipe and the same seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from statistics import fmean

from analysis.no_search import Arm, Charge, NoSearch
from evo.console import SILENT, Advance, Reporter
from evo.data.loading import load_dataset
from evo.deliver.alone import Trainer
from evo.deliver.finalists import describe_unused, find_candidates, hold_contest
from evo.deliver.selection import Criteria
from evo.deliver.session import inspect_images, open_run, require_fitting_images
from evo.seeds import derive_seed
from spaces.export.baselines import PUBLISHED, Contender, published_network, random_network, uniform_networks
from spaces.space import SearchSpace
from studies.config import StudyConfig
from studies.database.trainings import Trained
from studies.records import EvoError

SEEDS = 3
"""How many times each network is trained where nothing else is asked for: as few as an interval needs."""


@dataclass(frozen=True)
class Rival:
    """Networks that stand for one side of the comparison.

    Attributes:
        name: what was asked for.
        networks: one is trained with all seeds: the only one, or the best of several on the held-out images of the first seed.
        one_per_seed: whether each seed has the network of its place instead.
    """

    name: str
    networks: tuple[Contender, ...]
    one_per_seed: bool = False

    def trainings(self, seeds: int) -> int:
        """How many trainings it takes."""
        return seeds if self.one_per_seed else len(self.networks) + seeds - 1


def compare_with_no_search(
    name: str,
    storage: str,
    baselines: Sequence[str],
    criteria: Criteria,
    overrides: Sequence[str] = (),
    reporter: Reporter = SILENT,
    accept_data_change: bool = False,
) -> NoSearch:
    """The network that the criteria pick from the run ``name`` against ``baselines``, each trained with ``criteria.seeds``
    seeds, on the training images without the validation images. What was trained before is not trained again.

    Args:
        baselines: of ``BASELINES``; ``random:6`` is the best of six random networks.
        overrides: settings of the trainings that differ from the run's, as ``section.key=value``.

    Raises:
        EvoError: a baseline is unknown, nothing fits the criteria, or as ``evo.deliver.session.open_run``.
        SpaceError: a baseline cannot have the pick's MACs.
    """
    asked = [parse_baseline(text) for text in baselines]
    if not asked:
        raise EvoError(f"no network to compare with; known: {KNOWN}")
    with open_run(name, storage, overrides) as (store, run, config):
        candidates = find_candidates(store, run, criteria)
        reporter.say(f"run {run.name}: comparing its pick with {', '.join(baselines)}")
        inspect_images(run, config, reporter, accept_data_change)
        images = require_fitting_images(load_dataset(config.data, config.device), run.space, run.classes)
        trainer = Trainer.of(store, run, config, images)
        contest = hold_contest(trainer, candidates, criteria, reporter)
        if unused := describe_unused(candidates[contest.winner], run, criteria):
            reporter.say(unused)
        task = Task(run.space, contest.contenders[contest.winner], config, criteria.seeds)
        sides = [Rival("pick", (task.pick,)), *(make(task) for make in asked)]
        return run_comparison(trainer, sides, criteria.seeds, contest.trained, reporter)


def run_comparison(
    trainer: Trainer, sides: Sequence[Rival], seeds: int, before: Sequence[Trained], reporter: Reporter
) -> NoSearch:
    """Train what is not trained yet.

    Args:
        sides: the pick, then the others.
        before: what was trained to pick it, which is charged, too.
    """
    total = sum(rival.trainings(seeds) for rival in sides)
    made = {trained.sha256: trained for trained in before}
    with reporter.track(f"training {total} networks alone", total * trainer.steps) as advance:
        pick, *baselines = [train_rival(trainer, rival, seeds, advance, made) for rival in sides]
    charge = Charge(
        len(made), sum(one.training_macs for one in made.values()), sum(one.seconds for one in made.values())
    )
    return NoSearch(trainer.run.name, len(trainer.images.validation), seeds, pick, tuple(baselines), charge)


def train_rival(trainer: Trainer, rival: Rival, seeds: int, advance: Advance, made: dict[str, Trained]) -> Arm:
    """One side's accuracies; what was trained is added to ``made``, by its sha256."""

    def accuracy(network: Contender, number: int) -> float:
        trained = trainer.train(network, number, advance)
        made[trained.sha256] = trained
        return trained.accuracy

    if rival.one_per_seed:
        found = tuple(accuracy(network, number) for number, network in enumerate(rival.networks))
        macs, params = (fmean(getattr(one, cost) for one in rival.networks) for cost in ("macs", "params"))
        return Arm(
            rival.name, f"{seeds} random networks" if seeds > 1 else "a random network", None, macs, params, found
        )
    first = [accuracy(network, 0) for network in rival.networks]
    place = max(range(len(first)), key=lambda i: (first[i], -rival.networks[i].macs))
    best, more = rival.networks[place], len(first) - 1
    found = (first[place], *(accuracy(best, number) for number in range(1, seeds)))
    network = f"{best.name}, the best of {len(first)}" if more else best.name
    return Arm(rival.name, network, str(best.arch), best.macs, best.params, found)


# -- what a pick is compared with -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Task:
    """What a baseline has to match.

    Attributes:
        space: the run's first space, before it was evolved.
        pick: the network that it is compared with, at the same MACs.
    """

    space: SearchSpace
    pick: Contender
    config: StudyConfig
    seeds: int

    @property
    def convention(self) -> str:
        return self.config.search.macs_convention


Baseline = Callable[[Task], Rival]


def parse_baseline(text: str) -> Baseline:
    """What ``uniform``, ``random``, ``random:6`` or the name of a published network means.

    Raises:
        EvoError: it is none of these.
    """
    name, _, number = text.strip().partition(":")
    if name == "random" and number.isdecimal() and int(number) > 0:
        return lambda task: Rival(f"random:{number}", random_networks(task, int(number)))
    if name in BASELINES and name == text.strip():
        return BASELINES[name]
    raise EvoError(f"--against {text!r}: expected one of {KNOWN}")


def random_networks(task: Task, number: int) -> tuple[Contender, ...]:
    """Networks drawn at random, the same ones for a run whatever else is asked for."""
    drawn = (
        random_network(
            task.space, task.pick.macs, Random(derive_seed(task.config.seed, "random network", i)), task.convention
        )
        for i in range(number)
    )
    return tuple(drawn)


def published(name: str) -> Baseline:
    """The published network of this name, for the images of the run."""

    def rival(task: Task) -> Rival:
        stem, head = task.space.stem, task.space.head
        network = published_network(
            name, task.pick.macs, task.convention, channels=stem.c_in, size=stem.size, classes=head.classes
        )
        return Rival(name, (network,))

    return rival


BASELINES: dict[str, Baseline] = {
    "uniform": lambda task: Rival("uniform", tuple(uniform_networks(task.space, task.pick.macs, task.convention))),
    "random": lambda task: Rival("random", random_networks(task, task.seeds), one_per_seed=True),
    **{name: published(name) for name in PUBLISHED},
}
"""Name -> what makes its networks."""

KNOWN = ", ".join([*BASELINES, "random:N (the best of N)"])
