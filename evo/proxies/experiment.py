"""Networks of a run's space are trained in full and by proxies, and the two orders are compared.

A training is recorded when it ends and found again by all that it depends on, so the same call goes on where it was killed,
and one with more networks, seeds or proxies trains only what is new. Proxies have seeds of their own: with those of the full
training they would agree with its luck, too.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from analysis.ranking.proxies import LEAST_NETWORKS
from analysis.sentences import count
from evo.alone.images import require_fitting_images
from evo.alone.trainer import Trainer
from evo.console import SILENT, Advance, Reporter
from evo.data.loading import load_dataset
from evo.deliver.session import inspect_images, open_run
from evo.proxies.networks import draw_networks
from evo.proxies.options import ProxyOptions
from evo.proxies.proxy import GRID
from evo.proxies.recipe import full_recipe, trained_by_search
from evo.proxies.reduced import Reduced, in_full, reduce_all
from evo.proxies.result import Measured, ProxiesResult, Setting, proxies_text, times
from evo.round.costs import costs_of
from evo.seeds import derive_seed
from evo.training.loop import schedule_of
from spaces.architecture import Architecture
from spaces.space import SearchSpace, canonical_arch
from spaces.units import format_number
from studies.config import StudyConfig
from studies.database.leases import hold_lease
from studies.database.trainings import Trained
from studies.records import Evaluation, EvoError

PARTS = 1000
"""Of all work, that progress is shown in."""


@dataclass(frozen=True)
class Experiment:
    """What is trained.

    Attributes:
        archs: the networks, cheapest first.
        known: what the run's search has trained in full, by canonical architecture.
        left_out: a line about each proxy that is not measured.
    """

    space: SearchSpace
    archs: tuple[Architecture, ...]
    full: Reduced
    proxies: tuple[Reduced, ...]
    known: Mapping[Architecture, Evaluation]
    left_out: tuple[str, ...]

    def by_search(self, arch: Architecture) -> Evaluation | None:
        """The search's own full training of a network; None: it has made none."""
        return self.known.get(canonical_arch(arch, self.space))


def measure_proxies(
    name: str,
    storage: str,
    options: ProxyOptions | None = None,
    overrides: Sequence[str] = (),
    reporter: Reporter = SILENT,
    accept_data_change: bool = False,
) -> ProxiesResult:
    """Train what is not recorded yet, and say which proxy ranks the networks of the run ``name`` how well, and at what cost.

    Args:
        overrides: settings of the trainings that differ from the run's, as ``section.key=value``.

    Raises:
        EvoError: the run has no images to train on, a proxy cannot be, too few networks could be trained, or as
            ``evo.deliver.session.open_run``.
        SpaceError: no network is within the limits, or channels cannot be scaled.
        KeyboardInterrupt: what was trained is kept.
    """
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise EvoError(
            "torchrun has started several processes, and proxies are measured by one: python -m evo.proxies RUN"
        )
    options = options or ProxyOptions()
    with open_run(name, storage, overrides) as (store, run, config):
        config = full_recipe(run, config, overrides)
        if options.seed is not None:
            config = config.model_copy(update={"seed": options.seed})
        inspect_images(run, config, reporter, accept_data_change)
        images = require_fitting_images(load_dataset(config.data, config.device), run.space, run.classes)
        with hold_lease(store, run, reporter.say):
            trainer = Trainer.of(store, run, config, images)
            experiment = plan_experiment(trainer, options)
            _tell(experiment, trainer, options, reporter)
            truth, judged = train_all(trainer, experiment, options.seeds, reporter)
        setting = _setting(trainer, experiment, options)
        return ProxiesResult(setting, tuple(map(str, experiment.archs)), truth, judged)


def plan_experiment(trainer: Trainer, options: ProxyOptions) -> Experiment:
    """The networks and what each proxy makes of them.

    Raises:
        EvoError: there are too few networks within the limits, or a proxy that was asked for cannot be.
        SpaceError: there is none, or channels cannot be scaled.
    """
    run, config, space = trainer.run, trainer.config, trainer.run.space
    convention, costs = config.search.macs_convention, costs_of(config, space)
    known = trained_by_search(trainer.store, run, config, space, costs)
    archs = draw_networks(config, costs, options.networks, known)
    if len(archs) < LEAST_NETWORKS:
        raise EvoError(
            f"{space.name!r} has {count(len(archs), 'network')} within the limits of run {run.name!r}: expected at least "
            f"{LEAST_NETWORKS}; proxies are measured by how they order them"
        )
    epochs = schedule_of(config.deliver, config.data, 1).epochs
    full = in_full(archs, space, epochs, len(trainer.images.train), convention)
    asked = bool(options.proxies)
    made, left_out = reduce_all(options.proxies or GRID, archs, space, full, convention, asked=asked)
    whole, *proxies = (_as_trained(trainer, one) for one in (full, *made))
    trainer.check_features(network for one in (whole, *proxies) for network in one.networks)
    return Experiment(space, archs, whole, tuple(proxies), known, left_out)


def _as_trained(trainer: Trainer, made: Reduced) -> Reduced:
    """With what ``deliver.add`` gives the networks, and their costs with it."""
    return replace(made, networks=tuple(map(trainer.as_trained, made.networks)))


def trainer_of(trainer: Trainer, made: Reduced) -> Trainer:
    """What trains as a proxy says, with seeds of its own."""
    if made.proxy is None:
        return trainer
    config = trainer.config
    recipe = config.deliver.model_copy(update={"epochs": float(made.epochs)})
    changed = config.model_copy(update={"deliver": recipe, "seed": derive_seed(config.seed, "proxies", "training")})
    fewer = made.images if made.images < len(trainer.images.train) else None
    return replace(trainer, config=changed, most_images=fewer)


# -- training ---------------------------------------------------------------------------------------------------------


def train_all(
    trainer: Trainer, experiment: Experiment, seeds: int, reporter: Reporter
) -> tuple[tuple[Measured, ...], tuple[Measured, ...]]:
    """The full trainings, one per seed, and those by every proxy."""
    tasks = [(experiment.full, number) for number in range(seeds)] + [(made, 0) for made in experiment.proxies]
    work = sum(_work(trainer, made) for made, _ in tasks)
    label = f"training {len(experiment.archs)} networks, {times(len(tasks))}"
    with reporter.track(label, PARTS) as advance:
        forward = smoothly(advance, PARTS / work)
        found = tuple(_train(trainer, experiment, made, number, forward) for made, number in tasks)
    return found[:seeds], found[seeds:]


def _work(trainer: Trainer, made: Reduced) -> float:
    """Multiply-accumulates of training all networks once."""
    mine = trainer_of(trainer, made)
    return sum(mine.training_macs(network.macs) for network in made.networks)


def _train(
    trainer: Trainer, experiment: Experiment, made: Reduced, number: int, forward: Callable[[float], None]
) -> Measured:
    """One training of every network, in full or by a proxy; the first full one may be that of the search."""
    mine, answers = trainer_of(trainer, made), []
    for arch, network in zip(experiment.archs, made.networks, strict=True):
        macs = mine.training_macs(network.macs)
        known = experiment.by_search(arch) if made.proxy is None and number == 0 else None
        if known is not None:
            forward(macs)
        answers.append(known or mine.train(network, number, _by_steps(forward, macs / mine.steps)))
    return _measured(made, answers, sum(mine.training_macs(network.macs) for network in made.networks))


def _by_steps(forward: Callable[[float], None], macs: float) -> Advance:
    """Takes steps of a training that cost so many MACs each."""
    return lambda steps: forward(steps * macs)


def smoothly(advance: Advance, scale: float) -> Callable[[float], None]:
    """Takes amounts of work, ``scale`` parts each, and passes on whole parts: a remainder waits for the next amount."""
    done = 0.0

    def forward(amount: float) -> None:
        nonlocal done
        before, done = round(done), done + amount * scale
        if whole := round(done) - before:
            advance(whole)

    return forward


def _measured(made: Reduced, answers: Sequence[Trained | Evaluation], macs: float) -> Measured:
    return Measured(
        made.name,
        made.epochs,
        made.images,
        made.proxy.pixels if made.proxy else 1.0,
        made.proxy.channels if made.proxy else 1.0,
        tuple(network.macs for network in made.networks),
        tuple(answer.accuracy for answer in answers),
        tuple(isinstance(answer, Trained) and answer.nll is None for answer in answers),
        sum(answer.seconds for answer in answers),
        macs,
    )


# -- words ------------------------------------------------------------------------------------------------------------


def _tell(experiment: Experiment, trainer: Trainer, options: ProxyOptions, reporter: Reporter) -> None:
    """What is about to be trained, before it is."""
    once = _work(trainer, experiment.full)
    everything = options.seeds * once + sum(_work(trainer, made) for made in experiment.proxies)
    reporter.say(
        f"run {trainer.run.name}: {len(experiment.archs)} networks in full, {times(options.seeds)}, and by "
        f"{proxies_text(len(experiment.proxies))}: {format_number(everything)} MACs, {everything / once:.1f} times those of "
        "training each of them in full once; what is recorded already is not trained again"
    )
    if taken := sum(experiment.by_search(arch) is not None for arch in experiment.archs):
        reporter.say(f"full trainings that the search has made already: {taken} of {len(experiment.archs)}")
    _say_all(reporter, (f"left out: {line}" for line in experiment.left_out))


def _say_all(reporter: Reporter, lines: Iterable[str]) -> None:
    for line in lines:
        reporter.say(line)


def _setting(trainer: Trainer, experiment: Experiment, options: ProxyOptions) -> Setting:
    config: StudyConfig = trainer.config
    return Setting(
        trainer.run.name,
        experiment.space.name,
        len(trainer.images.validation),
        sum(experiment.by_search(arch) is not None for arch in experiment.archs),
        experiment.left_out,
        config.evaluator.kind,
        options.trust,
        options.by,
        config.seed,
    )
