"""Shared by the commands of this package: the runs that a command line names, and output to files and the terminal."""

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
    from analysis.answers.both import Answers
    from analysis.frames import Frames
    from studies.database.rows import StoredRun

STORAGE = "sqlite:///evo.db"
RUN_HELP = "a run's name, or NAME@URL: the run of that name in another database"


def add_arguments(command: ArgumentParser) -> None:
    """Add the options for databases and for files beside the page."""
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
    """The frames of the runs that a command line names, in its order; a name stands for that run in every given database.

    Raises:
        EvoError: a database or a run is missing, a run has measured nothing, or the output would lie among its images.
    """
    from analysis.findings import frames_at

    found = frames_at(locate_runs(args.run, args.storage or [STORAGE]))
    check_places(args, [frames.run for frames in found])
    return found


def check_places(args: Namespace, runs: Sequence[StoredRun]) -> None:
    """No file that a command line asks for would lie among the images of a run, and change what it rests on.

    Raises:
        EvoError: one would.
    """
    from studies.records import EvoError

    pictures = {Path(run.config.data.path).resolve(): run.name for run in runs if run.config.data.name == "images"}
    for option, place in (("--out", args.out), ("--csv", args.csv), ("--png", args.png)):
        inside = pictures.keys() & {place.resolve(), *place.resolve().parents} if place else set()
        for folder in inside:
            raise EvoError(
                f"{option} {place}: the images of run {pictures[folder]!r} are in {folder}; give a place outside of it"
            )


def answers_of(args: Namespace, runs: Sequence[str]) -> list[Answers]:
    """Did searching and evolving pay in these runs? Each answer once."""
    from analysis.findings import answers_at

    return answers_at(locate_runs(runs, args.storage or [STORAGE]))


def locate_runs(runs: Sequence[str], storages: Sequence[str]) -> list[tuple[str, str]]:
    """(name, database URL) of every run that ``runs`` names; with several databases a run is looked up in each.

    Args:
        runs: names, or ``NAME@URL``.
        storages: URLs of databases.

    Raises:
        EvoError: a database is missing, or none of several databases has a run of that name.
    """
    from studies.database.store import open_store
    from studies.database.urls import redacted, require_existing
    from studies.records import EvoError

    places = []
    for text in runs:
        if elsewhere := re.fullmatch(r"(.+?)@([a-z][a-z0-9+]*://.*)", text):
            places.append((elsewhere[1], elsewhere[2]))
        elif len(storages) == 1:
            places.append((text, storages[0]))
        else:
            matches = []
            for url in storages:
                with open_store(require_existing(url), read_only=True) as store:
                    matches += [(text, url)] if store.find_key(text) else []
            if not matches:
                raise EvoError(
                    f"no run {text!r} in any of {', '.join(map(redacted, storages))}; see: python -m studies.runs"
                )
            places += matches
    return places


def write(page: Path, html: str) -> None:
    """Write the page ``html`` to the file ``page``.

    Raises:
        EvoError: the file cannot be written there, or is there and no page.
    """
    from spaces.errors import SpaceError
    from spaces.files.outputs import write_output
    from studies.records import EvoError

    try:
        write_output(page, html)
    except SpaceError as error:
        raise EvoError(str(error)) from None


def print_wrapped(sentence: str) -> None:
    """Print a sentence in lines that fit the terminal."""
    print(fill(sentence, get_terminal_size().columns, break_long_words=False, break_on_hyphens=False))


def wrap_rows(rows: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """Rows of a table, a name and values each, that fit the terminal: long values continue in further rows."""
    names = max(len(row[0]) for row in rows)
    width = max(20, (get_terminal_size().columns - names) // max(1, len(rows[0]) - 1) - 2)
    return [
        part
        for name, *values in rows
        for part in zip_longest([name], *(wrap(value, width, break_on_hyphens=False) for value in values), fillvalue="")
    ]
