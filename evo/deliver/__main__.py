"""``python -m evo.deliver RUN`` makes a trained network of a run's front: weights, model.py, ONNX, torch.export, README.

With ``--against`` it delivers nothing, and compares that network with ones that need no search. Like make: what is there is not
made again, what was interrupted goes on. Running it twice changes nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from evo.workers.torchrun import run_as_rank, started_processes
from spaces import shell

if TYPE_CHECKING:
    from evo.alone.selection import Criteria
    from evo.console import Reporter

EXAMPLES = """examples:
  python -m evo.deliver digits                               the most accurate network of the last front
  python -m evo.deliver digits --max-macs 200k --out small   the most accurate one below a budget
  python -m evo.deliver digits --knee                        the one where the front bends most
  python -m evo.deliver digits --scale-to 1M --out wide      widened until it has a million MACs
  python -m evo.deliver digits --max-macs 200k --finalists 4 --fill --out best
                                                             the best of 4 that were trained alone, as wide as 200k allow
  python -m evo.deliver digits --max-macs 200k --fill --against uniform,random,mobilenet_v2
                                                             did searching pay?
  python -m evo.deliver digits --set deliver.epochs=200 --set deliver.drop_path=0.1 --out longer
  python -m evo.deliver digits --max-macs 200k --add se,swish --out excited
                                                             with squeeze-excitation and swish, as NSE's are
  python -m evo.deliver digits --max-macs 100k --set deliver.teacher=delivered/wide --out taught
                                                             distilled: a delivered network teaches it
  python -m evo.deliver digits --formats onnx,openvino,litert,executorch
                                                             also what devices run; a folder that is there gets what it lacks
  torchrun --nproc-per-node 4 -m evo.deliver digits --out together
                                                             four processes, or GPUs, train it together
  python -m evo.deliver pretrained --set deliver.teacher=whole --out taught
                                                             cuts: the fine-tuned network teaches it
  python -m evo.deliver pretrained --max-macs 36M --from-scratch --out fresh
                                                             cuts: without the weights that were searched
"""


def parser() -> argparse.ArgumentParser:
    """The command line. Nothing heavy is imported before it has been read."""
    command = shell.parser(
        "evo.deliver",
        "Pick a network from a run's last front, train it, measure it once on the test images, and\n"
        "export it into a folder: safetensors, model.py, ONNX, torch.export. Or compare it with networks that need no search.",
        EXAMPLES,
    )
    command.add_argument("run", metavar="RUN", help="the run's name, as python -m evo.round prints it")
    command.add_argument("--storage", default="sqlite:///evo.db", metavar="URL", help="database (default: %(default)s)")
    pick = command.add_argument_group("which network (default: the most accurate within the run's limits)")
    pick.add_argument("--max-macs", type=shell.number, metavar="N", help="at most this many MACs, e.g. 50M")
    pick.add_argument("--max-params", type=shell.number, metavar="N", help="at most this many parameters, e.g. 1.2M")
    pick.add_argument(
        "--max-latency-ms", type=shell.number, metavar="MS", help="at most this latency, by the run's latency table"
    )
    pick.add_argument(
        "--max-flash-kb",
        type=shell.number,
        metavar="KB",
        help="at most so many KB of weights on the device of [target]",
    )
    pick.add_argument(
        "--max-memory-kb",
        type=shell.number,
        metavar="KB",
        help="at most so many KB of live activations on it, e.g. 256",
    )
    which = pick.add_mutually_exclusive_group()
    which.add_argument("--knee", action="store_true", help="the one where the front bends most")
    which.add_argument("--arch", metavar="STRING", help="this architecture: genes joined by |, as reports print it")
    pick.add_argument(
        "--finalists",
        type=shell.integer(1),
        default=1,
        metavar="K",
        help="train K networks within the limits alone, the front's best and those that a regression on all measurements "
        "promises most, without the validation images, and take the most accurate one on these (default: 1, the judge's "
        "favourite)",
    )
    width = pick.add_mutually_exclusive_group()
    width.add_argument(
        "--scale-to", type=shell.number, metavar="N", help="change its widths to reach this many MACs, e.g. 300M"
    )
    width.add_argument(
        "--fill", action="store_true", help="widen it, and every finalist, to --max-macs (default: the run's own limit)"
    )
    compared = command.add_argument_group("comparing instead of delivering")
    compared.add_argument(
        "--against",
        type=_names,
        metavar="NAMES",
        help="train the network and these at its MACs, alone and alike, and print who is ahead on the validation images: "
        "uniform (the best with one operation everywhere), random, random:N (the best of N), mobilenet_v2, efficientnet_b0; "
        "several joined by commas",
    )
    compared.add_argument(
        "--seeds",
        type=shell.integer(1),
        metavar="K",
        help="train each finalist, and what --against compares, K times (default: 1, with --against 3)",
    )
    command.add_argument(
        "--from-scratch",
        action="store_true",
        help="begin with fresh weights: a run of cuts has trained some (other runs have none, and nothing changes)",
    )
    command.add_argument(
        "--add",
        type=_additions,
        default=[],
        metavar="NAMES",
        help="add these to the network before it is trained: se (squeeze-excitation), swish; both joined by a comma "
        "(default: the setting deliver.add)",
    )
    command.add_argument(
        "--formats",
        type=_formats,
        metavar="NAMES",
        help="forms to write beside the weights: onnx, pt2, openvino, litert, executorch, coreml, int8, joined by commas; a "
        "folder that is there gets those that it lacks (default: the setting deliver.formats, onnx,pt2)",
    )
    command.add_argument("--out", type=Path, metavar="FOLDER", help="the folder to write (default: delivered/RUN)")
    command.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE",
        help="override a setting of [deliver] or [data], device or threads; repeatable",
    )  # fmt: skip
    command.add_argument(
        "--accept-data-change", action="store_true", help="continue although the data have changed since the run began"
    )
    command.add_argument(
        "--json", action="store_true", help="print architecture.json, or the comparison, and nothing else"
    )
    return command


def main(argv: Sequence[str] | None = None) -> int:
    """0: the network is there; 1: something the user must do first; 130: interrupted, whole epochs are kept."""
    if started_processes() > 1:
        return run_as_rank(partial(_read, argv), _run)
    return _run(_read(argv))


def _read(argv: Sequence[str] | None) -> argparse.Namespace:
    """What the command line asks for."""
    command = parser()
    args = command.parse_args(argv)
    if args.arch is not None and any(value for name, value in vars(args).items() if name.startswith("max_")):
        command.error("--arch names the network: leave out all limits, --max-macs and the like")
    if args.against and args.out:
        command.error("--against writes no folder: leave out --out")
    if args.against and args.formats:
        command.error("--against writes no files: leave out --formats")
    if args.seeds and args.finalists == 1 and not args.against:
        command.error("--seeds repeats the trainings of --finalists K and of --against NAMES: give one of them")
    return args


def _run(args: argparse.Namespace) -> int:
    """The exit status of what the command line asks for."""
    return shell.run_command(_lead, args, "whole epochs are kept; the same command continues")


def _lead(args: argparse.Namespace) -> int:
    """Deliver, or compare; under torchrun with all of its processes."""
    with ExitStack() as stack:
        if started_processes() > 1:
            from evo.workers.ranks import as_rank_zero

            stack.enter_context(as_rank_zero())
        return _compare(args) if args.against else _deliver(args)


def _names(text: str) -> list[str]:
    """Names joined by commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def _additions(text: str) -> list[str]:
    """What ``--add`` names."""
    from spaces.export.additions import ADDITIONS

    return _some_of(ADDITIONS, text)


def _formats(text: str) -> list[str]:
    """What ``--formats`` names."""
    from spaces.export.format_table import FORMATS

    return _some_of(FORMATS, text)


def _some_of(known: Iterable[str], text: str) -> list[str]:
    """Known names joined by commas, at least one."""
    names = _names(text)
    if unknown := [name for name in names if name not in known] or ([text] if not names else []):
        raise argparse.ArgumentTypeError(
            f"expected names joined by commas, of {', '.join(known)}, and found {unknown[0]!r}"
        )
    return names


def _overrides(args: argparse.Namespace) -> list[str]:
    """The settings that the command line gives, flags of their own last."""
    flags = {"deliver.add": args.add, "deliver.formats": args.formats}
    return [*args.set, *(f"{key}={json.dumps(names)}" for key, names in flags.items() if names)]


def _criteria(args: argparse.Namespace, seeds: int) -> Criteria:
    """Which network the command line asks for."""
    from evo.alone.selection import Criteria
    from spaces.architecture import Architecture
    from studies.records import COSTS

    most = {name: limit for name in COSTS if (limit := getattr(args, f"max_{name}")) is not None}
    arch = Architecture.parse(args.arch) if args.arch is not None else None
    return Criteria(most, arch, args.knee, args.scale_to, args.fill, args.finalists, args.seeds or seeds)


def _reporter(args: argparse.Namespace) -> Reporter:
    """Lines and progress bars; with ``--json`` the bars alone."""
    from evo.console import TERMINAL, Reporter, bar

    return Reporter(track=bar) if args.json else TERMINAL


def _deliver(args: argparse.Namespace) -> int:
    from evo.console import say
    from evo.deliver.model_card import terminal_summary
    from evo.deliver.pipeline import deliver_run
    from studies.run_names import run_folder

    folder = args.out or run_folder(Path("delivered"), args.run)
    criteria, reporter = _criteria(args, seeds=1), _reporter(args)
    description = deliver_run(
        args.run, args.storage, criteria, folder, _overrides(args), reporter, args.accept_data_change, args.from_scratch
    )
    reporter.say(terminal_summary(description, str(folder)))
    if args.json:
        say(json.dumps({"folder": str(folder), **description}, indent=1))
    return 0


def _compare(args: argparse.Namespace) -> int:
    from evo.console import say
    from evo.deliver.against import SEEDS, compare_with_no_search

    criteria, reporter = _criteria(args, seeds=SEEDS), _reporter(args)
    found = compare_with_no_search(
        args.run,
        args.storage,
        args.against,
        criteria,
        _overrides(args),
        reporter,
        args.accept_data_change,
        args.from_scratch,
    )
    reporter.say(str(found))
    if args.json:
        say(json.dumps(found.to_dict(), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
