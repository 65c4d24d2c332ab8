"""``python -m analysis.report RUN`` writes one HTML page about a run, and says the same in short on the terminal."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.command import RUN_HELP, add_arguments

if TYPE_CHECKING:
    from analysis.comparison import Compared
    from analysis.frames import Frames
    from analysis.verdict import Verdict

EXAMPLES = """examples:
  python -m analysis.report digits                        writes digits.html
  python -m analysis.report digits digits-fixed           digits, with the other run in its figures
  python -m analysis.report digits --csv frames --png pictures
  python -m analysis.report digits --json | jq '.front[].arch'
"""


def parser() -> argparse.ArgumentParser:
    """The command line. Nothing heavy is imported before it has been read."""
    command = argparse.ArgumentParser(
        prog="python -m analysis.report",
        description="Write one self-contained HTML page about a run, beside others where they are named: fronts, "
        "hypervolume, networks, operations, time.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "run",
        metavar="RUN",
        nargs="+",
        help=f"{RUN_HELP}; the page is about the first. Of a run with other objectives only how its scores rank is told",
    )
    command.add_argument("--out", type=Path, metavar="FILE", help="the page (default: RUN.html)")
    add_arguments(command)
    return command


def main(argv: Sequence[str] | None = None) -> int:
    """0: the page is written; 1: something the user must do first."""
    args = parser().parse_args(argv)
    from analysis import export, page
    from analysis.command import frames_of, verdicts_of, write
    from analysis.comparison import compare, trusted
    from studies.records import EvoError

    try:
        runs = frames_of(args)
        frames = runs[0]
        compared = compare([run for run in runs if alike(run, frames)])
        verdicts = verdicts_of(args, args.run[:1])
        out = args.out or Path(f"{frames.run.name.replace('/', '-')}.html")
        told = [" ".join(verdict.sentences()) for verdict in verdicts]
        write(out, page.render(frames, compared, told, trusted(runs)))
        several = len(compared.runs) > 1
        if args.csv:
            export.write_csv(
                args.csv, export.frames_of(frames) | (export.compared_frames(compared) if several else {})
            )  # fmt: skip
        if args.png:
            beside = page.comparison_figures(compared) if several else {}
            export.write_png(args.png, page.figures(frames, compared) | page.operation_figures(frames) | beside)
    except EvoError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps(as_json(frames, compared, verdicts, out), indent=2))
    else:
        show(frames, compared, verdicts, out)
    return 0


def alike(one: Frames, other: Frames) -> bool:
    """Whether two runs weigh the same two objectives, so that their fronts may stand in one picture."""
    return (one.objective, one.cost) == (other.objective, other.cost)


def show(frames: Frames, compared: Compared, verdicts: Sequence[Verdict], page: Path) -> None:
    """The rounds as a table, the summary, and where the page is."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from analysis import comparison
    from analysis.words import COSTS, summary
    from studies.units import short

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    cost = COSTS[frames.cost]
    for heading in ("round", "space", "proposals", "front", "best", cost, "hypervolume", "dropped", "refilled"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in frames.rounds:
        table.add_row(
            str(row.round), short(row.space_size), str(row.proposals), str(row.front), f"{row.best_accuracy:.2%}",
            short(row.best_cost), f"{row.hypervolume:.4f}", str(row.dropped), str(row.refilled),
        )  # fmt: skip
    console = Console(highlight=False)
    console.print(table)
    beside = comparison.words(compared) if len(compared.runs) > 1 or len(compared.references) else []
    judged = [sentence for verdict in verdicts for sentence in verdict.sentences()]
    for sentence in (*summary(frames), *beside, *judged):
        console.print(sentence, markup=False)
    console.print(f"\nreport: {page.resolve()}", markup=False, soft_wrap=True)


def as_json(frames: Frames, compared: Compared, verdicts: Sequence[Verdict], page: Path) -> dict[str, Any]:
    """What ``show`` shows, the final front and what dropping costs, for a script; a missing number is null."""
    from analysis import comparison

    columns = ["round", "arch", "accuracy", "macs", "params", "latency_ms", "judge"]
    return {
        "run": frames.run.name,
        "page": str(page.resolve()),
        "rounds": [asdict(row) for row in frames.rounds],
        "front": json.loads(frames.final[columns].to_json(orient="records", double_precision=15)),
        "whatif": json.loads(frames.whatif.to_json(orient="records", double_precision=15)),
        "compared": comparison.as_json(compared) if len(compared.runs) > 1 else None,
        "verdicts": [verdict.to_dict() for verdict in verdicts],
    }


if __name__ == "__main__":
    sys.exit(main())
