"""How a finished round becomes the next space: rate, keep, refill. One paper, one file.

``evolution`` has the three signatures and the parts that several methods share. ``pad_nas``, ``nse``, ``dna``, ``autospace``
and ``fixed``, the control arm, compose them and add their own; ``registry`` knows them by the names that configurations use.
"""

__all__ = ["autospace", "dna", "evolution", "fixed", "nse", "pad_nas", "registry"]
