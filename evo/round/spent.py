"""What a round has cost in multiply-accumulates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from evo.alone.charge import CHARGES, round_macs
from evo.data.loading import load_dataset
from evo.round.context import RoundContext
from studies.records import Proposal


def spent_macs(
    context: RoundContext, proposals: Sequence[Proposal], stats: Mapping[str, Any]
) -> dict[str, float] | None:
    """MACs by activity: ``training``, ``scoring`` and ``truth``; None where nobody can count those of the evaluator.

    Args:
        stats: the round's statistics, with ``truth`` if it has asked for it.
    """
    config = context.config
    if config.evaluator.kind not in CHARGES:
        return None
    measured = [proposal.evaluation for proposal in proposals if proposal.is_new]
    earlier, images = (row.stats for row in context.earlier), load_dataset(config.data, config.device)
    spent = round_macs(config, context.space, context.n, measured, stats, earlier, images)
    return None if spent is None else asdict(spent)
