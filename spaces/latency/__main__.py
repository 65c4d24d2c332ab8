"""``python -m spaces.latency --space mobile_cifar --out lut.csv`` times every part of a space on this machine."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from spaces import shell
from spaces.latency.measure import MeasurementSetting, measure_missing
from spaces.library.cli import SPACE_HELP, add_image_arguments, resolve_space
from spaces.space import SearchSpace

EXAMPLES = """examples:
  python -m spaces.latency --space mobile_cifar --out lut.csv
  python -m spaces.latency --space mobile_cifar --device cuda --batch 32 --out gpu.csv
  python -m spaces.show mobile_cifar --latency lut.csv
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    command = shell.parser(
        "spaces.latency",
        "Measure how long every operation of a space takes on this machine, and write a table.\n"
        "An interrupted measurement continues: what the table already holds is not measured again.",
        EXAMPLES,
    )
    add, count = command.add_argument, shell.integer(1)
    add("--space", required=True, metavar="NAME", help=SPACE_HELP)
    add("--out", required=True, type=Path, metavar="FILE", help="the table to write or to continue, .csv")
    add("--device", default="cpu", help="as torch names it: cpu, cuda, cuda:1, mps (default: %(default)s)")
    add("--batch", type=count, default=1, metavar="N", help="images at a time (default: %(default)s)")
    add("--threads", type=count, default=1, metavar="N", help="on a CPU (default: %(default)s)")
    add("--repeats", type=count, default=50, metavar="N", help="passes to take the median of (default: %(default)s)")
    add_image_arguments(command)
    return command


def main(argv: Sequence[str] | None = None) -> int:
    """0: measured; 1: something the user must do first; 130: interrupted, what was measured is kept."""
    args = parser().parse_args(argv)
    return shell.run_command(_measure, args, f"{args.out} has what was measured; the same command continues")


def _measure(args: argparse.Namespace) -> int:
    n = _measure_and_watch(resolve_space(args.space, args), args)
    see = shell.command_line("spaces.show", args.space, "--latency", str(args.out))
    print(f"{args.out}: {n} parts measured now\nsee it: {see}")
    return 0


def _measure_and_watch(space: SearchSpace, given: argparse.Namespace) -> int:
    """Measures, with a progress bar on a terminal; returns how many parts were measured."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    setting = MeasurementSetting(max(2, given.repeats), given.device, given.batch, given.threads)
    left = measure_missing(space, given.out, setting)
    total = next(left)
    columns = (
        TextColumn("  measuring"),
        BarColumn(30),
        MofNCompleteColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, transient=True, console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("", total=total)
        for n in left:
            progress.update(task, completed=total - n)
    return total


if __name__ == "__main__":
    sys.exit(main())
