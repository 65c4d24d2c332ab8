"""``python -m evo.proxies RUN`` says how cheaply networks of a run can be judged, and their order still be trusted."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from spaces import shell

EXAMPLES = """examples:
  python -m evo.proxies digits                               the grid: halves and quarters of each factor, and some pairs
  python -m evo.proxies digits --networks 32 --seeds 2       more networks; full trainings twice, which shows their noise
  python -m evo.proxies digits --proxy e=1/4 --proxy e=1/2,c=1/2 --trust 0.6
  python -m evo.proxies images --set data.max_images=3000 --by seconds --json
"""


def parser() -> argparse.ArgumentParser:
    """The command line. Nothing heavy is imported before it has been read."""
    command = shell.parser(
        "evo.proxies",
        "How cheaply can networks be judged, and their order still be trusted? Networks of a run's space, spread over MACs,\n"
        "are trained alone in full, and again by proxies: fewer epochs, images, pixels or channels. For each proxy the\n"
        "command prints its cost, Kendall's tau with the full training, and by how much that is ahead of counting MACs; and\n"
        "it says which to take. No test image is touched. Each training is recorded when it ends, and none is made twice:\n"
        "the same command, called again, goes on where it was, or prints its table.",
        EXAMPLES,
    )
    add = command.add_argument
    add("run", metavar="RUN", help="the run's name, as python -m evo.round prints it; it may be unfinished")
    add("--networks", type=shell.integer(3), default=16, metavar="N", help="how many networks (default: %(default)s)")
    add("--seeds", type=shell.integer(1), default=1, metavar="N",
        help="full trainings of each network; from 2 on the table has their own agreement (default: %(default)s)")  # fmt: skip
    add("--proxy", action="append", default=[], metavar="SHARES",
        help="shares of (e)pochs, (i)mages, the sides of images in (p)ixels, (c)hannels, such as e=0.25,i=0.5; repeatable "
        "(default: a grid)")  # fmt: skip
    add("--trust", type=float, metavar="TAU",
        help="recommend the cheapest proxy whose interval begins at this tau or above (default: the cheapest that is not "
        "separably below the best)")  # fmt: skip
    add("--by", choices=("macs", "seconds"), default="macs", help="which cost is to be low (default: %(default)s)")
    add("--seed", type=shell.integer(0), metavar="N", help="of the draw and of all trainings (default: the run's)")
    add("--set", action="append", default=[], metavar="KEY=VALUE",
        help="override a setting of [deliver] or [data], device or threads; repeatable")  # fmt: skip
    add("--storage", default="sqlite:///evo.db", metavar="URL", help="database (default: %(default)s)")
    add("--accept-data-change", action="store_true", help="go on although the data have changed since the run began")
    add("--json", action="store_true", help="print all figures as JSON and nothing else")
    return command


def main(argv: Sequence[str] | None = None) -> int:
    """0: measured; 1: something the user must do first; 130: interrupted, whole epochs are kept."""
    args = parser().parse_args(argv)
    return shell.run_command(_measure, args, "whole epochs are kept; the same command continues")


def _measure(args: argparse.Namespace) -> int:
    from evo.console import TERMINAL, Reporter, bar, say
    from evo.proxies.experiment import measure_proxies
    from evo.proxies.options import ProxyOptions
    from evo.proxies.proxy import parse_proxy

    proxies = tuple(map(parse_proxy, args.proxy))
    options = ProxyOptions(args.networks, args.seeds, proxies, args.trust, args.by, args.seed)
    reporter = Reporter(track=bar) if args.json else TERMINAL
    found = measure_proxies(args.run, args.storage, options, args.set, reporter, args.accept_data_change)
    say(json.dumps(found.to_dict(), indent=1) if args.json else f"\n{found}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
