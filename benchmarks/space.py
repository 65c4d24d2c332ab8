"""The central question: does a space that evolves give better networks than one that does not, at equal cost?

    python -m benchmarks.space --data FOLDER_WITH_FASHION_MNIST --seeds 0 1 2

A pool of 27 operations (NSE's, https://arxiv.org/abs/2011.10904) in six cells is more than a small supernet can train at
once. Five arms search it with as many training steps and as many measured networks each; then members of each arm's
final front are trained alone, all alike, and the hypervolume of what they reach is compared. Every cell carries one
operation in all arms, so that they differ in nothing but the space. Results are kept in ``--out``; the same command again
continues.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pandas as pd

from analysis.verdict import difference, sample_front
from evo.console import bar
from evo.evaluators.standalone import Scratch
from evo.round.algorithm import run_round
from evo.round.context import fit_context, open_round, run_context
from evo.round.ground_truth import evaluate_missing
from evo.round.new_run import begin_run
from evo.workers.executors import local_executor
from spaces.layer import Head, Layer, Shape, Stem
from spaces.library.nse import NSE_POOLS
from spaces.space import SearchSpace
from studies.config import GroundTruthSection, StudyConfig, check_config
from studies.database.rows import StoredRun
from studies.database.store import open_store
from studies.pareto import hypervolume


@dataclass(frozen=True)
class Size:
    """How much work: images, epochs in all, measured networks in all, front members trained alone and for how long."""

    images: int
    validation: float
    epochs: int
    evaluations: int
    members: int
    alone: int


SIZES = {
    "smoke": Size(1_200, 0.2, 6, 60, 2, 1),
    "cpu": Size(6_000, 1 / 6, 18, 120, 4, 4),
}

NSE: dict[str, Any] = {"method": "nse", "k": 5, "branches": 1, "samples": 0, "guard_samples": 0}
PAD_NAS: dict[str, Any] = {"method": "pad_nas"}
ARMS: dict[str, dict[str, Any]] = {
    "NSE, 5 at a time, refilled": {"evolution": NSE, "rounds": 6, "inherit": False},
    "PAD-NAS, pruned from 27": {"evolution": PAD_NAS, "rounds": 3},
    "5 at random, never changed": {"evolution": NSE, "rounds": 3, "control": True},
    "all 27, never changed": {"evolution": PAD_NAS, "rounds": 3, "control": True},
    "all 27, random search": {"evolution": PAD_NAS, "rounds": 3, "control": True, "sampler": "random"},
}
"""NSE trains a fresh supernet in each of its (27 - 1) // (5 - 1) = 6 rounds, as the paper does; all others train one on."""

MOST_MACS, FLOOR = 1.5e6, 0.6
"""The hypervolume's box, the same for all arms, and the limit of every search: MACs (half of all random
networks of the pool cost less), accuracy."""


def pool_of_27() -> SearchSpace:
    """Six cells with all 27 operations each; a cell that keeps its shape may be left out."""
    shapes = (
        Shape(8, 8, 1, 14), Shape(8, 16, 2, 14), Shape(16, 16, 1, 7),
        Shape(16, 16, 1, 7), Shape(16, 32, 2, 7), Shape(32, 32, 1, 4),
    )  # fmt: skip
    layers = tuple(Layer(shape, NSE_POOLS["multi_mac"], skippable=shape.is_residual) for shape in shapes)
    return SearchSpace("pool_of_27", layers, Stem(8, 1, c_in=1, size=14, activation="relu"), Head(0, 10), "mean")


def shares(epochs: int, rounds: int) -> list[int]:
    """Epochs per round: a half, a third and a sixth in three rounds (PAD-NAS's 120, 80, 40), else equal parts."""
    return [epochs // 2, epochs // 3, epochs // 6] if rounds == 3 else [epochs // rounds] * rounds


def settings(arm: Mapping[str, Any], size: Size, args: argparse.Namespace, seed: int, space: Path) -> StudyConfig:
    """One arm's run."""
    return check_config(
        {
            "seed": seed,
            "threads": args.threads,
            "control": arm.get("control", False),
            "space": {"name": "pool_of_27", "path": str(space)},
            "data": {
                "name": "fashion_mnist", "path": str(args.data), "size": 14, "max_images": size.images,
                "validation_fraction": size.validation, "augment": ["flip"],
            },
            "evaluator": {
                "kind": "oneshot", "inherit": arm.get("inherit", True),
                "epochs": shares(size.epochs, arm["rounds"]), "learning_rate": 0.1,
            },
            "search": {
                "evaluations": size.evaluations // arm["rounds"], "population": 20, "objective": "likelihood",
                "min_accuracy": FLOOR, "sampler": arm.get("sampler", "nsga2"),
            },
            "limits": {"macs": [0, MOST_MACS]},
            "evolution": arm["evolution"],
        },
        "benchmarks.space",
    )  # fmt: skip


def measure_arm(name: str, size: Size, args: argparse.Namespace, seed: int) -> list[dict[str, Any]]:
    """One arm and seed: its final front's members, each trained alone; one row per member."""
    arm, folder = ARMS[name], args.out / f"{args.size}-seed{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "space.json").write_text(pool_of_27().to_json())
    config = settings(arm, size, args, seed, folder / "space.json")
    label = str(list(ARMS).index(name))
    if arm.get("sampler") == "random" and not (folder / label).exists():
        shutil.copytree(folder / str(int(label) - 1), folder / label)  # the supernets of the arm that searches well
    with open_store(f"sqlite:///{folder}/evo.db") as store, local_executor(args.workers, args.threads) as evaluate:
        run = store.find_run(label) or begin_run(store, label, config)
        shared = run_context(run, store, folder, evaluate, bar, args.workers)
        rows = store.rounds(run)
        for n in range(1, arm["rounds"] + 1):
            if n > len(rows) or not rows[n - 1].finished:
                run_round(shared, n)
        n = arm["rounds"]
        space = store.rounds(run)[n - 1].space
        alone = GroundTruthSection(epochs=size.alone, learning_rate=0.1, sample=size.members)
        context = open_round(shared, n)
        judge = Scratch(alone, config.data, config.device, 0).fit(space, fit_context(context))
        members = sample_front(store, run, n, size.members)
        evaluations = evaluate_missing(context, judge, members, "training the front alone")
        measurements = sum(p.is_new for row in store.rounds(run) for p in store.proposals(row))
        seconds = sum(sum(row.stats["seconds"].values()) for row in store.rounds(run))
        return [
            {"seed": seed, "arm": name, "arch": str(e.arch), "macs": e.macs, "accuracy": e.accuracy,
             "measured": measurements, "candidates": candidates(run, space), "seconds": seconds}
            for e in evaluations
        ]  # fmt: skip


def candidates(run: StoredRun, space: SearchSpace) -> float:
    """Operations per cell at the end, on average."""
    return sum(len(layer.candidates) for layer in space.layers) / len(space.layers)


def report(rows: pd.DataFrame) -> str:
    """A table of the arms, and each against the whole pool that never changed, seed by seed."""
    volumes = rows.groupby(["arm", "seed"]).apply(
        lambda front: hypervolume(front["macs"], front["accuracy"], max_cost=MOST_MACS, min_accuracy=FLOOR),
        include_groups=False,
    )
    seeds = sorted(rows["seed"].unique())
    lines = [f"{len(seeds)} seeds.", "", "| arm | hypervolume by seed | mean | best accuracy | measured | seconds |"]
    lines.append("|---|---|---:|---:|---:|---:|")
    for name in ARMS:
        mine = rows[rows["arm"] == name]
        best = mine.groupby("seed")["accuracy"].max().mean()
        each = ", ".join(f"{volumes[name, seed]:.4f}" for seed in seeds)
        measured, seconds = mine.groupby("seed")[["measured", "seconds"]].first().mean()
        lines.append(f"| {name} | {each} | {volumes[name].mean():.4f} | {best:.2%} | {measured:.0f} | {seconds:.0f} |")
    pairs = [(one, other) for other in list(ARMS)[2:] for one in list(ARMS)[:2]]
    lines += ["", "| evolving arm | against | difference |", "|---|---|---|"]
    for one, other in pairs:
        change = difference("hypervolume", [volumes[one, seed] - volumes[other, seed] for seed in seeds])
        lines.append(f"| {one} | {other} | {str(change).removeprefix('hypervolume ')} |")
    return "\n".join(lines)


def main() -> None:
    """Measure every arm and seed that was not measured before; print the tables, write the rows as csv."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.space", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("data"), help="torchvision's folder of Fashion-MNIST")
    parser.add_argument("--size", choices=SIZES, default="cpu")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--workers", type=int, default=1, help="processes that score (default: 1)")
    parser.add_argument("--threads", type=int, default=2, help="of each process (default: 2)")
    parser.add_argument("--out", type=Path, default=Path("space"), help="folder for weights and rows (default: space)")
    args = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    rows: list[dict[str, Any]] = []
    for seed in args.seeds:
        for name in ARMS:
            rows += measure_arm(name, SIZES[args.size], args, seed)
            pd.DataFrame(rows).to_csv(args.out / f"{args.size}.csv", index=False)
    print(report(pd.DataFrame(rows)))


if __name__ == "__main__":
    main()
