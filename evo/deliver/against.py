"""A run's pick against networks that need no search: all at its MACs, trained alone with one recipe and the same seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from analysis.no_search import Arm, Charge, NoSearch
from evo.alone.additions import describe_additions
from evo.alone.candidates import describe_unused, find_candidates
from evo.alone.images import require_fitting_images
from evo.alone.rivals import KNOWN, Rival, Task, parse_baseline
from evo.alone.selection import Criteria
from evo.alone.trainer import Trainer
from evo.console import SILENT, Advance, Reporter
from evo.data.loading import load_dataset
from evo.deliver.finalists import hold_contest
from evo.deliver.session import inspect_images, open_run
from spaces.export.baselines import Contender
from studies.database.trainings import Trained
from studies.records import EvoError

SEEDS = 3
"""How many times each network is trained where nothing else is asked for: as few as an interval needs."""


def compare_with_no_search(
    name: str,
    storage: str,
    baselines: Sequence[str],
    criteria: Criteria,
    overrides: Sequence[str] = (),
    reporter: Reporter = SILENT,
    accept_data_change: bool = False,
    from_scratch: bool = False,
) -> NoSearch:
    """The network that the criteria pick from the run ``name`` against ``baselines``, each trained with ``criteria.seeds``
    seeds, on the training images without the validation images. What was trained before is not trained again.

    Args:
        baselines: of ``BASELINES``; ``random:6`` is the best of six random networks.
        overrides: settings of the trainings that differ from the run's, as ``section.key=value``.
        from_scratch: begin with fresh weights, as ``baselines`` do, although the run may have trained some.

    Raises:
        EvoError: a baseline is unknown, the run's networks begin with trained weights, nothing fits the criteria, or as
            ``evo.deliver.session.open_run``.
        SpaceError: a baseline cannot have the pick's MACs.
    """
    asked = [parse_baseline(text) for text in baselines]
    if not asked:
        raise EvoError(f"no network to compare with; known: {KNOWN}")
    with open_run(name, storage, overrides) as (store, run, config):
        if config.data.labels is False:
            raise EvoError(
                f"networks of run {run.name!r} imitate another one, as its images have no labels, and --against compares "
                "accuracies: leave it out"
            )
        if run.config.evaluator.starts_networks and not from_scratch:
            raise EvoError(
                f"networks of run {run.name!r} begin with trained weights, and {baselines[0]} would be trained from fresh "
                "ones, which says nothing: leave out --against, or let all of them begin with fresh ones: --from-scratch"
            )
        candidates = find_candidates(store, run, criteria)
        reporter.say(f"run {run.name}: comparing its pick with {', '.join(baselines)}")
        inspect_images(run, config, reporter, accept_data_change)
        images = require_fitting_images(load_dataset(config.data, config.device), run.space, run.classes)
        trainer = Trainer.of(store, run, config, images, from_scratch=from_scratch)
        contest = hold_contest(trainer, candidates, criteria, reporter)
        picked = candidates[contest.winner]
        for line in (describe_unused(picked, run, criteria), *describe_additions(picked, run, config, criteria)):
            if line:
                reporter.say(line)
        macs = picked.contender("", config.search.macs_convention).macs  # without what is added to all of them
        task = Task(run.space, macs, config, criteria.seeds)
        sides = [Rival("pick", (contest.contenders[contest.winner],)), *(make(task) for make in asked)]
        return run_comparison(trainer, sides, criteria.seeds, contest.trained, reporter)


def run_comparison(
    trainer: Trainer, sides: Sequence[Rival], seeds: int, before: Sequence[Trained], reporter: Reporter
) -> NoSearch:
    """Train what is not trained yet.

    Args:
        sides: the pick, then the others.
        before: what was trained to pick it, which is charged, too.

    Raises:
        EvoError: features are asked for, and no block of a network fits the teacher's.
    """
    sides = [replace(rival, networks=tuple(map(trainer.as_trained, rival.networks))) for rival in sides]
    trainer.check_features(network for rival in sides for network in rival.networks)
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
