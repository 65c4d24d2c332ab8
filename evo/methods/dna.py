"""DNA: block-wise distillation (Li et al., CVPR 2020, https://arxiv.org/abs/1911.13053)."""

from __future__ import annotations

from evo.methods.evolution import Best, Everything, Evolution, Learned, Nothing
from studies.config import (
    DnaEvolution,
    StudyConfig,
)


def dna(section: DnaEvolution, config: StudyConfig) -> Evolution:
    """Block-wise distillation (Li et al., CVPR 2020, https://arxiv.org/abs/1911.13053).

    An operation is worth minus the loss of the best candidate of its block that has it. The paper has one round and drops
    nothing; ``keep`` leaves the best of each layer to the next one.
    """
    return Evolution(Learned(), Best(section.keep) if section.keep else Everything(), Nothing())
