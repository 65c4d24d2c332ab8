"""A few random networks of one budget are drawn, and each is trained alone with several seeds.

A training is recorded when it ends and found again by all that it depends on, so the same call goes on where it was killed,
and one with more networks or seeds trains only what is new.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random
from statistics import median

import numpy as np

from analysis.headroom import LEAST_NETWORKS, LEAST_TRAININGS
from analysis.sentences import count
from evo.alone.images import with_augmentation
from evo.alone.teacher import teacher_folder
from evo.alone.trainer import Trainer
from evo.console import SILENT, Reporter, Track, warn
from evo.data.fingerprint import forget_data, hash_images
from evo.data.inspection import inspect_data, tell
from evo.data.loading import load_dataset
from evo.data.paths import file_hash
from evo.data.source import Images
from evo.headroom.result import HeadroomResult, Setting, TrainedNetwork
from evo.plugins import plugin_sources, used_plugins
from evo.round.arms import read_settings
from evo.round.costs import costs_of
from evo.round.new_run import library_versions, prepared_space
from evo.round.options import RunOptions
from evo.seeds import derive_seed
from evo.training.identity import identity
from evo.training.loop import schedule_of
from evo.training.precision import settle_precision
from evo.workers.executors import deterministic_torch
from spaces.architecture import Architecture
from spaces.costs.sampling import NO_LIMIT, Limit, Limits, sample_uniform
from spaces.costs.table import CostTable
from spaces.export.baselines import contender
from spaces.export.network_folder import WEIGHTS
from spaces.space import SearchSpace, canonical_arch
from spaces.units import format_number
from studies.config import StudyConfig
from studies.database.leases import hold_lease
from studies.database.rows import StoredRun
from studies.database.store import Store, open_store
from studies.database.trainings import Trained
from studies.records import COSTS, EvoError

WINDOW = 0.05
"""Networks of one budget have up to this share of MACs less or more: too little for MACs to tell them apart."""

DRAWS, MOST_DRAWS = 1000, 20_000
"""Networks drawn at a time, and in all, before those of the budget are taken to be rare."""


@dataclass(frozen=True)
class HeadroomOptions:
    """What is to be measured.

    Attributes:
        settings: the configuration, its overrides and plugins, the seed and the database.
        networks: how many; ``seeds``: trainings of each.
        macs: the budget; None: the middle of ``limits.macs``, or else the median of the space's random networks.

    Raises:
        EvoError: fewer than three networks or two seeds.
    """

    settings: RunOptions
    networks: int = 6
    seeds: int = 2
    macs: float | None = None

    def __post_init__(self) -> None:
        for name, least in (("networks", LEAST_NETWORKS), ("seeds", LEAST_TRAININGS)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise EvoError(
                    f"{name} is {value!r}: expected a whole number from {least}; fewer cannot tell noise apart"
                )
        if self.macs is not None and not self.macs > 0:
            raise EvoError(f"macs is {self.macs!r}: expected a positive number of multiply-accumulates")


@dataclass(frozen=True)
class Experiment:
    """Networks of one budget.

    Attributes:
        window: the MACs between which ``archs`` lie.
    """

    config: StudyConfig
    space: SearchSpace
    macs: float
    window: tuple[float, float]
    archs: tuple[Architecture, ...]


def measure_headroom(options: HeadroomOptions, reporter: Reporter = SILENT) -> HeadroomResult:
    """Train what is not recorded yet, and say how much there is to gain.

    Raises:
        EvoError: settings or files are wrong, too few networks have this budget, or too few of them could be trained.
        SpaceError: the space is unknown, or no network has this budget.
        KeyboardInterrupt: what was trained is kept.
    """
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise EvoError(
            "torchrun has started several processes, and headroom is measured by one: python -m evo.headroom"
        )
    forget_data()
    config = settle_precision(with_augmentation(read_settings(options.settings)))
    if not config.evaluator.uses_images:
        raise EvoError(
            f"evaluator.kind is {config.evaluator.kind!r}, which trains nothing: headroom is measured by training networks "
            "on images; expected a configuration for images, such as --config fashion_mnist"
        )
    if config.evaluator.starts_networks:
        raise EvoError(
            f"evaluator.kind is {config.evaluator.kind!r}, whose networks begin with trained weights, and headroom is measured "
            "by training networks from fresh ones: expected another configuration, such as --config images"
        )
    tell(inspect_data(config.data, config.device, reporter.track), reporter.say, warn)
    experiment = plan_experiment(config, options)
    images = load_dataset(config.data, config.device)
    with open_store(options.settings.storage) as store, deterministic_torch(config.threads):
        run = find_or_begin(store, experiment)
        with hold_lease(store, run, reporter.say):
            trainer = Trainer.of(store, run, config, images)
            trainings = train_networks(trainer, experiment, options.seeds, reporter.track)
    return _result(run, experiment, images, trainings)


def plan_experiment(config: StudyConfig, options: HeadroomOptions) -> Experiment:
    """The networks to be trained, drawn at random from those of the budget and within the configuration's limits.

    Raises:
        EvoError: there are fewer than three.
        SpaceError: there is none.
    """
    space = prepared_space(config)
    costs = costs_of(config, space)
    budget = options.macs or default_budget(config, space, costs)
    window = (1 - WINDOW) * budget, (1 + WINDOW) * budget
    archs = draw_networks(config, space, costs, window, options.networks)
    if len(archs) < LEAST_NETWORKS:
        low, high = map(format_number, window)
        raise EvoError(
            f"{space.name!r} has {count(len(archs), 'network')} of {low} to {high} MACs within the limits: "
            f"expected at least {LEAST_NETWORKS}; choose another budget with --macs"
        )
    return Experiment(config, space, budget, window, archs)


def default_budget(config: StudyConfig, space: SearchSpace, costs: CostTable) -> float:
    """The middle of ``limits.macs``, within what the space has; without limits the median of random networks."""
    if config.limits.macs is None:
        rng = Random(derive_seed(config.seed, "headroom", "budget"))
        return float(median(costs.count([space.sample(rng) for _ in range(1001)])[:, COSTS.index("macs")].tolist()))
    least, most = costs.bounds()[:, COSTS.index("macs")].tolist()
    low, high = config.limits.macs
    return float(max(low, least) + min(high, most)) / 2


def draw_networks(
    config: StudyConfig, space: SearchSpace, costs: CostTable, window: tuple[float, float], number: int
) -> tuple[Architecture, ...]:
    """Up to ``number`` distinct networks within the window and all limits; the first ones are the same for every ``number``.

    They are drawn gene by gene, a block's row first: of all strings, nearly all have the deepest rows. Where that finds too
    few, the others are drawn uniformly from all strings.

    Raises:
        SpaceError: there is none.
    """
    limits: dict[str, Limit] = {**config.limits.given(), "macs": window}
    rng = Random(derive_seed(config.seed, "headroom", "networks"))
    drawn = islice(_within(space, costs, limits, rng), number)
    networks = {canonical_arch(arch, space): arch for arch in drawn}
    if len(networks) < number:
        for arch in sample_uniform(costs, number, rng, limits=limits):
            networks.setdefault(canonical_arch(arch, space), arch)
    return tuple(networks.values())[:number]


def _within(space: SearchSpace, costs: CostTable, limits: Limits, rng: Random) -> Iterator[Architecture]:
    """Distinct networks within all limits among ``MOST_DRAWS``, in the order in which they are drawn."""
    least, most = (np.array([limits.get(cost, NO_LIMIT)[end] for cost in costs.columns]) for end in (0, 1))
    seen: set[Architecture] = set()
    for _ in range(MOST_DRAWS // DRAWS):
        archs = [space.sample(rng) for _ in range(DRAWS)]
        counted = costs.count(archs)
        allowed = np.all((least <= counted) & (counted <= most), axis=1).tolist()
        for arch, inside in zip(archs, allowed, strict=True):
            if inside and (form := canonical_arch(arch, space)) not in seen:
                seen.add(form)
                yield arch


def find_or_begin(store: Store, experiment: Experiment) -> StoredRun:
    """The run, without rounds, under which trainings of this space, by these settings, on these data are recorded."""
    config, space = experiment.config, experiment.space
    data, device = hash_images(config.data), config.device
    teacher = config.deliver.teacher
    taught = {"teacher": file_hash(teacher_folder(teacher) / WEIGHTS)} if teacher else {}
    digest = identity(
        "headroom", 1,
        space=space, training=config.deliver, data=config.data, device=device, seed=config.seed,
        convention=config.search.macs_convention, sources={"data": data, **taught, **plugin_sources(config, space)},
        precision=config.precision,
    )  # fmt: skip
    name = f"headroom-{space.name}-{digest[:8]}"
    if (there := store.find_run(name)) is not None:
        return there
    classes, plugins = load_dataset(config.data, device).class_names, list(used_plugins(config, space).values())
    return store.create_run(name, config, space, experiment.window[1], library_versions(), data, classes, plugins)


def train_networks(trainer: Trainer, experiment: Experiment, seeds: int, track: Track) -> list[list[Trained]]:
    """The trainings of each network, those that are recorded and those that were not yet: first all with the first seed."""
    convention = experiment.config.search.macs_convention
    networks = [contender("headroom", arch, experiment.space, convention) for arch in experiment.archs]
    trainer.check_features(networks)
    label = f"training {len(networks)} networks alone, {seeds} times each"
    with track(label, len(networks) * seeds * trainer.steps) as advance:
        by_seed = [[trainer.train(network, number, advance) for network in networks] for number in range(seeds)]
    return [list(trainings) for trainings in zip(*by_seed, strict=True)]


def _result(
    run: StoredRun, experiment: Experiment, images: Images, trainings: Sequence[Sequence[Trained]]
) -> HeadroomResult:
    epochs = schedule_of(experiment.config.deliver, experiment.config.data, 1).epochs
    setting = Setting(
        run.name,
        experiment.space.name,
        experiment.macs,
        experiment.window,
        epochs,
        len(images.train),
        len(images.validation),
        images.classes,
    )
    pairs = zip(experiment.archs, trainings, strict=True)
    return HeadroomResult(setting, tuple(TrainedNetwork.of(str(arch), found) for arch, found in pairs))
