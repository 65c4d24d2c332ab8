"""The settings of every ``evaluator.kind``."""

from __future__ import annotations

from studies.config.blockwise import BlockwiseSection
from studies.config.cuts import CutsSection
from studies.config.evaluators import EvaluatorSection, OneShotSection, ScratchSection, TabularSection

EVALUATORS: dict[str, type[EvaluatorSection]] = {
    "tabular": TabularSection,
    "scratch": ScratchSection,
    "oneshot": OneShotSection,
    "blockwise": BlockwiseSection,
    "cuts": CutsSection,
}
"""Kind -> its settings; a plugin's kinds are added."""
