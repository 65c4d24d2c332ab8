"""What the results mean: frames, figures and reports of recorded runs. Reads the database and changes nothing."""

from spaces import _interrupts as _interrupts  # first: Ctrl-C may come at any moment

# isort: split

__all__ = [
    "ablation",
    "answers",
    "cli",
    "compare",
    "comparison",
    "drawings",
    "export",
    "figures",
    "findings",
    "frames",
    "headroom",
    "no_search",
    "page",
    "ranking",
    "report",
    "sentences",
    "verdict",
]
