"""What the results mean: frames, figures and reports of recorded runs. Reads the database and changes nothing."""

__all__ = [
    "ablation",
    "cli",
    "compare",
    "comparison",
    "drawings",
    "export",
    "findings",
    "frames",
    "lineage",
    "operation_history",
    "page",
    "plots",
    "ranking",
    "report",
    "sentences",
    "theme",
    "verdict",
]
