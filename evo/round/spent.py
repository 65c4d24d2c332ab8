"""What a round has cost in multiply-accumulates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from analysis.frames import truth_in
from evo.alone.charge import CHARGES, round_macs
from evo.data.loading import load_dataset
from evo.round.context import RoundContext
from studies.records import Proposal


def spent_macs(
    context: RoundContext, proposals: Sequence[Proposal], stats: Mapping[str, Any]
) -> dict[str, float] | None:
    """MACs by activity: ``training``, ``scoring`` and ``truth``; None where nobody can count those of the evaluator. What was
    found in other runs costs nothing.

    Args:
        stats: the round's statistics, with ``truth`` if it has asked for it.
    """
    config = context.config
    if config.evaluator.kind not in CHARGES:
        return None
    measured = [p.evaluation for p in proposals if p.is_new and p.evaluation.found_in is None]
    earlier, images = (row.stats for row in context.earlier), load_dataset(config.data, config.device)
    found = found_alone(context, stats)
    spent = round_macs(config, context.space, context.n, measured, stats, earlier, images, found)
    return None if spent is None else asdict(spent)


def found_alone(context: RoundContext, stats: Mapping[str, Any]) -> set[str]:
    """The networks by which the round's scores are checked that another run had trained alone."""
    truth, shared = truth_in(stats), context.shared
    if truth is None:
        return set()
    answers = shared.store.evaluations(shared.run, truth.judge)
    return {str(e.arch) for e in answers if e.found_in is not None}
