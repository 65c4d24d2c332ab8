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
"""Budgets, as fractions of the range from the cheapest combination to the dearest."""


def synthetic_blocks(shape: str, seed: int, blocks: int, candidates: int) -> list[BlockCandidates]:
    """Blocks whose dearer candidates always lose less: MACs drawn below 50 million, losses by ``shape``."""
    rng, block_list = np.random.default_rng(seed), []
    for i in range(blocks):
        costs = np.sort(rng.choice(50_000_000, candidates, replace=False)).astype(float)
        losses = -np.sort(-rng.uniform(0.1, 1.0, candidates))
        if shape == "convex":
            losses = np.exp(-3 * (1 - losses[::-1])).cumsum()[::-1] / candidates
        if shape == "uneven":
            costs, losses = costs / 2**i, losses * rng.uniform(0.2, 1.0)
        block_list.append(BlockCandidates.of(losses, costs))
    return block_list


def time_combination(shape: str, seed: int, blocks: int, candidates: int) -> tuple[int, float, list[float]]:
    """The number of members of the front, the CPU seconds for it, and those for each single budget.

    Checks that the answer for a budget is a member of the front.
    """
    blocks_to_combine = synthetic_blocks(shape, seed, blocks, candidates)
    started = process_time()
    members = combination_front(blocks_to_combine)
    whole, single = process_time() - started, []
    least, most = (sum(float(end(block.costs)) for block in blocks_to_combine) for end in (np.min, np.max))
    for share in BUDGETS:
        budget = least + share * (most - least)
        started = process_time()
        best = best_combination(blocks_to_combine, budget)
        single.append(process_time() - started)
        assert best is not None
        assert best.loss == min(member.loss for member in members if member.cost < budget)
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
        timings = [time_combination(shape, seed, args.blocks, args.candidates) for seed in range(args.seeds)]
        sizes, whole, single = zip(*timings, strict=True)
        columns = (_spread(sizes, ",.0f"), _spread(whole, ".1f"), _spread([s for each in single for s in each], ".2f"))
        print(f"| {shape} | {' | '.join(columns)} |", flush=True)
    print(f"\nmemory at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MiB")
    return 0


def _spread(values: Sequence[float], form: str) -> str:
    return f"{np.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


if __name__ == "__main__":
    sys.exit(main())
