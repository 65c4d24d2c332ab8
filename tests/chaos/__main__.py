"""``make chaos``: strike runs with every fault, look at what is left, and write it down in ``docs/reliability.md``."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from random import Random

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "reliability.md"

EXAMPLES = """examples:
  make chaos                                    everything: some minutes
  python -m tests.chaos --quick                 a few strikes of each
  python -m tests.chaos --only worker --only page --seed 3
"""


def parser() -> argparse.ArgumentParser:
    command = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description="Kill, fill, cut, flip and change what a run stands on, and see whether it ends as it should.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--quick", action="store_true", help="a tenth of the strikes; writes no page")
    command.add_argument("--seed", type=int, default=0, help="when and where faults strike (default: 0)")
    command.add_argument(
        "--only", action="append", metavar="FAULT", help="this fault alone; repeatable; writes no page"
    )
    return command


def main(argv: Sequence[str] | None = None) -> int:
    """0: every fault ended as it should; 1: one did not."""
    args = parser().parse_args(argv)
    import optuna
    import torch

    from tests.chaos.faults import FAULTS, POSSIBLE
    from tests.chaos.page import Outcome, written
    from tests.chaos.stage import Stage

    if unknown := set(args.only or ()) - FAULTS.keys():
        print(f"no such fault: {', '.join(unknown)}; faults: {', '.join(FAULTS)}", file=sys.stderr)
        return 1
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    chosen = {name: fault for name, fault in FAULTS.items() if not args.only or name in args.only}
    outcomes: dict[str, Outcome] = {}
    place = Path(tempfile.mkdtemp(prefix="chaos-"))
    stage = Stage(place, Random(args.seed))
    progress = Progress(sum(fault.seconds for fault in chosen.values()))
    for name, fault in chosen.items():
        times = max(1, fault.times // 10) if args.quick else fault.times
        if not POSSIBLE.get(name, lambda: True)():
            outcomes[name] = Outcome(0, "", "not done: this machine does not let anyone mount a disk")
            progress.note(f"{name:24} {outcomes[name].wrong}")
            continue
        seen, wrong = [], ""
        try:
            for number, words in enumerate(fault.strike(stage, times), start=1):
                seen.append(words)
                progress.show(f"{name}: {number} of {times}", fault.seconds * number / times)
        except Exception as error:
            wrong = f"{error!r} at {traceback.extract_tb(error.__traceback__)[-1].line}"
        progress.past(fault.seconds)
        told = next((words for words in seen if words), "")
        outcomes[name] = Outcome(len(seen), told, wrong)
        progress.note(f"{name:24} {len(seen):3} times  {f'WRONG: {wrong}' if wrong else 'as it should be'}")
    shutil.rmtree(place)
    if not args.quick and not args.only:
        PAGE.write_text(written(FAULTS, outcomes), encoding="utf-8")
        print(f"\nwritten: {PAGE}")
    return int(any(outcome.wrong and outcome.times for outcome in outcomes.values()))


class Progress:
    """One line on the terminal that says what is done and about how long all of it will still take."""

    def __init__(self, expected: float) -> None:
        self.expected, self.done, self.started = expected, 0.0, time.monotonic()

    def show(self, text: str, here: float) -> None:
        passed, share = time.monotonic() - self.started, (self.done + here) / self.expected
        if sys.stderr.isatty():
            left = passed / share - passed
            print(f"\r\033[K{share:4.0%}  {text}  (about {left:.0f} s left)", end="", file=sys.stderr, flush=True)

    def past(self, seconds: float) -> None:
        self.done += seconds

    def note(self, text: str) -> None:
        clear = "\r\033[K" if sys.stderr.isatty() else ""
        print(f"{clear}{time.monotonic() - self.started:6.0f} s  {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
