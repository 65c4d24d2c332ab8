"""What a configuration's architectures cost: exactly, or timed on a device."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from evo.data.paths import candidate_paths
from evo.evaluators.tabular import measured_archs, table_costs
from evo.evaluators.timed import NetworkTimer
from evo.strategy.measured_latency import MeasuredLatency
from spaces.costs.table import PEAKS, CostTable, LatencyModel, cost_table
from spaces.latency.command import DeviceCommand
from spaces.latency.measure import LatencyTable
from spaces.latency.measure import load_latency_table as load_latency
from spaces.space import SearchSpace
from studies.config import StudyConfig, TabularSection
from studies.records import COSTS, Evaluation, EvoError

SAME = 1e-9
"""Costs that differ by less, as a share, differ in rounding only."""


def costs_of(config: StudyConfig, space: SearchSpace) -> CostTable:
    """Exact costs of a space's architectures, as the configuration counts them."""
    if config.space.name == "table" and isinstance(config.evaluator, TabularSection):
        return table_costs(config.evaluator, space)
    return cost_table(space, config.search.macs_convention, latency_of(config), config.device_numbers)


def check_costs(config: StudyConfig, space: SearchSpace, costs: CostTable) -> None:
    """Tell before anything runs that nobody knows a cost that the configuration speaks of, or that it decides nothing.

    Raises:
        EvoError: the cost is 0 for every architecture of the space, or what is minimised is the same for all of them.
    """
    least, most = (dict(zip(costs.columns, ends, strict=True)) for ends in costs.bounds().tolist())
    measured_latency(config, space)  # raises where its table is of another kind
    differs = {cost: not np.isclose(least[cost], most[cost], rtol=SAME, atol=0) for cost in costs.columns}
    search = config.search
    asked: dict[str, str] = {search.cost: f"search.cost is {search.cost!r}"}
    asked |= {name: f"search.objectives has {name!r}" for name in search.costs[1:]}
    asked |= {name: f"limits.{name} is given" for name in config.limits.given() if name not in asked}
    for name, why in asked.items():
        minimised = name in search.costs and space.size > 1
        if not most[name] or (minimised and not differs[name]):
            known = " or ".join(repr(cost) for cost in costs.columns if differs[cost] and cost not in PEAKS)
            raise EvoError(
                f"{why}, and it is {most[name]:g} for every architecture of {space.name!r}: {_source(config, name, most[name])}"
                + (f", or choose {known}" if known else "")
            )


def check_measured(config: StudyConfig, space: SearchSpace, costs: CostTable) -> None:
    """Tell before anything runs that a table that lacks architectures has none inside the limits.

    Raises:
        EvoError: it has none; the message says what there is.
    """
    limits = config.limits.given()
    if not (limits and isinstance(config.evaluator, TabularSection)):
        return
    known = measured_archs(config.evaluator, space, space)
    if known is None or not len(known):
        return
    counted = costs.count(known)
    columns = {name: counted[:, COSTS.index(name)] for name in limits}
    inside = [(least <= columns[name]) & (columns[name] <= most) for name, (least, most) in limits.items()]
    if not np.all(inside, axis=0).any():
        raise EvoError(
            f"none of the {len(known)} architectures of {space.name!r} in the table lies inside the limits; they have "
            + ", ".join(f"{name} from {column.min():g} to {column.max():g}" for name, column in columns.items())
        )


def _source(config: StudyConfig, cost: str, value: float) -> str:
    """What to do about a cost that is ``value`` for all."""
    column = {"macs": "macs_column", "params": "params_column", "latency_ms": "latency_column"}.get(cost)
    if column and config.space.name == "table" and isinstance(config.evaluator, TabularSection):
        given = getattr(config.evaluator, column)
        told = f"column {given!r} of the table holds nothing else" if given else "the table has no column of it"
        return f"{told}; name the column that has it with evaluator.{column}"
    if value:
        return "its operations do not differ in it"
    return "give a latency table with latency.path" if cost == "latency_ms" else "nothing of it has a cost"


def timer_of(config: StudyConfig, space: SearchSpace, library: Path) -> NetworkTimer | None:
    """What times networks of ``space``; None where their latency is the table's sum."""
    latency = config.latency
    if latency is None or not config.measures_latency:
        return None
    command = latency.command and DeviceCommand(latency.command, latency.runs, latency.timeout)
    return NetworkTimer(command or None, space, config.limits.latency_ms, library)


def measured_latency(
    config: StudyConfig, space: SearchSpace, timed: Iterable[Evaluation] = ()
) -> MeasuredLatency | None:
    """What networks of ``space`` take on the device that times them; None where their latency is the table's sum.

    Args:
        timed: what was measured before.

    Raises:
        EvoError: there is no table of parts to correct.
    """
    if not config.measures_latency:
        return None
    table = latency_of(config)
    if not isinstance(table, LatencyTable):
        raise EvoError(
            "measured latencies correct a table of parts, as python -m spaces.latency --command writes it, and latency.path "
            f"is {config.latency and config.latency.path!r}, which is of another kind: measure one"
        )
    measured = MeasuredLatency(space, table)
    measured.tell(timed)
    return measured


def latency_of(config: StudyConfig) -> LatencyModel | None:
    """The configuration's latency table; None where it names none.

    Raises:
        EvoError: its file is missing; a file that is no latency table is a ValueError.
    """
    if config.latency is None:
        return None
    path = next((path for path in candidate_paths(config.latency.path) if path.is_file()), None)
    if path is None:
        raise EvoError(
            f"latency.path is {config.latency.path!r}: no such file; measure one with python -m spaces.latency"
        )
    return load_latency(path, config.latency.device)
