"""The effect of evolving the space where scores are exact: equal budgets, the same seeds, hypervolume of everything measured.

python benchmarks/pruning.py --table nas_bench_macro_cifar10.csv.gz
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

ARMS = {
    "fixed space": ("evolution.method=fixed",),
    "PAD-NAS (rank < 10, share > 1 %)": (),
    "harsher (rank < 3, share > 10 %)": ("evolution.rank=3", "evolution.share=0.1"),
    "harshest (front only, share > 25 %)": ("evolution.rank=2", "evolution.share=0.25"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Print one line per arm: the mean over seeds, its 95 % interval, and the paired difference from the fixed space."""
    command = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_argument("--table", required=True, help="NAS-Bench-Macro's csv file")
    command.add_argument("--seeds", type=int, default=20, help="default: 20")
    command.add_argument("--rounds", type=int, default=3, help="default: 3")
    command.add_argument("--trials", type=int, default=50, help="new networks per round (default: 50)")
    args = command.parse_args(argv)
    import numpy as np
    from scipy import stats

    volumes_by_arm = {arm: np.array([volume(args, arm, seed) for seed in range(args.seeds)]) for arm in ARMS}
    fixed = volumes_by_arm["fixed space"]
    print(f"| {args.rounds} rounds of {args.trials} | hypervolume | less the fixed space's |\n| --- | ---: | ---: |")
    for arm, volumes in volumes_by_arm.items():
        half = stats.t.ppf(0.975, args.seeds - 1) / np.sqrt(args.seeds)
        change = volumes - fixed
        print(
            f"| {arm} | {volumes.mean():.4f} ± {half * volumes.std(ddof=1):.4f} "
            f"| {change.mean():+.4f} ± {half * change.std(ddof=1):.4f} |"
        )
    return 0


def volume(args: argparse.Namespace, arm: str, seed: int) -> float:
    """Hypervolume of all measurements of one run, in the run's box above accuracy 80 %."""
    from evo.round.__main__ import main as evo_round
    from studies.database.store import open_store
    from studies.pareto import hypervolume

    settings = (
        f"evaluator.path={args.table}",
        f"search.evaluations={args.trials}",
        "search.surrogate=false",
        *ARMS[arm],
    )
    words = [word for setting in settings for word in ("--set", setting)]
    with TemporaryDirectory() as folder:
        storage = f"sqlite:///{folder}/evo.db"
        arguments = ["--config", "macro", "--run", "arm", "--storage", storage, "--seed", str(seed), "--quiet"]
        if code := evo_round([str(args.rounds), *arguments, *words]):
            raise SystemExit(code)
        with open_store(storage) as store:
            run = store.run("arm")
            results = store.frame("SELECT accuracy, macs FROM results")
    return hypervolume(results["macs"], results["accuracy"], max_cost=run.max_cost, min_accuracy=run.min_accuracy)


if __name__ == "__main__":
    sys.exit(main())
