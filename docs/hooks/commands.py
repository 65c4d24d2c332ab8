"""Reference: the commands, each by its own ``--help``."""

from __future__ import annotations

import importlib
import io
import os
from contextlib import redirect_stdout
from unittest.mock import patch

from docs.hooks.markdown import block

COMMANDS: dict[str, tuple[str, ...]] = {
    "evo.round": (),
    "evo.deliver": (),
    "evo.verify": (),
    "evo.headroom": (),
    "evo.proxies": (),
    "analysis.report": (),
    "analysis.compare": (),
    "studies.runs": ("show", "rename", "delete"),
    "studies.dashboard": (),
    "spaces.show": (),
    "spaces.latency": (),
    "spaces.latency.runtimes": (),
}
"""Every module that ``python -m`` runs, with its sub-commands."""

WIDTH = 100

INTRODUCTION = """# Commands

Every command is a Python module: `python -m evo.round --help`. In the environment that `make` made, write
`.venv/bin/python`. What follows is what each command prints about itself.
"""


def page() -> str:
    """The page, as Markdown."""
    parts = [INTRODUCTION]
    for module, subcommands in COMMANDS.items():
        parts += [f"## {module}", block(help_of(module))]
        for subcommand in subcommands:
            parts += [f"### {module} {subcommand}", block(help_of(module, subcommand))]
    return "\n\n".join(parts) + "\n"


def help_of(module: str, *subcommand: str) -> str:
    """What ``python -m MODULE ... --help`` prints."""
    command = importlib.import_module(module)
    if hasattr(command, "__path__"):
        command = importlib.import_module(f"{module}.__main__")
    printed = io.StringIO()
    with redirect_stdout(printed), patch.dict(os.environ, {"COLUMNS": str(WIDTH)}):
        try:
            command.main([*subcommand, "--help"])
        except SystemExit:
            return printed.getvalue()
    raise AssertionError(f"python -m {module} {' '.join(subcommand)} --help did not end the command")
