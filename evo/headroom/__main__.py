"""``python -m evo.headroom`` says how much there is to gain by searching a space at a budget."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from spaces import shell

EXAMPLES = """examples:
  python -m evo.headroom                                                       the preset digits, at the middle of its costs
  python -m evo.headroom --config fashion_mnist --macs 3M                      a preset's space at a budget
  python -m evo.headroom --config fashion_mnist --set space.name=rich_28 --macs 3M --networks 10
  python -m evo.headroom --config images --set data.path=photos --set data.max_images=3000 --set deliver.epochs=10
"""


def parser() -> argparse.ArgumentParser:
    """The command line. Nothing heavy is imported before it has been read."""
    command = shell.parser(
        "evo.headroom",
        "How much is there to gain by searching? Train a few random networks of one budget alone, several times each,\n"
        "and compare how they differ with the noise of training. They are trained as [deliver] says, on the training images,\n"
        "and measured on the validation images; no test image is touched. Each training is recorded when it ends: a second\n"
        "call, with more networks or seeds perhaps, trains only what is new.",
        EXAMPLES,
    )
    add = command.add_argument
    add("--config", metavar="NAME", help="a preset's name or a TOML file (default: digits)")
    add("--macs", type=shell.number, metavar="N",
        help="the budget, e.g. 3M; networks have up to 5%% less or more (default: the middle of limits.macs, or the median "
        "of the space's random networks)")  # fmt: skip
    add("--networks", type=shell.integer(3), default=6, metavar="N", help="how many networks (default: %(default)s)")
    add(
        "--seeds",
        type=shell.integer(2),
        default=2,
        metavar="N",
        help="trainings of each network (default: %(default)s)",
    )
    add(
        "--seed",
        type=shell.integer(0),
        metavar="N",
        help="of the draw and of all trainings (default: the configuration's)",
    )
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting; repeatable")
    add("--plugin", action="append", default=[], metavar="FILE", help="load a file or module of your own; repeatable")
    add("--storage", default="sqlite:///evo.db", metavar="URL", help="database (default: %(default)s)")
    add("--json", action="store_true", help="print all figures as JSON and nothing else")
    return command


def main(argv: Sequence[str] | None = None) -> int:
    """0: measured; 1: something the user must do first; 130: interrupted, whole epochs are kept."""
    args = parser().parse_args(argv)
    return shell.run_command(_measure, args, "whole epochs are kept; the same command continues")


def _measure(args: argparse.Namespace) -> int:
    from evo.console import TERMINAL, Reporter, bar, say
    from evo.headroom.experiment import HeadroomOptions, measure_headroom
    from evo.round.options import RunOptions

    settings = RunOptions(
        rounds=1,
        config=args.config,
        storage=args.storage,
        seed=args.seed,
        overrides=tuple(args.set),
        plugins=tuple(args.plugin),
    )
    reporter = Reporter(track=bar) if args.json else TERMINAL
    found = measure_headroom(HeadroomOptions(settings, args.networks, args.seeds, args.macs), reporter)
    say(json.dumps(found.to_dict(), indent=1) if args.json else str(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
