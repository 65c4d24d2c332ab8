"""``python -m spaces.latency --space mobile_cifar --out lut.csv`` times every part of a space, here or on your device."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from spaces import shell
from spaces.latency.command import DeviceCommand
from spaces.latency.measure import (
    LatencyTable,
    MeasurementSetting,
    Timer,
    load_latency_table,
    measure_missing,
    stem_part,
    torch_timer,
    write_corrected,
)
from spaces.latency.networks import draw_networks, measure_networks, parts_of, read_networks
from spaces.library.cli import SPACE_HELP, add_image_arguments, resolve_space
from spaces.space import SearchSpace

EXAMPLES = """examples:
  python -m spaces.latency --space mobile_cifar --out lut.csv
  python -m spaces.latency --space mobile_cifar --device cuda --batch 32 --out gpu.csv
  python -m spaces.latency --space mobile_cifar --out pi.csv --command "ssh-bench.sh {onnx}" --networks 30
                                       on your device, held against 30 whole networks, and corrected: pi.corrected.csv
  python -m spaces.latency --space mobile_cifar --out ort.csv --networks 30 \\
      --command "python -m spaces.latency.runtimes onnxruntime {onnx}"
  python -m spaces.show mobile_cifar --latency lut.csv
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    command = shell.parser(
        "spaces.latency",
        "Measure how long every operation of a space takes, on this machine or by a command on another device, and write a\n"
        "table. With --networks, whole networks are measured, too: how far the table's sums are off is said, and a corrected\n"
        "table is written. An interrupted measurement continues: what was measured is not measured again.",
        EXAMPLES,
    )
    add, count = command.add_argument, shell.integer(1)
    add("--space", required=True, metavar="NAME", help=SPACE_HELP)
    add("--out", required=True, type=Path, metavar="FILE", help="the table to write or to continue, .csv")
    add("--device", default="cpu", help="as torch names it: cpu, cuda, cuda:1, mps (default: %(default)s)")
    add("--batch", type=count, default=1, metavar="N", help="images at a time (default: %(default)s)")
    add("--threads", type=count, default=1, metavar="N", help="on a CPU (default: %(default)s)")
    add("--repeats", type=count, default=50, metavar="N", help="passes to take the median of (default: %(default)s)")
    add("--command", metavar="COMMAND",
        help="time by this command instead of torch: its words, {onnx} where the name of an ONNX file for one image belongs; "
        "the last number that it prints counts as milliseconds")  # fmt: skip
    add("--runs", type=count, default=3, metavar="N",
        help="how often --command is run for a file; the median counts (default: %(default)s)")  # fmt: skip
    add("--timeout", type=shell.number, default=600.0, metavar="S", help="seconds that a run may take (default: 600)")
    add("--networks", type=count, metavar="N",
        help="measure N whole networks of the space, hold the table's sums against them, and write FILE.corrected.csv; what "
        "was measured stays in FILE.networks.csv")  # fmt: skip
    add_image_arguments(command)
    return command


def main(argv: Sequence[str] | None = None) -> int:
    """0: measured; 1: something the user must do first; 130: interrupted, what was measured is kept."""
    args = parser().parse_args(argv)
    return shell.run_command(_measure, args, f"{args.out} has what was measured; the same command continues")


def _measure(args: argparse.Namespace) -> int:
    space = resolve_space(args.space, args)
    timer, setting = _timer(args)
    n = _watched(measure_missing(space, args.out, setting, timer), "measuring")
    see = shell.command_line("spaces.show", args.space, "--latency", str(args.out))
    print(f"{args.out}: {n} parts measured now\nsee it: {see}")
    if args.networks:
        _correct(space, args, timer, setting)
    return 0


def _timer(args: argparse.Namespace) -> tuple[Timer, MeasurementSetting]:
    """What times a part or a network, and what the table says about that."""
    if args.command:
        setting = MeasurementSetting(args.runs, args.command, 1, args.threads)
        return DeviceCommand(args.command, args.runs, args.timeout), setting
    setting = MeasurementSetting(max(2, args.repeats), args.device, args.batch, args.threads)
    return torch_timer(setting), setting


def _correct(space: SearchSpace, args: argparse.Namespace, timer: Timer, setting: MeasurementSetting) -> None:
    """Hold the table against whole networks, and write it corrected."""
    from spaces.latency.correction import learn_correction

    table = load_latency_table(args.out)
    assert isinstance(table, LatencyTable)
    whole, corrected = (args.out.with_name(f"{args.out.stem}.{name}.csv") for name in ("networks", "corrected"))
    archs = draw_networks(space, table, args.networks)
    device = f"{setting.device}, batch {setting.batch}, threads {setting.threads}"
    n = _watched(measure_networks(space, archs, whole, timer, device), "measuring networks")
    known = read_networks(whole)
    measured = [arch for arch in archs if arch in known]
    found = learn_correction(
        [parts_of(arch, space) for arch in measured], [known[arch] for arch in measured], table.entries
    )
    stems = {part[0] for part in map(stem_part, [space])}
    write_corrected(
        args.out,
        corrected,
        lambda part, ms: found.of_part(part, ms, part[0] in stems, not part[0].startswith(("stem_", "head_"))),
    )
    failed = len(archs) - len(measured)
    print(
        f"{whole}: {n} networks measured now{f', {failed} of {len(archs)} have failed' if failed else ''}\n"
        f"  the table's sums beside {len(measured)} whole networks: {found.before}\n"
        f"  corrected, each by what the others teach:      {found.after}\n"
        f"{corrected}: the corrected table, for [latency] path"
    )


def _watched(left: Iterator[int], label: str) -> int:
    """Measures, with a progress bar on a terminal; returns how many were measured."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    total = next(left)
    columns = (
        TextColumn(f"  {label}"),
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
