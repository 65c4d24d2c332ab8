"""How long operations take on a machine: ``python -m spaces.latency`` measures it.

``measure`` times every operation of a space in every shape that it has there, and reads what was measured; ``published`` reads
tables that others have published. Both give a ``LatencyModel``, which ``spaces.costs`` adds up over an architecture.
``command`` times on a device of the user's, ``runtimes`` is such a command for this machine. ``networks`` times whole networks,
and ``correction`` learns from them what a table's sums are off by.
"""

__all__ = ["command", "correction", "measure", "networks", "published", "runtimes"]
