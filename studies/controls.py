"""Control arms: runs in a space that never changes, with which an evolving one is compared."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from studies.config import StudyConfig


class Control(StrEnum):
    """What ``--control`` knows. Every arm begins in the run's first space, which it keeps."""

    FIXED = "fixed"
    """Searched as the run is, by NSGA-II."""

    RANDOM = "random"
    """Searched at random."""


SAMPLERS = {Control.FIXED: "nsga2", Control.RANDOM: "random"}
"""The ``search.sampler`` of each."""


def control_settings(config: StudyConfig, control: Control) -> StudyConfig:
    """The settings of a control arm: the same data, training and budget of new measurements."""
    search = config.search.model_copy(update={"sampler": SAMPLERS[control]})
    return config.model_copy(update={"control": True, "search": search})


def control_kind(config: StudyConfig) -> Control | None:
    """Which control arm these settings are; None: none."""
    if not config.control:
        return None
    return Control.RANDOM if config.search.sampler == SAMPLERS[Control.RANDOM] else Control.FIXED
