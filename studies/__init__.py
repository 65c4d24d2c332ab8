"""What is remembered: records, settings, and the database."""

from spaces import _interrupts as _interrupts  # first: Ctrl-C may come at any moment

# isort: split

__all__ = [
    "config",
    "controls",
    "dashboard",
    "database",
    "pareto",
    "plugins",
    "records",
    "run_names",
    "runs",
    "settings_text",
]
