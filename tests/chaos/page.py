"""What the harness found, as a page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tests.chaos.faults import Fault

HEAD = """# Reliability

What goes wrong, and what is left of it. `make chaos` does all of this, for real, to small runs, compares what is left with
a run that nobody disturbed (results, failures, spaces, fates, sha256 of weights, Optuna's trials), and writes this page.
Messages are quoted as they came.

| fault | done | times | a user sees | left | as promised |
|---|---|---|---|---|---|
"""

TAIL = """
## What it rests on

- A generation, with its Optuna trials, is one transaction; what it proposes depends on seeds, parents and what was seen.
- Every epoch of a training is one file, written beside and renamed, with the epoch before; everything random in it flows from
  its seed and number. So whatever is lost is made again, bit for bit.
- Files of weights and of progress carry a sha256 of all that they hold, and are verified whenever they are read; a damaged one
  is renamed (`....damaged`), never deleted.
- An evaluator may fail: the architecture is found out, its trial is FAIL in Optuna, its reason stands in the view
  `failures`; it counts as measured, is never proposed again, and is on no front and no parent. When all of a generation fail
  for one reason, nothing is recorded, and the run stops.
- Time is measured by clocks that cannot jump; what is written in the order of things is read by number, never by date.

## What it does not do

- SQLite has no checksums of its pages: a bit that is turned inside a number, so that the page still fits, is not noticed.
  (PostgreSQL has them where a cluster was made with `initdb --data-checksums`.)
- Of a folder of images with more than 4 GB, names, sizes and classes count for the fingerprint, and 4 kB from the middle of
  each file (up to 4 GB: all of it; some 25,000 small files a second). Of a torch `Dataset` of more than 5,000 items or 1 GB of
  pixels, the content of a thousand items and more. A run that release 0.1 began goes on with its own fingerprint: of a thousand
  files or items of many.
- `evaluator.timeout` does not count the start of a process, nor the opening of data and weights: a hang there is waited for.
"""


@dataclass(frozen=True)
class Outcome:
    """What came of a fault: how often it was done, what was seen first, and what was wrong, if anything was."""

    times: int
    seen: str
    wrong: str


def written(faults: Mapping[str, Fault], outcomes: Mapping[str, Outcome]) -> str:
    """The page."""
    rows = []
    for name, fault in faults.items():
        found = outcomes[name]
        sees = f"`{found.seen}`" if found.seen else fault.sees
        cells = (
            name,
            fault.done,
            str(found.times),
            sees,
            fault.left,
            f"**no: {found.wrong}**" if found.wrong else "yes",
        )
        rows.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return HEAD + "\n".join(rows) + "\n" + TAIL
