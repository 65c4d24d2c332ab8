"""The settings of every evaluator: ``EvaluatorSection`` is the seam, ``EVALUATORS`` the registry of kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from pydantic_core import PydanticCustomError

from studies.config.sections import PerRound, Section, Share, Training, in_rounds, invalid, of_round
from studies.units import short

if TYPE_CHECKING:
    from spaces.space import SearchSpace
    from studies.config.study import StudyConfig


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


EVALUATORS: dict[str, type[EvaluatorSection]] = {
    "tabular": TabularSection,
    "scratch": ScratchSection,
    "oneshot": OneShotSection,
    "blockwise": BlockwiseSection,
}
"""The settings of every ``evaluator.kind``."""
