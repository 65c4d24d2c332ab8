"""Which search needs the fewest evaluations where no table was looked at: generated spaces of many kinds.

Hypervolume is that of the true accuracies of all networks that an arm has measured, as a share of the true front's.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if __package__ in (None, ""):  # run as a file: the packages stand one folder up
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

if TYPE_CHECKING:
    import pandas as pd

    from benchmarks.comparison import Table

EXAMPLES = """examples:
  python benchmarks/generated_search.py --kinds deep20,topology --seeds 10 --budget 100
  python benchmarks/generated_search.py --arms ours-screened --out new.csv --against old.csv

kinds: deep20, deep30, deep40 (layers), topology (a gene that changes what the others mean), unrelated (accuracy and cost),
unordered (30 operations), halves (two spellings of a network), cell (paths of a graph), rugged (nothing but neighbours
is alike), missing (half of a cell's rows).
"""
POINTS = (25, 50, 100, 200)
ARMS = "random,nsga2-20,local,local-spread,ours-screened"


def parser() -> argparse.ArgumentParser:
    """The command line. Heavy imports come after it has been parsed."""
    command = argparse.ArgumentParser(
        prog="python benchmarks/generated_search.py",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--kinds", default="", metavar="A,B", help="which problems (default: all)")
    command.add_argument("--arms", default=ARMS, metavar="A,B", help="which searches (default: %(default)s)")
    command.add_argument("--seeds", type=int, default=10, metavar="S", help="so many (default: %(default)s)")
    command.add_argument("--first-seed", type=int, default=100, metavar="S", help="the first (default: %(default)s)")
    command.add_argument("--budget", type=int, default=200, metavar="K", help="evaluations (default: %(default)s)")
    command.add_argument("--in-flight", type=int, default=1, metavar="N", help="generations in flight, of our search")
    command.add_argument("--population", type=int, default=10, metavar="N", help="networks per generation, likewise")
    command.add_argument("--out", type=Path, metavar="CSV", help="write what was found here")
    command.add_argument("--against", type=Path, metavar="CSV", help="what another version wrote: an arm, `before`")
    command.add_argument("--workers", type=int, default=1, help="processes (default: 1)")
    return command


def main(argv: Sequence[str] | None = None) -> int:
    """0: done; 1: a kind or an arm is unknown; 130: interrupted."""
    args = parser().parse_args(argv)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    import pandas as pd

    from benchmarks.problems.kinds import KINDS
    from benchmarks.search import runnable_arms
    from evo.console import say, warn

    kinds = args.kinds.split(",") if args.kinds else list(KINDS)
    try:
        if unknown := [kind for kind in kinds if kind not in KINDS]:
            raise ValueError(f"--kinds: unknown kind {unknown[0]!r}; known: {', '.join(KINDS)}")
        arms = runnable_arms(args.arms)
        jobs = [(k, arm, args.first_seed + seed) for k in kinds for arm in arms for seed in range(args.seeds)]
        rows = list(results(jobs, args))
    except ValueError as error:
        warn(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    frame = pd.DataFrame(rows, columns=["kind", "arm", "seed", "seconds", *range(1, args.budget + 1)])
    if args.out is not None:
        frame.to_csv(args.out, index=False)
    if args.against is not None:
        before = pd.read_csv(args.against).rename(columns=lambda name: int(name) if name.isdecimal() else name)
        before = before[(before.arm == "ours-screened") & before.kind.isin(kinds) & before.seed.isin(set(frame.seed))]
        frame = pd.concat([frame, before.assign(arm="before")])
    for kind in kinds:
        say()
        say(table(frame[frame.kind == kind], kind, args.budget).markdown())
    return 0


def results(jobs: Sequence[tuple[str, str, int]], args: argparse.Namespace) -> Iterator[list[object]]:
    """Kind, arm, seed, CPU seconds, and the hypervolume after each evaluation."""
    run = partial(one, budget=args.budget, in_flight=args.in_flight, population=args.population)
    if args.workers == 1:
        yield from map(run, jobs)
        return
    with ProcessPoolExecutor(args.workers) as pool:
        yield from pool.map(run, jobs)


def one(job: tuple[str, str, int], budget: int, in_flight: int, population: int) -> list[object]:
    """Run one arm on one problem; problem and search have the same seed."""
    import time

    import numpy as np
    import optuna

    from benchmarks.baselines import ARMS, Answers, SpentError, product, trace
    from benchmarks.problems.kinds import KINDS
    from studies.pareto import hypervolume_trace

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    kind, arm, seed = job
    posed = KINDS[kind](seed)
    started = time.process_time()
    if arm == "ours-screened":
        answers = Answers(posed, budget)
        with suppress(SpentError):
            product(in_flight=in_flight, population=population)(answers, seed)
    else:
        answers = trace(posed, arm, seed, min(budget, ARMS[arm].limit or budget))
    seconds = time.process_time() - started
    cost = np.array([cost for _, cost in answers.results.values()])
    truth = np.array([posed.truth(arch) for arch in answers.results])
    volume = hypervolume_trace(cost, truth, max_cost=posed.max_cost, min_accuracy=posed.floor) / posed.volume
    return [kind, arm, seed, seconds, *np.pad(volume, (0, budget - len(volume)), mode="edge").tolist()]


def table(frame: pd.DataFrame, kind: str, budget: int) -> Table:
    """Hypervolume of each arm, and what our search is ahead of it, paired by seed."""
    from benchmarks.comparison import Table, _percent, interval

    points = [point for point in POINTS if point <= budget]
    arms = list(dict.fromkeys(frame.arm))
    found = {arm: frame[frame.arm == arm].set_index("seed") for arm in arms}
    ours = found.get("ours-screened")
    rows = []
    for arm in arms:
        volumes = [_percent(*interval(found[arm][point].to_numpy())) for point in points]
        ahead = ["" for _ in points]
        if ours is not None and arm != "ours-screened":
            differences = [(ours[point] - found[arm][point]).dropna().to_numpy() for point in points]
            ahead = [_percent(*interval(each), sign="+") for each in differences]
        rows.append((arm, *volumes, *ahead, f"{found[arm].seconds.mean():.1f}"))
    title = f"{kind}: hypervolume, % of the true front's, and ours less each arm; means and 95 % intervals over "
    header = ("arm", *map(str, points), *(f"ahead at {point}" for point in points), "CPU s")
    return Table(title + f"{frame.seed.nunique()} seeds", header, tuple(rows))


if __name__ == "__main__":
    sys.exit(main())
