"""What a round's statistics are as columns of ``rounds``. Migration 0009 made them: a new one gets a migration of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Float, Integer
from sqlalchemy.types import TypeEngine

STATISTICS: dict[str, TypeEngine[Any]] = {
    "front_size": Integer(),
    "tau": Float(),
    "tau_macs": Float(),
    "fitting_seconds": Float(),
    "searching_seconds": Float(),
    "truth_seconds": Float(),
}

SEARCHING = ("proposing", "evaluating", "storing", "searching")
"""What a search consists of; its sum alone was kept at first, as ``searching``."""


def columns_of(stats: Mapping[str, Any]) -> dict[str, int | float | None]:
    """The values of ``STATISTICS``; all null while a round runs, and the taus where no truth was asked for."""
    seconds, truth = stats.get("seconds"), stats.get("truth") or {}
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
    }
