"""What bfloat16 changes: how supernets score, what networks reach alone, and how long it takes; beside what a seed changes.

    python -m benchmarks.precision --data FOLDER_WITH_FASHION_MNIST
    python -m benchmarks.precision --data FOLDER_WITH_FASHION_MNIST --device cuda --markdown

Supernets are trained and score the same random networks in both precisions, by the same seeds, on scikit-learn's digits and on
Fashion-MNIST at 14 pixels. Some networks are also trained alone in both. Times are of CPU time, on one thread; on a GPU, of the
clock. About a quarter of an hour of a CPU.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from random import Random
from statistics import mean, stdev
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from scipy.stats import kendalltau, t

from benchmarks.comparison import Table
from benchmarks.judges import searched_space
from evo.console import bar, say
from evo.data.loading import load_dataset
from evo.evaluators import FitContext, Judge
from evo.evaluators.oneshot.evaluator import oneshot
from evo.evaluators.standalone import scratch
from spaces.architecture import Architecture
from spaces.costs.table import cost_table
from spaces.library.named_spaces import load_space
from spaces.space import SearchSpace
from studies.config import StudyConfig, check_config

PRECISIONS = ("fp32", "bf16")


@dataclass(frozen=True)
class Size:
    """How much work: training images (digits, Fashion-MNIST) and epochs of a supernet; networks that it scores; networks that
    are trained alone, for so many epochs; seeds of everything."""

    images: tuple[int, int]
    epochs: tuple[int, int]
    scored: int
    networks: int
    alone: int
    seeds: int


SIZES = {
    "smoke": Size((200, 200), (1, 1), 6, 2, 1, 2),
    "cpu": Size((1500, 3000), (20, 10), 40, 4, 8, 3),
    "cuda": Size((1500, 20_000), (30, 20), 200, 12, 20, 5),
}


@dataclass(frozen=True)
class Case:
    """A data set, its space, and the networks that are compared on it."""

    name: str
    data: dict[str, Any]
    space: SearchSpace
    epochs: int
    rate: float

    def config(self, precision: str, seed: int, device: str, evaluator: dict[str, Any]) -> StudyConfig:
        """The settings of one arm."""
        return check_config(
            {
                "seed": seed,
                "device": device,
                "precision": precision,
                "space": {"name": self.space.name},
                "data": self.data,
                "evaluator": {"batch_size": 64, "learning_rate": self.rate, **evaluator},
                "evolution": {"method": "fixed"},
            },
            "benchmarks.precision",
        )

    def archs(self, count: int) -> list[Architecture]:
        """Random networks, no two alike."""
        rng, found = Random(0), dict[Architecture, None]()
        while len(found) < count:
            found.setdefault(self.space.sample(rng))
        return list(found)


@dataclass(frozen=True)
class Scored:
    """What one supernet says of the networks: accuracies by the precision in which it scores; and seconds."""

    by: dict[str, list[float]]
    training: float
    scoring: dict[str, float]


def cases(size: Size, data: Path | None) -> list[Case]:
    """The data sets that are there."""
    digits = {"name": "digits", "validation_fraction": 0.35, "max_images": size.images[0]}
    found = [Case("digits", digits, load_space("digits"), size.epochs[0], 0.2)]
    if data is not None:
        fashion = {"name": "fashion_mnist", "path": str(data), "size": 14, "max_images": size.images[1]}
        fashion |= {"validation_fraction": 0.25, "augment": ("flip",)}
        found.append(Case("Fashion-MNIST", fashion, searched_space(), size.epochs[1], 0.1))
    return found


# -- measuring ---------------------------------------------------------------------------------------------------------


def seconds_of(work: Callable[[], Any], device: str) -> tuple[Any, float]:
    """What ``work`` gives, and how long it took."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    started = clock()
    given = work()
    return given, clock() - started


def measure_supernet(case: Case, size: Size, precision: str, seed: int, device: str, folder: Path) -> Scored:
    """A supernet trained in ``precision``, which scores in it; that of fp32 in both."""
    config = case.config(precision, seed, device, {"kind": "oneshot", "epochs": case.epochs})
    context = FitContext(1, seed, cost_table(case.space), folder)
    load_dataset(config.data, device)  # which takes as long for both
    judge, training = seconds_of(lambda: oneshot(config, case.space).fit(case.space, context), device)
    by, scoring = dict[str, list[float]](), dict[str, float]()
    for other in PRECISIONS if precision == "fp32" else (precision,):
        scores = replace(judge, config=config.model_copy(update={"precision": other}))
        answers, scoring[other] = seconds_of(lambda scores=scores: scores(case.archs(size.scored)), device)
        by[other] = [answer.accuracy for answer in answers]
    return Scored(by, training, scoring)


def measure_alone(case: Case, size: Size, precision: str, seed: int, device: str, folder: Path) -> list[float]:
    """What some networks reach alone."""
    config = case.config(precision, seed, device, {"kind": "scratch", "epochs": size.alone})
    judge: Judge = scratch(config, case.space).fit(case.space, FitContext(1, seed, cost_table(case.space), folder))
    return [answer.accuracy for answer in judge(case.archs(size.networks))]


# -- tables ------------------------------------------------------------------------------------------------------------


def taus(pairs: Sequence[tuple[list[float], list[float]]]) -> str:
    """Kendall's tau of each pair of scores: mean, least and most."""
    found = [float(kendalltau(one, other).statistic) for one, other in pairs]
    return f"{mean(found):.2f} ({min(found):.2f} to {max(found):.2f})"


def points(pairs: Sequence[tuple[list[float], list[float]]]) -> str:
    """How far scores of a network are apart in a pair, the mean over networks and pairs."""
    return f"{100 * mean(float(np.abs(np.subtract(*pair)).mean()) for pair in pairs):.2f}"


def score_rows(case: Case, found: dict[str, list[Scored]]) -> list[tuple[str, ...]]:
    """How supernets agree that differ in precision, in seed, and in both."""
    full, low = found["fp32"], found["bf16"]
    seeds = list(combinations(range(len(full)), 2))
    kinds = {
        "the same weights (of fp32), scored in bf16": [(s.by["fp32"], s.by["bf16"]) for s in full],
        "trained and scored in bf16, the same seed": [
            (a.by["fp32"], b.by["bf16"]) for a, b in zip(full, low, strict=True)
        ],
        "fp32, another seed": [(full[i].by["fp32"], full[j].by["fp32"]) for i, j in seeds],
        "bf16, another seed": [(full[i].by["fp32"], low[j].by["bf16"]) for i, j in seeds],
    }
    return [(case.name, kind, taus(pairs), points(pairs)) for kind, pairs in kinds.items()]


def alone_rows(case: Case, size: Size, found: dict[str, list[list[float]]]) -> list[tuple[str, ...]]:
    """Accuracies alone, seed by seed, and how far apart."""
    full, low = (100 * np.array(found[precision]) for precision in PRECISIONS)  # (seeds, networks)
    differences = (low - full).ravel()
    half = float(t.ppf(0.975, len(differences) - 1)) * stdev(differences) / len(differences) ** 0.5
    noise = mean(stdev(column) for column in full.T)
    cells = (f"{full.mean():.2f}", f"{low.mean():.2f}", f"{differences.mean():+.2f} ± {half:.2f}", f"{noise:.2f}")
    return [(case.name, f"{size.networks} x {size.seeds}", *cells)]


def time_rows(case: Case, found: dict[str, list[Scored]]) -> list[tuple[str, ...]]:
    """Seconds of both, and their ratio."""
    full, low = found["fp32"], found["bf16"]
    rows = {
        "training": (mean(s.training for s in full), mean(s.training for s in low)),
        "scoring": (mean(s.scoring["fp32"] for s in full), mean(s.scoring["bf16"] for s in low)),
    }
    return [(case.name, name, f"{a:.1f}", f"{b:.1f}", f"{b / a:.2f}") for name, (a, b) in rows.items()]


def measure(size: Size, data: Path | None, device: str) -> tuple[Table, Table, Table]:
    """All three tables."""
    scores, alone, times = list[tuple[str, ...]](), list[tuple[str, ...]](), list[tuple[str, ...]]()
    chosen = cases(size, data)
    with bar("measuring", len(chosen) * 2 * size.seeds) as advance, TemporaryDirectory() as place:
        for case in chosen:
            nets: dict[str, list[Scored]] = {precision: [] for precision in PRECISIONS}
            reached: dict[str, list[list[float]]] = {precision: [] for precision in PRECISIONS}
            for seed in range(size.seeds):
                for precision in PRECISIONS:
                    folder = Path(place) / case.name / precision / str(seed)
                    folder.mkdir(parents=True)
                    nets[precision].append(measure_supernet(case, size, precision, seed, device, folder))
                    reached[precision].append(measure_alone(case, size, precision, seed, device, folder))
                    advance(1)
            scores += score_rows(case, nets)
            alone += alone_rows(case, size, reached)
            times += time_rows(case, nets)
    return (
        Table(
            f"Scores of {size.scored} random networks, beside those of a supernet that is trained and scores in fp32; "
            f"{size.seeds} seeds, {device}",
            ("images", "the other supernet", "Kendall's tau (least to most)", "points apart"),
            tuple(scores),
        ),
        Table(
            f"Validation accuracy in %, each network trained alone for {size.alone} epochs in both precisions by the same "
            "seeds; 95 % interval of the paired difference",
            ("images", "networks x seeds", "fp32", "bf16", "bf16 less fp32", "deviation of fp32 over seeds"),
            tuple(alone),
        ),
        Table(
            "Seconds of a supernet",
            ("images", "work", "fp32", "bf16", "bf16 / fp32"),
            tuple(times),
        ),
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.precision", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder with Fashion-MNIST (default: digits only)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: shows that it runs, and nothing else")
    parser.add_argument("--markdown", action="store_true", help="tables in Markdown")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    for table in measure(SIZES["smoke" if args.smoke else args.device], args.data, args.device):
        say(table.markdown() + "\n") if args.markdown else table.show()


if __name__ == "__main__":
    main()
