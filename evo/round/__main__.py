"""``python -m evo.round N`` brings a run to the end of round N.

Like make: finished rounds are skipped, an interrupted one continues with what it lacks, missing earlier ones come first.
Running it twice changes nothing.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from functools import partial

from evo.workers.torchrun import run_as_rank, started_processes
from spaces import shell
from studies.controls import Control

EXAMPLES = """examples:
  python -m evo.round 3                                   three rounds on scikit-learn's digits
  python -m evo.round 3 --config macro                    on NAS-Bench-Macro (its table: EVO_DATA or evaluator.path)
  python -m evo.round 2 --config images --set data.path=photos --set data.size=64
  python -m evo.round 3 --config digits --run wide --set search.evaluations=200 --seed 1
  python -m evo.round 3 --config macro --control --seeds 5    did evolving the space help? against its control arm
  python -m evo.round 3 --config fashion_mnist --control --control uniform --control random-networks --seeds 5
                                                          did evolving pay, did searching pay?
  python -m evo.round 3 --config mine.toml --learn-from digits   the surrogate begins with what run digits has measured
  python -m evo.round 3 --cluster tcp://scheduler:8786    evaluate on the workers of a Dask cluster
  python -m evo.round 3 --cluster slurm.toml              on jobs of a queue: docs/howto/cluster.md
  python -m evo.round 1 --config mine.toml --plan         what would run, on what space, and the memory it takes
  python -m evo.round 1 --config pad_nas_imagenet --plan --memory 80GB   does it fit into another machine's GPU?
  torchrun --nproc-per-node 4 -m evo.round 3 --config mine.toml   on four processes, or GPUs, that train together
"""


def parser() -> argparse.ArgumentParser:
    """The command line. Nothing heavy is imported before it has been read."""
    command = shell.parser(
        "evo.round",
        "Bring a run to the end of round N: search the space, evolve it, and remember everything in SQL.",
        EXAMPLES,
    )
    command.add_argument("n", metavar="N", type=shell.integer(1), help="the round to finish")
    command.add_argument("--config", metavar="PRESET|FILE", help="settings (default: those of --run, else digits)")
    command.add_argument("--run", metavar="NAME", help="the run's name (default: the config's)")
    command.add_argument("--storage", default="sqlite:///evo.db", metavar="URL", help="database (default: %(default)s)")
    command.add_argument("--seed", type=shell.integer(0), help="the run's seed (default: the config's)")
    command.add_argument(
        "--seeds", type=shell.integer(1), default=1, metavar="K", help="run K seeds, from the run's own on (default: 1)"
    )
    command.add_argument(
        "--control",
        action="append",
        nargs="?",
        const=Control.FIXED.value,
        default=[],
        choices=[control.value for control in Control],
        metavar="ARM",
        help="also run what the run is compared with. Did evolving pay? fixed (a run in a space that never changes; the "
        "default), random (the same, searched at random). Did searching pay? uniform (the best network with one operation "
        "everywhere), random-networks (the best of as many as the run's cost can train), mobilenet_v2, efficientnet_b0: at "
        "three budgets, each trained alone. Would fine-tuning have done? pretrained (of a trained network, the best of "
        "the same share of every layer, of every layer and stage, and of smaller images; and whole, the network itself); "
        "repeatable",
    )
    hands = command.add_mutually_exclusive_group()
    hands.add_argument("--workers", type=shell.integer(1), default=1, help="processes that evaluate (default: 1)")
    hands.add_argument(
        "--cluster",
        type=_cluster_argument,
        metavar="WHERE",
        help="evaluate on a Dask cluster: its scheduler's tcp://HOST:PORT, local:N for processes here, or a TOML file "
        "that names a queue (Slurm, PBS, ...)",
    )
    command.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting; repeatable"
    )
    command.add_argument(
        "--learn-from",
        action="extend",
        nargs="+",
        default=[],
        metavar="RUN",
        help="runs of the same database whose measurements teach the surrogate, whatever they were measured on, where they "
        "help; fixed when the run begins (search.learn_from)",
    )
    command.add_argument(
        "--plugin",
        action="append",
        default=[],
        metavar="FILE|MODULE",
        help="load operations, evaluators, methods or data sets of your own; repeatable",
    )
    command.add_argument(
        "--accept-data-change", action="store_true", help="continue although the data have changed since the run began"
    )
    command.add_argument(
        "--plan", action="store_true", help="print the space, the work to come and the memory it takes; run nothing"
    )
    command.add_argument(
        "--memory", metavar="SIZE", help="with --plan: the memory of the device, e.g. 80GB (default: this machine's)"
    )
    command.add_argument("--json", action="store_true", help="with --plan: print it for programs")
    command.add_argument("--quiet", action="store_true", help="print errors only")
    return command


def _cluster_argument(text: str) -> str:
    from evo.round.options import CLUSTER, CLUSTER_FORMS

    if not CLUSTER.fullmatch(text):
        raise argparse.ArgumentTypeError(f"expected {CLUSTER_FORMS}, found {text!r}")
    return text


def main(argv: Sequence[str] | None = None) -> int:
    """0: round N is finished; 1: something the user must do first; 130: interrupted, nothing recorded is lost."""
    if (processes := started_processes()) > 1:
        return run_as_rank(partial(_read, argv), partial(_run_guarded, argv=argv, processes=processes), _is_shared)
    return _run_guarded(_read(argv), argv)


def _read(argv: Sequence[str] | None) -> argparse.Namespace:
    """What the command line asks for."""
    command = parser()
    args = command.parse_args(argv)
    if (args.memory or args.json) and not args.plan:
        command.error("--memory and --json are for --plan: give it, too")
    return args


def _run_guarded(args: argparse.Namespace, argv: Sequence[str] | None, processes: int = 1) -> int:
    """The exit status, and where something stands in the way, what it is."""
    from studies.database.urls import redacted

    command_line = shlex.join(map(redacted, argv if argv is not None else sys.argv[1:]))
    again = f": python -m evo.round {command_line}" if processes == 1 else " the same command"
    kept = f"everything measured so far is kept. Continue with{again}"
    return shell.run_command(partial(_run_command, processes=processes), args, kept)


def _run_command(args: argparse.Namespace, processes: int) -> int:
    """Do what the command line asks for."""
    from evo.round.command import print_plan, run_rounds
    from studies.records import EvoError

    if args.plan:
        return print_plan(args)
    if processes == 1:
        return run_rounds(args)
    from evo.workers.ranks import as_rank_zero

    if args.workers > 1 or args.cluster:
        given = f"--cluster is {args.cluster}" if args.cluster else f"--workers is {args.workers}"
        raise EvoError(f"{given}, and torchrun has started {processes} processes, which are the workers: leave it out")
    args.workers = processes
    with as_rank_zero():
        return run_rounds(args)


def _is_shared(args: argparse.Namespace) -> bool:
    """Whether all of torchrun's processes have a part in it; else the first answers alone, or says what stands in the way."""
    return not (args.plan or args.workers > 1 or args.cluster)


if __name__ == "__main__":
    sys.exit(main())
