"""How well a supernet ranks, before and after PAD-NAS shrinks its space, on networks whose true accuracies are published.

    python -m benchmarks.rank --table nas_bench_macro_cifar10.csv.gz --data cifar10.npz --size cpu --seeds 0 1 2

Two arms start from one and the same supernet of NAS-Bench-Macro (https://arxiv.org/abs/2103.11922). PAD-NAS searches,
prunes the space, hands the weights on and trains further; the control trains as many steps in the space that it began
with. Both score the same random architectures of the space that PAD-NAS has left in its last round, and Kendall's tau
against the table is compared. Results are kept in ``--out``; the same command again continues.
"""

from __future__ import annotations

import argparse
import math
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import optuna
import pandas as pd
from scipy.stats import t as student

from analysis.ranking import agreement
from evo.console import bar
from evo.data.loading import load_dataset as load_images
from evo.evaluators import FitContext, Judge
from evo.evaluators.oneshot.evaluator import oneshot
from evo.evaluators.tabular import Tabular
from evo.round.algorithm import run_round
from evo.round.context import run_context
from evo.seeds import derive_seed
from evo.workers.executors import local_executor
from evo.workers.protocol import Evaluate
from spaces.architecture import Architecture
from spaces.costs.table import cost_table
from spaces.export.scaling import scale_widths
from spaces.library.named_spaces import load_space
from spaces.space import SearchSpace, canonical_arch
from studies.config import StudyConfig, TabularSection, check_config
from studies.database.store import open_store


@dataclass(frozen=True)
class Size:
    """How much work: channels as a share of the published ones, pixels, images, epochs per round, sample sizes.

    Attributes:
        full: how many random architectures of the whole space are scored; ``left``: of the surviving space.
    """

    augment: tuple[str, ...]
    width: float
    pixels: int
    images: int | None
    validation: float
    epochs: tuple[int, ...]
    batch_size: int
    learning_rate: tuple[float, ...]
    trials: int
    full: int
    left: int


SIZES = {
    "smoke": Size(("flip",), 0.25, 16, 2_000, 0.2, (2, 1, 1), 64, (0.1, 0.05, 0.05), 32, 60, 60),
    "cpu": Size(("flip",), 0.5, 16, None, 0.1, (10, 7, 3), 64, (0.1, 0.05, 0.05), 100, 300, 256),
    "gpu": Size(("flip", "crop"), 1.0, 32, None, 0.1, (60, 40, 20), 128, (0.2, 0.1, 0.1), 200, 1_000, 512),
}


def study(size: Size, args: argparse.Namespace, seed: int) -> StudyConfig:
    """PAD-NAS at this size. With three candidates per layer the paper's thresholds (rank < 10, share > 1 %) drop hardly
    anything; these are stricter."""
    return check_config(
        {
            "seed": seed,
            "threads": args.threads,
            "device": args.device,
            "space": {"name": "nas_bench_macro"},
            "data": {
                "name": "arrays",
                "path": str(args.data),
                "size": size.pixels,
                "max_images": size.images,
                "validation_fraction": size.validation,
                "augment": size.augment,
            },
            "evaluator": {
                "kind": "oneshot",
                "epochs": size.epochs,
                "batch_size": size.batch_size,
                "learning_rate": size.learning_rate,
                "calibration_batches": 1,
            },
            "search": {"population": 20, "evaluations": size.trials},
            "evolution": {"method": "pad_nas", "rank": 4, "share": 0.1},
        },
        "benchmarks.rank",
    )


@dataclass(frozen=True)
class Supernet:
    """A trained supernet: its arm, its round, the training steps so far, and its judge."""

    arm: str
    n: int
    steps: int
    judge: Judge


def supernets(size: Size, config: StudyConfig, space: SearchSpace, folder: Path, evaluate: Evaluate) -> list[Supernet]:
    """Both arms' supernets, round by round; the first round's is the same in both."""
    rounds = len(size.epochs)
    batches = len(load_images(config.data, config.device).train) // size.batch_size
    spaces = evolve_spaces(config, space, rounds, folder, evaluate)
    first, control = weights(folder / "pad_nas", 1), folder / "control"
    control.mkdir(exist_ok=True)
    if not (control / first.name).exists():
        shutil.copy(first, control / first.name)
    nets = []
    for arm, inside in (("pad_nas", spaces), ("control", [space] * len(spaces))):
        for n, here in enumerate(inside, start=1):
            parent = weights(folder / arm, n - 1) if n > 1 else None
            seed = derive_seed(config.seed, "fit", n)
            work = FitContext(n, seed, cost_table(here), folder / arm, parent, track=bar)
            nets.append(Supernet(arm, n, batches * sum(size.epochs[:n]), oneshot(config, space).fit(here, work)))
    return nets


def evolve_spaces(
    config: StudyConfig, space: SearchSpace, rounds: int, folder: Path, evaluate: Evaluate
) -> list[SearchSpace]:
    """The space of each round of PAD-NAS, the run brought to its end; its weights lie in ``folder``."""
    with open_store(f"sqlite:///{folder}/evo.db") as store:
        run = store.find_run("pad_nas")
        if run is None:
            run = store.create_run("pad_nas", config, space, cost_table(space).bounds()[1][0], {})
        if (run.config, run.space) != (config, space):
            raise SystemExit(f"{folder} holds a run with other settings; give another folder: --out FOLDER")
        rows = store.rounds(run)
        for n in range(1, rounds + 1):
            if n > len(rows) or not rows[n - 1].finished:
                run_round(run_context(run, store, folder, evaluate, bar), n)
        return [row.space for row in store.rounds(run)]


def weights(folder: Path, n: int) -> Path:
    """Where the evaluator has kept the supernet of round ``n``."""
    return next(folder.glob(f"round-{n:02d}.supernet-*.safetensors"))


def sample(space: SearchSpace, count: int, seed: int) -> list[Architecture]:
    """``count`` random networks of a space, each once; all of them when there are fewer."""
    rng = Random(seed)
    distinct: dict[Architecture, Architecture] = {}
    for _ in range(50 * count):
        arch = space.sample(rng)
        distinct.setdefault(canonical_arch(arch, space), arch)
        if len(distinct) == count:
            break
    return list(distinct.values())


def measure_seed(size: Size, args: argparse.Namespace, seed: int) -> pd.DataFrame:
    """One row per supernet and sample of architectures: its rank agreement with the table."""
    config, folder = study(size, args, seed), args.out / f"{args.size}-seed{seed}"
    whole = load_space("nas_bench_macro")
    space = scale_widths(load_space("nas_bench_macro", size=size.pixels), size.width)
    folder.mkdir(parents=True, exist_ok=True)
    with local_executor(args.workers, args.threads) as evaluate:
        nets = supernets(size, config, space, folder, evaluate)
        last = max((net for net in nets if net.arm == "pad_nas"), key=lambda net: net.n).judge.space
        samples = {
            "full": sample(space, size.full, derive_seed(seed, "full")),
            "surviving": sample(last, size.left, derive_seed(seed, "surviving")),
        }
        section = TabularSection(
            path=str(args.table), tokens="indices", accuracy_column="mean_acc", accuracy_scale=0.01
        )
        truth = Tabular(section, whole).fit(whole, FitContext(0, seed, cost_table(whole), folder))
        rows = []
        for name, archs in samples.items():
            real = truth(archs)
            scores_by_judge: dict[str, Sequence[Any]] = {}  # both arms begin with one supernet
            for net in nets:
                if all(arch in net.judge.space for arch in archs):
                    if net.judge.name not in scores_by_judge:
                        scores_by_judge[net.judge.name] = evaluate(net.judge, archs)
                    rows.append(row(net, name, seed, scores_by_judge[net.judge.name], real))
    return pd.DataFrame(rows)


def row(net: Supernet, name: str, seed: int, scored: Sequence[Any], truth: Sequence[Any]) -> dict[str, Any]:
    """Rank agreement of a supernet's scores ``scored`` with the table's accuracies ``truth``, one row of the report."""
    accuracy, macs = [e.accuracy for e in truth], [e.macs for e in truth]
    by_accuracy = agreement([e.accuracy for e in scored], accuracy, macs, seed=seed)
    by_nll = agreement([-e.nll for e in scored], accuracy, macs, seed=seed)
    low, high = by_accuracy.interval or (None, None)
    return {
        "seed": seed, "sample": name, "arm": net.arm, "round": net.n, "steps": net.steps,
        "space": net.judge.space.size, "n": by_accuracy.n, "tau": by_accuracy.tau, "low": low, "high": high,
        "rho": by_accuracy.rho, "overlap": by_accuracy.overlap, "tau_nll": by_nll.tau, "tau_macs": by_accuracy.tau_macs,
    }  # fmt: skip


# -- the report -----------------------------------------------------------------------------------------------------


def report(rows: pd.DataFrame) -> str:
    """Both comparisons as Markdown tables, each with its verdict; ranges are those over seeds."""
    seeds = rows["seed"].nunique()
    parts = [f"Mean over {seeds} seed{'s' * (seeds > 1)} (least to most).", *full(rows), *surviving(rows)]
    return "\n".join(parts)


def full(rows: pd.DataFrame) -> Iterable[str]:
    """The control supernet on random architectures of the whole space, against MACs alone."""
    mine = rows[(rows["sample"] == "full") & (rows["arm"] == "control")]
    yield f"\n### The whole space: {mine['n'].iloc[0]} random architectures\n"
    yield "| steps | tau by accuracy | tau by NLL | tau of MACs alone |\n|---|---|---|---|"
    for steps, group in mine.groupby("steps"):
        yield f"| {steps:,} | {spread(group['tau'])} | {spread(group['tau_nll'])} | {spread(group['tau_macs'])} |"
    last = mine[mine["round"] == mine["round"].max()]
    gain = last[["tau", "tau_nll"]].max(axis=1) - last["tau_macs"]
    reached = "reached" if gain.min() >= 0.1 else "not reached"
    yield f"\nThe better of both scores beats MACs alone by {spread(gain)}; 0.1 is {reached} with every seed."


def surviving(rows: pd.DataFrame) -> Iterable[str]:
    """PAD-NAS against the control on the same architectures of the space that is left, at equal steps."""
    mine = rows[rows["sample"] == "surviving"]
    pad, control = (
        mine[mine["arm"] == arm].set_index(["seed", "round"]).sort_index() for arm in ("pad_nas", "control")
    )
    yield f"\n### The surviving space: the same {spread(pad['n'], '.0f')} architectures for all\n"
    yield "| round | steps | space of PAD-NAS | tau, PAD-NAS | tau, control | NLL, PAD-NAS | NLL, control | MACs alone |"
    yield "|---|---|---|---|---|---|---|---|"
    for n, group in pad.groupby("round"):
        same = control.loc[group.index]
        yield (
            f"| {n} | {group['steps'].iloc[0]:,} | {spread(group['space'], ',.0f')} | {spread(group['tau'])} | "
            f"{spread(same['tau'])} | {spread(group['tau_nll'])} | {spread(same['tau_nll'])} | "
            f"{spread(group['tau_macs'])} |"
        )
    last = pad.index.get_level_values("round").max()
    for column, what in (("tau", "accuracy"), ("tau_nll", "NLL")):
        gain = (pad[column] - control[column]).xs(last, level="round")
        yield f"\nBy {what}, shrinking the space changed tau by {spread(gain, '+.3f')}: {verdict(gain)}."


def verdict(gain: pd.Series) -> str:
    """A gain or a loss where Student's 95 % interval of the mean over seeds leaves zero out."""
    if len(gain) < 2:
        return "one seed shows nothing"
    half = float(student.ppf(0.975, len(gain) - 1)) * float(gain.std()) / math.sqrt(len(gain))
    interval = f"95% interval {gain.mean() - half:+.3f} to {gain.mean() + half:+.3f}"
    return f"{'a gain' if gain.mean() > half else 'a loss' if gain.mean() < -half else 'no gain shown'} ({interval})"


def spread(values: pd.Series, form: str = ".3f") -> str:
    """``mean (least to most)``; a single value alone."""
    low, high = values.min(), values.max()
    mean = format(values.mean(), form)
    return mean if low == high else f"{mean} ({format(low, form)} to {format(high, form)})"


def main() -> None:
    """Measure every seed that was not measured before; print the tables, write the rows as csv."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.rank", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--table", type=Path, required=True, help="NAS-Bench-Macro as csv or csv.gz")
    parser.add_argument("--data", type=Path, required=True, help="CIFAR-10 as npz: x_train, y_train, x_test, y_test")
    parser.add_argument("--size", choices=SIZES, default="cpu")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--workers", type=int, default=1, help="processes that score (default: 1)")
    parser.add_argument("--threads", type=int, default=2, help="of each process (default: 2)")
    parser.add_argument("--out", type=Path, default=Path("rank"), help="folder for weights and rows (default: rank)")
    args = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    parts = []
    for seed in args.seeds:
        path = args.out / f"{args.size}-seed{seed}.csv"
        if not path.exists():
            rows = measure_seed(SIZES[args.size], args, seed)
            rows.to_csv(path, index=False)
        parts.append(pd.read_csv(path))
    print(report(pd.concat(parts, ignore_index=True)))


if __name__ == "__main__":
    main()
