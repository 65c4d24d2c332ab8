"""How rightly scores rank: ``kendall`` compares them with networks trained alone, ``calibration`` corrects them by these."""

from analysis.ranking.kendall import Agreement, Truth, Witness, agreement, tau_b, truth_of

__all__ = ["Agreement", "Truth", "Witness", "agreement", "calibration", "kendall", "tau_b", "truth_of"]
