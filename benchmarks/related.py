"""Related tasks: the networks of one small space, each trained alone on several data sets, as one table for ``transfer.py``.

Networks come in an order drawn by a seed, each on all data sets before the next, and every row is written at once: the table is
whole after any of them, and the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

if __package__ in (None, ""):  # run as a file: the packages stand one folder up
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

if TYPE_CHECKING:
    from evo.evaluators import Judge
    from spaces.space import SearchSpace

EXAMPLE = """example:
  python benchmarks/related.py --data digits --data fashion_mnist=data --data images=sign_digits --out related.csv
"""
CHOICES = (
    ("mb_k3_e1", "mb_k3_e3", "mb_k5_e6"),
    ("mb_k3_e1", "mb_k3_e3", "mb_k5_e6"),
    ("mb_k3_e1", "mb_k5_e3", "mb_k3_e6", "id"),
    ("mb_k3_e1", "mb_k3_e3", "mb_k5_e6"),
    ("mb_k3_e1", "mb_k5_e3", "mb_k3_e6", "id"),
)
"""Candidates of each layer: 432 networks of the first layers of the space ``digits``."""

KEPT = (0, 2, 3, 5, 6)
"""The layers of the space ``digits`` that are there."""


def parser() -> argparse.ArgumentParser:
    """The command line. Heavy imports come after it has been parsed."""
    command = argparse.ArgumentParser(
        prog="python benchmarks/related.py",
        description="Train the networks of a small space alone on several data sets.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--data", action="append", required=True, metavar="NAME[=PATH]", help="repeatable")
    command.add_argument("--out", type=Path, required=True, metavar="FILE", help="the csv file")
    command.add_argument("--networks", type=int, default=432, metavar="K", help="at most so many (default: all)")
    command.add_argument(
        "--images", type=int, default=1600, metavar="K", help="training and validation (default: 1600)"
    )
    command.add_argument("--epochs", type=int, default=4)
    return command


def small_space(classes: int) -> SearchSpace:
    """The space of all tasks: grey images of 8 x 8 pixels."""
    from spaces.library.named_spaces import load_space

    whole = load_space("digits", channels=1, size=8, classes=classes)
    layers = (replace(whole.layers[i], candidates=ops) for i, ops in zip(KEPT, CHOICES, strict=True))
    return whole.replace_layers(layers)


def judge_on(data: str, args: argparse.Namespace) -> Judge:
    """What trains networks on a data set."""
    from evo.data.loading import load_dataset
    from evo.evaluators import FitContext
    from evo.evaluators.standalone import scratch
    from spaces.costs.table import cost_table
    from studies.config import load_config

    name, _, path = data.partition("=")
    config = load_config(
        "digits",
        [
            f"data.name={name}",
            "data.size=8",
            f"data.max_images={args.images}",
            "data.validation_fraction=0.5",
            *([f"data.path={path}"] if path else []),
            *(["data.channels=1"] if name == "images" else []),
            f"evaluator={{kind='scratch', epochs={args.epochs}, batch_size=64}}",
            "evolution.method=fixed",
            "ground_truth.sample=0",
        ],
    )
    space = small_space(load_dataset(config.data, "cpu").classes)
    return scratch(config, space).fit(space, FitContext(1, 0, cost_table(space), args.out.parent))


def main(argv: Sequence[str] | None = None) -> int:
    """0: done."""
    args = parser().parse_args(argv)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    import torch

    torch.set_num_threads(1)
    judges = {data.partition("=")[0]: judge_on(data, args) for data in args.data}
    archs = list(next(iter(judges.values())).space.enumerate())
    Random(0).shuffle(archs)
    done = set[str]()
    if args.out.exists():
        with args.out.open(newline="") as file:
            done = {row["arch"] for row in csv.DictReader(file)}
    with args.out.open("a", newline="") as file:
        writer = csv.writer(file)
        if not done:
            writer.writerow(["arch", *(f"acc_{name}" for name in judges), "macs", "params"])
        for arch in archs[: args.networks]:
            if str(arch) not in done:
                started = time.process_time()
                answers = [judge([arch])[0] for judge in judges.values()]
                writer.writerow([arch, *(a.accuracy for a in answers), int(answers[0].macs), int(answers[0].params)])
                file.flush()
                print(f"{arch}: {time.process_time() - started:.1f} CPU seconds", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
