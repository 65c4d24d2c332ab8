"""What ``deliver.add`` does to a network that was picked, in words: which operations stay, which limits it leaves."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite

from evo.alone.candidates import Candidate
from evo.alone.selection import Criteria, limits_within
from spaces.costs.memory import Precision
from spaces.costs.table import count_costs
from spaces.export.additions import add_to_contender, unchanged_operations
from spaces.export.baselines import Contender
from studies.config import StudyConfig
from studies.database.rows import StoredRun


def describe_additions(picked: Candidate, run: StoredRun, config: StudyConfig, criteria: Criteria) -> list[str]:
    """Lines about what ``deliver.add`` adds to a network; none where it adds nothing.

    The limits are those of the search: the network was checked by them without.
    """
    names, convention = config.deliver.add, run.config.search.macs_convention
    if not names:
        return []
    searched = picked.contender("", convention)
    limits = upper_limits(run, criteria)
    added, said = " and ".join(names), describe_unchanged(searched)
    larger = add_to_contender(searched, names, convention)
    return [
        f"{added} added before the training{f'; {said}' if said else ''}",
        *describe_left(added, searched, larger, limits),
        *describe_left_on_device(added, searched, larger, limits, run.config.device_numbers),
    ]


def describe_unchanged(searched: Contender) -> str:
    """Which operations stay as they are, and why; empty where none does."""
    ops = unchanged_operations(searched.arch)
    return f"{', '.join(ops)} {'stays' if len(ops) == 1 else 'stay'}, having no such form" if ops else ""


def describe_left(added: str, before: Contender, after: Contender, limits: Mapping[str, float]) -> list[str]:
    """The limits that a network keeps as it was searched, and not with what is added; latency is not known then."""
    lines = []
    for cost, noun in (("macs", "MACs"), ("params", "parameters")):
        most, searched, now = limits.get(cost), getattr(before, cost), getattr(after, cost)
        if most is not None and searched <= most < now:
            lines.append(
                f"warning: with {added} the network leaves its budget: it has {now:,} {noun}, the limit is {most:,.0f}, and by "
                f"{searched:,}, without them, it was picked; a lower limit leaves room for them"
            )
    if "latency_ms" in limits:
        lines.append(f"the limit of latency was checked without {added}; with them it is measured on this machine")
    return lines


def describe_left_on_device(
    added: str, before: Contender, after: Contender, limits: Mapping[str, float], numbers: Precision | None
) -> list[str]:
    """The same of the limits of flash and memory."""
    searched, now = (count_costs(one.space, one.arch, target=numbers) for one in (before, after))
    return [
        f"warning: with {added} the network leaves its limit of {cost}: it has {getattr(now, cost):,.12g} KB, the limit is "
        f"{limits[cost]:,.12g}, and by {getattr(searched, cost):,.12g}, without them, it was picked"
        for cost in ("flash_kb", "memory_kb")
        if cost in limits and getattr(searched, cost) <= limits[cost] < getattr(now, cost)
    ]


def upper_limits(run: StoredRun, criteria: Criteria) -> dict[str, float]:
    """The most of each limited cost: the run's own limits and those of the criteria."""
    limits = {cost: most for cost, (_, most) in limits_within(run, criteria.max_costs).items() if isfinite(most)}
    return limits | ({"macs": criteria.scale_to} if criteria.scale_to else {})
