"""Networks of a run's front at the widths that are asked for: what may be delivered, and what is compared."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from math import inf, isfinite

from evo.alone.selection import Criteria, Selected, limits_within, select_finalists
from spaces.costs.table import count_costs
from spaces.errors import UserError
from spaces.export.baselines import Contender, contender
from spaces.export.scaling import ScaledSpace, scale_to_macs
from spaces.units import format_number
from studies.database.rows import StoredRun
from studies.database.store import Store
from studies.records import EvoError

SPARE = 0.05
"""The share of a budget that may be left unused without a word."""


@dataclass(frozen=True)
class Candidate:
    """A network of a run that may be delivered, and the widths that were chosen for it; None: those of its space."""

    chosen: Selected
    scaled: ScaledSpace | None

    def contender(self, name: str, convention: str) -> Contender:
        """The network as it would be delivered."""
        arch, space = (self.scaled or self.chosen).arch, (self.scaled or self.chosen).space
        return contender(name, arch, space, convention)


def find_candidates(store: Store, run: StoredRun, criteria: Criteria) -> list[Candidate]:
    """The networks among which the criteria leave the choice, at the widths that they ask for, the judge's favourite first.

    Raises:
        EvoError: nothing fits the criteria.
        SpaceError: an architecture or a budget that cannot be.
    """
    favourite, *others = select_finalists(store, run, criteria)
    candidates = [Candidate(favourite, choose_widths(favourite, run, criteria))]
    for selected in others:
        with suppress(UserError):  # its widths cannot be had: it takes no part
            candidates.append(Candidate(selected, choose_widths(selected, run, criteria)))
    return candidates


# -- widths -----------------------------------------------------------------------------------------------------------


def choose_widths(chosen: Selected, run: StoredRun, criteria: Criteria) -> ScaledSpace | None:
    """The widths that the criteria ask for; None: those of the space, also where no wider ones fit.

    Raises:
        EvoError: there is no limit to fill, or a filled network breaks another limit of the run.
        SpaceError: a budget that cannot be met.
    """
    convention = run.config.search.macs_convention
    if criteria.scale_to:
        return scale_to_macs(chosen.space, chosen.arch, criteria.scale_to, convention)
    if not criteria.fill:
        return None
    scaled = scale_to_macs(chosen.space, chosen.arch, limit_to_fill(run, criteria), convention)
    if scaled.macs <= count_costs(chosen.space, chosen.arch, convention).macs:
        return None
    _check_filled(scaled, run, criteria)
    return scaled


def _check_filled(scaled: ScaledSpace, run: StoredRun, criteria: Criteria) -> None:
    """Raises EvoError where a widened network breaks a limit that is not of MACs."""
    costs = count_costs(scaled.space, scaled.arch, target=run.config.device_numbers)
    limits = limits_within(run, {name: most for name, most in criteria.max_costs.items() if name != "params"})
    for name, noun in {"params": "parameters", "flash_kb": "KB of flash", "memory_kb": "KB of memory"}.items():
        has, (_, most) = getattr(costs, name), limits.get(name, (0, inf))
        if has > most:
            whose = (
                f"limits.{name} of run {run.name!r}" if name in run.config.limits.given() else f"the limit of {name}"
            )
            raise EvoError(
                f"--fill: at {scaled.macs:,} MACs the network has {has:,.12g} {noun}, and {whose} allows {most:,.12g}: "
                "leave --fill out, or give a lower --max-macs"
            )


def limit_to_fill(run: StoredRun, criteria: Criteria) -> float:
    """The MACs that a network is widened to: the limit of the criteria, else that of the run.

    Raises:
        EvoError: neither has one, or latency is limited, too.
    """
    limits = run.config.limits.given()
    if "latency_ms" in limits:
        raise EvoError(
            f"--fill changes widths, and limits.latency_ms of run {run.name!r} is known for those of its space only: leave "
            "it out"
        )
    most = criteria.max_costs.get("macs", limits.get("macs", (0, inf))[1])
    if not isfinite(most):
        raise EvoError("--fill widens the network to a budget of MACs, and there is none: give --max-macs, e.g. 200k")
    return most


def describe_unused(candidate: Candidate, run: StoredRun, criteria: Criteria) -> str:
    """A line about what a network leaves of the budget that was given; empty where that is little, or other MACs were asked."""
    most = criteria.max_costs.get("macs")
    if most is None or criteria.scale_to:
        return ""
    macs = candidate.contender("", run.config.search.macs_convention).macs
    if macs >= (1 - SPARE) * most:
        return ""
    hint = ": widths grow in multiples of 8" if criteria.fill else ": --fill widens it"
    hint = "" if run.config.evaluator.starts_networks else hint  # its weights are those of its widths
    return (
        f"the network has {format_number(macs)} MACs, and {1 - macs / most:.0%} of the budget of {format_number(most)} is "
        f"unused{hint}"
    )
