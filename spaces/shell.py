"""What all commands share: their command lines, and how they end.

0: done. 1: an error, said in words. 2: a command line that cannot be read. 130: interrupted by Ctrl-C. Whatever the terminal
is, or does, there is no traceback: signs that it cannot show are spelled out, and a reader who has gone is no error.
"""

from __future__ import annotations

import argparse
import errno
import io
import os
import platform
import select
import shlex
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NoReturn, TextIO

from spaces._interrupts import STATUS, watched
from spaces.errors import UserError, device_error_in_words
from spaces.units import parse_number

PACKAGE = "evo-nas"
VERSIONED_LIBRARIES = ("torch", "optuna")
"""Packages whose versions ``--version`` names."""

FAULT = "this is a fault of the program, not yours: please report it, with the lines above"


def parser(name: str, description: str, examples: str, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The command line of ``python -m name``; without ``parents``, which have them, with the options that all commands have."""
    make_printable()
    command = _Parser(
        prog=f"python -m {name}",
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=parents,
    )
    if not parents:
        add_arguments(command)
    return command


class _Parser(argparse.ArgumentParser):
    """Help that nobody reads to its end is no error."""

    def _print_message(self, message: str, file: Any = None) -> None:
        with suppress(OSError):
            super()._print_message(message, file)

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        if message:
            print_error(message.rstrip("\n"))
        flush_output()
        sys.exit(status)


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
        parser._print_message(f"{versions()}\n", sys.stdout)
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


def command_line(*words: str) -> str:
    """A command as it can be pasted into a shell: ``python -m``, and the words."""
    return shlex.join(["python", "-m", *words])


def run_command(work: Callable[[argparse.Namespace], int], args: argparse.Namespace, kept: str = "") -> int:
    """The exit status of a command.

    Args:
        work: does what the command line asks for, and gives its exit status.
        kept: what an interruption has left, and how to go on.
    """
    make_printable()
    with watched() as interruptions:
        try:
            status = work(args)
            flush_output(raising=True)
            return status
        except (UserError, OSError, EOFError) as error:
            if isinstance(error, BrokenPipeError) and _is_reader_gone():
                flush_output()
                return 0
            if interruptions.pressed and not isinstance(error, UserError):
                return _interrupted("", kept)
            if args.traceback:
                traceback.print_exc()
            print_error(f"error: {_in_words(error)}")
        except KeyboardInterrupt as stop:  # one that has words was no Ctrl-C
            return _interrupted(str(stop), kept)
        except Exception as error:
            if interruptions.pressed:
                return _interrupted("", kept)
            told = device_error_in_words(error)
            if told is None or args.traceback:
                traceback.print_exc()
            print_error(f"error: {told or FAULT}")
        flush_output()
        return 1


def _in_words(error: Exception) -> str:
    """What is said of an error. One of the system's that names no file is about the output, or the current folder."""
    if isinstance(error, OSError) and error.filename is None and error.strerror:
        if error.errno == errno.ENOENT and not _is_in_a_folder():
            return "the folder in which the command runs is not there any more: change to one that is (cd)"
        if error.errno in WRITING:
            return f"{error.strerror}: what was to be written is not complete; make room, or write to another place"
    return str(error) or END_OF_INPUT


WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""What the system says where something cannot be written."""


def _is_in_a_folder() -> bool:
    try:
        return bool(os.getcwd())
    except FileNotFoundError:
        return False


END_OF_INPUT = "the input ended where an answer was expected"


def _interrupted(reason: str, kept: str) -> int:
    """Say that the work was stopped, and what is kept; the exit status."""
    why = f"error: {reason}" if reason else "interrupted"
    print_error(f"\n{why}; {kept}" if kept else f"\n{why}")
    flush_output()
    return 1 if reason else STATUS


def make_printable() -> None:
    """From here on the terminal is sent nothing that it cannot show: other signs are spelled out, ``\\xe9``."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and not (_is_unicode(stream) and stream.errors == "surrogateescape"):
            stream.reconfigure(errors="backslashreplace")


def _is_unicode(stream: io.TextIOWrapper) -> bool:
    return stream.encoding.lower().replace("-", "").startswith("utf")


def print_error(text: str) -> None:
    """Print on standard error, if there is one."""
    if sys.stderr is not None:
        with suppress(OSError):
            print(text, file=sys.stderr, flush=True)


def _is_reader_gone() -> bool:
    """Whether standard output or standard error is a closed pipe (``| head``), which is no error."""
    poll = select.poll()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            poll.register(stream.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def flush_output(raising: bool = False) -> None:
    """Send what is still to be printed; where nobody takes it, discard it, so that Python can end in peace.

    Raises:
        OSError: it cannot be written, the disk is full, and ``raising`` is set. A reader who has gone is no error.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError as error:
            _discard(stream)
            if raising and not isinstance(error, BrokenPipeError):
                raise


def _discard(stream: TextIO) -> None:
    """Let a stream lead nowhere, so that Python can end in peace."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
