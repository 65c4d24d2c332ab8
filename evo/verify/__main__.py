"""``python -m evo.verify FOLDER`` holds a delivered network against what its folder says."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from spaces import shell

EXAMPLES = """examples:
  python -m evo.verify delivered/digits                              everything
  python -m evo.verify delivered/signs --set data.path=other/signs   the images lie elsewhere
  python -m evo.verify delivered/signs --skip latency --json         on another machine, for a program
"""


def parser() -> argparse.ArgumentParser:
    """The command line. Nothing heavy is imported before it has been read."""
    command = shell.parser(
        "evo.verify",
        "Is a delivered network still what was delivered, and does it do here what it did there? Its files are held against\n"
        "the sha256 that were noted down, all of its forms against its weights, the images against their fingerprint; its\n"
        "accuracy on the test images and its latency are measured again. Nothing is written. The status is 1 where\n"
        "something differs; that this machine is slower is only said.",
        EXAMPLES,
    )
    add = command.add_argument
    add("folder", type=Path, metavar="FOLDER", help="as python -m evo.deliver has made it")
    add("--set", action="append", default=[], metavar="KEY=VALUE",
        help="override a setting of [data], device or threads, e.g. data.path=FOLDER; repeatable")  # fmt: skip
    add("--skip", action="append", default=[], choices=("forms", "images", "latency"),
        help="leave a check out: of the other forms (model.py, ONNX, torch.export), of the images and the accuracy, or of "
        "the latency; repeatable")  # fmt: skip
    add("--plugin", action="append", default=[], metavar="FILE|MODULE",
        help="your own code, where the network has operations of it; repeatable")  # fmt: skip
    add("--json", action="store_true", help="print all findings as JSON and nothing else")
    return command


def main(argv: Sequence[str] | None = None) -> int:
    """0: as it was delivered; 1: something differs, or has to be done first; 130: interrupted."""
    return shell.run_command(_verify, parser().parse_args(argv), "nothing was written")


def _verify(args: argparse.Namespace) -> int:
    from evo.console import TERMINAL, Reporter, bar, say
    from evo.verify.session import verify_folder

    reporter = Reporter(track=bar) if args.json else TERMINAL
    found = verify_folder(args.folder, args.set, args.skip, args.plugin, reporter)
    say(json.dumps(found.to_dict(), indent=1) if args.json else str(found))
    return 0 if found.same else 1


if __name__ == "__main__":
    sys.exit(main())
