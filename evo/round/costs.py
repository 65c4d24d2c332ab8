"""Exact costs of a configuration's architectures."""

from __future__ import annotations

from evo.data.paths import candidate_paths
from evo.evaluators.tabular import table_costs
from spaces.costs.table import CostTable, LatencyModel, cost_table
from spaces.latency.measure import load_latency_table as load_latency
from spaces.space import SearchSpace
from studies.config import StudyConfig, TabularSection
from studies.records import EvoError


def costs_of(config: StudyConfig, space: SearchSpace) -> CostTable:
    """Exact costs of a space's architectures, as the configuration counts them."""
    if config.space.name == "table" and isinstance(config.evaluator, TabularSection):
        return table_costs(config.evaluator, space)
    return cost_table(space, config.search.macs_convention, latency_of(config))


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
