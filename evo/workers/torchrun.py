"""A command that torchrun has started several times: rank 0 does what it is asked for, the others help it in silence.

torch is imported when the command line has been read.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from io import StringIO

from spaces._interrupts import hand_over


def started_processes() -> int:
    """How many processes torchrun has started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def run_as_rank(
    read: Callable[[], argparse.Namespace],
    run: Callable[[argparse.Namespace], int],
    is_shared: Callable[[argparse.Namespace], bool] = lambda args: True,
) -> int:
    """Run a command as one of torchrun's processes, and end the process with its exit status.

    Args:
        read: reads the command line; what it says of a wrong one is said once.
        run: does what is asked for, on rank 0, and gives the exit status.
        is_shared: whether the others have a part in what is asked for; they end at once where they have none.
    """
    hand_over()
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # what torch's C++ side remarks is no news to a user
    leads = os.environ["RANK"] == "0"
    with ExitStack() as silence:
        if not leads:
            silence.enter_context(redirect_stdout(StringIO()))
            silence.enter_context(redirect_stderr(StringIO()))
        args = read()
    from evo.workers.ranks import exit_now, serve_rank

    code = run(args) if leads else serve_rank() if is_shared(args) else 0
    return exit_now(code)  # at once: torch's threads would be ended in the middle of what they do
