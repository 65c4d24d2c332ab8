"""How a finished round becomes the next space: rate, keep, refill. One method, one file.

``evolution`` has the three signatures and the parts that several methods share. ``pad_nas``, ``nse``, ``dna``, ``autospace``,
``evidence``, which is this program's own, and ``fixed``, the control arm, compose them and add their own parts, and
``worth_making`` decides where trying an operation costs a training; ``registry`` knows methods by the names that configurations
use.
"""

__all__ = ["autospace", "dna", "evidence", "evolution", "fixed", "nse", "pad_nas", "registry", "worth_making"]
