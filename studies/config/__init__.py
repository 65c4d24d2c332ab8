"""A study's settings: plain TOML, checked whole before anything runs.

``load_config("digits")`` reads a preset, ``load_config("mine.toml")`` a file. The classes are the reference of every key:
type, default, meaning. ``study`` puts the sections together; ``sections``, ``search`` and ``delivery`` hold those of every run,
``evaluators``, ``blockwise``, ``cuts`` and ``methods`` those that are chosen by name, ``kinds`` the names of evaluators, and
``values`` kinds of settings. This package knows names (``"pad_nas"``, ``"oneshot"``); ``evo`` owns the dicts that resolve them.
"""

from studies.config.blockwise import BlockwiseSection, TeacherSection
from studies.config.cuts import CutsSection, JointSection, PoolSection
from studies.config.delivery import IMITATED, WHOLE, DeliverSection
from studies.config.evaluators import (
    CellsSection,
    EvaluatorSection,
    GatesSection,
    GroundTruthSection,
    OneShotSection,
    ScratchSection,
    TabularSection,
)
from studies.config.kinds import EVALUATORS
from studies.config.loading import (
    PRESETS,
    ConfigError,
    change_config,
    check_config,
    config_from_mapping,
    load_config,
    presets,
)
from studies.config.methods import (
    METHODS,
    AutoSpaceEvolution,
    DnaEvolution,
    EvidenceEvolution,
    FixedEvolution,
    MethodSection,
    NseEvolution,
    PadNasEvolution,
)
from studies.config.search import LimitsSection, SearchSection
from studies.config.sections import DATA, DataSection, LatencySection, SpaceSection, Training
from studies.config.study import CHOICES, StudyConfig, register
from studies.config.values import Limit, PerRound, Section, epochs_sentence, invalid, value_in_round

__all__ = [
    "CHOICES",
    "DATA",
    "EVALUATORS",
    "IMITATED",
    "METHODS",
    "PRESETS",
    "WHOLE",
    "AutoSpaceEvolution",
    "BlockwiseSection",
    "CellsSection",
    "ConfigError",
    "CutsSection",
    "DataSection",
    "DeliverSection",
    "DnaEvolution",
    "EvaluatorSection",
    "EvidenceEvolution",
    "FixedEvolution",
    "GatesSection",
    "GroundTruthSection",
    "JointSection",
    "LatencySection",
    "Limit",
    "LimitsSection",
    "MethodSection",
    "NseEvolution",
    "OneShotSection",
    "PadNasEvolution",
    "PerRound",
    "PoolSection",
    "ScratchSection",
    "SearchSection",
    "Section",
    "SpaceSection",
    "StudyConfig",
    "TabularSection",
    "TeacherSection",
    "Training",
    "change_config",
    "check_config",
    "config_from_mapping",
    "epochs_sentence",
    "invalid",
    "load_config",
    "presets",
    "register",
    "value_in_round",
]
