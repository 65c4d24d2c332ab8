"""How long operations take on a machine: ``python -m spaces.latency`` measures it.

``measure`` times every operation of a space in every shape that it has there, and reads what was measured; ``published`` reads
tables that others have published. Both give a ``LatencyModel``, which ``spaces.costs`` adds up over an architecture.
"""

__all__ = ["measure", "published"]
