"""What all arms of one seed have in common: the run with its fine-tuned network, the last fine-tuning, the measurement."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from benchmarks.pretrained.counting import module_macs, module_params
from benchmarks.pretrained.data import DATA
from benchmarks.pretrained.ledger import NOTHING, Ledger, Spent
from evo.alone.charge import run_macs
from evo.alone.recipe import train_by_recipe
from evo.alone.start import Start
from evo.alone.trainer import PASSES
from evo.console import Advance
from evo.data.loading import load_dataset
from evo.data.source import Images
from evo.evaluators.standalone import measure_network
from evo.round.algorithm import run_round
from evo.round.context import RunContext, run_context
from evo.round.new_run import begin_run
from evo.seeds import derive_seed
from evo.training.checkpoints import delete_progress
from evo.training.loop import DivergedError, schedule_of
from evo.workers.executors import deterministic_torch, local_executor
from spaces.architecture import Architecture
from spaces.networks.modules import Resize
from spaces.networks.network import Network
from spaces.networks.supernet import inherit_weights
from spaces.pretrained.cut_space import whole_alone
from spaces.space import SearchSpace, resolve_variants
from studies.config import StudyConfig, load_config
from studies.database.rows import StoredRun
from studies.database.store import Store, open_store
from studies.records import EvoError

RUN = "pretrained"
"""The run's name in the database of its seed."""

ROUNDS = 2
"""As in docs/howto/pretrained.md."""

PIXELS = 96


@dataclass(frozen=True)
class Result:
    """What one arm has reached at one budget with one seed.

    Attributes:
        budget: share of the whole network's MACs that the network may have; 1: it is whole.
        accuracy: on the test images, from 0 to 1, higher is better; 0 where the training diverged.
        tested: number of test images.
        macs: multiply-accumulates of one image; ``params``: weights and biases.
        shared_seconds, shared_macs: of the search or pruning, what serves all budgets of the arm.
        search_seconds, search_macs: of it, what serves this budget alone.
        tuning_seconds, tuning_macs: of the network's own last training; an image costs ``PASSES`` times its MACs.
    """

    images: str
    seed: int
    arm: str
    budget: float
    accuracy: float
    tested: int
    macs: int
    params: int
    shared_seconds: float
    shared_macs: float
    search_seconds: float
    search_macs: float
    tuning_seconds: float
    tuning_macs: float


@dataclass(frozen=True)
class Made:
    """A network that an arm has made, before its last fine-tuning.

    Attributes:
        images: those that it is trained and tested on.
        shared, search: what it has cost, see ``Result``.
        longer: by how much its last training is longer than the recipe's; 0: there is none.
    """

    network: Network
    images: Images
    shared: Spent = NOTHING
    search: Spent = NOTHING
    longer: int = 1


@dataclass(frozen=True)
class Bench:
    """A finished run, whose fine-tuned network all arms begin with.

    Attributes:
        name: of the images.
        folder: the database's; what arms keep while they work lies there, too.
        rounds: of the run.
        fastnas_step: distance of the shares of channels that FastNAS tries, its own 0.05 or a coarser one.
    """

    name: str
    store: Store
    run: StoredRun
    images: Images
    folder: Path
    rounds: int = ROUNDS
    fastnas_step: float = 0.05

    @property
    def config(self) -> StudyConfig:
        return self.run.config

    @property
    def seed(self) -> int:
        """The seed of all last trainings: the same for all arms, so that they pair."""
        return derive_seed(self.config.seed, "alone", 0)

    @property
    def start(self) -> Start:
        """The weights that all arms begin with."""
        found = Start.of(self.store, self.run, self.images)
        assert found is not None
        return found

    @property
    def whole(self) -> tuple[Architecture, SearchSpace]:
        """The whole network, and the space of it alone."""
        return whole_alone(self.run.space)

    def fresh(self, arch: Architecture, space: SearchSpace) -> Network:
        """A network with fresh weights; it takes the run's images, whatever size it sees them in."""
        arch, space = resolve_variants(arch, space)
        return Network(arch, space, Resize(space.stem.size))

    def cut(self, arch: Architecture, space: SearchSpace) -> Network:
        """The same, with the weights that it is cut out with."""
        network, weights = self.fresh(arch, space), self.start.weights(arch, space)
        assert weights is not None
        inherit_weights(network, weights)
        return network.eval()

    def whole_module(self) -> Network:
        """The fine-tuned network itself."""
        return self.cut(*self.whole)

    def macs(self, network: nn.Module, images: Images | None = None) -> int:
        images = images or self.images
        return module_macs(network, images.channels, images.size)

    @property
    def whole_macs(self) -> int:
        return self.macs(self.whole_module())

    def searched(self) -> Spent:
        """What the run has cost beside the fine-tuning of the whole network."""
        clock, macs = Ledger(self.folder / "clock.json"), run_macs(self.store, self.run, self.rounds, self.images)
        total = Spent(clock.sum_of("run").seconds, macs or 0.0)
        return total - self.fine_tuned()

    def fine_tuned(self) -> Spent:
        """What the run's fine-tuning of the whole network has cost."""
        schedule = schedule_of(self.config.evaluator, self.config.data, 1)  # type: ignore[arg-type]
        seconds = Ledger(self.folder / "clock.json").sum_of("fine-tuning").seconds
        seen = images_seen(len(self.images.train), schedule.batch_size, schedule.epochs)
        return Spent(seconds, PASSES * float(self.whole_macs) * seen)

    def finish(self, arm: str, budget: float, made: Made) -> Result:
        """Fine-tune a network by the recipe of a delivery, on training and validation images, and test it, once."""
        macs, params = self.macs(made.network, made.images), module_params(made.network)
        tuning = self._tune(made, macs) if made.longer else NOTHING
        accuracy = measure_network(made.network, made.images.test)[0] if tuning is not None else 0.0
        tuning = tuning or NOTHING
        return Result(
            self.name, self.config.seed, arm, budget, accuracy, len(made.images.test), macs, params,
            made.shared.seconds, made.shared.macs, made.search.seconds, made.search.macs, tuning.seconds, tuning.macs,
        )  # fmt: skip

    def _tune(self, made: Made, macs: int) -> Spent | None:
        """What the training has cost; None: it has diverged."""
        section = self.config.deliver
        section = section.model_copy(update={"epochs": made.longer * schedule_of(section, self.config.data, 1).epochs})
        config = self.config.model_copy(update={"deliver": section})
        images = made.images.train.joined_with(made.images.validation)
        progress, started = self.folder / "tuning.progress", time.perf_counter()
        delete_progress(progress)  # of another arm, which was interrupted
        try:
            train_by_recipe(made.network, config, images, made.images.classes, self.seed, checkpoint=progress)
        except DivergedError:
            return None
        finally:
            delete_progress(progress)
        seen = images_seen(len(images), section.batch_size, section.epochs)  # type: ignore[arg-type]
        return Spent(time.perf_counter() - started, PASSES * float(macs) * seen)


def images_seen(images: int, batch_size: int, epochs: int) -> int:
    """Images in whole batches, each as often as it is seen."""
    return max(1, images // batch_size) * min(batch_size, images) * epochs


@contextmanager
def bench(
    images: str, path: Path | None, out: Path, seed: int, overrides: Sequence[str], rounds: int = ROUNDS
) -> Iterator[Bench]:
    """The run of a seed in its own database below ``out``, begun or continued, and brought to its end.

    Raises:
        EvoError: the database was begun with other settings.
    """
    data = DATA[images](path, out / "data", seed)
    fixed = [f"data.{key}={value}" for key, value in {**data, "size": PIXELS}.items()]
    config = load_config("pretrained", [f"seed={seed}", "threads=1", *fixed, *overrides])
    folder = out / f"{images}-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    with open_store(f"sqlite:///{folder}/evo.db") as store, deterministic_torch(config.threads):
        run = store.find_run(RUN) or begin_run(store, RUN, config)
        if run.config != config:
            raise EvoError(f"{folder} was begun with other settings: expected the same, or another --out")
        _search(store, run, folder, rounds)
        yield Bench(images, store, run, load_dataset(config.data, config.device), folder, rounds)


def _search(store: Store, run: StoredRun, folder: Path, rounds: int) -> None:
    """Bring a run to its end; ``clock.json`` knows the seconds."""
    clock = Ledger(folder / "clock.json")

    @contextmanager
    def track(label: str, total: int) -> Iterator[Advance]:
        with clock.timed(label.split()[0].strip(":")):
            yield lambda steps: None

    with local_executor(1, run.config.threads) as evaluate:
        shared: RunContext = run_context(run, store, folder, evaluate, track)
        for n in range(1, rounds + 1):
            rows = store.rounds(run)
            if n > len(rows) or not rows[n - 1].finished:
                with clock.timed("run"):
                    run_round(shared, n)
