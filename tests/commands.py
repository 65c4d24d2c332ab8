"""The commands of the project, called in this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec


def main_of(module: str) -> Callable[[Sequence[str]], int]:
    """The ``main`` that ``python -m MODULE`` runs: a package's is in its ``__main__``."""
    found = find_spec(module)
    package = found is not None and found.submodule_search_locations is not None
    main: Callable[[Sequence[str]], int] = import_module(f"{module}.__main__" if package else module).main
    return main
