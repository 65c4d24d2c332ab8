"""Does it help to learn from another run (``search.learn_from``)? Searches of one table, alone and with a source beside them.

A source is what a search of another task has measured (``--source``: another column of accuracies of the same networks). To
show the guard, the same source comes with its scores dealt out anew (``shuffled``) and turned round (``reversed``). All arms of
a seed begin with the same networks. ``--predict`` leaves the search out: how do predictions rank the networks that were not
measured, after few that were?
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

if __package__ in (None, ""):  # run as a file: the packages stand one folder up
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

if TYPE_CHECKING:
    from benchmarks.baselines import Problem
    from evo.strategy.lessons import Lesson, Lessons

EXAMPLES = """examples:
  python benchmarks/transfer.py --table nas_bench_macro_cifar10.csv.gz --space nas_bench_macro --scale 0.01 \\
      --target acc1 --source acc3 --macs-column flops --floor 0.8 --seeds 10
  python benchmarks/transfer.py --table related.csv --genes '|' --target acc_fashion_mnist --source acc_digits \\
      --source acc_images --macs-column macs --predict
"""
POINTS = (25, 50, 100)
MEASURED = (10, 20, 40)
"""With ``--predict``: measurements of the task itself."""

ARMS = ("alone", "related", "shuffled", "reversed")


def parser() -> argparse.ArgumentParser:
    """The command line. Heavy imports come after it has been parsed."""
    command = argparse.ArgumentParser(
        prog="python benchmarks/transfer.py",
        description="Compare searches that learn from another task with those that do not.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--table", type=Path, required=True, metavar="FILE", help="csv, a row per architecture")
    command.add_argument("--arch-column", default="arch", metavar="A")
    command.add_argument("--genes", default="digits", metavar="SEP|digits", help="what stands between genes")
    command.add_argument("--space", metavar="NAME", help="genes are places among this named space's candidates")
    command.add_argument("--target", required=True, metavar="COLUMN", help="the accuracy that is searched for")
    command.add_argument(
        "--source", action="append", required=True, metavar="COLUMN", help="another task's; repeatable"
    )
    command.add_argument("--scale", type=float, default=1.0, metavar="X", help="0.01 turns percent to fractions")
    command.add_argument("--macs-column", required=True, metavar="C")
    command.add_argument("--floor", type=float, default=0.0, metavar="F", help="accuracy above which volume counts")
    command.add_argument("--budget", type=int, default=100, metavar="K")
    command.add_argument("--source-budget", type=int, default=100, metavar="K", help="of the sources' searches")
    command.add_argument("--seeds", type=int, default=10, metavar="S", help="seeds 0 to S-1 (default: 10)")
    command.add_argument("--arms", default=",".join(ARMS), metavar="A,B", help="which (default: all)")
    command.add_argument("--predict", action="store_true", help="rank correlation of predictions in place of searches")
    return command


def problems(args: argparse.Namespace) -> dict[str, Problem]:
    """The target and the sources, by column: the same networks."""
    from benchmarks.baselines import problem
    from spaces.costs.benchmark_tables import TableColumns

    separator = "" if args.genes == "digits" else args.genes

    def posed(column: str) -> Problem:
        columns = TableColumns(args.arch_column, column, args.macs_column)
        return problem(args.table, columns, separator=separator, scale=args.scale, floor=args.floor, library=args.space)

    return {column: posed(column) for column in (args.target, *args.source)}


def searched(posed: Problem, seed: int, budget: int, lessons: Lessons | None = None) -> dict[Any, tuple[float, float]]:
    """What a search asked for, in order, as networks the table has; with accuracy and cost."""
    from evo.strategy.generations import SearchTask, search_round
    from studies.config import LimitsSection, SearchSection
    from studies.records import Evaluation

    section = SearchSection(evaluations=budget, min_accuracy=posed.floor)
    results: dict[Any, tuple[float, float]] = {}

    def measure(archs: Any) -> list[Evaluation]:
        for arch in archs:
            results[arch] = posed.answer(arch)
        return [Evaluation(arch, "table", *results[arch], params=0.0) for arch in archs]

    known = _in_table(posed) if posed.rows < posed.space.size else None
    task = SearchTask(posed.space, posed.costs, section, LimitsSection(), seed, measurable=known, lessons=lessons)
    search_round(task, measure, record=lambda generation: None)
    return results


class _in_table:  # noqa: N801
    """The architectures that a table has."""

    def __init__(self, posed: Problem) -> None:
        from spaces.space import canonical_arch

        self._form = lambda arch: canonical_arch(arch, posed.space)
        self._known = posed.answers

    def __contains__(self, arch: object) -> bool:
        return self._form(arch) in self._known

    def __iter__(self) -> Any:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


def changed(arm: str, seed: int) -> Callable[[Sequence[float]], tuple[float, ...]]:
    """What an arm makes of a source's scores."""
    if arm == "shuffled":
        return lambda scores: tuple(Random(seed).sample(list(scores), len(scores)))
    return lambda scores: tuple(-s for s in scores) if arm == "reversed" else tuple(scores)


def lessons_of(
    arm: str, seed: int, found: dict[str, dict[Any, tuple[float, float]]], target: Problem
) -> Lessons | None:
    """What an arm learns from."""
    from evo.strategy.lessons import Lesson, Lessons

    if arm == "alone":
        return None
    change = changed(arm, seed)
    told: list[Lesson] = [
        Lesson(name, tuple(results), change([accuracy for accuracy, _ in results.values()]))
        for name, results in found.items()
    ]
    return Lessons(told, target.costs, "macs")


def compare_searches(args: argparse.Namespace, posed: dict[str, Problem], arms: Sequence[str]) -> None:
    """Print hypervolumes, paired differences, and how often sources were used."""
    import numpy as np

    from studies.pareto import hypervolume_trace

    target = posed[args.target]
    volumes: dict[str, list[Any]] = {arm: [] for arm in arms}
    used: dict[str, list[float]] = {arm: [] for arm in arms}
    for seed in range(args.seeds):
        found = {name: searched(posed[name], 1000 + seed, args.source_budget) for name in args.source}
        for arm in arms:
            lessons = lessons_of(arm, seed, found, target)
            accuracy, cost = np.array(list(searched(target, seed, args.budget, lessons).values())).T
            volume = hypervolume_trace(cost, accuracy, max_cost=target.max_cost, min_accuracy=target.floor)
            volumes[arm].append([100 * volume[:n][-1] / target.volume for n in POINTS if n <= args.budget])
            last = lessons.report() if lessons else []
            used[arm].append(sum(one["weight"] > 0 for one in last) / len(last) if last else 0.0)
            print(
                f"seed {seed}, {arm}: {volumes[arm][-1]} {[(v['source'], v['weight'], v['gain'], v['ignored']) for v in last]}",
                flush=True,
            )
    print(
        f"\nhypervolume, % of the true front's, mean and 95 % interval over {args.seeds} seeds, after {POINTS} evaluations"
    )
    for arm in arms:
        print(
            f"{arm:10}", *map(interval, np.array(volumes[arm]).T), f"sources used at the end: {np.mean(used[arm]):.0%}"
        )
    print("minus alone, paired by seed")
    for arm in arms[1:]:
        print(f"{arm:10}", *map(interval, (np.array(volumes[arm]) - np.array(volumes[arms[0]])).T))


def interval(values: Any) -> str:
    """Mean and half of Student's 95 % interval."""
    import numpy as np
    from scipy.stats import t

    half = t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return f"{np.mean(values):+8.2f} ± {half:.2f}"


def compare_predictions(args: argparse.Namespace, posed: dict[str, Problem], arms: Sequence[str]) -> None:
    """Print how predictions rank the networks that were not measured (Spearman's correlation)."""
    import numpy as np
    from scipy.stats import spearmanr

    from evo.strategy.encoding import Encoding
    from evo.strategy.kernel import Networks
    from evo.strategy.lessons import weigh_sources
    from evo.strategy.surrogate import fit_kernel, learn

    target = posed[args.target]
    archs, encode = list(target.answers), Encoding(target.costs, 0)
    score, cost = np.array([target.answers[arch] for arch in archs]).T
    networks = Networks(encode(archs), cost)
    for own in MEASURED:
        found: dict[str, list[float]] = {arm: [] for arm in arms}
        used: dict[str, list[float]] = {arm: [] for arm in arms}
        for seed in range(args.seeds):
            order = Random(seed).sample(range(len(archs)), len(archs))
            mine, rest = order[:own], order[own:]
            told = {
                name: {
                    archs[i]: posed[name].answers[archs[i]]
                    for i in Random(1000 + seed).sample(order, min(args.source_budget, len(order)))
                }
                for name in args.source
            }
            for arm in arms:
                lessons = lessons_of(arm, seed, told, target)
                predicted = lessons.predictions(archs) if lessons else {}
                kernel = fit_kernel(encode, networks[np.array(mine)], score[mine])
                assert kernel is not None
                taught, verdicts = weigh_sources(
                    learn(kernel, networks[np.array(mine)], score[mine]),
                    {name: given[mine] for name, given in predicted.items()},
                    dict.fromkeys(predicted, 0),
                )
                prior = taught.prior({name: given[rest] for name, given in predicted.items()})
                mean = taught.surrogate.predict(replace(networks[np.array(rest)], prior=prior)).mean
                found[arm].append(float(np.nan_to_num(spearmanr(mean, score[rest]).statistic)))
                used[arm].append(float(np.mean([v.weight > 0 for v in verdicts.values()] or [0])))
        for arm in arms:
            gain = interval(np.array(found[arm]) - np.array(found[arms[0]])) if arm != arms[0] else ""
            print(
                f"{own:3} measured, {arm:9} {interval(np.array(found[arm]))}  {gain}  used {np.mean(used[arm]):.0%}",
                flush=True,
            )


def main(argv: Sequence[str] | None = None) -> int:
    """0: done."""
    args = parser().parse_args(argv)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    posed, arms = problems(args), args.arms.split(",")
    (compare_predictions if args.predict else compare_searches)(args, posed, arms)
    return 0


if __name__ == "__main__":
    sys.exit(main())
