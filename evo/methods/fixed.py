"""The control arm: a space that never changes."""

from __future__ import annotations

from evo.methods.evolution import Everything, Evolution, Nothing, Uniform
from studies.config import (
    FixedEvolution,
    StudyConfig,
)


def fixed(section: FixedEvolution, config: StudyConfig) -> Evolution:
    """The control arm: the space stays what it is."""
    return Evolution(Uniform(), Everything(), Nothing())
