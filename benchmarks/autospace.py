"""Is a space of bred cells better than a random one? Networks of each, at equal cost, are trained alone.

The kind of evidence that the paper gives (https://arxiv.org/abs/2103.11833): the mean stand-alone accuracy of networks drawn
from a space. Arms are what cells are bred by (``evaluator.cells.score``): ``networks``, ``weights``, or ``noise``, which
breeds as the others do and knows nothing; and ``random``: as many cells per layer, drawn as the first population is, and the
same reference cells.

python benchmarks/autospace.py --seeds 3
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from random import Random
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

if TYPE_CHECKING:
    from spaces.architecture import Architecture
    from spaces.space import SearchSpace
    from studies.config import StudyConfig

ARMS = ("networks", "weights", "noise", "random")

DRAWS = 3000
"""How many networks of each space are drawn, for those of equal cost to be found among them."""


def main(argv: Sequence[str] | None = None) -> int:
    """Print the mean accuracy of each arm per seed, then the differences with their 95 % intervals over seeds."""
    command = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_argument("--config", default="autospace_digits", help="preset or file (default: %(default)s)")
    command.add_argument("--seeds", type=int, default=3, help="default: %(default)s")
    command.add_argument(
        "--first", type=int, default=0, metavar="SEED", help="the first of them (default: %(default)s)"
    )
    command.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS), help="default: all")
    command.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    command.add_argument("--networks", type=int, default=20, help="of each arm and seed (default: %(default)s)")
    command.add_argument("--epochs", type=int, default=8, help="of a network alone (default: %(default)s)")
    command.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="another setting of the run")
    args = command.parse_args(argv)
    import torch

    torch.set_num_threads(1)
    print(
        f"| seed | {' | '.join(args.arms)} | MACs apart at most | minutes |\n" + "| ---: " * (len(args.arms) + 3) + "|"
    )
    means: dict[str, list[float]] = {arm: [] for arm in args.arms}
    for seed in range(args.first, args.first + args.seeds):
        started = time.perf_counter()
        found, apart = compare_spaces(args, seed)
        for arm, accuracies in found.items():
            means[arm].append(fmean(accuracies))
        minutes = (time.perf_counter() - started) / 60
        cells = " | ".join(f"{means[arm][-1]:.4f}" for arm in args.arms)
        print(f"| {seed} | {cells} | {apart:.1%} | {minutes:.1f} |", flush=True)
    for one, other in combinations(args.arms, 2):
        print(f"\n{one} less {other}, over {args.seeds} seeds: {interval(means[one], means[other])}")
    return 0


def interval(one: Sequence[float], other: Sequence[float]) -> str:
    """The mean difference, paired by seed, with Student's 95 % interval."""
    import numpy as np
    from scipy import stats

    change = np.subtract(one, other)
    half = (
        stats.t.ppf(0.975, len(change) - 1) * np.std(change, ddof=1) / np.sqrt(len(change))
        if len(change) > 1
        else np.nan
    )
    return f"{np.mean(change):+.4f} ± {half:.4f}"


def compare_spaces(args: argparse.Namespace, seed: int) -> tuple[dict[str, list[float]], float]:
    """Arm -> stand-alone accuracies of networks of its space, and how far apart in cost those of one place are at most."""
    from studies.config import load_config

    config = load_config(args.config, (*args.set, f"seed={seed}"))
    spaces = {arm: space_of_arm(args, arm, seed) for arm in args.arms}
    if len({tuple(layer.size for layer in space.layers) for space in spaces.values()}) > 1:
        raise SystemExit("the spaces are not of one size: evolution.population is too small for evolution.k")
    return accuracies_at_equal_cost(config, spaces, args.networks, args.epochs)


def accuracies_at_equal_cost(
    config: StudyConfig, spaces: Mapping[str, SearchSpace], networks: int, epochs: int
) -> tuple[dict[str, list[float]], float]:
    """Name -> accuracies of networks drawn from a space, each trained alone, and how far apart in cost those of one place
    are at most."""
    from evo.evaluators import FitContext
    from evo.evaluators.standalone import Scratch
    from spaces.costs.table import cost_table
    from studies.config import GroundTruthSection

    archs = dict(zip(spaces, at_equal_cost(list(spaces.values()), networks, config.seed), strict=True))
    alone = Scratch(GroundTruthSection(epochs=epochs), config.data, config.device, config.seed)
    accuracies, costs = {}, []
    for name, space in spaces.items():
        judge = alone.fit(space, FitContext(1, config.seed, cost_table(space), Path()))
        accuracies[name] = [evaluation.accuracy for evaluation in judge(archs[name])]
        costs.append(cost_table(space).count(archs[name])[:, 0])
    return accuracies, max(max(place) / min(place) - 1 for place in zip(*costs, strict=True))


def space_of_arm(args: argparse.Namespace, arm: str, seed: int) -> SearchSpace:
    """The space that an arm leaves to its search."""
    from evo.round.new_run import prepared_space
    from evo.seeds import derive_seed
    from studies.config import load_config

    settings = (*args.set, f"seed={seed}")
    if arm != "random":
        return bred_space(args, (*settings, f"evaluator.cells.score={arm}"))
    config = load_config(args.config, settings)
    return prepared_space(config.model_copy(update={"seed": derive_seed(seed, "another first space")}))


def bred_space(args: argparse.Namespace, settings: Sequence[str]) -> SearchSpace:
    """The space after the rounds. The search inside it does not change it, so its budget is minimal."""
    from evo.round.__main__ import main as evo_round
    from studies.database.store import open_store

    words = [
        word for setting in (*settings, "search.evaluations=4", "evaluator.epochs=1") for word in ("--set", setting)
    ]
    with TemporaryDirectory() as folder:
        storage = f"sqlite:///{folder}/evo.db"
        options = ["--config", args.config, "--run", "bred", "--storage", storage, "--quiet", *words]
        if code := evo_round([str(args.rounds), *options]):
            raise SystemExit(code)
        with open_store(storage) as store:
            space = store.rounds(store.run("bred"))[args.rounds - 1].next_space
    assert space is not None
    return space


def at_equal_cost(spaces: Sequence[SearchSpace], count: int, seed: int) -> list[list[Architecture]]:
    """Of each space ``count`` networks, drawn uniformly; those of one place have nearly the same MACs in all spaces.

    Their costs are spread evenly over the range in which all spaces have the middle nine tenths of their networks.
    """
    import numpy as np

    from evo.seeds import derive_seed
    from spaces.costs.table import cost_table

    samples, costs = [], []
    for place, space in enumerate(spaces):
        rng = Random(derive_seed(seed, "networks", place))
        samples.append([space.sample(rng) for _ in range(DRAWS)])
        costs.append(cost_table(space).count(samples[-1])[:, 0])
    least = max(np.quantile(cost, 0.05) for cost in costs)
    most = min(np.quantile(cost, 0.95) for cost in costs)
    return [
        [drawn[int(np.argmin(abs(cost - aim)))] for aim in np.linspace(least, most, count)]
        for drawn, cost in zip(samples, costs, strict=True)
    ]


if __name__ == "__main__":
    sys.exit(main())
