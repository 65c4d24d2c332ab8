"""Scripts that search at their top level.

A process that Python starts imports the user's script first. Where that calls ``evo.search`` outside of
``if __name__ == "__main__":``, each worker process would begin the search again; it ends instead, with a status of its own.
"""

from __future__ import annotations

import multiprocessing
import sys

UNGUARDED = 71
"""The exit status of such a process."""

ADVICE = (
    "worker processes import the script that starts them, and this one would search again in each of them: write its calls "
    'of evo below a line `if __name__ == "__main__":`, or search with workers=1'
)


def end_if_starting() -> None:
    """End this process where it is a worker that is still importing the user's script."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):  # as multiprocessing itself asks
        sys.exit(UNGUARDED)
