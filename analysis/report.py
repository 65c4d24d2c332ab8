"""``python -m analysis.report RUN`` writes one HTML page about a run, and prints a summary on the terminal."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.cli import RUN_HELP, add_arguments
from spaces import shell

if TYPE_CHECKING:
    from analysis.answers.both import Answers
    from analysis.comparison import RunComparison
    from analysis.frames import Frames

EXAMPLES = """examples:
  python -m analysis.report digits                        writes digits.html
  python -m analysis.report digits digits-fixed           digits, with the other run in its figures
  python -m analysis.report digits --csv frames --png pictures
  python -m analysis.report digits --json | jq '.front[].arch'
"""


def parser() -> argparse.ArgumentParser:
    """The command line. Heavy imports come after it has been parsed."""
    command = shell.parser(
        "analysis.report",
        "Write one self-contained HTML page about a run, with other runs for comparison: fronts, hypervolume,\n"
        "networks, operations, time.",
        EXAMPLES,
    )
    command.add_argument(
        "run",
        metavar="RUN",
        nargs="+",
        help=f"{RUN_HELP}; the page is about the first. A run with other objectives shows only how its scores rank",
    )
    command.add_argument("--out", type=Path, metavar="FILE", help="the page (default: RUN.html)")
    add_arguments(command)
    return command


def main(argv: Sequence[str] | None = None) -> int:
    """0: the page is written; 1: something the user must do first."""
    return shell.run_command(_report, parser().parse_args(argv))


def _report(args: argparse.Namespace) -> int:
    from analysis import export
    from analysis.cli import answers_of, frames_of, write
    from analysis.findings import Findings
    from studies.run_names import file_stem

    findings = Findings(frames_of(args), answers_of(args, args.run[:1]))
    frames, compared = findings.frames, findings.compared
    out = args.out or Path(f"{file_stem(frames.run.name)}.html")
    write(out, findings.html())
    if args.csv:
        beside = export.compared_frames(compared) if findings.several else {}
        export.write_csv(args.csv, export.frames_of(frames) | beside)
    if args.png:
        export.write_png(args.png, findings.figures())
    if args.json:
        print(json.dumps(as_json(frames, compared, findings.answers, out), indent=2))
    else:
        show(frames, compared, findings.answers, out)
    return 0


def show(frames: Frames, compared: RunComparison, answers: Sequence[Answers], page: Path) -> None:
    """Print the rounds as a table, the summary, and the path of the page."""
    from analysis import comparison
    from analysis.cli import print_wrapped
    from analysis.findings import paragraphs
    from analysis.sentences import COSTS, summary
    from spaces.columns import format_table
    from spaces.units import format_number

    cost = COSTS[frames.cost]
    lines = [["round", "space", "proposals", "front", "best", cost, "hypervolume", "dropped", "added"]]
    lines += [
        [
            str(row.round), format_number(row.space_size), str(row.proposals), str(row.front), f"{row.best_accuracy:.2%}",
            format_number(row.best_cost), f"{row.hypervolume:.4f}", str(row.dropped), str(row.added),
        ]
        for row in frames.rounds
    ]  # fmt: skip
    print(format_table(lines), end="\n\n")
    beside = comparison.describe_comparison(compared) if len(compared.runs) > 1 or len(compared.references) else []
    for sentence in (*summary(frames), *beside, *paragraphs(answers)):
        print_wrapped(sentence)
    print(f"\nreport: {page.resolve()}")


def as_json(frames: Frames, compared: RunComparison, answers: Sequence[Answers], page: Path) -> dict[str, Any]:
    """The findings as plain data: rounds, the final front, the ablation, comparisons; a missing number is null."""
    from analysis import comparison
    from analysis.sentences import device_columns

    columns = ["round", "arch", "accuracy", "macs", "params", "latency_ms", *device_columns(frames.final), "judge"]
    word = frames.run.config.noun
    front = frames.final[columns].rename(columns={"accuracy": word})
    return {
        "run": frames.run.name,
        "page": str(page.resolve()),
        "rounds": [
            {name.replace("accuracy", word): value for name, value in asdict(row).items()} for row in frames.rounds
        ],
        "front": json.loads(front.to_json(orient="records", double_precision=15)),
        "whatif": json.loads(frames.whatif.to_json(orient="records", double_precision=15)),
        "compared": comparison.as_json(compared) if len(compared.runs) > 1 else None,
        "answers": [one.to_dict() for one in answers],
        "verdicts": [verdict.to_dict() for one in answers for verdict in one.verdicts],
    }


if __name__ == "__main__":
    sys.exit(main())
