"""What a run is compared with: control arms, which search a space that never changes, and networks that need no search."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from studies.config import StudyConfig


class Control(StrEnum):
    """What ``--control`` knows."""

    FIXED = "fixed"
    """A run that begins in the run's first space, which it keeps, searched as the run is, by NSGA-II."""

    RANDOM = "random"
    """The same, searched at random."""

    UNIFORM = "uniform"
    """The best of the networks that have one operation everywhere."""

    RANDOM_NETWORKS = "random-networks"
    """The best of as many random networks of the run's first space as can be trained for what the run has cost."""

    MOBILENET_V2 = "mobilenet_v2"
    """A published network."""

    EFFICIENTNET_B0 = "efficientnet_b0"
    """Another one."""

    PRETRAINED = "pretrained"
    """Of a trained network, the best of the same share of every layer, of every layer and stage, and of smaller images."""

    WHOLE = "whole"
    """A trained network, fine-tuned and not cut; ``--control pretrained`` asks for it, too."""

    @property
    def searches(self) -> bool:
        """Whether it is a run of its own."""
        return self in SAMPLERS

    @property
    def is_trained(self) -> bool:
        """Whether it is for runs whose networks begin with trained weights, and for these alone."""
        return self in (Control.PRETRAINED, Control.WHOLE)


SAMPLERS = {Control.FIXED: "nsga2", Control.RANDOM: "random"}
"""The ``search.sampler`` of each that is a run of its own."""


def control_settings(config: StudyConfig, control: Control) -> StudyConfig:
    """The settings of a control arm: the same data, training and budget of new measurements."""
    search = config.search.model_copy(update={"sampler": SAMPLERS[control]})
    return config.model_copy(update={"control": True, "search": search})


def control_kind(config: StudyConfig) -> Control | None:
    """Which control arm these settings are; None: none."""
    if not config.control:
        return None
    return Control.RANDOM if config.search.sampler == SAMPLERS[Control.RANDOM] else Control.FIXED
