"""The settings of one run, whole: every section, and how sections fit together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PositiveInt, SerializeAsAny, model_validator

from studies.config.evaluators import EVALUATORS, EvaluatorSection, TruthSection
from studies.config.methods import METHODS, MethodSection
from studies.config.sections import (
    DATA,
    DataSection,
    DeliverSection,
    LatencySection,
    LimitsSection,
    SearchSection,
    Section,
    SpaceSection,
    invalid,
)

CHOICES: dict[str, tuple[str, Mapping[str, type[Section]]]] = {
    "evaluator": ("kind", EVALUATORS),
    "evolution": ("method", METHODS),
    "data": ("name", DATA),
}
"""Sections whose settings depend on one of their keys: section -> (key, its value -> settings)."""


def _by_choice(section: str) -> Callable[[Any], Any]:
    """What turns a section's table into the settings that its choosing key names."""

    def chosen(given: Any) -> Any:
        key, known = CHOICES[section]
        if not isinstance(given, Mapping):
            return given
        value = given.get(key, "digits" if section == "data" else "missing")
        if value not in known:
            raise invalid(f"{section}.{key} is {value!r}; allowed: {', '.join(sorted(known))}")
        return known[value].model_validate(given)

    return chosen


class StudyConfig(Section):
    """One run, whole. ``device`` is where networks are trained and scored; ``auto``: on CUDA where there is one.
    ``evaluator.timeout`` is how many seconds one architecture may take (not given: as long as it takes).

    Where torchrun has started several processes, ``sync_batchnorm`` lets batch normalisation go by the whole batch, as in one
    process; false, by each process's part of it: quicker, but then weights depend on how many processes there are.

    ``control`` makes it the control arm of the same run without: it begins in the same space, which never changes.
    """

    seed: int = Field(0, ge=0, lt=2**63)
    control: bool = False
    threads: PositiveInt = 1
    device: Literal["auto", "cpu", "cuda"] = "auto"
    sync_batchnorm: bool = True
    space: SpaceSection
    data: Annotated[SerializeAsAny[DataSection], BeforeValidator(_by_choice("data"))] = DataSection()
    evaluator: Annotated[SerializeAsAny[EvaluatorSection], BeforeValidator(_by_choice("evaluator"))]
    search: SearchSection = SearchSection()
    limits: LimitsSection = LimitsSection()
    truth: TruthSection = TruthSection()
    deliver: DeliverSection = DeliverSection()
    latency: LatencySection | None = None
    evolution: Annotated[SerializeAsAny[MethodSection], BeforeValidator(_by_choice("evolution"))]

    @property
    def measured(self) -> str:
        """What stands as an evaluation's accuracy, from 0 to 1: the accuracy, but where none is measured."""
        return self.evaluator.measures

    @property
    def score(self) -> str:
        """The name of what is maximised."""
        return self.measured if self.search.objective == "accuracy" else self.search.objective

    @model_validator(mode="after")
    def _sections_fit_together(self) -> StudyConfig:
        asked = self.search.cost == "latency_ms" or self.limits.latency_ms is not None
        known = self.latency is not None or getattr(self.evaluator, "latency_column", None) is not None
        if asked and not known:
            raise invalid("latency_ms is an objective or a limit: give a table as latency.path")
        if self.search.objective == "likelihood" and self.evaluator.no_likelihood:
            raise invalid(f"search.objective is 'likelihood': {self.evaluator.no_likelihood}")
        self.evaluator.check(self)
        self.evolution.check(self)
        return self
