"""Whether what blocks lose ranks networks: NAS-Bench-Macro.

``truth`` reads the published table, ``blocks`` trains a teacher and the blocks of one seed (``settings``: how long),
``results`` keeps what these lose, ``figures`` compares it with the truth, ``report`` makes tables of that.
"""

__all__ = ["blocks", "figures", "report", "results", "settings", "truth"]
