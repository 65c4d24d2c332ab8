"""Is what the tool cuts out of a trained network better than what rivals make of it, at the same cost?

``data`` makes the images, ``bench`` the run that all arms begin with and the fine-tuning that all end with, ``arms`` the arms,
``rivals`` those of other libraries, ``counting`` counts multiply-accumulates, ``ledger`` keeps costs, ``table`` shows results;
``pools`` asks whether a pool pays. ``python -m benchmarks.pretrained --help`` tells how it is run.
"""

__all__ = ["arms", "bench", "counting", "data", "ledger", "pools", "rivals", "table"]
