"""``python -m evo.round N``: bring a run to the end of round N.

``algorithm.run_round`` is the algorithm box of the whole project: fit, search, evolve, remember. ``context`` computes what a
round rests on once; ``new_run`` begins a run, ``in_flight`` decides how far ahead it proposes, ``arms`` names the runs of a
command line, ``command`` and ``printing`` are the command's body and its lines, ``ground_truth`` compares scores with networks
trained alone, ``calibration`` corrects scores by them, ``spent`` counts what it all cost, ``shared_round`` spares a control arm
the round that it shares with its run, ``other_runs`` finds what others have measured, ``dashboard`` publishes.
"""

__all__ = [
    "algorithm",
    "arms",
    "calibration",
    "clock",
    "command",
    "context",
    "costs",
    "dashboard",
    "ground_truth",
    "in_flight",
    "new_run",
    "options",
    "other_runs",
    "own_operations",
    "plan",
    "printing",
    "session",
    "shared_round",
    "spent",
    "survivors",
]
