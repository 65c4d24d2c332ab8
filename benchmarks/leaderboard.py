"""How does the search do beside a competition's entries? NATS-Bench's size space by error, parameters and FLOPs.

The problem C-10/MOP3 of the IEEE CEC 2023 competition on multi-objective architecture search: objectives are normalised to
``(f - lo) / (up - lo)``, and the hypervolume is that before (1, 1, 1). The competition's entries made 10,000 evaluations.
Parameters and FLOPs follow from the channels, so they are known before anything is evaluated, and no secret of the table.

python benchmarks/leaderboard.py --table nats_sss_cifar10.csv.gz --figures cec_c10mop3.json --seeds 20
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

if __package__ in (None, ""):  # run as a file: the packages stand one folder up
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spaces.architecture import Architecture
    from spaces.costs.table import CostTable
    from spaces.space import SearchSpace

POINTS = (25, 50, 100, 200, 300, 500, 1000)
"""After so many unique evaluations the hypervolume is told."""


@dataclass(frozen=True)
class Problem:
    """The table, and how the competition scores it.

    Attributes:
        answers: architecture -> accuracy as a fraction, parameters, FLOPs.
        low, high: what 0 and 1 are of error, parameters and FLOPs.
    """

    space: SearchSpace
    costs: CostTable
    answers: dict[Architecture, tuple[float, float, float]]
    low: tuple[float, float, float]
    high: tuple[float, float, float]

    def trace(self, archs: Sequence[Architecture]) -> NDArray:
        """The competition's hypervolume of the first 1, 2, ... n architectures, ``(n,)``."""
        import numpy as np

        from studies.pareto import hypervolume_trace

        accuracy, params, flops = np.array([self.answers[arch] for arch in archs]).T
        found = np.stack([1 - accuracy, params, flops], axis=1)
        normal = (found - self.low) / (np.array(self.high) - self.low)
        return hypervolume_trace(normal[:, 1:], 1 - normal[:, 0], max_cost=(1.0, 1.0))


def read_problem(table: Path, figures: Path) -> Problem:
    """The problem from NATS-Bench's table and the competition's figures."""
    from spaces.architecture import Architecture
    from spaces.costs.benchmark_tables import (
        TableColumns,
        additive_costs,
        opaque_space,
        read_benchmark_table,
        split_key,
    )

    columns = TableColumns("channels", "acc_cifar10", macs="flops", params="params")
    frame = read_benchmark_table(table, columns)
    keys = frame["channels"].tolist()
    space = opaque_space("nats_sss", keys, ":")
    archs = [Architecture(split_key(key, ":")) for key in keys]
    costs = additive_costs(space, archs, frame["flops"], frame["params"]).table
    told = json.loads(figures.read_text(encoding="utf-8"))
    rows = zip((frame["acc_cifar10"] / 100).tolist(), frame["params"].tolist(), frame["flops"].tolist(), strict=True)
    return Problem(space, costs, dict(zip(archs, rows, strict=True)), tuple(told["lo"]), tuple(told["up"]))


def ours(problem: Problem, seed: int, budget: int) -> list[Architecture]:
    """What this program's search asks for, in order; all settings are the defaults."""
    from evo.strategy.generations import SearchTask, search_round
    from studies.config import LimitsSection, SearchSection
    from studies.records import Evaluation

    section = SearchSection.model_validate(
        {"evaluations": budget, "objectives": ["accuracy", "macs", "params"], "min_accuracy": 1 - problem.high[0]}
    )

    def measure(archs: Sequence[Architecture]) -> list[Evaluation]:
        found = ((arch, *problem.answers[arch]) for arch in archs)
        return [Evaluation(arch, "table", accuracy, flops, params) for arch, accuracy, params, flops in found]

    task = SearchTask(problem.space, problem.costs, section, LimitsSection(), seed)
    return [proposal.arch for proposal in search_round(task, measure, record=lambda generation: None)[0]]


def random(problem: Problem, seed: int, budget: int) -> list[Architecture]:
    """Uniformly, without repeats."""
    return Random(seed).sample(list(problem.answers), budget)


ARMS: dict[str, Callable[[Problem, int, int], list[Architecture]]] = {"ours": ours, "random": random}


def one(table: Path, figures: Path, budget: int, job: tuple[str, int]) -> tuple[str, int, list[float], float]:
    """Arm, seed, hypervolume after each evaluation, CPU seconds."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    problem = read_problem(table, figures)
    arm, seed = job
    started = time.process_time()
    archs = ARMS[arm](problem, seed, budget)
    seconds = time.process_time() - started
    return arm, seed, problem.trace(archs).tolist(), seconds


def main(argv: Sequence[str] | None = None) -> int:
    """Print, per arm, the median, the least and the greatest hypervolume over seeds, after so many evaluations."""
    command = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_argument("--table", type=Path, required=True, help="NATS-Bench's size space, csv or csv.gz")
    command.add_argument("--figures", type=Path, required=True, help="the competition's bounds and entries, json")
    command.add_argument("--seeds", type=int, default=20, help="seeds 0 to S-1 (default: %(default)s)")
    command.add_argument("--budget", type=int, default=1000, help="unique evaluations (default: %(default)s)")
    command.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS), help="default: all")
    command.add_argument("--workers", type=int, default=1, help="processes, a seed each (default: %(default)s)")
    args = command.parse_args(argv)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    import numpy as np

    jobs = [(arm, seed) for arm in args.arms for seed in range(args.seeds)]
    run = partial(one, args.table, args.figures, args.budget)
    found: dict[str, list[list[float]]] = {arm: [] for arm in args.arms}
    with ProcessPoolExecutor(args.workers) as pool:
        for arm, seed, trace, seconds in pool.map(run, jobs):
            found[arm].append(trace)
            told = ", ".join(f"{trace[n - 1]:.4f} at {n}" for n in POINTS if n <= args.budget)
            print(f"{arm}, seed {seed}: {told} ({seconds:.0f} CPU s)", file=sys.stderr, flush=True)
    points = [n for n in POINTS if n <= args.budget]
    print(f"| arm | {' | '.join(map(str, points))} |\n| --- |{' ---: |' * len(points)}")
    for arm, traces in found.items():
        volumes = np.array(traces)[:, [n - 1 for n in points]].T
        cells = (f"{np.median(row):.4f} ({row.min():.4f} to {row.max():.4f})" for row in volumes)
        print(f"| {arm} | {' | '.join(cells)} |")
    entries = json.loads(args.figures.read_text(encoding="utf-8"))["published"]
    for name, entry in entries.items():
        print(f"{name}, 10,000 evaluations: {entry['mean']:.4f} (mean of {entry['runs']})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
