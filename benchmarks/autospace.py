"""Is a space of bred cells better than a random one? Networks of both, paired at equal cost, are trained alone.

The kind of evidence that the paper gives (https://arxiv.org/abs/2103.11833): the mean stand-alone accuracy of networks drawn
from a space. The random space has as many cells per layer, drawn as the first population is, and the same reference cells.

python benchmarks/autospace.py --seeds 3
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

if TYPE_CHECKING:
    from spaces.architecture import Architecture
    from spaces.space import SearchSpace

DRAWS = 3000
"""How many networks of each space are drawn, for pairs of equal cost to be found among them."""


def main(argv: Sequence[str] | None = None) -> int:
    """Print, per seed and over all, both means, and the paired difference with its 95 % interval."""
    command = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_argument("--config", default="autospace_digits", help="preset or file (default: %(default)s)")
    command.add_argument("--seeds", type=int, default=3, help="default: %(default)s")
    command.add_argument(
        "--first", type=int, default=0, metavar="SEED", help="the first of them (default: %(default)s)"
    )
    command.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    command.add_argument("--networks", type=int, default=20, help="pairs per seed (default: %(default)s)")
    command.add_argument("--epochs", type=int, default=8, help="of a network alone (default: %(default)s)")
    command.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="another setting of the run")
    args = command.parse_args(argv)
    import numpy as np
    import torch
    from scipy import stats

    torch.set_num_threads(1)
    print("| seed | bred | random | bred less random | MACs apart at most | minutes |\n" + "| ---: " * 6 + "|")
    changes = []
    for seed in range(args.first, args.first + args.seeds):
        started = time.perf_counter()
        bred, random, apart = compare_spaces(args, seed)
        changes.append(np.mean(bred) - np.mean(random))
        minutes = (time.perf_counter() - started) / 60
        half = stats.t.ppf(0.975, len(bred) - 1) * np.std(np.subtract(bred, random), ddof=1) / np.sqrt(len(bred))
        print(
            f"| {seed} | {np.mean(bred):.4f} | {np.mean(random):.4f} | {changes[-1]:+.4f} ± {half:.4f} "
            f"| {apart:.1%} | {minutes:.1f} |",
            flush=True,
        )
    if len(changes) > 1:
        half = stats.t.ppf(0.975, len(changes) - 1) * np.std(changes, ddof=1) / np.sqrt(len(changes))
        print(f"\nover {len(changes)} seeds: {np.mean(changes):+.4f} ± {half:.4f}")
    return 0


def compare_spaces(args: argparse.Namespace, seed: int) -> tuple[list[float], list[float], float]:
    """Stand-alone accuracies of networks of the bred and of a random space, pair by pair, and how far apart in cost."""
    from evo.evaluators import FitContext
    from evo.evaluators.standalone import Scratch
    from evo.round.new_run import prepared_space
    from evo.seeds import derive_seed
    from spaces.costs.table import cost_table
    from studies.config import GroundTruthSection, load_config

    settings = (*args.set, f"seed={seed}")
    config = load_config(args.config, settings)
    other = prepared_space(config.model_copy(update={"seed": derive_seed(seed, "another first space")}))
    bred = bred_space(args, settings)
    if [layer.size for layer in bred.layers] != [layer.size for layer in other.layers]:
        raise SystemExit("the two spaces are not of one size: evolution.population is too small for evolution.k")
    pairs = at_equal_cost(bred, other, args.networks, seed)
    alone = Scratch(GroundTruthSection(epochs=args.epochs), config.data, config.device, seed)
    accuracies: list[list[float]] = []
    for space, archs in zip((bred, other), zip(*pairs, strict=True), strict=True):
        judge = alone.fit(space, FitContext(1, seed, cost_table(space), Path()))
        accuracies.append([evaluation.accuracy for evaluation in judge(archs)])
    costs = [
        cost_table(space).count(archs)[:, 0]
        for space, archs in zip((bred, other), zip(*pairs, strict=True), strict=True)
    ]
    return accuracies[0], accuracies[1], float(abs(costs[0] / costs[1] - 1).max())


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


def at_equal_cost(a: SearchSpace, b: SearchSpace, count: int, seed: int) -> list[tuple[Architecture, Architecture]]:
    """``count`` pairs of networks, drawn uniformly from both spaces; the two of a pair have nearly the same MACs.

    Their costs are spread evenly over the range in which both spaces have the middle nine tenths of their networks.
    """
    import numpy as np

    from evo.seeds import derive_seed
    from spaces.costs.table import cost_table

    samples, costs = [], []
    for name, space in (("a", a), ("b", b)):
        rng = Random(derive_seed(seed, name))
        samples.append([space.sample(rng) for _ in range(DRAWS)])
        costs.append(cost_table(space).count(samples[-1])[:, 0])
    least = max(np.quantile(cost, 0.05) for cost in costs)
    most = min(np.quantile(cost, 0.95) for cost in costs)
    pairs: dict[tuple[int, int], None] = {}
    for aim in np.linspace(least, most, count):
        places = [int(np.argmin(abs(cost - aim))) for cost in costs]
        pairs[places[0], places[1]] = None
    return [(samples[0][i], samples[1][j]) for i, j in pairs]


if __name__ == "__main__":
    sys.exit(main())
