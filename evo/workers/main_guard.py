"""Scripts that search at their top level.

A process that Python starts imports the user's script first. Where that calls ``evo.search`` outside of
``if __name__ == "__main__":``, each worker process would begin the search again. It ends instead, and this is found out
before anything is trained. Notebooks and interactive sessions have no script to import.
"""

from __future__ import annotations

import multiprocessing
import sys

from studies.records import EvoError

UNGUARDED = 71
"""The exit status of a process that would begin a search while it starts."""


def exit_in_worker() -> None:
    """End this process where it is one that is still importing the user's script."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):  # as multiprocessing itself asks
        sys.exit(UNGUARDED)


def check_script() -> None:
    """Start a process that does nothing, as worker processes are started.

    Raises:
        EvoError: the user's script would search again in it.
    """
    main = sys.modules["__main__"]
    if getattr(main, "__file__", None) is None:
        return
    process = multiprocessing.get_context("spawn").Process(target=int)
    process.start()
    process.join()
    if process.exitcode == UNGUARDED:
        raise EvoError(
            f"worker processes import the script that starts them, and {main.__file__} would search again in each of them: "
            'write what it does below a line `if __name__ == "__main__":`, or search with workers=1'
        )
