"""Do the losses of blocks rank networks, and do they know more than multiply-accumulates?

    python -m benchmarks.macro_blocks run --table nas_bench_macro_cifar10.csv.gz --images cifar10.npz --seeds 0 1 2 --out DIR
    python -m benchmarks.macro_blocks show --table nas_bench_macro_cifar10.csv.gz --out DIR

All networks of NAS-Bench-Macro (https://arxiv.org/abs/2103.11922) were trained three times on CIFAR-10, and their accuracies
are published. Here its largest network, made wider, is trained on CIFAR-10, and the blocks of the space learn to imitate it
(evaluator ``blockwise``: DNA, https://arxiv.org/abs/1911.13053). What the 9, 27 and 27 candidates of the three blocks lose is
added up for every network. Kendall's tau with the published accuracies is given beside that of MACs alone; within bins of
about equal MACs; and with MACs partialled out. For budgets of MACs, the accuracy of the network whose blocks lose least is
given beside those of the best, the median and the dearest network below the budget.

A network's spellings (an identity commutes inside a stage: 6,561 strings are 3,969 networks) are one network: its accuracy is
the mean over them, and its loss that of the spelling with its identities last. ``--width`` and ``--pixels`` make the work
cheaper; MACs are always those of the published networks. Results are lines of ``results.jsonl`` in ``--out``: the same
command continues, and ``show`` trains nothing.
"""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path

from benchmarks.macro_blocks.blocks import train_blocks
from benchmarks.macro_blocks.report import report
from benchmarks.macro_blocks.results import append_result, read_results
from benchmarks.macro_blocks.settings import Settings
from benchmarks.macro_blocks.truth import TABLE, read_truth
from spaces.units import parse_number


def run(args: argparse.Namespace) -> None:
    """Whatever seeds are missing, each written at once."""
    args.out.mkdir(parents=True, exist_ok=True)
    settings = Settings(**{field.name: getattr(args, field.name) for field in fields(Settings)})
    done = {(result.settings, result.seed) for result in read_results(args.out)}
    for seed in args.seeds:
        if (settings, seed) not in done:
            append_result(args.out, train_blocks(settings, args.images, seed, args.out, args.threads, args.device))
    show(args)


def show(args: argparse.Namespace) -> None:
    """Tables of all results that there are."""
    print(report(read_truth(args.table), read_results(args.out), [parse_number(text) for text in args.budgets]))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.macro_blocks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = made.add_subparsers(required=True)
    for name, work in (("run", run), ("show", show)):
        command = commands.add_parser(name, help=(work.__doc__ or "").splitlines()[0])
        command.set_defaults(work=work)
        command.add_argument("--table", type=Path, default=Path(TABLE), help="also looked for in the folder EVO_DATA")
        command.add_argument("--out", type=Path, default=Path("macro_blocks"), help="a folder (default: macro_blocks)")
        command.add_argument("--budgets", nargs="+", default=["30M", "40M", "50M", "60M", "75M"], help="of MACs")
        if work is run:
            _add_work(command)
    return made


def _add_work(command: argparse.ArgumentParser) -> None:
    command.add_argument("--images", type=Path, required=True, help="an .npz of x_train, y_train, x_test, y_test")
    command.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    for field in fields(Settings):
        kind = int if isinstance(field.default, int) or field.default is None else float
        command.add_argument(f"--{field.name.replace('_', '-')}", type=kind, default=field.default)
    command.add_argument("--threads", type=int, default=1)
    command.add_argument("--device", choices=("auto", "cpu", "cuda"), default="cpu")


def main() -> None:
    args = parser().parse_args()
    args.work(args)


if __name__ == "__main__":
    main()
