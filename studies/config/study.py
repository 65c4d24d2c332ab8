"""The settings of one run, whole: every section, and how sections fit together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PositiveInt, SerializeAsAny, model_validator

from spaces.costs.memory import Precision as DevicePrecision
from spaces.costs.memory import precision_named
from studies import plugins
from studies.config.delivery import IMITATED, WHOLE, DeliverSection
from studies.config.evaluators import EvaluatorSection, GroundTruthSection
from studies.config.kinds import EVALUATORS
from studies.config.methods import METHODS, MethodSection
from studies.config.search import LimitsSection, SearchSection
from studies.config.sections import DATA, DataSection, LatencySection, SpaceSection, TargetSection
from studies.config.values import Section, invalid
from studies.records import EvoError

CHOICES: dict[str, tuple[str, dict[str, Any]]] = {
    "evaluator": ("kind", EVALUATORS),
    "evolution": ("method", METHODS),
    "data": ("name", DATA),
}
"""Sections whose settings depend on one of their keys: section -> (key, its value -> settings)."""


_OWNERS: dict[tuple[str, str], str] = {}
"""(section, value of its choosing key) -> the file of the plugin that has registered it."""


def register(section: str, name: str, settings: type[Section], file: str) -> None:
    """Let a section be chosen by a plugin's name. The same file may do it again, as a notebook does.

    Raises:
        EvoError: the name is taken, or ``settings`` has another base than the section's settings have.
    """
    key, known = CHOICES[section]
    base = {"evaluator": EvaluatorSection, "evolution": MethodSection, "data": DataSection}[section]
    if name in known and _OWNERS.get((section, name)) != file:
        raise EvoError(
            f"{section}.{key} = {name!r} is taken by {_OWNERS.get((section, name), 'this program')}: choose another name"
        )
    if not issubclass(settings, base):
        raise EvoError(
            f"the settings of {section}.{key} = {name!r} must inherit from {base.__name__}, found {settings!r}"
        )
    known[name], _OWNERS[section, name] = settings, file


def _by_choice(section: str) -> Callable[[Any], Any]:
    """What turns a section's table into the settings that its choosing key names."""

    def chosen(given: Any) -> Any:
        key, known = CHOICES[section]
        if not isinstance(given, Mapping):
            return given
        value = given.get(key, "digits" if section == "data" else "missing")
        if not isinstance(value, str):
            raise invalid(f"{section}.{key} is {value!r}; allowed: {', '.join(sorted(known))}")
        if value not in known:
            plugins.installed_once()
        if value not in known:
            raise invalid(
                f"{section}.{key} is {value!r}; allowed: {', '.join(sorted(known))}; one of your own needs "
                'plugins = ["FILE.py"]'
            )
        return known[value].model_validate(given)

    return chosen


class StudyConfig(Section):
    """The settings of one run, whole."""

    seed: int = Field(0, ge=0, lt=2**63)
    """Seed of every random choice of the run."""

    control: bool = False
    """Make this the control arm of the same run without: it begins in the same space, which never changes."""

    threads: PositiveInt = 1
    """Threads of torch in each process."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where networks are trained and scored: `auto` (CUDA where there is one), `cpu` or `cuda`."""

    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """How precisely networks compute: `fp32`; `bf16`, forward passes in bfloat16, while weights, statistics, losses and scores
    stay 32-bit; or `auto`: bf16 on a GPU that has it in hardware (compute capability 8 or more), fp32 anywhere else. A run
    keeps what `auto` means where it begins."""

    sync_batchnorm: bool = True
    """Under torchrun: whether batch normalisation takes the statistics of the whole batch, as in one process, or
    (`false`) of each process's part; quicker, but weights then depend on the number of processes."""

    plugins: tuple[str, ...] = ()
    """Operations, evaluators, methods and data sets of your own: files (`my_ops.py`, beside this file or in the working
    directory) and installed modules (`my_package.module`)."""

    space: SpaceSection
    """Where the search starts."""

    data: Annotated[SerializeAsAny[DataSection], BeforeValidator(_by_choice("data"))] = DataSection()
    """The images."""

    evaluator: Annotated[SerializeAsAny[EvaluatorSection], BeforeValidator(_by_choice("evaluator"))]
    """How architectures are judged."""

    search: SearchSection = SearchSection()
    """How a round searches its space."""

    limits: LimitsSection = LimitsSection()
    """What an architecture may cost."""

    ground_truth: GroundTruthSection = GroundTruthSection()
    """How far the scores can be trusted."""

    deliver: DeliverSection = DeliverSection()
    """How a delivered network is trained."""

    latency: LatencySection | None = None
    """A table of latencies. Not given: none."""

    target: TargetSection | None = None
    """The device that networks are for. Not given: none, and neither flash nor memory is counted."""

    evolution: Annotated[SerializeAsAny[MethodSection], BeforeValidator(_by_choice("evolution"))]
    """How the space changes from round to round."""

    @property
    def device_numbers(self) -> DevicePrecision | None:
        """How the device of ``[target]`` keeps numbers; None: there is none."""
        return precision_named(self.target.precision) if self.target else None

    @property
    def measured(self) -> str:
        """What stands as an evaluation's accuracy, from 0 to 1: the accuracy, but where none is measured or estimated."""
        return self._in_int8("accuracy" if self.ground_truth.calibrates else self.judging.measures)

    def _in_int8(self, name: str) -> str:
        return f"int8 {name}" if self.search.int8 else name

    @property
    def noun(self) -> str:
        """What data for programs call it: accuracy, but where images have no labels to be right about."""
        if self.data.labels is not False:
            return "accuracy"
        return "agreement" if self.judging.measures == "agreement" else "score"

    @property
    def tested(self) -> str:
        """What is measured of networks that are trained alone, and of delivered ones: accuracy, or where images have no labels
        agreement with what teaches."""
        return "agreement" if self.data.labels is False else "accuracy"

    @property
    def judging(self) -> EvaluatorSection:
        """The evaluator, as it is spoken of on these images."""
        return self.evaluator.on(self.data)

    @property
    def measures_latency(self) -> bool:
        """Whether each network's latency is measured, by a command or by the evaluator; else it is the table's sum."""
        return self.latency is not None and (self.latency.command is not None or self.evaluator.measures_latency)

    @property
    def score(self) -> str:
        """The name of what is maximised."""
        return self.measured if self.search.objective == "accuracy" else self._in_int8(self.judging.likelihood)

    @model_validator(mode="after")
    def _sections_fit_together(self) -> StudyConfig:
        asked = "latency_ms" in self.search.costs or self.limits.latency_ms is not None
        known = self.latency is not None or getattr(self.evaluator, "latency_column", None) is not None
        if asked and not known:
            raise invalid("latency_ms is an objective or a limit: give a table as latency.path")
        if self.latency and self.latency.command and self.space.name == "table":
            raise invalid(
                "latency.command times networks, and those of space.name = 'table' cannot be built: leave it out"
            )
        self._check_target()
        if self.search.objective == "likelihood" and self.evaluator.no_likelihood:
            raise invalid(f"search.objective is 'likelihood': {self.evaluator.no_likelihood}")
        if self.search.int8 and not self.evaluator.judges_in_int8:
            raise invalid(
                f"search.int8 is true (or the objective is a score in int8), and evaluator.kind is {self.evaluator.kind!r}: "
                "oneshot and cuts judge in 8 bits"
            )
        if self.data.labels is False:
            self._check_without_labels()
        self._check_teacher()
        self._check_pieces()
        self.evaluator.check(self)
        self.ground_truth.check(self.evaluator, self.search.objective)
        self.evolution.check(self)
        return self

    def _check_target(self) -> None:
        asked = [name for name in ("flash_kb", "memory_kb") if name in self.search.costs or getattr(self.limits, name)]
        if asked and self.target is None:
            raise invalid(
                f"{asked[0]} is an objective or a limit, and depends on how the device keeps numbers: set target.precision to "
                "'int8' or 'float32'"
            )
        if self.target and self.space.name == "table":
            raise invalid(
                "target.precision is given, and space.name is 'table': what its operations need on a device is not known; "
                "leave [target] out, or name a space of the library"
            )

    def _check_teacher(self) -> None:
        if self.deliver.teacher == WHOLE and not self.evaluator.starts_networks:
            raise invalid(
                f"deliver.teacher is 'whole', the network that a run of evaluator 'cuts' has fine-tuned, and evaluator.kind is "
                f"{self.evaluator.kind!r}: give a folder that python -m evo.deliver made, or leave it out"
            )
        if self.deliver.teacher == IMITATED and self.evaluator.teaches != IMITATED:
            raise invalid(
                "deliver.teacher is 'imitated', the evaluator.teacher of a run of evaluator 'blockwise', and evaluator.kind is "
                f"{self.evaluator.kind!r}: give a folder that python -m evo.deliver made, or leave it out"
            )
        taught = self.deliver.teacher is not None or self.data.labels is False
        if self.deliver.teacher_features and not taught:
            raise invalid(
                f"deliver.teacher_features is {self.deliver.teacher_features:g}, and there is no deliver.teacher whose blocks "
                "could be imitated: expected 'whole', for a run of evaluator 'cuts', 'imitated', for one of 'blockwise', or a "
                "folder that python -m evo.deliver made; give one, or leave deliver.teacher_features out"
            )

    def _check_pieces(self) -> None:
        if self.deliver.accumulate > 1 and self.deliver.teacher_features:
            raise invalid(
                f"deliver.accumulate is {self.deliver.accumulate} and deliver.teacher_features is "
                f"{self.deliver.teacher_features:g}: features are compared for whole batches; leave one of them out"
            )

    def _check_without_labels(self) -> None:
        if self.data.name != "images":
            raise invalid(
                f"data.labels is false: expected data.name = 'images', found {self.data.name!r}; leave it out"
            )
        if self.evaluator.uses_images and not self.evaluator.without_labels:
            raise invalid(
                f"data.labels is false, and evaluator.kind is {self.evaluator.kind!r}, which learns from labels: expected "
                "evaluator.kind = 'cuts' (--config pretrained), 'blockwise' with an evaluator.teacher, or images in class "
                "folders and no data.labels"
            )
        if self.deliver.teacher not in (None, self.evaluator.teaches):
            one = "the whole network" if self.evaluator.teaches == WHOLE else "the network that evaluator.teacher names"
            raise invalid(
                f"data.labels is false, and deliver.teacher is {self.deliver.teacher!r}: without labels {one} teaches, and is "
                "imitated; leave deliver.teacher out"
            )
