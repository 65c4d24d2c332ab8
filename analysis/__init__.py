"""What it meant: frames, figures, reports; reads the store only."""

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
