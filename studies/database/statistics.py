"""What a round's statistics are as columns of ``rounds``. A new one gets a migration of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Float, Integer
from sqlalchemy.types import TypeEngine

STATISTICS: dict[str, dict[str, TypeEngine[Any]]] = {
    "0009": {
        "front_size": Integer(),
        "tau": Float(),
        "tau_macs": Float(),
        "fitting_seconds": Float(),
        "searching_seconds": Float(),
        "truth_seconds": Float(),
    },
    "0014": {"training_macs": Float(), "scoring_macs": Float(), "truth_macs": Float()},
}
"""The columns by the migration that made them."""

SEARCHING = ("proposing", "evaluating", "storing", "searching")
"""What a search consists of; its sum alone was kept at first, as ``searching``."""


def columns_of(stats: Mapping[str, Any]) -> dict[str, int | float | None]:
    """The values of ``STATISTICS``; all null while a round runs, the taus where no truth was asked for, and MACs where the
    evaluator's cannot be counted."""
    seconds, truth, macs = stats.get("seconds"), stats.get("truth") or {}, stats.get("macs") or {}
    by_likelihood = truth.get("objective") == "likelihood" and truth.get("nll")
    agreement = (truth.get("nll") if by_likelihood else truth.get("accuracy")) or {}

    def spent(*activities: str) -> float | None:
        return None if seconds is None else float(sum(seconds.get(name, 0.0) for name in activities))

    return {
        "front_size": stats.get("front"),
        "tau": agreement.get("tau"),
        "tau_macs": agreement.get("tau_macs"),
        "fitting_seconds": spent("fitting"),
        "searching_seconds": spent(*SEARCHING),
        "truth_seconds": spent("truth"),
        **{f"{what}_macs": macs.get(what) for what in ("training", "scoring", "truth")},
    }
