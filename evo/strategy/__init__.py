"""The search strategy: inside one round, for architectures that are accurate and cheap.

``generations`` is its loop: propose, measure, record, until the budget is spent. ``design`` is the first generation, ``nsga2``
breeds the next ones. ``screening`` chooses, of many children, those of which the ``surrogate`` expects the most hypervolume
(``improvement``); ``encoding`` gives it architectures as numbers, ``kernel`` says how alike they are, and ``lessons`` what
other runs have measured; ``measured_latency`` says what networks take on a device. ``additive`` learns what single operations
add at equal cost; ``effects`` tells it of a round, ``best_operations`` finds what the best network with each of them is worth,
and ``promised`` the best of all.
"""

__all__ = [
    "additive",
    "best_operations",
    "cost_ladder",
    "design",
    "effects",
    "encoding",
    "generations",
    "improvement",
    "kernel",
    "lessons",
    "measured_latency",
    "nsga2",
    "promised",
    "screening",
    "surrogate",
]
