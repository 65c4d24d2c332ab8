"""What the commands of this room share: which runs are meant, and where what they write goes."""

from __future__ import annotations

import re
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from shutil import get_terminal_size
from textwrap import fill, wrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analysis.frames import Frames
    from analysis.verdict import Verdict

STORAGE = "sqlite:///evo.db"
RUN_HELP = "a run's name, or NAME@URL: the run of that name in another database"


def add_arguments(command: ArgumentParser) -> None:
    """Databases, and files beside the page."""
    add = command.add_argument
    add("--storage", action="append", metavar="URL", help=f"database (default: {STORAGE}); may be given again")
    add("--csv", type=Path, metavar="DIR", help="also write the data behind the figures into this folder, as CSV")
    add(
        "--png",
        type=Path,
        metavar="DIR",
        help="also write the figures into this folder, as PNG (needs kaleido and a browser)",
    )
    add("--json", action="store_true", help="print the findings as JSON, for scripts")


def frames_of(args: Namespace) -> list[Frames]:
    """The frames of the runs that a command line names, in its order; a name means that run in every database given.

    Raises:
        EvoError: a database or a run is missing, or nothing has been measured in it.
    """
    from analysis.findings import frames_at

    return frames_at(named(args.run, args.storage or [STORAGE]))


def verdicts_of(args: Namespace, runs: Sequence[str]) -> list[Verdict]:
    """What the control arms of the runs say, wherever a database holds some; each verdict once."""
    from analysis.findings import verdicts_at

    return verdicts_at(named(runs, args.storage or [STORAGE]))


def named(runs: Sequence[str], storages: Sequence[str]) -> list[tuple[str, str]]:
    """(run, database) for every run that is meant; with several databases, a run is looked for in each.

    Raises:
        EvoError: a database is missing, or none of several has a run of that name.
    """
    from studies.database.store import open_store
    from studies.database.urls import redacted, require_existing
    from studies.records import EvoError

    found = []
    for text in runs:
        if elsewhere := re.fullmatch(r"(.+?)@([a-z][a-z0-9+]*://.*)", text):
            found.append((elsewhere[1], elsewhere[2]))
        elif len(storages) == 1:
            found.append((text, storages[0]))
        else:
            held = []
            for url in storages:
                with open_store(require_existing(url)) as store:
                    held += [(text, url)] if store.find_run(text) else []
            if not held:
                raise EvoError(
                    f"no run {text!r} in any of {', '.join(map(redacted, storages))}; see: python -m studies.runs"
                )
            found += held
    return found


def write(page: Path, html: str) -> None:
    """Put the page on disk.

    Raises:
        EvoError: the file cannot be written there.
    """
    from spaces.atomic_files import write_text
    from studies.records import EvoError

    try:
        write_text(page, html)
    except OSError as error:
        raise EvoError(f"cannot write {page}: {error.strerror}; give another place") from None


def tell(sentence: str) -> None:
    """Print a sentence in lines that fit the terminal."""
    print(fill(sentence, get_terminal_size().columns, break_long_words=False, break_on_hyphens=False))


def folded(lines: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """Lines of a table with a name and values that fit the terminal: long values go on in further lines."""
    names = max(len(line[0]) for line in lines)
    width = max(20, (get_terminal_size().columns - names) // max(1, len(lines[0]) - 1) - 2)
    return [
        part
        for name, *values in lines
        for part in zip_longest([name], *(wrap(value, width, break_on_hyphens=False) for value in values), fillvalue="")
    ]
