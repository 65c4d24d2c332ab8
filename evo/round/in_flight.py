"""How many generations of a run may be in flight: decided once, when it begins, so that its results never depend on workers.

A generation that is finished before the next one begins leaves workers idle that wait for its slowest evaluation. With several
in flight they are busy. What is proposed then knows less: so there are no more of them than keep workers busy.
"""

from __future__ import annotations

import math

from evo.round.options import RunOptions
from studies.config import StudyConfig

SLOWEST = 1.5
"""How long the slowest evaluation takes, where the mean is 1. Generations are recorded in order, so that as many more must be
in flight (``benchmarks/scale.py``)."""

FEW = 0.5
"""Workers per architecture of a generation, up to which the end of a generation is waited for: results are then those of one
worker, and five sixths of the workers' time are kept."""


def generations_in_flight(workers: int, population: int) -> int:
    """How many generations of ``population`` keep ``workers`` busy; 1 with few workers."""
    return 1 if workers <= FEW * population else 1 + math.ceil(SLOWEST * workers / population)


def settle_in_flight(config: StudyConfig, workers: int) -> StudyConfig:
    """The settings of a run that begins with so many workers."""
    if config.search.in_flight is not None:
        return config
    return with_in_flight(config, generations_in_flight(workers, config.search.population))


def with_in_flight(config: StudyConfig, count: int | None) -> StudyConfig:
    """The settings with so many generations in flight, where they do not say how many."""
    if config.search.in_flight is not None:
        return config
    return config.model_copy(update={"search": config.search.model_copy(update={"in_flight": count})})


def planned_workers(options: RunOptions) -> int | None:
    """The workers with which a run would begin; None: those of a cluster that runs already, which has to be asked."""
    if options.cluster is None:
        from evo.workers.ranks import current_group

        return (
            1 if current_group().size > 1 else options.workers
        )  # torchrun's processes measure one generation together
    if options.cluster.startswith("local:"):
        return int(options.cluster.removeprefix("local:"))
    if not options.cluster.endswith(".toml"):
        return None
    from evo.workers.cluster_spec import most_workers

    return most_workers(options.cluster)
