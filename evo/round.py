"""``python -m evo.round N`` brings a run to the end of round N.

Like make: finished rounds are skipped, an interrupted one continues with what it lacks, missing earlier ones come first.
Saying it twice changes nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

EXAMPLES = """examples:
  python -m evo.round 3                                   three rounds on scikit-learn's digits
  python -m evo.round 3 --config macro                    on NAS-Bench-Macro (its table: EVO_DATA or evaluator.path)
  python -m evo.round 2 --config images --set data.path=photos --set data.size=64
  python -m evo.round 3 --config digits --run wide --set search.trials=200 --seed 1
  python -m evo.round 3 --config macro --control --seeds 5    did evolving the space help? against its control arm
  python -m evo.round 1 --config mine.toml --plan         what would run, and on what space
"""


def parser() -> argparse.ArgumentParser:
    """The command line. Nothing heavy is imported before it has been read."""
    command = argparse.ArgumentParser(
        prog="python -m evo.round",
        description="Bring a run to the end of round N: search the space, evolve it, and remember everything in SQL.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("n", metavar="N", type=_positive, help="the round to finish")
    command.add_argument("--config", metavar="PRESET|FILE", help="settings (default: those of --run, else digits)")
    command.add_argument("--run", metavar="NAME", help="the run's name (default: the config's)")
    command.add_argument("--storage", default="sqlite:///evo.db", metavar="URL", help="database (default: %(default)s)")
    command.add_argument("--seed", type=_natural, help="the run's seed (default: the config's)")
    command.add_argument(
        "--seeds", type=_positive, default=1, metavar="K", help="run K seeds, from the run's own on (default: 1)"
    )
    command.add_argument(
        "--control",
        action="append",
        nargs="?",
        const="fixed",
        default=[],
        choices=("fixed", "random"),
        help="run a control arm beside, in a space that never changes, and compare; random: random search; repeatable",
    )
    command.add_argument("--workers", type=_positive, default=1, help="processes that evaluate (default: 1)")
    command.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting; repeatable"
    )
    command.add_argument(
        "--accept-data-change", action="store_true", help="go on although the data are not those the run began with"
    )
    command.add_argument("--plan", action="store_true", help="print the space and the work to come; run nothing")
    command.add_argument("--quiet", action="store_true", help="print errors only")
    return command


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, found {text!r}")
    return int(text)


def _natural(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number from 0, found {text!r}")
    return int(text)


def main(argv: Sequence[str] | None = None) -> int:
    """0: round N is finished; 1: something the user must do first; 130: interrupted, nothing recorded is lost."""
    args = parser().parse_args(argv)
    from evo.command import bring, plan
    from evo.console import complain
    from studies.records import EvoError

    try:
        return plan(args) if args.plan else bring(args)
    except (EvoError, ValueError, OSError) as error:
        complain(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        again = " ".join(argv if argv is not None else sys.argv[1:])
        complain(f"\ninterrupted; everything measured so far is kept. Continue with: python -m evo.round {again}")
        return 130


if __name__ == "__main__":
    sys.exit(main())
