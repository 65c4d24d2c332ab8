"""Which search needs the fewest evaluations: many arms on one table of architectures, the same for all.

Works for any table of layer-wise genes: the space is read off it. All arms get the same answers, and only networks that
an arm has not asked for before count.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

if __package__ in (None, ""):  # run as a file: the packages stand one folder up
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

if TYPE_CHECKING:
    from benchmarks.baselines import Problem
    from benchmarks.comparison import Trace

EXAMPLES = """examples:
  python benchmarks/search.py --table nas_bench_macro_cifar10.csv.gz --space nas_bench_macro --arch-column arch \\
      --genes digits --accuracy-column mean_acc --accuracy-scale 0.01 --macs-column flops --floor 0.8 --seeds 20
  python benchmarks/search.py --table nats_sss_cifar10.csv.gz --arch-column channels --genes : \\
      --accuracy-column acc_cifar10 --accuracy-scale 0.01 --macs-column flops --floor 0.8 --arms random,local,ours

arms: random; nsga2-50, nsga2-20, tpe, gp (Optuna's samplers as they come); pymoo (its NSGA-II; needs: pip install
pymoo); local (Pareto local search); ours, ours-screened (this program's search, without and with its surrogate).
"""
EVERY_ARM = "random,nsga2-50,nsga2-20,tpe,gp,pymoo,local,ours,ours-screened"


def parser() -> argparse.ArgumentParser:
    """The command line. Heavy imports come after it has been parsed."""
    command = argparse.ArgumentParser(
        prog="python benchmarks/search.py",
        description="Compare searches on a table of architectures, by hypervolume over unique evaluations.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    table = command.add_argument_group("the table")
    table.add_argument(
        "--table", type=Path, required=True, metavar="FILE", help="csv or csv.gz, a row per architecture"
    )
    table.add_argument("--arch-column", default="arch", metavar="A", help="architectures (default: arch)")
    table.add_argument(
        "--genes",
        default="digits",
        metavar="SEP|digits",
        help="what stands between genes, or digits: each is one character (default)",
    )
    table.add_argument("--space", metavar="NAME", help="genes are places among this named space's candidates")
    table.add_argument("--accuracy-column", default="accuracy", metavar="B", help="higher is better")
    table.add_argument("--accuracy-scale", type=float, default=1.0, metavar="X", help="0.01 turns percent to fractions")
    table.add_argument("--macs-column", required=True, metavar="C", help="the cost, lower is better")
    command.add_argument("--floor", type=_share, default=0.0, metavar="F", help="accuracy above which volume counts")
    command.add_argument("--budget", type=_positive, default=200, metavar="K", help="evaluations (default: 200)")
    command.add_argument("--seeds", type=_positive, default=20, metavar="S", help="seeds 0 to S-1 (default: 20)")
    command.add_argument("--arms", default=EVERY_ARM, metavar="A,B", help="which, and in which order (default: all)")
    command.add_argument("--out", type=Path, metavar="DIR", help="write every trace (search.csv) and a figure here")
    command.add_argument("--workers", type=_positive, default=1, help="processes, a seed each (default: 1)")
    command.add_argument("--markdown", action="store_true", help="tables in Markdown")
    return command


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, found {text!r}")
    return int(text)


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"expected an accuracy from 0 to 1, as a fraction, found {text!r}")
    return value


def main(argv: Sequence[str] | None = None) -> int:
    """0: done; 1: the table or the arms are not as the command line says; 130: interrupted."""
    args = parser().parse_args(argv)
    os.environ.setdefault(
        "OMP_NUM_THREADS", "1"
    )  # before numpy: seconds are CPU seconds, and threads would wait in them
    from evo.console import warn

    try:
        compare(args)
    except ValueError as error:
        warn(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        warn("\ninterrupted; nothing is kept")
        return 130
    return 0


def compare(args: argparse.Namespace) -> None:
    """Run every arm with every seed, then print and write what came out.

    Raises:
        ValueError: the table or the arms are not as the command line says.
    """
    from benchmarks.baselines import ARMS, problem
    from benchmarks.comparison import figure, tables, write_csv
    from evo.console import bar, say
    from spaces.costs.benchmark_tables import TableColumns

    names = runnable_arms(args.arms)
    columns = TableColumns(args.arch_column, args.accuracy_column, args.macs_column)
    separator = "" if args.genes == "digits" else args.genes
    posed = problem(
        args.table, columns, separator=separator, scale=args.accuracy_scale, floor=args.floor, library=args.space
    )
    say(describe_problem(posed, args.table))
    jobs = [(name, seed) for seed in range(args.seeds) for name in names]
    with bar("searching", len(jobs)) as advance:
        traces = []
        for trace in results(posed, jobs, args.budget, args.workers):
            traces.append(trace)
            advance(1)
    traces.sort(key=lambda trace: (names.index(trace.arm), trace.seed))
    labels = {name: ARMS[name].label for name in names}
    for table in tables(traces, labels):
        say()
        say(table.markdown()) if args.markdown else table.show()
    if args.out is not None:
        args.out.mkdir(parents=True, exist_ok=True)
        write_csv(traces, args.out / "search.csv")
        figure(traces, labels, args.table.name).write_html(args.out / "search.html")
        say(f"\nwritten: {args.out / 'search.csv'}, {args.out / 'search.html'}")


def runnable_arms(arms: str) -> list[str]:
    """The requested arms that can run here; prints why others cannot.

    Raises:
        ValueError: an arm is unknown, or none can run.
    """
    from benchmarks.baselines import ARMS
    from evo.console import warn

    names = list(dict.fromkeys(arms.split(",")))
    if unknown := [name for name in names if name not in ARMS]:
        raise ValueError(f"--arms: unknown arm {unknown[0]!r}; known: {', '.join(ARMS)}")
    for name in names:
        if ARMS[name].missing:
            warn(f"without {name}: {ARMS[name].missing}")
    if not (able := [name for name in names if not ARMS[name].missing]):
        raise ValueError(f"--arms {arms}: none of them can run here")
    return able


def describe_problem(posed: Problem, path: Path) -> str:
    """The problem and the versions, in three lines."""
    import platform
    from importlib.metadata import version

    space, networks = posed.space, len(posed.answers)
    lacks = f", {space.size - posed.rows} of them not in the table (accuracy 0)" if space.size > posed.rows else ""
    versions = ", ".join(f"{name} {version(name)}" for name in ("optuna", "numpy"))
    return (
        f"{path.name}: {len(space.layers)} layers, {space.size} architectures, {networks} distinct networks{lacks}\n"
        f"costs: {posed.priced}; hypervolume above accuracy {posed.floor:g}, below cost {posed.max_cost:g}\n"
        f"Python {platform.python_version()}, {versions}, {platform.machine()} with {os.cpu_count()} cores"
    )


def results(posed: Problem, jobs: Sequence[tuple[str, int]], budget: int, workers: int) -> Iterator[Trace]:
    """The trace of every (arm, seed), as they come."""
    if workers == 1:
        yield from (one(posed, name, seed, budget) for name, seed in jobs)
        return
    import multiprocessing

    with ExitStack() as stack:
        pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"))
        stack.callback(pool.shutdown, wait=False, cancel_futures=True)
        for done in as_completed([pool.submit(one, posed, name, seed, budget) for name, seed in jobs]):
            yield done.result()


def one(posed: Problem, name: str, seed: int, budget: int) -> Trace:
    """Run one arm with one seed."""
    import time

    import numpy as np
    import optuna

    from benchmarks.baselines import ARMS, trace
    from benchmarks.comparison import Trace
    from studies.pareto import hypervolume_trace

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    started = time.process_time()
    answers = trace(posed, name, seed, budget)
    seconds = time.process_time() - started
    accuracy, cost = np.array(list(answers.results.values())).T
    volume = hypervolume_trace(cost, accuracy, max_cost=posed.max_cost, min_accuracy=posed.floor) / posed.volume
    archs = tuple(map(str, answers.results))
    return Trace(name, seed, min(budget, ARMS[name].limit or budget), archs, accuracy, cost, volume, seconds)


if __name__ == "__main__":
    sys.exit(main())
