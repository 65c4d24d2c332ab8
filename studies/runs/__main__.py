"""``python -m studies.runs`` lists the runs of a database; it also shows, renames and deletes them."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from spaces import shell
from spaces.columns import format_table

if TYPE_CHECKING:
    from studies.database.rows import RunKey, StoredRound, StoredRun
    from studies.database.store import Store

EXAMPLES = """examples:
  python -m studies.runs                                  all runs of evo.db
  python -m studies.runs show digits
  python -m studies.runs rename digits first-try
  python -m studies.runs delete first-try --yes
  python -m studies.runs --storage sqlite:///other.db --json
"""


def parser() -> argparse.ArgumentParser:
    """The command line. Nothing heavy is imported before it has been read."""
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument("--storage", metavar="URL", help="database (default: sqlite:///evo.db)")
    common.add_argument("--json", action="store_true", help="print JSON, for scripts")
    shell.add_arguments(common)
    command = shell.parser(
        "studies.runs", "The runs of a database: list them, show one, rename it, delete it.", EXAMPLES, common
    )
    commands = command.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("list", help="all runs, oldest first (the default)", parents=[common])
    show = commands.add_parser("show", help="one run: its rounds and settings", parents=[common])
    show.add_argument("run", metavar="RUN")
    rename = commands.add_parser("rename", help="give a run another name", parents=[common])
    rename.add_argument("run", metavar="OLD")
    rename.add_argument("new", metavar="NEW")
    delete = commands.add_parser("delete", help="delete runs, with their Optuna studies", parents=[common])
    delete.add_argument("run", metavar="RUN", nargs="+")
    delete.add_argument("--yes", action="store_true", help="do not ask")
    command.set_defaults(command="list", storage="sqlite:///evo.db", json=False, traceback=False)
    return command


def main(argv: Sequence[str] | None = None) -> int:
    """0: done; 1: something the user must do first, or a deletion that was not confirmed."""
    return shell.run_command(_run, parser().parse_args(argv))


def _run(args: argparse.Namespace) -> int:
    from studies.database.store import open_store
    from studies.database.urls import require_existing

    storage = require_existing(args.storage)
    if args.command not in WRITING:
        with open_store(storage, read_only=True) as store:
            return COMMANDS[args.command](store, args)
    with open_store(storage, read_only=True) as store:
        for name in [args.run] if isinstance(args.run, str) else args.run:
            store.key(name)
    with open_store(storage) as store:
        return COMMANDS[args.command](store, args)


def list_command(store: Store, args: argparse.Namespace) -> int:
    """Print a line per run."""
    from spaces.units import format_number
    from studies.database.urls import command_on
    from studies.runs.manage import run_summaries

    summaries = run_summaries(store)
    if args.json:
        print(
            json.dumps([asdict(entry) | {"begun": entry.begun and str(entry.begun)} for entry in summaries], indent=2)
        )
        return 0
    if not summaries:
        print(f"no runs yet; start one with: {command_on(store.url, 'evo.round', '1')}")
        return 0
    lines = [["run", "method", "space", "evaluator", "seed", "rounds", "evaluations", "hypervolume", "begun (UTC)"]]
    lines += [
        [
            entry.name, entry.method, entry.space, entry.evaluator, str(entry.seed),
            str(entry.rounds) if entry.finished == entry.rounds else f"{entry.finished} of {entry.rounds}",
            format_number(entry.evaluations), "-" if entry.hypervolume is None else f"{entry.hypervolume:.4f}",
            "-" if entry.begun is None else f"{entry.begun:%Y-%m-%d %H:%M}",
        ]
        for entry in summaries
    ]  # fmt: skip
    print(format_table(lines, left=range(4)))
    for entry in summaries:
        if entry.problem:
            print(f"run {entry.name} cannot be read: {entry.problem}")
    return 0


def show_command(store: Store, args: argparse.Namespace) -> int:
    """Print one run's rounds and settings."""
    from spaces.units import format_number

    run = store.run(args.run)
    rounds = [_round_in_numbers(run, row) for row in store.rounds(run)]
    settings = run.config.model_dump(mode="json", exclude_none=True)
    if args.json:
        print(json.dumps({"run": run.name, "space": run.space.name, "rounds": rounds, "settings": settings}, indent=2))
        return 0
    print(
        f"run {run.name}: {len(run.space.layers)} layers of {run.space.name}, {format_number(run.space.size)} architectures\n"
    )

    def cell(value: Any) -> str:
        return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else format_number(value)

    headings = ["round", "architectures", "proposals", "measured", "front", "hypervolume", "seconds"]
    lines = [[cell(row[name]) for name in headings] for row in rounds]
    for line, row in zip(lines, rounds, strict=True):
        line.append("" if row["finished"] else "unfinished")
    print(format_table([[*headings, ""], *lines]))
    print("\nsettings that were given or have a default:")
    for section, values in ((section, values) for section, values in settings.items() if values != {}):
        items = values.items() if isinstance(values, dict) else [("", values)]
        print(f"  {section:10} " + ", ".join(f"{key} = {json.dumps(v)}".removeprefix(" = ") for key, v in items))
    return 0


def _round_in_numbers(run: StoredRun, row: StoredRound) -> dict[str, Any]:
    """A round as a line of the table.

    Raises:
        EvoError: what is remembered of it is no number.
    """
    from studies.database.rows import reading

    counts = ("proposals", "measured", "front")
    with reading(run.name, f"what is remembered of round {row.number}"):
        return {
            "round": row.number, "study": row.study, "finished": row.finished, "architectures": row.space.size,
            **{name: None if row.stats.get(name) is None else int(row.stats[name]) for name in counts},
            "found": {str(name): int(number) for name, number in row.stats.get("found", {}).items()},
            "hypervolume": row.hypervolume, "seconds": sum(row.stats.get("seconds", {}).values()) or None,
        }  # fmt: skip


def rename_command(store: Store, args: argparse.Namespace) -> int:
    """Rename a run."""
    from studies.runs.manage import rename_run

    rename_run(store, args.run, args.new)
    print(json.dumps({"renamed": args.run, "run": args.new}) if args.json else f"run {args.run} is now {args.new}")
    return 0


def delete_command(store: Store, args: argparse.Namespace) -> int:
    """Delete runs after the user has confirmed it."""
    from studies.records import EvoError
    from studies.runs.manage import delete_run

    selected = [store.key(name) for name in dict.fromkeys(args.run)]
    warnings = [consequences(store, run) for run in selected]
    if not args.yes:
        print("\n".join(warnings), file=sys.stderr)
        if args.json or sys.stdin is None or not sys.stdin.isatty():
            raise EvoError("nothing was deleted: there is no terminal to ask on; confirm with --yes")
        if not confirmed("Delete? This cannot be undone. [y/N] "):
            print("nothing was deleted", file=sys.stderr)
            return 1
    for run in selected:
        delete_run(store, run)
    print(
        json.dumps({"deleted": [run.name for run in selected]})
        if args.json
        else "\n".join(f"deleted {line}" for line in warnings)
    )
    return 0


def confirmed(question: str) -> bool:
    """Whether the user says yes; the end of input is a no."""
    try:
        return input(question).strip().lower() in ("y", "yes")
    except EOFError:
        return False


def consequences(store: Store, run: RunKey) -> str:
    """What goes with a run, and what stays."""
    from studies.database.urls import files_folder
    from studies.run_names import run_folder
    from studies.runs.manage import run_summaries

    (entry,) = (entry for entry in run_summaries(store) if entry.name == run.name)
    folder = run_folder(files_folder(store.url), run.name)
    stays = f"; its weights stay in {folder}" if folder.is_dir() else ""
    unfinished = "" if entry.finished == entry.rounds else "; its last round is unfinished: is it running?"
    return (
        f"run {run.name}: {entry.rounds} rounds, {entry.evaluations} evaluations, "
        f"{entry.proposals} trials in Optuna's studies {run.name}/round-*{stays}{unfinished}"
    )


WRITING = ("rename", "delete")
"""The commands that change the database; a run's name is looked up before it is opened for them."""

COMMANDS = {"list": list_command, "show": show_command, "rename": rename_command, "delete": delete_command}


if __name__ == "__main__":
    sys.exit(main())
