"""Do blocks that imitate a teacher rank networks better than a supernet trained as a whole, at equal cost?

    python -m benchmarks.blocks --data data --size hour --seeds 0 1 2 --markdown

DNA (https://arxiv.org/abs/1911.13053) against one-shot search (SPOS, https://arxiv.org/abs/1904.00420) on Fashion-MNIST at 14
pixels. Both score the same architectures, spread over cost, and Kendall's tau with the accuracies that these reach when
trained alone is compared. Cost is what training multiplies and accumulates: three times a path's MACs for every image it
learns from, and once the teacher's as far as it runs. The supernet is trained twice: for the cost of the blocks alone (a
teacher that is there already), and for that of the blocks and their teacher's own training.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import mean
from tempfile import TemporaryDirectory
from typing import Any

import optuna
import torch

from analysis.ranking import agreement
from benchmarks.comparison import Table
from evo.console import bar, say
from evo.data.loading import load_dataset as load_images
from evo.evaluators import FitContext, Judge
from evo.evaluators.blockwise.evaluator import blockwise
from evo.evaluators.blockwise.teacher import largest_architecture
from evo.evaluators.oneshot.evaluator import oneshot
from evo.evaluators.standalone import scratch
from evo.seeds import derive_seed
from spaces.costs.sampling import sample_stratified
from spaces.costs.table import CostTable, cost_table, fixed_counts
from spaces.export.scaling import scale_widths
from spaces.library.named_spaces import load_space
from spaces.operations.grammar import count_operation
from spaces.operations.primitives import stem_steps, total_counts
from spaces.size import pixel_count
from spaces.space import SearchSpace
from spaces.units import format_number
from studies.config import StudyConfig, check_config
from studies.records import Evaluation


@dataclass(frozen=True)
class Size:
    """How much work: images in all; epochs of each block, of the teacher, of a network alone; how many of these are asked."""

    images: int
    block_epochs: int
    teacher_epochs: int
    alone_epochs: int
    sample: int


SIZES = {"smoke": Size(300, 1, 1, 1, 6), "minutes": Size(2_000, 6, 8, 6, 20), "hour": Size(6_000, 10, 15, 25, 24)}
WIDTH, TEACHER, BATCH = 0.5, 2.0, 64
"""Channels of the space as a share of ``mobile_28``'s; of the teacher in the space's; images per step."""


def study(size: Size, data: Path, seed: int, evaluator: dict[str, Any]) -> StudyConfig:
    """One arm's settings."""
    images = {
        "name": "fashion_mnist",
        "path": str(data),
        "size": 14,
        "max_images": size.images,
        "validation_fraction": 0.3,
    }
    return check_config(
        {
            "seed": seed,
            "device": "cpu",
            "space": {"name": "mobile_28"},
            "data": {**images, "augment": ("flip", "crop")},
            "evaluator": {"batch_size": BATCH, **evaluator},
            "evolution": {"method": "fixed"},
        },
        "benchmarks.blocks",
    )


# -- what training costs, in MACs per image ---------------------------------------------------------------------------


def of_path(space: SearchSpace, table: CostTable) -> float:
    """Forward and back through a path drawn uniformly."""
    layers = sum(float(layer.costs[:, 0].mean()) for layer in table.layers)
    return 3 * (fixed_counts(space).macs + layers)


def of_blocks(space: SearchSpace, table: CostTable) -> float:
    """Forward and back through a path of each block and its adapters, and the teacher from the images to the block's end."""
    wide = scale_widths(space, TEACHER)
    taught, costs = largest_architecture(space), 0.0
    ops = zip(taught.genes, wide.layers, strict=True)
    teacher = [count_operation(op, layer.shape).macs for op, layer in ops]
    for start, stop in space.blocks:
        first, last = space.layers[start].shape, space.layers[stop - 1].shape
        enters = total_counts(stem_steps(space.stem), space.stem.size).macs
        if start:
            enters = wide.layers[start].shape.c_in * first.c_in * pixel_count(first.size)
        leaves = last.c_out * wide.layers[stop - 1].shape.c_out * pixel_count(last.size_out)
        layers = sum(float(layer.costs[:, 0].mean()) for layer in table.layers[start:stop])
        costs += 3 * (enters + layers + leaves)
        costs += total_counts(stem_steps(wide.stem), wide.stem.size).macs + sum(teacher[:stop])
    return costs


def of_teacher(space: SearchSpace) -> float:
    """Forward and back through the teacher."""
    wide = scale_widths(space, TEACHER)
    layers = zip(largest_architecture(space).genes, wide.layers, strict=True)
    return 3 * float(fixed_counts(wide).macs + sum(count_operation(op, layer.shape).macs for op, layer in layers))


# -- arms -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Arm:
    """One arm's result for one seed.

    Attributes:
        cost: training, in multiply-accumulates.
        tau: Kendall's tau of its scores; ``by_loss``: of its log-likelihoods, if it has them.
        seconds: CPU time.
    """

    name: str
    cost: float
    tau: float | None
    by_loss: float | None
    seconds: float


def measure_arm(name: str, cost: float, judge: Judge, alone: Sequence[Evaluation], started: float) -> Arm:
    """The agreement of one arm's scores with the accuracies of ``alone``, networks trained alone."""
    scored, macs = judge([e.arch for e in alone]), [e.macs for e in alone]
    truth = [e.accuracy for e in alone]
    losses = [-e.nll for e in scored if e.nll is not None]
    by_loss = agreement(losses, truth, macs).tau if losses else None
    return Arm(
        name, cost, agreement([e.accuracy for e in scored], truth, macs).tau, by_loss, time.process_time() - started
    )


def arms(size: Size, data: Path, seed: int, alone: Sequence[Evaluation], space: SearchSpace) -> list[Arm]:
    """Measure the blocks, and a supernet at either cost."""
    table, measured_arms = cost_table(space), []
    section = {"kind": "blockwise", "epochs": size.block_epochs}
    taught = {"epochs": size.teacher_epochs, "width": TEACHER, "learning_rate": 0.1, "batch_size": BATCH}
    config = study(size, data, seed, {**section, "teacher": taught})
    images = len(load_images(config.data, "cpu").train)
    blocks = images * size.block_epochs * of_blocks(space, table)
    with TemporaryDirectory() as folder:
        started = time.process_time()
        judge = blockwise(config, space).fit(space, FitContext(1, seed, table, Path(folder), track=bar))
        measured_arms.append(measure_arm("blocks", blocks, judge, alone, started))
        whole = blocks + images * size.teacher_epochs * of_teacher(space)
        for name, cost in (("supernet, for the blocks' cost", blocks), ("supernet, and for the teacher's", whole)):
            epochs = max(1, round(cost / (images * of_path(space, table))))
            config = study(size, data, seed, {"kind": "oneshot", "epochs": epochs, "learning_rate": 0.1})
            started = time.process_time()
            judge = oneshot(config, space).fit(
                space, FitContext(1, derive_seed(seed, name), table, Path(folder), track=bar)
            )
            measured_arms.append(measure_arm(f"{name}: {epochs} epochs", cost, judge, alone, started))
    return measured_arms


def train_alone(size: Size, data: Path, space: SearchSpace) -> list[Evaluation]:
    """Architectures spread evenly over cost, each trained by itself."""
    config = study(size, data, 0, {"kind": "scratch", "epochs": size.alone_epochs, "learning_rate": 0.1})
    table = cost_table(space)
    judge = scratch(config, space).fit(space, FitContext(1, 0, table, Path()))
    evaluations = []
    with bar("training networks alone", size.sample) as advance:
        for arch in sample_stratified(table, size.sample, Random(0)):
            evaluations += judge([arch])
            advance(1)
    return evaluations


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.blocks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("data"), help="the folder with torchvision's FashionMNIST")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--size", choices=SIZES, default="hour", help="of CPU time, about; smoke shows that it runs")
    parser.add_argument("--markdown", action="store_true", help="tables in Markdown")
    args = parser.parse_args(argv)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    torch.set_num_threads(1)
    size = SIZES[args.size]
    space = scale_widths(load_space("mobile_28", size=14), WIDTH)
    alone = train_alone(size, args.data, space)
    by_seed = []
    for seed in args.seeds:
        by_seed.append(arms(size, args.data, seed, alone, space))
        for arm in by_seed[-1]:
            say(
                f"seed {seed}, {arm.name}: tau {format_taus([arm.tau])}, by log-likelihood {format_taus([arm.by_loss]) or '-'}"
            )
    rows = [row(same) for same in zip(*by_seed, strict=True)]
    macs = agreement([e.macs for e in alone], [e.accuracy for e in alone], [e.macs for e in alone]).tau
    rows.append(("MACs alone", "0", format_taus([macs]), "", ""))
    title = (
        f"Kendall's tau with {len(alone)} networks trained alone, Fashion-MNIST at 14 pixels, {len(args.seeds)} seeds"
    )
    table = Table(title, ("arm", "MACs", "tau", "by log-likelihood", "CPU s"), tuple(rows))
    say(table.markdown()) if args.markdown else table.show()


def row(same: Sequence[Arm]) -> tuple[str, ...]:
    """One arm over all seeds."""
    seconds = f"{mean(arm.seconds for arm in same):.0f}"
    taus, losses = format_taus([arm.tau for arm in same]), format_taus([arm.by_loss for arm in same])
    return same[0].name, format_number(same[0].cost), taus, losses, seconds


def format_taus(taus: Sequence[float | None]) -> str:
    """``mean (least to most)``; a single value alone; empty for none."""
    known = [tau for tau in taus if tau is not None]
    if len(known) < 2:
        return f"{known[0]:.3f}" if known else ""
    return f"{mean(known):.3f} ({min(known):.3f} to {max(known):.3f})"


if __name__ == "__main__":
    main()
