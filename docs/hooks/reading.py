"""The code in one sitting: the files that one reads to know how the program works, and how long they are.

``python -m docs.hooks.reading`` prints the table, and fails where the path is longer than ``LIMIT`` lines.
"""

from __future__ import annotations

import sys
from pathlib import Path

from docs.hooks.markdown import code, table

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 900

PATH: dict[str, str] = {
    "README.md": "what the program does, and its words",
    "evo/round/algorithm.py": "`run_round`: the whole algorithm of one round",
    "studies/records.py": "`Evaluation`, `Proposal`, `Round`: what a round is made of",
    "spaces/architecture.py": "`Architecture`: a tuple of strings",
    "evo/methods/evolution.py": "`Evolution`: rate, keep, refill, and the parts that methods choose from",
    "evo/methods/pad_nas.py": "`pad_nas`: one paper, as a choice of parts",
}
"""File -> what one learns there, in the order of reading."""


def lengths() -> dict[str, int]:
    """The lines of each file of the path, blank ones and comments included."""
    return {name: len((ROOT / name).read_text(encoding="utf-8").splitlines()) for name in PATH}


def reading_table() -> str:
    """The path as a Markdown table, with its total."""
    counted = lengths()
    rows = [[str(i), code(name), PATH[name], str(lines)] for i, (name, lines) in enumerate(counted.items(), start=1)]
    return table(["", "file", "what one learns there", "lines"], [*rows, ["", "", "all", str(sum(counted.values()))]])


def main() -> int:
    """0: the path is short enough; 1: it is not."""
    total = sum(lengths().values())
    print(reading_table())
    if total > LIMIT:
        print(f"error: the path has {total} lines, and at most {LIMIT} are allowed", file=sys.stderr)
    return int(total > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
