"""How long the exact combination of blocks takes where no candidate is dominated: the hardest blocks of DNA's sizes.

python benchmarks/combination.py --seeds 5
"""

from __future__ import annotations

import argparse
import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from time import process_time

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from evo.evaluators.blockwise.combination import BlockCandidates, best_combination, combination_front

BUDGETS = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Where budgets lie between the cheapest combination and the dearest."""


def made_up(shape: str, seed: int, blocks: int, candidates: int) -> list[BlockCandidates]:
    """Blocks whose dearer candidates always lose less: MACs drawn below 50 million, losses by ``shape``."""
    rng, found = np.random.default_rng(seed), []
    for i in range(blocks):
        costs = np.sort(rng.choice(50_000_000, candidates, replace=False)).astype(float)
        losses = -np.sort(-rng.uniform(0.1, 1.0, candidates))
        if shape == "convex":
            losses = np.exp(-3 * (1 - losses[::-1])).cumsum()[::-1] / candidates
        if shape == "uneven":
            costs, losses = costs / 2**i, losses * rng.uniform(0.2, 1.0)
        found.append(BlockCandidates.of(losses, costs))
    return found


def measured(shape: str, seed: int, blocks: int, candidates: int) -> tuple[int, float, list[float]]:
    """Members of the front, CPU seconds of all of it, and those of single budgets, whose answers are the front's."""
    some = made_up(shape, seed, blocks, candidates)
    started = process_time()
    members = combination_front(some)
    whole, single = process_time() - started, []
    least, most = (sum(float(end(block.costs)) for block in some) for end in (np.min, np.max))
    for share in BUDGETS:
        budget = least + share * (most - least)
        started = process_time()
        found = best_combination(some, budget)
        single.append(process_time() - started)
        assert found is not None
        assert found.loss == min(member.loss for member in members if member.cost < budget)
    return len(members), whole, single


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; see ``--help``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--blocks", type=int, default=6)
    parser.add_argument("--candidates", type=int, default=1296)
    args = parser.parse_args(arguments)
    print(
        f"{args.blocks} blocks of {args.candidates} candidates, seeds 0 to {args.seeds - 1}, median (least to most)\n"
    )
    print("| losses | front, networks | front, CPU s | one budget, CPU s |\n| --- | ---: | ---: | ---: |")
    for shape in ("uniform", "convex", "uneven"):
        found = [measured(shape, seed, args.blocks, args.candidates) for seed in range(args.seeds)]
        sizes, whole, single = zip(*found, strict=True)
        columns = (_spread(sizes, ",.0f"), _spread(whole, ".1f"), _spread([s for each in single for s in each], ".2f"))
        print(f"| {shape} | {' | '.join(columns)} |", flush=True)
    print(f"\nmemory at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MiB")
    return 0


def _spread(values: Sequence[float], form: str) -> str:
    return f"{np.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


if __name__ == "__main__":
    sys.exit(main())
