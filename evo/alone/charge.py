"""What a run has cost in multiply-accumulates, so that networks without a search can be given as much.

Counted are the trainings of supernets or networks (of a network that is cut, the fine-tuning), scoring, and networks trained
for the truth. An image costs a network's MACs in a forward pass and three times as many in training. Steps of a supernet have
the mean MACs of networks drawn at random from the round's space. Scoring counts as if each network were scored by itself,
although shared prefixes run once; but a cut that is measured by itself counts from the layer that was cut, for all that lies
before is the whole network's, which runs once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from statistics import fmean
from typing import Any, cast

from analysis.frames import truth_in
from evo.alone.trainer import PASSES
from evo.data.source import Images
from evo.evaluators.standalone import images_in_round, shrunk_in_round
from evo.training.loop import schedule_of
from spaces.architecture import Architecture
from spaces.costs.table import COLUMNS, CostTable, cost_table, count_costs
from spaces.export.scaling import shrink
from spaces.pretrained.cut_space import only_cuts, whole_network
from spaces.pretrained.single_cuts import macs_of_single_cuts
from spaces.space import SearchSpace
from studies.config import StudyConfig, Training
from studies.database.rows import StoredRun
from studies.database.store import Store
from studies.records import COSTS, Evaluation

DRAWS = 512
"""Networks drawn from a space for their mean MACs."""


@dataclass(frozen=True)
class RoundWork:
    """What a round has worked on.

    Attributes:
        n: the round, from 1.
        train: how many training images there are; ``validation``: likewise.
        candidates: the most operations that one layer can have.
        path_macs: mean MACs of a network drawn from the round's space, as it is trained there.
        measured_macs: MACs of the networks that it measured, likewise, added up.
        epochs_saved: epochs that early stopping saved, of ``path_macs`` each.
        whole_macs: MACs of the network that is cut; ``cut_macs``: of measuring it and each of its cuts by itself
            (``macs_of_single_cuts``).
        made_macs: of training operations that are no cuts; ``made_cut_macs``: of measuring these, like ``cut_macs``.
        layers: of the space.
    """

    n: int
    train: int
    validation: int
    candidates: int
    path_macs: float
    measured_macs: float
    epochs_saved: int = 0
    whole_macs: float = 0.0
    cut_macs: float = 0.0
    made_macs: float = 0.0
    made_cut_macs: float = 0.0
    layers: int = 1


@dataclass(frozen=True)
class SpentMacs:
    """What a round has cost in MACs.

    Attributes:
        training: of the supernet, or of the candidates.
        scoring: of the candidates, on validation images.
        truth: training networks alone to check or calibrate the scores, each once in a run.
    """

    training: float
    scoring: float
    truth: float = 0.0

    @property
    def total(self) -> float:
        return self.training + self.scoring + self.truth


def run_macs(store: Store, run: StoredRun, rounds: int, images: Images) -> float | None:
    """MACs of a run's first rounds, as if no other run had measured anything: networks without a search are given as much. None
    where nobody can count those of its evaluator."""
    spent, checked = [], list[Mapping[str, Any]]()
    for row in store.rounds(run)[:rounds]:
        measured = [proposal.evaluation for proposal in store.proposals(row) if proposal.is_new]
        spent.append(round_macs(run.config, row.space, row.number, measured, row.stats, checked, images))
        checked.append(row.stats)
    known = [one.total for one in spent if one is not None]
    return sum(known) if len(known) == len(spent) else None


def round_macs(
    config: StudyConfig,
    space: SearchSpace,
    n: int,
    measured: Sequence[Evaluation],
    stats: Mapping[str, Any],
    earlier: Iterable[Mapping[str, Any]],
    images: Images,
    found: Collection[str] = (),
) -> SpentMacs | None:
    """MACs of round ``n``; None where nobody can count those of its evaluator.

    Args:
        measured: what was new to the round.
        stats: its statistics, with ``truth`` and ``epochs_saved`` if it has them; ``earlier``: those of the rounds before.
        found: networks of the truth that another run had trained.
    """
    count = CHARGES.get(config.evaluator.kind)
    if count is None:
        return None
    table, rng = cost_table(space, config.search.macs_convention), Random(0)
    drawn = [space.sample(rng) for _ in range(DRAWS)]
    work = RoundWork(
        n,
        len(images.train),
        len(images.validation),
        max(len(layer.candidates) for layer in space.layers),
        fmean(trained_macs(config, table, n, drawn)),
        sum(trained_macs(config, table, n, [evaluation.arch for evaluation in measured])),
        epochs_saved=int(stats.get("epochs_saved", 0)),
        layers=len(space.layers),
    )
    if config.evaluator.starts_networks:
        work = _with_cuts(work, table, stats.get("made", {}))
    return SpentMacs(*count(config, work), truth_macs(config, stats, earlier, images, found))


def trained_macs(config: StudyConfig, table: CostTable, n: int, archs: Sequence[Architecture]) -> list[float]:
    """MACs of architectures as round ``n`` trains and scores them: with fewer channels and smaller images, where it says so."""
    width, resolution = shrunk_in_round(cast(Training, config.evaluator), n)
    if (width, resolution) == (1, 1):
        costs: list[float] = table.count(archs)[:, COSTS.index("macs")].tolist()
        return costs
    shrunk = (shrink(arch, table.space, width, resolution) for arch in archs)
    return [float(count_costs(space, arch, config.search.macs_convention).macs) for arch, space in shrunk]


def _with_cuts(work: RoundWork, table: CostTable, made: Mapping[str, Any]) -> RoundWork:
    """The work on a network that is cut; paths are those of its cuts."""
    sampled, rng, column = only_cuts(table.space), Random(0), COLUMNS.index("macs")
    paths = cost_table(sampled, table.convention).count([sampled.sample(rng) for _ in range(DRAWS)])
    return replace(
        work,
        path_macs=float(paths[:, column].mean()),
        whole_macs=float(table.count([whole_network(table.space)])[0, column]),
        cut_macs=macs_of_single_cuts(table),
        made_macs=float(made.get("macs", 0.0)),
        made_cut_macs=float(made.get("measured_macs", 0.0)),
    )


def truth_macs(
    config: StudyConfig,
    stats: Mapping[str, Any],
    earlier: Iterable[Mapping[str, Any]],
    images: Images,
    found: Collection[str] = (),
) -> float:
    """MACs of the networks that were trained alone to check a round's scores, without those of earlier rounds, and without
    those that were ``found``."""
    if not config.ground_truth.sample or config.ground_truth.table is not None:
        return 0.0
    trained, before = _witnesses([stats]), {*_witnesses(earlier), *found}
    macs = sum(cost for arch, cost in trained.items() if arch not in before)
    epochs, section = schedule_of(config.ground_truth, config.data, 1).epochs, config.ground_truth
    return macs * (PASSES * epochs * images_per_epoch(len(images.train), section.batch_size) + len(images.validation))


def images_per_epoch(train: int, batch_size: int) -> int:
    """Images that are trained on: those of whole batches."""
    size = min(batch_size, train)
    return train // size * size


def _witnesses(rounds: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """The networks that were trained alone, and their MACs."""
    truths = filter(None, map(truth_in, rounds))
    return {str(witness.arch): witness.macs for truth in truths for witness in truth.witnesses}


def oneshot_macs(config: StudyConfig, work: RoundWork) -> tuple[float, float]:
    """Training and scoring of a supernet."""
    section: Any = config.evaluator
    paths = work.candidates if section.sampling == "fair" else 1
    gates = 1 / section.gates.update_every if section.gates else 0
    steps: float = (1 + gates) * paths * schedule_of(section, config.data, work.n).epochs
    if section.cells:
        side_by_side = section.cells.parallel_cells if section.cells.score == "weights" else 1
        steps += side_by_side * schedule_of(section.cells, config.data, work.n).epochs
    calibration = min(section.calibration_batches * section.eval_batch_size, work.train)
    scoring = work.measured_macs * (work.validation + calibration)
    if section.cells and section.cells.score == "networks":
        scoring += measured_cells_macs(config, work)
    train = images_per_epoch(work.train, section.batch_size)
    return float(PASSES * steps * train * work.path_macs), float(scoring)


def measured_cells_macs(config: StudyConfig, work: RoundWork) -> float:
    """Measuring bred cells in networks: of each, what lies behind the cell that is put in, on the average half of a path."""
    evaluator: Any = config.evaluator
    cells, population = (
        evaluator.cells,
        getattr(config.evolution, "population", work.candidates),
    )  # else a space of cells
    schedule = schedule_of(cells, config.data, work.n)
    steps = schedule.epochs * (images_per_epoch(work.train, schedule.batch_size) // schedule.batch_size)
    networks = steps // cells.steps * cells.networks + cells.last_networks
    images = networks * min(cells.measured_images, work.validation)
    return float(images * work.layers * population) * work.path_macs / 2


def scratch_macs(config: StudyConfig, work: RoundWork) -> tuple[float, float]:
    """Training and scoring of every network."""
    section: Any = config.evaluator
    epochs = schedule_of(section, config.data, work.n).epochs
    train = images_per_epoch(min(work.train, images_in_round(section, work.n) or work.train), section.batch_size)
    training = work.measured_macs * epochs - work.epochs_saved * work.path_macs
    return float(PASSES * train * training), float(work.measured_macs * work.validation)


def cuts_macs(config: StudyConfig, work: RoundWork) -> tuple[float, float]:
    """Fine-tuning of the whole network, in the first round; making operations that are no cuts; scoring of the round's
    networks, and of every new candidate by itself."""
    section: Any = config.evaluator
    tuned = work.n == 1 and config.data.labels is not False
    epochs = schedule_of(section, config.data, 1).epochs if tuned else 0
    training = PASSES * epochs * images_per_epoch(work.train, section.batch_size) * work.whole_macs
    if work.n == 1 and section.joint is not None:
        together = work.whole_macs + section.joint.cuts * work.path_macs
        training += PASSES * section.joint.epochs * images_per_epoch(work.train, section.batch_size) * together
    calibration = min(section.calibration_batches * section.eval_batch_size, work.train)
    if work.n == 1:
        passes = PASSES * (section.importance == "taylor") + section.refit
        training += passes * min(section.channel_images, work.train) * work.whole_macs
    training += work.made_macs
    by_themselves = work.cut_macs if work.n == 1 else work.made_cut_macs
    if by_themselves and section.loss == "divergence":  # the whole network speaks first
        by_themselves += work.whole_macs
    without_labels = section.loss == "divergence" or config.data.labels is False
    most = work.validation + (work.train if without_labels else 0)
    images = min(section.loss_images or work.validation, most)
    scoring = work.measured_macs * (work.validation + calibration) + by_themselves * (images + calibration)
    return float(training), float(scoring)


CHARGES: dict[str, Callable[[StudyConfig, RoundWork], tuple[float, float]]] = {
    "oneshot": oneshot_macs,
    "scratch": scratch_macs,
    "cuts": cuts_macs,
}
"""``evaluator.kind`` -> MACs of a round: training, scoring."""
