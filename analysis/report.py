"""``python -m analysis.report RUN`` writes one HTML page about a run, and says the same in short on the terminal."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.frames import Frames

EXAMPLES = """examples:
  python -m analysis.report digits                        writes digits.html
  python -m analysis.report digits --out report.html --storage sqlite:///other.db
  python -m analysis.report digits --json | jq '.front[].arch'
"""


def parser() -> argparse.ArgumentParser:
    """The command line. Nothing heavy is imported before it has been read."""
    command = argparse.ArgumentParser(
        prog="python -m analysis.report",
        description="Write one self-contained HTML page about a run: fronts, hypervolume, operations, final networks.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("run", metavar="RUN", help="the run's name")
    command.add_argument("--storage", default="sqlite:///evo.db", metavar="URL", help="database (default: %(default)s)")
    command.add_argument("--out", type=Path, metavar="FILE", help="the page (default: RUN.html)")
    command.add_argument("--json", action="store_true", help="print the summary as JSON, for scripts")
    return command


def main(argv: Sequence[str] | None = None) -> int:
    """0: the page is written; 1: something the user must do first."""
    args = parser().parse_args(argv)
    from analysis.frames import load
    from analysis.page import render
    from studies.records import EvoError
    from studies.store import opened
    from studies.urls import existing

    page = args.out or Path(f"{args.run.replace('/', '-')}.html")
    try:
        with opened(existing(args.storage)) as store:
            frames = load(store, store.run(args.run))
            write(page, render(store, frames))
    except EvoError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps(as_json(frames, page), indent=2))
    else:
        show(frames, page)
    return 0


def write(page: Path, html: str) -> None:
    """Put the page on disk.

    Raises:
        EvoError: the file cannot be written there.
    """
    from studies.records import EvoError

    try:
        page.write_text(html, encoding="utf-8")
    except OSError as error:
        raise EvoError(f"cannot write {page}: {error.strerror}; give another place: --out FILE") from None


def show(frames: Frames, page: Path) -> None:
    """The rounds as a table, the summary, and where the page is."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from analysis.words import COSTS, summary
    from studies.units import short

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    cost = COSTS[frames.cost]
    for heading in ("round", "space", "trials", "front", "best", cost, "hypervolume", "dropped", "refilled"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in frames.rounds:
        table.add_row(
            str(row.round), short(row.space_size), str(row.trials), str(row.front), f"{row.best_accuracy:.2%}",
            short(row.best_cost), f"{row.hypervolume:.4f}", str(row.dropped), str(row.refilled),
        )  # fmt: skip
    console = Console(highlight=False)
    console.print(table)
    for sentence in summary(frames):
        console.print(sentence, markup=False)
    console.print(f"\nreport: {page.resolve()}", markup=False, soft_wrap=True)


def as_json(frames: Frames, page: Path) -> dict[str, Any]:
    """What ``show`` shows and the final front, for a script; a missing number is null."""
    columns = ["round", "arch", "accuracy", "macs", "params", "latency_ms", "judge"]
    return {
        "run": frames.run.name,
        "page": str(page.resolve()),
        "rounds": [asdict(row) for row in frames.rounds],
        "front": json.loads(frames.final[columns].to_json(orient="records", double_precision=15)),
    }


if __name__ == "__main__":
    sys.exit(main())
