"""What a proposal of the screened search costs when so many networks have been measured: CPU milliseconds.

A deep space with noise; half of what was measured is drawn by chance, half changed from the front, which is as crowded then as
in a long search.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):  # run as a file: the packages stand one folder up
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

EXAMPLES = """examples:
  python benchmarks/proposing.py
  python benchmarks/proposing.py --layers 34 --measured 10000 --generations 20,1000
"""


def parser() -> argparse.ArgumentParser:
    """The command line. Heavy imports come after it has been parsed."""
    command = argparse.ArgumentParser(
        prog="python benchmarks/proposing.py",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--layers", type=int, default=34, help="genes of a network (default: %(default)s)")
    command.add_argument("--measured", type=_numbers, default=[100, 1000, 10_000], metavar="N,N", help="networks")
    command.add_argument("--generations", type=_numbers, default=[10, 20, 100, 1000], metavar="N,N", help="their sizes")
    return command


def _numbers(text: str) -> list[int]:
    if not all(word.isdecimal() and int(word) > 0 for word in text.split(",")):
        raise argparse.ArgumentTypeError(f"expected whole numbers, found {text!r}")
    return [int(word) for word in text.split(",")]


def main(argv: Sequence[str] | None = None) -> int:
    """0: done; 130: interrupted."""
    args = parser().parse_args(argv)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from benchmarks.comparison import Table
    from evo.console import say

    try:
        rows = [
            (f"{measured:,}", *(f"{milliseconds(args.layers, measured, size):.1f}" for size in args.generations))
            for measured in args.measured
        ]
    except KeyboardInterrupt:
        return 130
    title = f"CPU ms per proposal, {args.layers} genes, by networks measured and the size of a generation"
    say(Table(title, ("measured", *map(str, args.generations)), tuple(rows)).markdown())
    return 0


def milliseconds(layers: int, measured: int, size: int) -> float:
    """Of a proposal, while so many networks that are new are proposed: a tenth of those measured, two generations at least."""
    import time
    from random import Random

    import optuna

    from benchmarks.problems.chains import deep
    from evo.strategy.generations import SearchState, SearchTask
    from spaces.architecture import Architecture
    from studies.config import LimitsSection, SearchSection
    from studies.pareto import on_front
    from studies.records import Evaluation, Proposal

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    posed, rng = deep(0, layers), Random(0)
    space, settings = posed.space, SearchSection(population=size, evaluations=10 * (measured + size))
    state = SearchState(SearchTask(space, posed.costs, settings, LimitsSection(), 0))

    def told(archs: Sequence[Architecture]) -> None:
        state.promise([(arch, "child") for arch in archs])
        found = [Evaluation(arch, "made", *posed.answer(arch), params=0.0) for arch in archs]
        start = state.proposed
        state.tell([Proposal(start + i, state.generations, "child", e, True) for i, e in enumerate(found)])

    told([space.sample(rng) for _ in range(measured // 2)])
    while len(state.screen.seen) < measured:
        seen = state.screen.seen
        front = [
            e.arch
            for e, on in zip(seen, on_front([e.macs for e in seen], [e.accuracy for e in seen]), strict=True)
            if on
        ]
        changed = [list(rng.choice(front).genes) for _ in range(max(1, measured // 20))]
        for genes in changed:
            i = rng.randrange(layers)
            genes[i] = rng.choice(space.layers[i].genes)
        told(list(dict.fromkeys(Architecture(tuple(genes)) for genes in changed)))
    number, spent = 0, 0.0
    state.next_bred(state.generations, state.left)  # what is computed once per round
    while number < max(2 * size, min(measured // 10, 400)):
        started = time.process_time()
        batch = state.next_bred(state.generations, state.left)
        spent += time.process_time() - started
        told([arch for arch, _ in batch])
        number += len(batch)
    return 1000 * spent / number


if __name__ == "__main__":
    sys.exit(main())
