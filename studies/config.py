"""A study's settings: plain TOML, checked whole before anything runs.

``load("digits")`` reads a preset, ``load("mine.toml")`` a file. This module knows names (``"pad_nas"``, ``"oneshot"``);
``evo`` owns the dicts that resolve them. The models below are the reference of every key: type, default, meaning.
"""

from __future__ import annotations

import os.path
import tomllib
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SerializeAsAny,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from spaces.units import short
from studies import plugins
from studies.records import COSTS, EvoError

if TYPE_CHECKING:
    from spaces.space import SearchSpace

PRESETS = Path(__file__).parent / "presets"

Share = Annotated[float, Field(ge=0, le=1)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
PerRound = tuple[float, ...] | float
Augmentation = Literal["flip", "crop", "cutout", "resized_crop", "colour_jitter"]


class ConfigError(EvoError):
    """A key, value or path of a configuration that cannot be; names the file, the key, what was found, what may be."""


class Section(BaseModel):
    """A table of a configuration.

    Class attributes:
        unrelated: keys that change nothing of what is computed, and so are in no file's name.
    """

    unrelated: ClassVar[frozenset[str]] = frozenset()

    model_config = ConfigDict(extra="forbid", frozen=True)


class SpaceSection(Section):
    """Where the search starts: a named space, a file, or the space that a table spells out (``name = "table"``).

    ``add_operations`` are further candidates of every layer whose shape allows them.
    """

    name: str
    path: str | None = None
    channels: PositiveInt | None = None
    size: PositiveInt | None = None
    classes: PositiveInt | None = None
    add_operations: tuple[str, ...] = ()


class DataSection(Section):
    """Images. The held-out part of the training images scores candidates; test images only judge a delivered network.

    ``in_memory = false`` leaves a folder's images in their files, from which ``workers`` processes read them anew for every
    epoch; where it is not given, they stay there when they would take more than 4 GB.
    """

    unrelated: ClassVar[frozenset[str]] = frozenset({"path", "download", "workers"})

    name: str = "digits"
    path: str = "data"
    size: PositiveInt | None = None
    limit: PositiveInt | None = None
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.2
    download: bool = True
    augment: tuple[Augmentation, ...] = ()
    in_memory: bool | None = None
    workers: NonNegativeInt = 4


class Training(Section):
    """Stochastic gradient descent (Nesterov); per-round settings take a list, whose last entry repeats."""

    epochs: PerRound = 20.0
    batch_size: PositiveInt = 64
    learning_rate: PerRound = 0.1
    momentum: Share = 0.9
    weight_decay: float = 4e-5
    label_smoothing: Share = 0.0
    warmup: Share = 0.05


class EvaluatorSection(Section):
    """Settings of an evaluator, chosen by ``kind``; a plugin's settings inherit from this class.

    ``timeout`` is how many seconds one architecture may take; not given: as long as it takes.

    Class attributes:
        uses_images: whether it trains or measures on the images of ``[data]``.
        shared_weights: whether its scores hold for its own weights only, so that scores of two runs are no common measure.
        measures: what it gives as an architecture's accuracy, from 0 to 1.
        no_likelihood: why ``search.objective = "likelihood"`` is impossible; empty: it is possible.
    """

    unrelated: ClassVar[frozenset[str]] = frozenset({"timeout"})
    uses_images: ClassVar[bool] = True
    shared_weights: ClassVar[bool] = False
    measures: ClassVar[str] = "accuracy"
    no_likelihood: ClassVar[str] = ""

    kind: str
    timeout: PositiveFloat | None = None

    def describe(self) -> str:
        """How architectures are judged: the end of the sentence "Architectures were judged by ..."."""
        return f"the evaluator {self.kind!r}"

    def caveats(self) -> list[str]:
        """What a reader of the scores must know, a sentence each."""
        return []

    def plan(self, space: SearchSpace, rounds: int) -> list[str]:
        """The work to come in so many rounds that begin in ``space``, a line each."""
        return []

    def files(self) -> tuple[str, ...]:
        """Files that its answers rest on, as the configuration names them."""
        return ()

    def check(self, config: StudyConfig) -> None:
        """Raises ``invalid(...)`` where the rest of the configuration does not fit."""


class TabularSection(EvaluatorSection):
    """Answers come from a table with one row per architecture. ``accuracy_scale`` 0.01 turns percent into fractions.

    ``tokens`` says what the architecture column spells, layer by layer: operations, or their indices among the
    candidates of the first space. ``separator`` stands between them ("" where each is one character).
    """

    uses_images: ClassVar[bool] = False
    no_likelihood: ClassVar[str] = "a table knows accuracies only"

    kind: Literal["tabular"] = "tabular"
    path: str
    arch_column: str = "arch"
    tokens: Literal["operations", "indices"] = "operations"
    separator: str = ""
    accuracy_column: str = "accuracy"
    accuracy_scale: PositiveFloat = 1.0
    macs_column: str | None = None
    params_column: str | None = None
    latency_column: str | None = None

    def describe(self) -> str:
        return "a table of published results"

    def plan(self, space: SearchSpace, rounds: int) -> list[str]:
        return [f"accuracies from {self.path}"]

    def files(self) -> tuple[str, ...]:
        return (self.path,)


class ScratchSection(Training, EvaluatorSection):
    """Every architecture is trained by itself.

    ``rungs`` are shares of the epochs after which a generation pauses, and what is confidently dominated at its cost is
    stopped; empty: all are trained to the end.
    """

    kind: Literal["scratch"]
    rungs: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = ()

    def describe(self) -> str:
        return "training each of them by itself"

    def plan(self, space: SearchSpace, rounds: int) -> list[str]:
        return [f"training every architecture: {in_rounds(self.epochs, rounds)}"]

    def check(self, config: StudyConfig) -> None:
        if config.truth.sample and config.truth.table is None:
            raise invalid("truth.sample trains architectures alone, as evaluator 'scratch' does anyway: leave it out")


class GatesSection(Section):
    """Scores of branches, learned on held-out images between the weight steps (NSE, arXiv 2011.10904).

    Every ``every`` steps the scores learn; ``cost_target`` is what the expected cost is drawn to, ``cost_weight`` how
    strongly; an operation whose score falls below ``drop_below`` goes. The paper's values are the defaults.
    """

    every: PositiveInt = 2
    learning_rate: PositiveFloat = 0.005
    cost_target: PositiveFloat | None = None
    cost_weight: NonNegativeFloat = 0.9
    drop_below: float | None = -2.0


class CellsSection(Training):
    """Cells that are bred while they train side by side (AutoSpace-style, arXiv 2103.11833). The training is that of the
    shared weights; the space of the round then starts from them.

    An iteration is ``steps`` training steps. In each, ``active`` cells per layer run side by side (K, 4 in the paper's
    figure 2; all other values here are ours, the paper's are not known): a share ``children`` of them newly bred (1: as
    figure 2 reads), the others measured again. Parents win tournaments of ``tournament`` cells; a child is bred by crossover
    with probability ``crossover`` (the paper names none: 0), otherwise by drawing ``window`` neighbouring attributes anew.
    Every ``every`` steps the weights of the sum learn on held-out images, with ``alpha_learning_rate``; a cell's fitness
    moves by the share ``rate`` to what its weight has become. ``cost_weight`` times the share by which the expected cost is
    above ``cost_target`` is added to the loss. Reference cells run beside the others with ``reference_weight`` (to 1 for
    all others), which halves every ``reference_half_life`` iterations of the run.

    A cell has up to ``nodes`` nodes, edges of ``codes`` (see ``spaces.cells``), one of ``expansions``, ``activation``.
    """

    steps: PositiveInt = 16
    active: Annotated[int, Field(ge=2)] = 4
    children: Annotated[float, Field(gt=0, le=1)] = 0.5
    tournament: PositiveInt = 3
    crossover: Share = 0.25
    window: PositiveInt = 2
    every: PositiveInt = 2
    alpha_learning_rate: PositiveFloat = 0.05
    rate: Share = 0.5
    cost_target: PositiveFloat | None = None
    cost_weight: NonNegativeFloat = 1.0
    reference_weight: NonNegativeFloat = 1.0
    reference_half_life: PositiveFloat = 10.0
    nodes: Annotated[int, Field(ge=2, le=6)] = 4
    codes: Annotated[str, Field(pattern=r"^[ip357]+$")] = "ip35"
    expansions: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (1, 3, 6)
    activation: Literal["relu", "relu6", "swish"] = "relu"


class OneShotSection(Training, EvaluatorSection):
    """A supernet is trained once per round and judges by its shared weights (SPOS, arXiv 1904.00420).

    ``sampling`` says what a training step runs: one path drawn uniformly, as many as run each operation equally often
    (fair), or every branch with probability one half (branches, with ``gates``). ``prefix_memory_mb`` is what scoring
    may keep of the outputs that architectures share. With ``cells``, these are bred first.
    """

    shared_weights: ClassVar[bool] = True

    kind: Literal["oneshot"]
    sampling: Literal["uniform", "fair", "branches"] = "uniform"
    gates: GatesSection | None = None
    cells: CellsSection | None = None
    inherit: bool = True
    zero_init: bool = True
    calibration_batches: PositiveInt = 4
    batch_eval: PositiveInt = 512
    prefix_memory_mb: PositiveInt = 512

    def describe(self) -> str:
        return "a supernet with shared weights, trained anew or further in every round"

    def caveats(self) -> list[str]:
        return [
            "Supernet accuracies rank architectures; "
            "they are not the accuracies that the networks reach when trained alone."
        ]

    def plan(self, space: SearchSpace, rounds: int) -> list[str]:
        bred = (
            [f"breeding cells, {self.cells.active} side by side: {in_rounds(self.cells.epochs, rounds)}"]
            if self.cells
            else []
        )
        return [*bred, f"training the supernet: {in_rounds(self.epochs, rounds)}"]


class TeacherSection(Training):
    """Whom the blocks imitate (DNA, arXiv 1911.13053).

    ``model`` is one of torchvision's; its ``weights`` are a name that torchvision knows (``DEFAULT``) or a safetensors file.
    ``weights`` alone is a folder that ``evo.deliver`` made, or a file in which this tool has kept a teacher. Neither: the
    dearest network of the first space, ``width`` times as wide, is trained on the training images as the other keys say.
    ``splits`` are the teacher's stages whose outputs the blocks must give, one per block; empty: chosen by their sizes.
    ``mean`` and ``std``, per channel of values from 0 to 1, are what images are normalised by for a model of torchvision;
    empty: what its published weights (the default ones, where they are a file) were trained with.
    """

    model: str | None = None
    weights: str | None = None
    splits: tuple[str, ...] = ()
    width: PositiveFloat = 2.0
    mean: tuple[float, ...] = ()
    std: tuple[PositiveFloat, ...] = ()

    @model_validator(mode="after")
    def _model_has_weights(self) -> TeacherSection:
        if self.model is not None and self.weights is None:
            raise PydanticCustomError(
                "teacher",
                "evaluator.teacher.model needs weights that have learned something: give evaluator.teacher.weights, "
                "'DEFAULT' or a safetensors file",
            )
        if len(self.mean) != len(self.std) or (self.mean and self.model is None):
            raise PydanticCustomError(
                "teacher",
                "evaluator.teacher.mean and std are one number per channel each, for an evaluator.teacher.model of "
                "torchvision; this tool's own teachers know theirs",
            )
        return self


class BlockwiseSection(EvaluatorSection):
    """Every block of the space is trained by itself to imitate a teacher's (DNA, arXiv 1911.13053), by Adam.

    ``epochs`` and ``learning_rate`` take one value for all blocks, or a list whose last entry repeats; the rate is multiplied
    by ``decay`` after every epoch. All candidates of a block are scored, on ``held_out_batches`` batches of the held-out
    images (all, where it is not given); a block with more than ``candidates`` is searched, and so many are scored.
    """

    shared_weights: ClassVar[bool] = True
    measures: ClassVar[str] = "exp(-block loss)"
    no_likelihood: ClassVar[str] = "blocks know of no classes"

    kind: Literal["blockwise"]
    teacher: TeacherSection = TeacherSection()
    epochs: PerRound = 20.0
    batch_size: PositiveInt = 64
    learning_rate: PerRound = (0.002, 0.005)
    decay: Share = 0.9
    weight_decay: float = 1e-4
    zero_init: bool = True
    candidates: Annotated[int, Field(ge=2)] = 5000
    calibration_batches: PositiveInt = 4
    held_out_batches: PositiveInt | None = None
    batch_eval: PositiveInt = 512
    prefix_memory_mb: PositiveInt = 512

    def describe(self) -> str:
        return "their blocks, each trained by itself to imitate a teacher's"

    def caveats(self) -> list[str]:
        return [
            f"No accuracy was measured: the first objective is {self.measures}, of the losses of an architecture's blocks "
            "added up; 100% is a perfect imitation of the teacher."
        ]

    def plan(self, space: SearchSpace, rounds: int) -> list[str]:
        teacher = self.teacher
        whose = (
            teacher.model
            or teacher.weights
            or f"a network of the space, {teacher.width:g} times as wide, trained first"
        )
        counts = [space.part(start, stop).size for start, stop in space.blocks]
        scored = ", ".join(
            short(count) if count <= self.candidates else f"{self.candidates} of {short(count)}" for count in counts
        )
        epochs = ", ".join(f"{of_round(self.epochs, n):g}" for n in range(1, len(counts) + 1))
        return [
            f"training {len(counts)} blocks by themselves: {epochs} epochs; teacher: {whose}; candidates scored: {scored}"
        ]


class TruthSection(Training):
    """How far a round's scores can be trusted (0: not asked): ``sample`` of its architectures, spread over cost, are trained
    alone with these settings, or looked up in ``table``; how both rank them is compared."""

    sample: NonNegativeInt = 0
    table: TabularSection | None = None


class DeliverSection(Training):
    """How ``python -m evo.deliver`` trains the chosen network: from scratch, on all training images, held-out ones too.

    ``mixup`` and ``cutmix`` are the parameters of their Beta distributions (0: off; both: one of them per batch), ``drop_path``
    is how often the last layer's operations are left out, earlier ones less, where the input can pass by; delivered is the
    moving average of the weights with the decay ``ema`` (0: the last weights). ``augment`` stands in for ``data.augment``.
    """

    epochs: PerRound = 60.0
    label_smoothing: Share = 0.1
    mixup: NonNegativeFloat = 0.2
    cutmix: NonNegativeFloat = 0.0
    drop_path: BelowOne = 0.0
    ema: BelowOne = 0.99
    augment: tuple[Augmentation, ...] | None = None


class SearchSection(Section):
    """NSGA-II inside one round: maximise ``objective``, minimise ``cost``.

    ``sampler = "random"`` measures networks drawn uniformly instead, the yardstick that every search must beat.
    ``screen`` lets a surrogate choose among many children; it leaves the choice to NSGA-II where it knows no better.
    ``trials`` counts the new measurements of a round, ``seconds`` ends it earlier; ``min_accuracy`` is the floor above
    which hypervolume counts. ``objective = "likelihood"`` ranks by exp(-negative log-likelihood): the better ranker where a
    supernet is trained for a short time.
    """

    population: Annotated[int, Field(ge=2)] = 10
    sampler: Literal["nsga2", "random"] = "nsga2"
    screen: bool = True
    trials: PositiveInt = 64
    seconds: PositiveFloat | None = None
    objective: Literal["accuracy", "likelihood"] = "accuracy"
    cost: Literal["macs", "params", "latency_ms"] = "macs"
    convention: str = "macs"
    min_accuracy: Share = 0.0


Window = tuple[float, float]


class LimitsSection(Section):
    """Windows [least, most] that every architecture must lie in, of the deployed network."""

    macs: Window | None = None
    params: Window | None = None
    latency_ms: Window | None = None


class LatencySection(Section):
    """A latency table: one measured by ``python -m spaces.latency``, or a published one (``device`` picks among several)."""

    path: str
    device: str | None = None


class MethodSection(Section):
    """Settings of a method, chosen by ``method``; a plugin's settings inherit from this class."""

    method: str

    @property
    def predecessor(self) -> str | None:
        """The finished run that this one continues; None: it continues none."""
        return None

    def plan(self, space: SearchSpace) -> list[str]:
        """What the method has to do in a run that begins in ``space``, a line each."""
        return []

    def check(self, config: StudyConfig) -> None:
        """Raises ``invalid(...)`` where the rest of the configuration does not fit."""


class FixedEvolution(MethodSection):
    """The control arm: the space never changes."""

    method: Literal["fixed"]


class PadNasEvolution(MethodSection):
    """PAD-NAS (arXiv 2005.07564): keep operations with more than ``share`` among nondomination ranks < ``rank``."""

    method: Literal["pad_nas"]
    rank: PositiveInt = 10
    share: Share = 0.01


class NseEvolution(MethodSection):
    """NSE (arXiv 2011.10904): keep what the Pareto front uses, refill with unseen operations up to ``k`` per layer.

    A cell may carry up to ``branches`` operations side by side (None, as in the paper: any subset of its candidates).

    Before NSGA-II breeds, ``samples`` architectures are drawn by the learned gates inside the limits, and
    ``guard_samples`` in the band of width ``guard`` (a share of the least cost allowed) below them: those shape the front
    and never enter it. ``continue_from`` names a finished run whose operations are kept while a new pool is tried.
    """

    method: Literal["nse"]
    k: Annotated[int, Field(ge=2)] = 5
    branches: PositiveInt | None = None
    samples: NonNegativeInt = 48
    guard_samples: NonNegativeInt = 4
    guard: Share = 0.05
    continue_from: str | None = None

    @property
    def predecessor(self) -> str | None:
        return self.continue_from

    def rounds(self, operations: int) -> int:
        """Rounds until a pool of that many operations per layer has been seen, if one of ``k`` stays each time."""
        return max(1, (operations - 1) // (self.k - 1))

    def plan(self, space: SearchSpace) -> list[str]:
        pool = max(len(layer.candidates) + len(layer.pending) for layer in space.layers)
        return [f"a pool of {pool} operations per layer needs {self.rounds(pool)} rounds"]


class DnaEvolution(MethodSection):
    """DNA (arXiv 1911.13053): operations are rated by the best block that has them; a layer's best ``keep`` stay (all)."""

    method: Literal["dna"]
    keep: PositiveInt | None = None

    def check(self, config: StudyConfig) -> None:
        if config.evaluator.kind != "blockwise":
            raise invalid(
                "evolution.method = 'dna' rates operations by block loss: it needs evaluator.kind = 'blockwise', "
                f"found {config.evaluator.kind!r}"
            )


class AutoSpaceEvolution(MethodSection):
    """AutoSpace-style (arXiv 2103.11833): a ``population`` of cells per layer, of which the fittest ``k`` are the space,
    beside ``references`` reference cells (6 and 3 in the released space)."""

    method: Literal["autospace"]
    k: PositiveInt = 6
    population: Annotated[int, Field(ge=2)] = 24
    references: Annotated[int, Field(ge=0, le=3)] = 3

    def check(self, config: StudyConfig) -> None:
        if getattr(config.evaluator, "cells", None) is None:
            raise invalid("evolution.method 'autospace' needs evaluator.kind = 'oneshot' with evaluator.cells")
        if self.population < self.k:
            raise invalid(
                f"evolution.k is {self.k}, more than evolution.population {self.population}: "
                "the fittest k are taken from it"
            )


EVALUATORS: dict[str, type[EvaluatorSection]] = {
    "tabular": TabularSection,
    "scratch": ScratchSection,
    "oneshot": OneShotSection,
    "blockwise": BlockwiseSection,
}
"""The settings of every ``evaluator.kind``."""

METHODS: dict[str, type[MethodSection]] = {
    "fixed": FixedEvolution,
    "pad_nas": PadNasEvolution,
    "nse": NseEvolution,
    "dna": DnaEvolution,
    "autospace": AutoSpaceEvolution,
}
"""The settings of every ``evolution.method``."""

DATA: dict[str, type[DataSection]] = dict.fromkeys(
    ("digits", "fashion_mnist", "cifar10", "images", "arrays"), DataSection
)
"""The settings of every ``data.name``."""

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


def invalid(message: str) -> PydanticCustomError:
    """An error of settings that do not fit together; the message names keys as the user writes them."""
    return PydanticCustomError("together", "{message}", {"message": message})


def _by_choice(section: str) -> Callable[[Any], Any]:
    """What turns a section's table into the settings that its choosing key names."""

    def chosen(given: Any) -> Any:
        key, known = CHOICES[section]
        if not isinstance(given, Mapping):
            return given
        value = given.get(key, "digits" if section == "data" else "missing")
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
    """One run, whole. ``device`` is where networks are trained and scored; ``auto``: on CUDA where there is one.
    ``evaluator.timeout`` is how many seconds one architecture may take (not given: as long as it takes).

    Where torchrun has started several processes, ``sync_batchnorm`` lets batch normalisation go by the whole batch, as in one
    process; false, by each process's part of it: quicker, but then weights depend on how many processes there are.

    ``plugins`` are files (``my_ops.py``) and installed modules (``my_package.module``) with operations, evaluators, methods
    and data sets of your own.

    ``control`` makes it the control arm of the same run without: it begins in the same space, which never changes.
    """

    seed: int = Field(0, ge=0, lt=2**63)
    control: bool = False
    threads: PositiveInt = 1
    device: Literal["auto", "cpu", "cuda"] = "auto"
    sync_batchnorm: bool = True
    plugins: tuple[str, ...] = ()
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


def windows(limits: LimitsSection) -> dict[str, Window]:
    """The limits that are set: cost name -> (least, most)."""
    return {name: window for name in COSTS if (window := getattr(limits, name)) is not None}


def of_round(setting: PerRound, n: int) -> float:
    """A per-round setting's value in round ``n`` (from 1): a number for all rounds, or a list whose last entry repeats."""
    return setting[min(n, len(setting)) - 1] if isinstance(setting, tuple) else setting


def in_rounds(epochs: PerRound, rounds: int) -> str:
    """``20, 10, 10 epochs in rounds 1 to 3``."""
    listed = ", ".join(f"{of_round(epochs, n):g}" for n in range(1, rounds + 1))
    return f"{listed} epochs in rounds 1 to {rounds}"


def presets() -> list[str]:
    """The names that ``--config`` knows."""
    return sorted(path.stem for path in PRESETS.glob("*.toml"))


def load(name_or_file: str, overrides: Sequence[str] = (), further_plugins: Sequence[str] = ()) -> StudyConfig:
    """The settings of a preset or a TOML file, with ``section.key=value`` overrides applied and plugins added.

    Raises:
        ConfigError: no such preset or file, no TOML, an unknown key, or a value that cannot be.
    """
    path = _locate(name_or_file)
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as TOML: {error}") from None
    _add_plugins(data, further_plugins)
    return _overridden(data, overrides, str(path), [path.parent])


def from_mapping(
    data: Mapping[str, Any], overrides: Sequence[str] = (), further_plugins: Sequence[str] = ()
) -> StudyConfig:
    """Settings from tables in memory, with ``section.key=value`` overrides applied and plugins added.

    Raises:
        ConfigError: as ``load``.
    """
    tables = deepcopy(dict(data))
    _add_plugins(tables, further_plugins)
    return _overridden(tables, overrides, "config")


def _add_plugins(data: dict[str, Any], further: Sequence[str]) -> None:
    """Let settings name further plugins, behind those that they name."""
    if further and isinstance(named := data.get("plugins", []), (list, tuple)):
        data["plugins"] = list(dict.fromkeys([*named, *further]))


def check(data: dict[str, Any], source: str, folders: Sequence[Path] = ()) -> StudyConfig:
    """``data`` as settings, once its plugins are loaded.

    Args:
        source: what errors call the settings.
        folders: where the file of a plugin is looked for, beside the working directory.

    Raises:
        ConfigError: a key or a value cannot be.
        PluginError: a plugin is missing or fails.
    """
    _load_plugins(data, folders)
    return _checked(data, lambda key, text: source)


def _load_plugins(data: Mapping[str, Any], folders: Sequence[Path] = ()) -> None:
    """Load the plugins that ``data`` name; what is no list of names is left to the check of settings."""
    named = data.get("plugins", ())
    plugins.load([spec for spec in named if isinstance(spec, str)] if isinstance(named, (list, tuple)) else [], folders)


def changed(
    config: StudyConfig, overrides: Sequence[str], source: str, further_plugins: Sequence[str] = ()
) -> StudyConfig:
    """``config`` with ``section.key=value`` overrides applied and plugins added; ``source`` is what errors call it.

    Raises:
        ConfigError: as ``load``.
    """
    data = config.model_dump(mode="json")
    _add_plugins(data, further_plugins)
    return _overridden(data, overrides, source)


def _locate(name_or_file: str) -> Path:
    preset = PRESETS / f"{name_or_file}.toml"
    if name_or_file in presets():
        return preset
    if os.path.isfile(name_or_file):
        return Path(name_or_file)
    raise ConfigError(f"--config {name_or_file!r}: no such preset or file; presets: {', '.join(presets())}")


def _checked(data: dict[str, Any], source: Callable[[str, str], str]) -> StudyConfig:
    """``data`` as settings; ``source`` says of a key and what is wrong with it where it was written."""
    try:
        return StudyConfig.model_validate(data)
    except ValidationError as error:
        raise ConfigError("\n".join(f"{source(key, text)}: {text}" for key, text in _problems(error, data))) from None


def _problems(error: ValidationError, data: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is wrong: keys, as a user writes them, and words."""
    return [(".".join(map(str, problem["loc"])), _explain(problem, data)) for problem in error.errors()]


def _overridden(data: dict[str, Any], overrides: Sequence[str], file: str, folders: Sequence[Path] = ()) -> StudyConfig:
    """``data``, which stand in ``file``, with overrides applied; an error names the one that it comes from."""
    _load_plugins(data, folders)
    try:
        StudyConfig.model_validate(data)
        of_file = set()
    except ValidationError as error:
        of_file = {text for _, text in _problems(error, data)}
    options = {_override(data, override): f"--set {override}" for override in overrides}
    _load_plugins(data, folders)

    def source(key: str, text: str) -> str:
        """An override of the key, or of what it is part of; the file; an override of a part of it; or all together."""
        whole = [option for path, option in options.items() if f"{key}.".startswith(f"{path}.")]
        parts = [option for path, option in options.items() if path.startswith(f"{key}.")]
        if whole or (parts and text not in of_file):
            return (whole or parts)[-1]
        return file if text in of_file or not options else f"{file} with {' '.join(options.values())}"

    return _checked(data, source)


def _override(data: dict[str, Any], override: str) -> str:
    """Change what ``section.key=value`` names; gives its key."""
    key, equals, text = override.partition("=")
    path = key.strip().split(".")
    if not equals or not all(path):
        raise ConfigError(f"--set {override!r}: expected section.key=value, e.g. --set search.trials=200")
    for part in path[:-1]:
        data = data.setdefault(part, {})
        if not isinstance(data, dict):
            raise ConfigError(f"--set {override!r}: {part!r} is a value, not a section")
    try:
        data[path[-1]] = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        data[path[-1]] = text.strip()
    return ".".join(path)


def _explain(problem: Any, data: Mapping[str, Any]) -> str:
    """One of pydantic's findings, in words: the key, what was found, what is allowed."""
    key, found = ".".join(map(str, problem["loc"])), problem["input"]
    match problem["type"]:
        case "extra_forbidden":
            allowed = sorted(
                {name for section in _sections_at(problem["loc"][:-1], data) for name in section.model_fields}
            )
            return f"unknown key {key!r} (found {found!r}); allowed there: {', '.join(allowed)}"
        case "together" | "teacher":
            return str(problem["msg"])
        case "missing":
            return f"key {key!r} is missing"
    return f"{key} is {found!r}: {problem['msg'][0].lower()}{problem['msg'][1:]}"


def _sections_at(loc: Sequence[int | str], data: Mapping[str, Any]) -> list[type[Section]]:
    """The settings that stand at pydantic's location ``loc`` of ``data``."""
    here: list[type[Section]] = [StudyConfig]
    for depth, part in enumerate(map(str, loc)):
        if depth == 0 and part in CHOICES:
            key, known = CHOICES[part]
            here = [known[data[part].get(key, "digits")]]
        else:
            fields = [section.model_fields[part] for section in here if part in section.model_fields]
            here = [section for field in fields for section in _sections(field.annotation)] or here
    return here


def _sections(annotation: Any) -> list[type[Section]]:
    """The sections that a field's type speaks of: itself, or the members of a union."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [section for member in get_args(annotation) for section in _sections(member)]
