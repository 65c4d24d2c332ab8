"""When does evolving the space pay? Settings whose truth is known, arms at equal total cost, paired by seed.

    python -m benchmarks.evolving --seeds 10
    python -m benchmarks.evolving --table nas_bench_macro_cifar10.csv.gz --settings table,noisy-table --arms fixed,evidence

Every arm is searched by the program's own search (NSGA-II, screened), round after round, its survivors handed on. What counts
is the true accuracy of the networks that it would deliver: the best by the last round's scores within three budgets.

settings: table (exact), noisy-table (noise that falls as the space shrinks), generated (as noisy, a generated space),
planted (with five bad operations in every layer), pool (the same, but four operations of each layer to begin with, the others
pending), fidelity (cheap, noisy rounds first; the fixed arm measures as exactly as the
last round, all the time, and less often). "noise falls" is a model of supernets: its standard deviation goes with the root
of the operations that are left.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from random import Random
from typing import Protocol

import numpy as np
import optuna
from scipy import stats

from benchmarks.baselines import problem as table_problem
from benchmarks.generated import BAD, Generated
from evo.console import bar, say
from evo.methods.evidence import AddPromising, AsGoodAsBest
from evo.methods.evolution import Above, Everything, Evolution, Nothing, Uniform
from evo.methods.nse import AddNextUnseen, OnFront
from evo.methods.pad_nas import ShareAmongRanks
from evo.round.survivors import surviving_front
from evo.seeds import derive_seed
from evo.strategy.design import choices_of
from evo.strategy.generations import SearchTask, search_round
from spaces.architecture import Architecture
from spaces.costs.benchmark_tables import TableColumns
from spaces.costs.table import CostTable, cost_table
from spaces.layer import Layer
from spaces.space import SearchSpace, canonical_arch
from studies.config import StudyConfig, check_config
from studies.records import Evaluation, Ratings, Round, complete_evaluations

BUDGETS = (0.25, 0.5, 0.9)
"""Where networks are picked, as fractions of the range of cost."""


class Problem(Protocol):
    """A space and its truth."""

    @property
    def space(self) -> SearchSpace: ...

    def accuracy(self, arch: Architecture) -> float: ...

    def judged(
        self, archs: Sequence[Architecture], judge: str, noise: float, seed: int, lean: float = 0.0
    ) -> list[Evaluation]: ...


@dataclass(frozen=True)
class Table:
    """NAS-Bench-Macro's published accuracies, of two digits' noise at most."""

    path: Path

    @cached_property
    def answers(self) -> Mapping[Architecture, tuple[float, float]]:
        columns = TableColumns("arch", "mean_acc", "flops")
        return table_problem(self.path, columns, separator="", scale=0.01, floor=0.8, library="nas_bench_macro").answers

    @cached_property
    def space(self) -> SearchSpace:
        from spaces.library.named_spaces import load_space

        return load_space("nas_bench_macro")

    @cached_property
    def costs(self) -> CostTable:
        return cost_table(self.space)

    def accuracy(self, arch: Architecture) -> float:
        return self.answers[canonical_arch(arch, self.space)][0]

    def judged(
        self, archs: Sequence[Architecture], judge: str, noise: float, seed: int, lean: float = 0.0
    ) -> list[Evaluation]:
        costs = self.costs.count(archs).tolist()
        return [
            Evaluation(arch, judge, self.accuracy(arch) + noise * self._luck(arch, judge, seed), macs, params)
            for arch, (macs, params, _) in zip(archs, costs, strict=True)
        ]

    def _luck(self, arch: Architecture, judge: str, seed: int) -> float:
        return float(np.random.default_rng(derive_seed(seed, judge, str(canonical_arch(arch, self.space)))).normal())


@dataclass(frozen=True)
class Setting:
    """How a problem is searched.

    Attributes:
        evaluations: per round; ``fixed``: those of the arms whose space never changes, for the same cost.
        noise: standard deviation of a score per round, ``fixed_noise``: likewise for those arms.
        shrinks: whether noise goes with the root of the operations that are left.
        holds: whether scores hold in all rounds.
        lean: how much each round's judge has of the leanings of short trainings.
        k: operations per layer after a refill, where most operations wait at first; None: none wait.
    """

    evaluations: tuple[int, ...]
    noise: tuple[float, ...]
    fixed: tuple[int, ...] = ()
    fixed_noise: tuple[float, ...] = ()
    shrinks: bool = True
    holds: bool = False
    k: int | None = None
    lean: tuple[float, ...] = ()


SETTINGS: dict[str, Setting] = {
    "table": Setting((50, 50, 50), (0.0, 0.0, 0.0), holds=True),
    "noisy-table": Setting((50, 50, 50), (0.01, 0.01, 0.01)),
    "generated": Setting((50, 50, 50), (0.012, 0.012, 0.012)),
    "planted": Setting((50, 50, 50), (0.012, 0.012, 0.012)),
    "pool": Setting((50, 50, 50, 50), (0.012, 0.012, 0.012, 0.012), k=7),
    "fidelity": Setting(
        (90, 40, 20), (0.012, 0.008, 0.004), (43,), (0.004,), shrinks=False
    ),  # one, three and nine units of cost per evaluation: 390; 43 networks at nine are 387
}
SETTINGS["leaning"] = replace(SETTINGS["fidelity"], lean=(1.0, 0.5, 0.0))


@dataclass(frozen=True)
class Chance:
    """Ratings by chance."""

    def __call__(self, finished: Round) -> Ratings:
        rng = np.random.default_rng(finished.n)
        return {
            (i, op): float(rng.random()) for i, layer in enumerate(finished.space.layers) for op in layer.candidates
        }


@dataclass(frozen=True)
class Planted:
    """What was planted as bad is rated 0, everything else 1."""

    def __call__(self, finished: Round) -> Ratings:
        return {
            (i, op): float(op not in BAD) for i, layer in enumerate(finished.space.layers) for op in layer.candidates
        }


ARMS: dict[str, Callable[[Setting], Evolution]] = {
    "fixed": lambda _: Evolution(Uniform(), Everything(), Nothing()),
    "once": lambda _: Evolution(Uniform(), Everything(), Nothing()),  # all evaluations in one round, by one judge
    "everything": lambda _: Evolution(Uniform(), Everything(), Nothing()),  # nothing waits
    "pad_nas": lambda _: Evolution(ShareAmongRanks(10), Above(0.01), Nothing()),
    "nse": lambda setting: Evolution(OnFront({}), Above(0.0), AddNextUnseen(setting.k or 0)),
    "evidence": lambda setting: Evolution(
        AsGoodAsBest(front=setting.holds), Above(0.25), AddPromising(setting.k, 0.25) if setting.k else Nothing()
    ),
    "chance": lambda _: Evolution(Chance(), Above(0.45), Nothing()),  # leaves about as much as evidence does
    "oracle": lambda _: Evolution(Planted(), Above(0.5), Nothing()),  # from the first round on
}


ONLY = {"oracle": ("planted",), "everything": ("pool",), "nse": ("pool",)}
"""Arms that make sense in some settings only; in ``pool`` those of ``ALL`` do not."""

ALL = ("pad_nas", "chance")


@dataclass(frozen=True)
class Result:
    """What came of an arm: the mean true accuracy of its picks, and the operations per layer that are left."""

    accuracy: float
    left: float


def play(problem: Problem, setting: Setting, arm: str, seed: int) -> Result:
    """One arm with one seed."""
    fixed = arm in ("fixed", "once", "oracle") and bool(setting.fixed)
    evaluations, noises = (setting.fixed, setting.fixed_noise) if fixed else (setting.evaluations, setting.noise)
    if arm == "once" and not fixed:
        evaluations, noises = (sum(evaluations),), noises[:1]
    evolution, space = ARMS[arm](setting), problem.space
    if setting.k and arm not in ("everything", "once"):
        space = space.replace_layers(_coarse(layer) for layer in space.layers)
    if arm == "oracle":
        space = evolution(Round(0, space, ()), Random(0)).space
    first, rounds = _operations(problem.space), tuple[Round, ...]()
    for n, (count, noise) in enumerate(zip(evaluations, noises, strict=True), start=1):
        left = _operations(space) / first if setting.shrinks else 1.0
        judge = "table" if setting.holds else f"{arm}@{n}"
        lean = 0.0 if fixed or not setting.lean else setting.lean[n - 1]
        judged = partial(problem.judged, judge=judge, noise=noise * left**0.5, seed=seed, lean=lean)
        finished = _search(space, rounds, count, judged, seed, setting.holds)
        if n < len(evaluations):
            space = evolution(finished, Random(derive_seed(seed, "evolve", n))).space
        rounds = (*rounds, finished)
    return Result(_picks(problem, rounds[-1]), _operations(space) / len(space.layers))


def _coarse(layer: Layer) -> Layer:
    """A layer that begins with the smallest kernel, and with its identity; the other operations wait."""
    first = tuple(op for op in layer.candidates if op in ("mb_k3_e1", "mb_k3_e3", "mb_k3_e6", "id"))
    return replace(layer, candidates=first, pending=tuple(op for op in layer.candidates if op not in first))


def _operations(space: SearchSpace) -> int:
    return sum(len(layer.candidates) for layer in space.layers)


def _search(
    space: SearchSpace,
    earlier: tuple[Round, ...],
    count: int,
    judged: Callable[[Sequence[Architecture]], list[Evaluation]],
    seed: int,
    holds: bool,
) -> Round:
    """One round."""
    costs, n = cost_table(space), len(earlier) + 1
    settings = _settings(count)
    before = earlier[-1].evaluations if earlier else ()
    seen = {choice for part in earlier for e in part.evaluations for choice in choices_of(e.arch)}
    task = SearchTask(
        space,
        costs,
        settings.search,
        settings.limits,
        derive_seed(seed, "search", n),
        survivors=surviving_front(before, costs, settings, settings.search.population),
        measured=seen,
    )
    proposals, _ = search_round(task, judged, lambda generation: None)
    return Round(
        n, space, complete_evaluations(p.evaluation for p in proposals), costs=costs, earlier=earlier, scores_hold=holds
    )


def _settings(evaluations: int) -> StudyConfig:
    sections = {"space": {"name": "digits"}, "evaluator": {"kind": "oneshot"}, "evolution": {"method": "fixed"}}
    return check_config(sections | {"search": {"evaluations": evaluations, "population": 10}}, "benchmark")


def _picks(problem: Problem, last: Round) -> float:
    """Mean true accuracy of the networks with the best scores within each budget."""
    least, most = cost_table(problem.space).bounds()[:, 0]
    picked = []
    for fraction in BUDGETS:
        within = [e for e in last.evaluations if e.macs <= least + fraction * (most - least)]
        if within:
            picked.append(problem.accuracy(max(within, key=lambda e: (e.accuracy, -e.macs)).arch))
    return float(np.mean(picked))


def problem_of(setting: str, table: Path | None, seed: int) -> Problem:
    """The problem of a setting."""
    if setting.endswith("table"):
        assert table is not None
        return Table(table)
    return Generated(seed, bad=0.01 if setting in ("planted", "pool") else 0.0)


def main(argv: Sequence[str] | None = None) -> int:
    """Print a row per setting and arm: true accuracy of the picks, and the paired difference from the fixed space."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.evolving", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--table", type=Path, metavar="FILE", help="NAS-Bench-Macro's csv file, for the two tables")
    parser.add_argument(
        "--settings", default="generated,planted,pool,fidelity", metavar="A,B", help="default: %(default)s"
    )
    parser.add_argument("--arms", default=",".join(ARMS), metavar="A,B", help="default: %(default)s")
    parser.add_argument("--seeds", type=int, default=10, help="default: %(default)s")
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="the first of them (default: %(default)s)")
    args = parser.parse_args(argv)
    if args.table is None and "table" in args.settings:
        parser.error("the settings table and noisy-table need --table FILE")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    say("| setting | arm | operations left per layer | accuracy of the picks | less the fixed space's | CPU s |")
    say("| --- | --- | ---: | ---: | ---: | ---: |")
    for name in args.settings.split(","):
        base = np.zeros(args.seeds)
        arms = [
            arm
            for arm in args.arms.split(",")
            if name in ONLY.get(arm, (name,)) and not (name == "pool" and arm in ALL)
        ]
        with bar(name, len(arms) * args.seeds) as advance:
            for arm in arms:
                started, results = time.process_time(), []
                for seed in range(args.first, args.first + args.seeds):
                    results.append(play(problem_of(name, args.table, seed), SETTINGS[name], arm, seed))
                    advance(1)
                accuracy = np.array([result.accuracy for result in results])
                base = accuracy if arm == "fixed" else base
                say(_row(name, arm, results, accuracy - base, (time.process_time() - started) / args.seeds))
    return 0


def _row(name: str, arm: str, results: Sequence[Result], change: np.ndarray, seconds: float) -> str:
    accuracy, left = np.array([r.accuracy for r in results]), np.mean([r.left for r in results])
    half = stats.t.ppf(0.975, len(change) - 1) * change.std(ddof=1) / np.sqrt(len(change))
    less = "" if arm == "fixed" else f"{100 * change.mean():+.2f} ± {100 * half:.2f}"
    return f"| {name} | {arm} | {left:.1f} | {accuracy.mean():.2%} | {less} | {seconds:.1f} |"


if __name__ == "__main__":
    sys.exit(main())
