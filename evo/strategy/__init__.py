"""The search strategy: inside one round, for architectures that are accurate and cheap.

``generations`` is its loop: propose, measure, record, until the budget is spent. ``nsga2`` proposes the first generation and
breeds the next ones. ``screening`` chooses, of many children, those of which the ``surrogate`` expects the most hypervolume;
``encoding`` gives it architectures as numbers.
"""

__all__ = ["encoding", "generations", "nsga2", "screening", "surrogate"]
