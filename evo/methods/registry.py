"""The methods by name; each has a file of its own. A method is an evolution composed of parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from evo.methods.autospace import autospace
from evo.methods.dna import dna
from evo.methods.evidence import evidence
from evo.methods.evolution import Everything, Evolution, Nothing, Uniform
from evo.methods.fixed import fixed
from evo.methods.nse import nse
from evo.methods.pad_nas import pad_nas
from studies.config import (
    StudyConfig,
)


def evolution_of(config: StudyConfig) -> Evolution:
    """The configuration's method. A control arm begins in the same space, which then stays what it is."""
    evolution = METHODS[config.evolution.method](config.evolution, config)
    return replace(evolution, rate=Uniform(), keep=Everything(), refill=Nothing()) if config.control else evolution


METHODS: dict[str, Callable[[Any, StudyConfig], Evolution]] = {
    "fixed": fixed,
    "pad_nas": pad_nas,
    "nse": nse,
    "dna": dna,
    "autospace": autospace,
    "evidence": evidence,
}
