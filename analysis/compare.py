"""``python -m analysis.compare RUN RUN`` puts runs side by side: settings that differ, and hypervolume at equal evaluations."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.cli import RUN_HELP, add_arguments
from spaces import shell

if TYPE_CHECKING:
    from analysis.answers.both import Answers
    from analysis.comparison import RunComparison

EXAMPLES = """examples:
  python -m analysis.compare digits digits-fixed
  python -m analysis.compare digits digits-fixed --out compared.html
  python -m analysis.compare digits digits@sqlite:///other.db
  python -m analysis.compare digits --storage sqlite:///evo.db --storage sqlite:///other.db
"""


def parser() -> argparse.ArgumentParser:
    """The command line. Heavy imports come after it has been parsed."""
    command = shell.parser(
        "analysis.compare",
        "Compare runs: settings that differ, and hypervolume at equal evaluations, in one common box.",
        EXAMPLES,
    )
    command.add_argument("run", metavar="RUN", nargs="+", help=RUN_HELP)
    command.add_argument("--out", type=Path, metavar="FILE", help="write a page with the fronts in one picture")
    command.add_argument("--html", dest="out", type=Path, action=shell.Renamed)
    add_arguments(command)
    return command


def main(argv: Sequence[str] | None = None) -> int:
    """0: compared; 1: something the user must do first."""
    return shell.run_command(_compare, parser().parse_args(argv))


def _compare(args: argparse.Namespace) -> int:
    from analysis import comparison, export, page
    from analysis.cli import answers_of, frames_of, write
    from analysis.findings import comparison_page, side_by_side

    compared = side_by_side(frames_of(args))
    answers = answers_of(args, args.run)
    if args.out:
        write(args.out, comparison_page(compared, answers))
    if args.csv:
        export.write_csv(args.csv, export.compared_frames(compared))
    if args.png:
        export.write_png(args.png, page.comparison_figures(compared))
    if args.json:
        verdicts = [verdict.to_dict() for one in answers for verdict in one.verdicts]
        asked = {"answers": [one.to_dict() for one in answers], "verdicts": verdicts}
        print(json.dumps(comparison.as_json(compared) | asked, indent=2))
    else:
        show(compared, answers, args.out)
    return 0


def show(compared: RunComparison, answers: Sequence[Answers], page: Path | None) -> None:
    """Print runs and differing settings as tables, the findings, and the path of the page."""
    from analysis import comparison
    from analysis.cli import print_wrapped, wrap_rows
    from analysis.findings import paragraphs
    from spaces.columns import format_table
    from spaces.units import format_number

    points = sorted(compared.equal["evaluations"].unique().tolist())
    lines = [
        ["run", "method", "rounds", "evaluations", "best", *(f"volume at {format_number(point)}" for point in points)]
    ]
    for row in comparison.rows(compared):
        volumes = (f"{volume:.4f}" for volume in row["hypervolumes"])
        lines.append(
            [row["run"], row["method"], str(row["rounds"]), str(row["evaluations"]), f"{row['best_accuracy']:.2%}", *volumes]
        )  # fmt: skip
    print(format_table(lines, left=(0,)), end="\n\n")
    for sentence in (*comparison.describe_comparison(compared), *paragraphs(answers)):
        print_wrapped(sentence)
    print("\nSettings that differ:" + (" none" if compared.settings.empty else ""))
    if not compared.settings.empty:
        settings = wrap_rows([list(compared.settings.columns), *compared.settings.values.tolist()])
        print(format_table(settings, left=range(len(settings[0]))), end="\n\n")
    if page:
        print(f"report: {page.resolve()}")


if __name__ == "__main__":
    sys.exit(main())
