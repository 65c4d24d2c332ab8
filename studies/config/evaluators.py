"""The settings of evaluators: ``EvaluatorSection`` is the seam. ``studies.config.kinds`` has the registry of kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from studies.config.delivery import WHOLE
from studies.config.sections import DataSection, Training
from studies.config.values import (
    CountPerRound,
    FactorPerRound,
    Section,
    Share,
    epochs_sentence,
    invalid,
    values_by_round,
)

if TYPE_CHECKING:
    from spaces.space import SearchSpace
    from studies.config.study import StudyConfig


BY_ROUND = ("epochs", "images", "learning_rate", "resolution", "width")
"""Settings of a training that may differ from round to round."""


def _varies(setting: object) -> bool:
    return isinstance(setting, tuple) and len(set(setting)) > 1


class EvaluatorSection(Section):
    """Settings of an evaluator, chosen by ``kind``; a plugin's settings inherit from this class.

    Class attributes:
        uses_images: whether it trains or measures on the images of ``[data]``.
        shared_weights: whether its scores hold for its own weights only, so that scores of two runs are no common measure.
        without_labels: whether it can do with images that have none.
        teaches: the ``deliver.teacher`` of its runs on images without labels.
        measures: what it gives as an architecture's accuracy, from 0 to 1; ``likelihood``: what exp(-nll) is called.
        starts_networks: whether delivered networks begin with weights that the evaluator has trained.
        losses_add_up: whether its judges know what single operations or blocks lose, and that adds up: a budget then has an
            exact answer. What blocks lose is in the round's files "block 1", "block 2" and so on.
        makes_operations: whether operations that wait are made one by one, each to be rated by what it loses.
        judges_in_int8: whether it can judge architectures as they are in 8 bits.
        no_likelihood: why ``search.objective = "likelihood"`` is impossible; empty: it is possible.
        measures_latency: whether its judges tell what networks take (``Evaluation.latency_ms``); the table in ``[latency]`` is
            then what is known beforehand, and corrected by it.
        holds_elsewhere: whether a judge is made without training, and its answers hold in every run with the same settings and
            data (``Judge.answers_sha256``).
    """

    unrelated: ClassVar[frozenset[str]] = frozenset({"timeout"})
    uses_images: ClassVar[bool] = True
    shared_weights: ClassVar[bool] = False
    without_labels: ClassVar[bool] = False
    teaches: ClassVar[str] = WHOLE
    measures: ClassVar[str] = "accuracy"
    likelihood: ClassVar[str] = "likelihood"
    starts_networks: ClassVar[bool] = False
    losses_add_up: ClassVar[bool] = False
    makes_operations: ClassVar[bool] = False
    judges_in_int8: ClassVar[bool] = False
    no_likelihood: ClassVar[str] = ""
    measures_latency: ClassVar[bool] = False
    holds_elsewhere: ClassVar[bool] = False

    kind: str
    """How architectures are judged: the name of an evaluator."""

    timeout: PositiveFloat | None = None
    """Seconds that evaluating one architecture may take; a slower one fails. Not given: no limit."""

    def on(self, data: DataSection) -> EvaluatorSection:
        """The same settings, as far as words about them depend on the images: what it measures, its description and work."""
        return self

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

    @property
    def learns_gates(self) -> bool:
        """Whether it learns how likely each operation's gate is on (NSE)."""
        return getattr(self, "gates", None) is not None

    @property
    def scores_hold(self) -> bool:
        """Whether what is measured in one round holds in all others: weights are not shared, and all rounds train alike."""
        return not self.shared_weights and not any(_varies(getattr(self, name, None)) for name in BY_ROUND)


class TabularSection(EvaluatorSection):
    """Accuracies come from a table with one row per architecture."""

    uses_images: ClassVar[bool] = False
    no_likelihood: ClassVar[str] = "a table holds accuracies only"
    holds_elsewhere: ClassVar[bool] = True

    kind: Literal["tabular"] = "tabular"
    """`tabular`: look accuracies up in a table."""

    path: str
    """The csv or csv.gz file; a relative path is also looked for in the folder that EVO_DATA names."""

    arch_column: str = "arch"
    """The column that holds the architecture."""

    tokens: Literal["operations", "indices"] = "operations"
    """What that column spells, layer by layer: `operations`, or their `indices` among the candidates of the first
    space."""

    separator: str = ""
    """What stands between two layers in that column; empty: every character is a layer."""

    accuracy_column: str = "accuracy"
    """The column that holds the accuracy."""

    accuracy_scale: PositiveFloat = 1.0
    """The accuracy is multiplied by this number; 0.01 turns percent into fractions."""

    macs_column: str | None = None
    """The column of multiply-accumulates, used in place of computed ones. Not given: computed."""

    params_column: str | None = None
    """The column of parameters, used in place of computed ones. Not given: computed."""

    latency_column: str | None = None
    """The column of latency in milliseconds. Not given: there is none."""

    def describe(self) -> str:
        return "a table of published results"

    def plan(self, space: SearchSpace, rounds: int) -> list[str]:
        return [f"accuracies from {self.path}"]

    def files(self) -> tuple[str, ...]:
        return (self.path,)


class ScratchSection(Training, EvaluatorSection):
    """Every architecture is trained by itself, from scratch."""

    holds_elsewhere: ClassVar[bool] = True

    kind: Literal["scratch"]
    """`scratch`: train every architecture by itself."""

    images: CountPerRound | None = None
    """Training images, with all classes represented alike: a number for every round, or a list whose last entry repeats, e.g.
    `[2000, 8000]` for cheap first rounds. Not given: all."""

    resolution: FactorPerRound = 1.0
    """Factor of the images' sides, from above 0 to 1: a number for every round, or a list whose last entry repeats, e.g.
    `[0.5, 1]` for cheap first rounds. Costs of architectures stay those of whole images."""

    width: FactorPerRound = 1.0
    """Factor of all channels, likewise; they are rounded to multiples of 8."""

    rungs: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = ()
    """Fractions of the epochs after which training pauses: an architecture that is confidently dominated at its cost is
    then stopped. Empty: all are trained to the end."""

    def describe(self) -> str:
        return "training each of them by itself"

    def plan(self, space: SearchSpace, rounds: int) -> list[str]:
        said = f"training every architecture: {epochs_sentence(self.epochs, rounds)}"
        if self.images is not None:
            said += f", on at most {values_by_round(self.images, rounds)} images"
        for name, factor in (("of the images' sides", self.resolution), ("of the channels", self.width)):
            if factor != 1:
                said += f", at {values_by_round(factor, rounds)} {name}"
        return [said]

    def check(self, config: StudyConfig) -> None:
        if config.ground_truth.sample and config.ground_truth.table is None:
            raise invalid(
                "ground_truth.sample trains architectures alone, as evaluator 'scratch' does anyway: leave it out"
            )


class GatesSection(Section):
    """Scores of a supernet's branches, learned on validation images between the weight steps (NSE,
    https://arxiv.org/abs/2011.10904). The defaults are the paper's values."""

    update_every: PositiveInt = 2
    """Weight steps between two steps of the scores."""

    learning_rate: PositiveFloat = 0.005
    """Learning rate of the scores (Adam)."""

    cost_target: PositiveFloat | None = None
    """The value to which the expected cost is drawn, in units of `search.cost`. Not given: cost plays no part."""

    cost_weight: NonNegativeFloat = 0.9
    """How strongly the expected cost is drawn to the target: the loss grows by cost_weight (cost / target - 1)^2."""

    drop_below: float | None = -2.0
    """An operation whose score falls below this value is dropped; -1e9: none is."""


class CellsSection(Training):
    """Cells that are bred while they train side by side (AutoSpace-style, https://arxiv.org/abs/2103.11833). The paper
    names few values: most are ours."""

    steps: PositiveInt = 16
    """Training steps per iteration; after each iteration, cells are replaced."""

    parallel_cells: Annotated[int, Field(ge=2)] = 4
    """Cells per layer that train side by side (K in the paper, whose figure 2 shows 4)."""

    children: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Fraction of these cells that is newly bred in an iteration; the others are measured again. 1: all, as the paper's
    figure 2 reads."""

    tournament: PositiveInt = 3
    """Cells in a tournament, whose fittest becomes a parent."""

    crossover: Share = 0.25
    """Probability that a child has two parents; otherwise it is a mutation of one. The paper names no crossover: 0."""

    window: PositiveInt = 2
    """Neighbouring attributes of a cell that a mutation draws anew."""

    update_every: PositiveInt = 2
    """Weight steps between two steps of the weights of the sum, which learn on validation images."""

    alpha_learning_rate: PositiveFloat = 0.05
    """Learning rate of the weights of the sum (Adam)."""

    fitness_momentum: Share = 0.5
    """How far a cell's fitness moves, in each iteration, towards what its weight in the sum has become; from 0 (not at
    all) to 1."""

    score: Literal["weights", "networks", "noise"] = "weights"
    """What fitness is: `weights`: the weight of a cell in the sum, as in the paper; `networks`: what networks lose with
    the cell, beside the same networks with the layer's other cells, and a training step runs one network drawn from the cells
    that run; `noise`: likewise, and fitness is a number drawn by chance: a control arm."""

    networks: PositiveInt = 4
    """Networks in which all living cells are measured after each iteration (`score = "networks"`)."""

    last_networks: PositiveInt = 24
    """Networks in which all living cells are measured at the end of a round: what decides which of them are the next
    space's (`score = "networks"`)."""

    measured_images: PositiveInt = 128
    """Validation images that each of these networks sees."""

    cost_target: PositiveFloat | None = None
    """Expected cost above which the loss grows, in units of `search.cost`. Not given: cost plays no part."""

    cost_weight: NonNegativeFloat = 1.0
    """How much the loss grows: cost_weight times the fraction by which the expected cost exceeds the target."""

    reference_weight: NonNegativeFloat = 1.0
    """Weight of the reference cells beside 1 for all others, at the beginning of the run."""

    reference_half_life: PositiveFloat = 10.0
    """Iterations of the run after which that weight has halved."""

    nodes: Annotated[int, Field(ge=2, le=6)] = 4
    """Most nodes in a cell's graph, input and output counted, from 2 to 6."""

    edge_ops: Annotated[str, Field(pattern=r"^[ip357]+$")] = "ip35"
    """Operations that an edge may have, a letter each: `i` identity, `p` pooling, `3`, `5`, `7` depthwise convolutions
    of that kernel (see `spaces/operations/cells.py`)."""

    expansions: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (1, 3, 6)
    """Expansion ratios of a cell's first 1x1 convolution to choose from."""

    activation: Literal["relu", "relu6", "swish"] = "relu"
    """Activation function of all cells."""

    @property
    def described(self) -> str:
        """What a training step runs."""
        return (
            f"{self.parallel_cells} side by side" if self.score == "weights" else f"one of {self.parallel_cells} a step"
        )


class OneShotSection(Training, EvaluatorSection):
    """A supernet is trained once per round, and its shared weights judge (SPOS, https://arxiv.org/abs/1904.00420)."""

    shared_weights: ClassVar[bool] = True
    judges_in_int8: ClassVar[bool] = True

    kind: Literal["oneshot"]
    """`oneshot`: judge by the shared weights of a supernet."""

    sampling: Literal["uniform", "fair", "branches"] = "uniform"
    """What a training step runs: `uniform` (one path drawn uniformly), `fair` (as many paths as run each operation
    equally often), or `branches` (every branch with probability one half; needs `gates`)."""

    gates: GatesSection | None = None
    """Learn scores of the branches (NSE). Not given: none."""

    cells: CellsSection | None = None
    """Breed cells before the supernet is trained (AutoSpace-style). Not given: none."""

    inherit: bool = True
    """Start from the weights of the round before, restricted to what survived."""

    zero_init: bool = True
    """Start the last batch normalisation of every residual operation at zero, so that it begins as an identity. Short
    trainings gain much by it."""

    calibration_batches: PositiveInt = 4
    """Batches of training images from which the batch normalisation of each scored architecture takes its
    statistics."""

    eval_batch_size: PositiveInt = 512
    """Images per batch when scoring; larger is faster and needs more memory."""

    prefix_memory_mb: PositiveInt = 512
    """Megabytes that scoring may use to keep outputs of layers that several architectures share. It changes speed
    only."""

    def describe(self) -> str:
        return "a supernet with shared weights, trained anew or further in every round"

    def caveats(self) -> list[str]:
        return [
            "Supernet accuracies rank architectures; "
            "they are not the accuracies that the networks reach when trained alone."
        ]

    def plan(self, space: SearchSpace, rounds: int) -> list[str]:
        bred = (
            [f"breeding cells, {self.cells.described}: {epochs_sentence(self.cells.epochs, rounds)}"]
            if self.cells
            else []
        )
        return [*bred, f"training the supernet: {epochs_sentence(self.epochs, rounds)}"]


FEWEST_TO_CALIBRATE = 6
"""The least ``ground_truth.sample`` that scores can be calibrated by."""


class GroundTruthSection(Training):
    """How far a round's scores can be trusted: some of its architectures are trained alone with these settings, or
    looked up, and both rankings are compared."""

    sample: NonNegativeInt = 0
    """How many architectures of a round, spread over cost; 0: none."""

    use: Literal["report", "calibrate"] = "report"
    """`report`: compare after the round. `calibrate`: train them before the search, and let it maximise an estimate of
    accuracy alone, by a regression on the scores, MACs and depth of all that the run has trained alone; or on MACs alone,
    where these rank better. Needs shared weights and a `sample` of 6 or more."""

    table: TabularSection | None = None
    """Look their accuracies up in this table. Not given: train them."""

    @property
    def calibrates(self) -> bool:
        """Whether scores become estimates of accuracy alone."""
        return self.use == "calibrate" and self.sample > 0

    def check(self, evaluator: EvaluatorSection, objective: str) -> None:
        """Raises ``invalid(...)`` where scores cannot be calibrated."""
        if not self.calibrates:
            return
        asked = "ground_truth.use is 'calibrate'"
        if not evaluator.shared_weights:
            raise invalid(
                f"{asked}, and the scores of evaluator {evaluator.kind!r} are no estimates by shared weights: there is nothing "
                "to calibrate; set ground_truth.use = 'report'"
            )
        if self.sample < FEWEST_TO_CALIBRATE:
            raise invalid(
                f"{asked}, and ground_truth.sample is {self.sample}: {FEWEST_TO_CALIBRATE} networks are the least that can be "
                "learned from; give more, or set ground_truth.use = 'report'"
            )
        if objective != "accuracy":
            raise invalid(
                f"{asked}, and search.objective is {objective!r}: the estimate weighs accuracy and likelihood itself; leave "
                "search.objective out"
            )
