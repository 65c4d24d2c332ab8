"""``python -m analysis.compare RUN RUN`` puts runs side by side: what differs, and what each found at equal evaluations."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.command import RUN_HELP, add_arguments

if TYPE_CHECKING:
    from analysis.comparison import Compared
    from analysis.verdict import Verdict

EXAMPLES = """examples:
  python -m analysis.compare digits digits-fixed
  python -m analysis.compare digits digits-fixed --html compared.html
  python -m analysis.compare digits digits@sqlite:///other.db
  python -m analysis.compare digits --storage sqlite:///evo.db --storage sqlite:///other.db
"""


def parser() -> argparse.ArgumentParser:
    """The command line. Nothing heavy is imported before it has been read."""
    command = argparse.ArgumentParser(
        prog="python -m analysis.compare",
        description="Compare runs: settings that differ, and hypervolume at equal evaluations, in one common box.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("run", metavar="RUN", nargs="+", help=RUN_HELP)
    command.add_argument("--html", type=Path, metavar="FILE", help="write a page with the fronts in one picture")
    add_arguments(command)
    return command


def main(argv: Sequence[str] | None = None) -> int:
    """0: compared; 1: something the user must do first."""
    args = parser().parse_args(argv)
    from analysis import comparison, export, page
    from analysis.command import frames_of, verdicts_of, write
    from studies.records import EvoError

    try:
        compared = comparison.compare(frames_of(args))
        if len(compared.runs) < 2 and compared.references.empty:
            raise EvoError("expected two runs or more, found one: name another, or a second database by --storage")
        verdicts = verdicts_of(args, args.run)
        if args.html:
            told = [" ".join(verdict.sentences()) for verdict in verdicts]
            write(args.html, page.render_comparison(compared, told))
        if args.csv:
            export.write_csv(args.csv, export.compared_frames(compared))
        if args.png:
            export.write_png(args.png, page.comparison_figures(compared))
    except EvoError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if args.json:
        found = comparison.as_json(compared) | {"verdicts": [verdict.to_dict() for verdict in verdicts]}
        print(json.dumps(found, indent=2))
    else:
        show(compared, verdicts, args.html)
    return 0


def show(compared: Compared, verdicts: Sequence[Verdict], page: Path | None) -> None:
    """Runs and differing settings as tables, the findings, and where the page is."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from analysis import comparison
    from studies.units import short

    points = sorted(compared.equal["evaluations"].unique().tolist())
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("run", no_wrap=True)
    headings = ("method", "rounds", "evaluations", "best", *(f"volume at {short(point)}" for point in points))
    for heading in headings:
        table.add_column(heading, justify="right")
    for row in comparison.rows(compared):
        volumes = (f"{volume:.4f}" for volume in row["hypervolumes"])
        table.add_row(
            row["run"], row["method"], str(row["rounds"]), str(row["evaluations"]), f"{row['best_accuracy']:.2%}", *volumes
        )  # fmt: skip
    settings = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for i, heading in enumerate(compared.settings.columns):
        settings.add_column(heading, overflow="fold", no_wrap=not i)
    for line in compared.settings.values.tolist():
        settings.add_row(*line)
    console = Console(highlight=False, markup=False)
    console.print(table)
    judged = [sentence for verdict in verdicts for sentence in verdict.sentences()]
    for sentence in (*comparison.words(compared), *judged):
        console.print(sentence)
    console.print("\nSettings that differ:" + (" none" if compared.settings.empty else ""))
    if not compared.settings.empty:
        console.print(settings)
    if page:
        console.print(f"report: {page.resolve()}", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
