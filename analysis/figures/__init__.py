"""Frames as figures and tables of the page: pure functions, in one theme.

``plots`` draws fronts, hypervolume, operations, truth and time; ``objectives`` more than two objectives; ``lineage`` the family
tree of bred cells; ``operation_history`` what became of operations. ``theme`` has the colours, symbols and fonts of all.
"""

__all__ = ["lineage", "objectives", "operation_history", "plots", "theme"]
