"""What all commands share: their command lines, and how they end.

0: done. 1: an error, said in words. 2: a command line that cannot be read. 130: interrupted by Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import platform
import select
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from spaces.errors import UserError
from spaces.units import parse_number

PACKAGE = "evo-nas"
VERSIONED_LIBRARIES = ("torch", "optuna")
"""Packages whose versions ``--version`` names."""

FAULT = "this is a fault of the program, not yours: please report it, with the lines above"


def parser(name: str, description: str, examples: str, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The command line of ``python -m name``; without ``parents``, which have them, with the options that all commands have."""
    command = argparse.ArgumentParser(
        prog=f"python -m {name}",
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=parents,
    )
    if not parents:
        add_arguments(command)
    return command


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The options that all commands have."""
    add = command.add_argument
    add("--version", action=_Version, help="print the versions of this program and its libraries")
    add("--traceback", action="store_true", help="on an error, also show Python's traceback")


class _Version(argparse.Action):
    """Versions are looked up when they are asked for, and nothing is imported for it."""

    def __init__(self, option_strings: Sequence[str], dest: str, **options: Any) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, **options | {"default": argparse.SUPPRESS})

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        print(versions())
        parser.exit()


def versions() -> str:
    """This program's version, and in brackets those of what it runs on."""
    around = [f"Python {platform.python_version()}", *(f"{name} {_version(name)}" for name in VERSIONED_LIBRARIES)]
    return f"{PACKAGE} {_version(PACKAGE)} ({', '.join(around)})"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


class Renamed(argparse.Action):
    """An option's earlier name: it is still taken, with a line about the new one."""

    def __init__(self, option_strings: Sequence[str], dest: str, **options: Any) -> None:
        super().__init__(option_strings, dest, help=argparse.SUPPRESS, **options)

    def __call__(
        self, parser: argparse.ArgumentParser, args: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        print(f"{option} is now --{self.dest}; the next release will not accept {option}", file=sys.stderr)
        setattr(args, self.dest, values)


def integer(least: int, most: int | None = None) -> Callable[[str], int]:
    """Reads whole numbers from ``least`` to ``most`` off a command line."""
    expected = f"a whole number from {least}" + (" on" if most is None else f" to {most}")

    def read(text: str) -> int:
        if not (text.isascii() and text.isdecimal()) or int(text) < least or (most is not None and int(text) > most):
            raise argparse.ArgumentTypeError(f"expected {expected}, found {text!r}")
        return int(text)

    return read


def number(text: str) -> float:
    """Reads positive numbers such as 50M off a command line."""
    try:
        return parse_number(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def run_command(work: Callable[[argparse.Namespace], int], args: argparse.Namespace, kept: str = "") -> int:
    """The exit status of a command.

    Args:
        work: does what the command line asks for, and gives its exit status.
        kept: what an interruption has left, and how to go on.
    """
    try:
        status = work(args)
        sys.stdout.flush()
        return status
    except (UserError, OSError) as error:
        if isinstance(error, BrokenPipeError) and _silence_stdout():
            return 0
        if args.traceback:
            traceback.print_exc()
        _print_error(f"error: {error}")
    except KeyboardInterrupt as stop:  # one that has words was no Ctrl-C
        why = f"error: {stop}" if str(stop) else "interrupted"
        _print_error(f"\n{why}; {kept}" if kept else f"\n{why}")
        return 1 if str(stop) else 130
    except Exception:
        traceback.print_exc()
        _print_error(f"error: {FAULT}")
    return 1


def _print_error(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _silence_stdout() -> bool:
    """Whether standard output is a closed pipe (``| head``), which is no error; further output is then discarded."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    gone = any(event & select.POLLERR for _, event in poll.poll(0))
    if gone:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return gone
