"""The settings of blocks that imitate those of a teacher."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator
from pydantic_core import PydanticCustomError

from spaces.units import format_number
from studies.config.delivery import IMITATED
from studies.config.evaluators import EvaluatorSection
from studies.config.sections import DataSection, Training
from studies.config.values import PerRound, Share, invalid, value_in_round

if TYPE_CHECKING:
    from spaces.space import SearchSpace
    from studies.config.study import StudyConfig


class TeacherSection(Training):
    """The network that the blocks imitate (DNA, https://arxiv.org/abs/1911.13053): one of torchvision (`model` and
    `weights`), one that this tool has made (`weights` alone), or the largest network of the first space, trained first
    (neither)."""

    model: str | None = None
    """The name of a classifier of torchvision, e.g. `efficientnet_b7`, the paper's."""

    weights: str | None = None
    """With `model`: the name of published weights (`DEFAULT`: the best ones), or a safetensors file. Alone: a folder
    that `evo.deliver` made, or a file in which this tool has kept a teacher."""

    splits: tuple[str, ...] = ()
    """The teacher's stages whose outputs the blocks imitate, one per block, by the names of its modules. Empty: chosen
    by their sizes."""

    width: PositiveFloat = 2.0
    """How many times as wide as in the space a teacher of the first space is."""

    mean: tuple[float, ...] = ()
    """Mean of each channel, of values from 0 to 1, by which images are normalised for a `model`. Empty: that with which
    the published weights were trained."""

    std: tuple[PositiveFloat, ...] = ()
    """Standard deviation of each channel, as `mean`."""

    @property
    def is_given(self) -> bool:
        """Whether there is a trained network; else one is trained first, with labels."""
        return self.model is not None or self.weights is not None

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
                "torchvision; the program's own teachers bring theirs",
            )
        return self


class BlockwiseSection(EvaluatorSection):
    """Every block of the space is trained by itself to imitate a teacher's, by Adam (DNA,
    https://arxiv.org/abs/1911.13053)."""

    shared_weights: ClassVar[bool] = True
    losses_add_up: ClassVar[bool] = True
    without_labels: ClassVar[bool] = True
    teaches: ClassVar[str] = IMITATED
    measures: ClassVar[str] = "exp(-block loss)"
    no_likelihood: ClassVar[str] = "blocks are not trained on classes"

    kind: Literal["blockwise"]
    """`blockwise`: judge by the losses of blocks that imitate a teacher's."""

    teacher: TeacherSection = TeacherSection()
    """The network that the blocks imitate."""

    epochs: PerRound = 20.0
    """Passes over the training images: a number for every block, or a list whose last entry repeats."""

    batch_size: PositiveInt = 64
    """Images per step."""

    accumulate: PositiveInt = 1
    """Pieces into which a batch is cut, whose gradients add up to a step: a step takes as much less memory. Batch normalisation
    then takes the statistics of each piece, as if the batch were smaller."""

    learning_rate: PerRound = (0.002, 0.005)
    """First learning rate: a number for every block, or a list whose last entry repeats."""

    decay: Share = 0.9
    """Factor by which the learning rate is multiplied after every epoch."""

    weight_decay: NonNegativeFloat = 1e-4
    """L2 penalty of the weights in every step."""

    zero_init: bool = True
    """Start the last batch normalisation of every residual operation at zero, so that it begins as an identity. Short
    trainings gain much by it."""

    in_step: bool = False
    """Whether blocks of as many epochs are trained at the same time, in one process: a batch passes the
    teacher once, not once for each block. That pays where the teacher costs more than the blocks, and takes the memory of all
    of them. Otherwise each is trained by itself, and `--workers` share them."""

    candidates: Annotated[int, Field(ge=2)] = 5000
    """Most candidates of a block that are all scored; a block with more is searched by NSGA-II, and so many are
    scored."""

    calibration_batches: PositiveInt = 4
    """Batches of training images from which the batch normalisation of each scored architecture takes its
    statistics."""

    validation_batches: PositiveInt | None = None
    """Batches of validation images on which candidates are scored. Not given: all images."""

    eval_batch_size: PositiveInt = 512
    """Images per batch when scoring; larger is faster and needs more memory."""

    prefix_memory_mb: PositiveInt = 512
    """Megabytes that scoring may use to keep outputs of layers that several architectures share. It changes speed
    only."""

    def on(self, data: DataSection) -> EvaluatorSection:
        return UnlabelledBlocksSection.model_construct(**dict(self)) if data.labels is False else self

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
        counts = [space.slice(start, stop).size for start, stop in space.blocks]
        scored = ", ".join(
            format_number(count) if count <= self.candidates else f"{self.candidates} of {format_number(count)}"
            for count in counts
        )
        epochs = ", ".join(f"{value_in_round(self.epochs, n):g}" for n in range(1, len(counts) + 1))
        return [
            f"training {len(counts)} blocks by themselves: {epochs} epochs; teacher: {whose}; candidates scored: {scored}"
        ]

    def check(self, config: StudyConfig) -> None:
        if config.deliver.teacher == IMITATED and not self.teacher.is_given:
            raise invalid(
                "deliver.teacher is 'imitated', the network that evaluator.teacher names, and found none there: give "
                "evaluator.teacher.weights, or leave deliver.teacher out"
            )
        if config.data.labels is False:
            self._check_without_labels(config)

    def _check_without_labels(self, config: StudyConfig) -> None:
        if not self.teacher.is_given:
            raise invalid(
                "the images have no labels (data.labels is false), and evaluator.teacher names no trained network: expected "
                "evaluator.teacher.weights (a folder that python -m evo.deliver made), or evaluator.teacher.model and its "
                "weights, and found neither, so that a teacher would be trained first, with labels; give one, or put the "
                "images into class folders"
            )
        if config.ground_truth.sample and config.ground_truth.table is None:
            raise invalid(
                f"ground_truth.sample is {config.ground_truth.sample}, which trains networks with labels, and the images have "
                "none (data.labels is false): leave it out"
            )


class UnlabelledBlocksSection(BlockwiseSection):
    """The same for images without labels: what is delivered learns what the teacher says, too."""

    def describe(self) -> str:
        return f"{super().describe()}; the images have no labels"

    def caveats(self) -> list[str]:
        return [
            *super().caveats(),
            "Nothing is known of what is right: a delivered network learns to give what the teacher gives, and may be as wrong "
            "as that.",
        ]
