"""What a run has cost in multiply-accumulates, so that networks without a search can be given as much.

Counted are the trainings of supernets or networks, scoring, and networks trained for the truth. An image costs a network's
MACs in a forward pass and three times as many in training. Steps of a supernet have the mean MACs of networks drawn at random
from the round's space. Scoring counts as if each network were scored by itself, although shared prefixes run once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from analysis.frames import truth_of
from evo.alone.trainer import PASSES
from evo.data.source import Images
from evo.training.loop import schedule_of
from spaces.costs.table import cost_table
from studies.config import StudyConfig
from studies.database.rows import StoredRound, StoredRun
from studies.database.store import Store
from studies.records import COSTS

DRAWS = 512
"""Networks drawn from a space for their mean MACs."""


@dataclass(frozen=True)
class RoundWork:
    """What a round has worked on.

    Attributes:
        n: the round, from 1.
        train: how many training images there are; ``validation``: likewise.
        candidates: the most operations that one layer can have.
        path_macs: mean MACs of a network drawn from the round's space.
        measured_macs: MACs of the networks that it measured, added up.
        epochs_saved: epochs that early stopping saved, of ``path_macs`` each.
    """

    n: int
    train: int
    validation: int
    candidates: int
    path_macs: float
    measured_macs: float
    epochs_saved: int = 0


def run_macs(store: Store, run: StoredRun, rounds: int, images: Images) -> float | None:
    """MACs of a run's first rounds; None where nobody can count those of its evaluator."""
    count = CHARGES.get(run.config.evaluator.kind)
    if count is None:
        return None
    rows = store.rounds(run)[:rounds]
    spent = sum(count(run.config, round_work(store, run, row, images)) for row in rows)
    return spent + truth_macs(run.config, rows, images)


def round_work(store: Store, run: StoredRun, row: StoredRound, images: Images) -> RoundWork:
    """What round ``row`` has worked on."""
    table, rng = cost_table(row.space, run.config.search.macs_convention), Random(0)
    drawn = table.count([row.space.sample(rng) for _ in range(DRAWS)])[:, COSTS.index("macs")]
    return RoundWork(
        row.number,
        len(images.train),
        len(images.validation),
        max(len(layer.candidates) for layer in row.space.layers),
        float(drawn.mean()),
        sum(proposal.evaluation.macs for proposal in store.proposals(row) if proposal.is_new),
        int(row.stats.get("epochs_saved", 0)),
    )


def truth_macs(config: StudyConfig, rows: list[StoredRound], images: Images) -> float:
    """MACs of the networks that were trained alone to check the rounds' scores, each once."""
    if not config.ground_truth.sample or config.ground_truth.table is not None:
        return 0.0
    truths = [truth for row in rows if (truth := truth_of(row)) is not None]
    macs = {witness.arch: witness.macs for truth in truths for witness in truth.witnesses}
    epochs = schedule_of(config.ground_truth, config.data, 1).epochs
    return sum(macs.values()) * (PASSES * epochs * len(images.train) + len(images.validation))


def oneshot_macs(config: StudyConfig, work: RoundWork) -> float:
    """A supernet is trained, and scores."""
    section: Any = config.evaluator
    paths = work.candidates if section.sampling == "fair" else 1
    gates = 1 / section.gates.update_every if section.gates else 0
    steps: float = (1 + gates) * paths * schedule_of(section, config.data, work.n).epochs
    if section.cells:
        steps += section.cells.parallel_cells * schedule_of(section.cells, config.data, work.n).epochs
    calibration = min(section.calibration_batches * section.eval_batch_size, work.train)
    scoring = work.measured_macs * (work.validation + calibration)
    return float(PASSES * steps * work.train * work.path_macs + scoring)


def scratch_macs(config: StudyConfig, work: RoundWork) -> float:
    """Every network is trained, and measured."""
    section: Any = config.evaluator
    epochs = schedule_of(section, config.data, work.n).epochs
    whole = work.measured_macs * (PASSES * epochs * work.train + work.validation)
    return whole - PASSES * work.epochs_saved * work.train * work.path_macs


CHARGES: dict[str, Callable[[StudyConfig, RoundWork], float]] = {"oneshot": oneshot_macs, "scratch": scratch_macs}
"""``evaluator.kind`` -> MACs of a round."""
