"""How rightly scores rank: ``kendall`` compares them with networks trained alone, ``calibration`` corrects them by these.

``proxies`` compares cheaper trainings with full ones, and says which of them to trust.
"""

from analysis.ranking.kendall import Agreement, Truth, Witness, agreement, resamples, tau_b, truth_of

__all__ = [
    "Agreement",
    "Truth",
    "Witness",
    "agreement",
    "calibration",
    "kendall",
    "proxies",
    "resamples",
    "tau_b",
    "truth_of",
]
