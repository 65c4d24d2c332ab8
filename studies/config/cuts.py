"""The settings of the evaluator that judges cuts of a trained network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from studies.config.evaluators import EvaluatorSection
from studies.config.sections import DataSection, Training
from studies.config.values import Section, Share, invalid

if TYPE_CHECKING:
    from spaces.space import SearchSpace
    from studies.config.study import StudyConfig


class PoolSection(Section):
    """Operations that no cut gives: they wait in every layer whose shape allows them. When evolution tries one in a layer, it
    learns to give what that layer of the fine-tuned network gives; what was made is shared by all runs of the database."""

    operations: Annotated[tuple[str, ...], Field(min_length=1)]
    """Operations, e.g. `["mb_k3_e1_relu6", "dual_k3_e1_relu6"]`."""

    at_once: bool = False
    """Make and try all of them in the first round, rather than when evolution asks for them (`evolution.k`)."""

    epochs: PositiveInt = 5
    """Passes over the training images for each operation in each layer."""

    batch_size: PositiveInt = 64
    """Images per step."""

    learning_rate: PositiveFloat = 0.005
    """Learning rate of Adam in the first epoch."""

    decay: Share = 0.9
    """What the learning rate is multiplied by after every epoch."""

    unrelated: ClassVar[frozenset[str]] = frozenset({"operations", "at_once"})


class JointSection(Section):
    """After its fine-tuning, the network is trained together with what can be cut out of it, with the same weights: in every
    step the whole network by the labels, and some cuts by what it says (arXiv 2003.11142)."""

    epochs: PositiveInt = 2
    """Passes over the training images."""

    cuts: PositiveInt = 2
    """Cuts of each step, drawn at random."""

    learning_rate: PositiveFloat = 0.01
    """Highest learning rate: it is reached linearly during warm-up, then falls to 0 along a cosine."""


class CutsSection(Training, EvaluatorSection):
    """A trained network is fine-tuned once. What can be cut out of it (fewer channels inside of layers, smaller kernels, fewer
    layers) is judged with its weights, without further training."""

    kind: Literal["cuts"]
    """`cuts`: judge what can be cut out of a trained network. Needs `space.name = "pretrained"`."""

    network: str = "efficientnet_lite0"
    """`efficientnet_lite0` to `4`, a network of torchvision, `timm:` and a name of timm's, or a folder that `evo.deliver`
    made."""

    weights: str | None = None
    """A file with the network's weights: safetensors, or a `state_dict` of torch. Not given: those of a folder, or of an
    installed package (`efficientnet_lite0`: the extra `pretrained`)."""

    shares: Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], Field(min_length=1)] = (0.75, 0.5, 0.25)
    """Parts of a layer's hidden channels that are tried beside all of them."""

    importance: Literal["scale", "weight", "taylor"] = "scale"
    """Which hidden channels stay in a cut. `scale`: those that normalisations and the next convolution weigh most. `weight`:
    those that are made and read by the largest weights. `taylor`: those without which the loss would change most, to first
    order."""

    refit: bool = False
    """Whether the last convolution of an operation is fitted again when hidden channels are cut away, by least squares, so that
    its output comes closest to the whole operation's (arXiv 1707.06168)."""

    channel_images: PositiveInt = 512
    """Training images on which hidden channels are measured, for `refit` and for the importance `taylor`."""

    loss: Literal["likelihood", "divergence"] = "likelihood"
    """What a cut loses by itself: `likelihood` of the labels, or `divergence` of its probabilities from the whole network's.
    The second is less noisy on few images, never negative, and closer to adding up. Networks are scored by labels either
    way."""

    loss_images: PositiveInt | None = None
    """Images on which each cut is measured by itself: validation images, and where these are too few and labels do not count
    (`loss = "divergence"`, or there are none), training images. Not given: all validation images."""

    resolutions: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = ()
    """Parts of the images' sides that are tried beside their whole size: with one or more, the first choice of an architecture
    is the size that its images are scaled to."""

    widths: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = ()
    """Parts of the channels between layers that are tried beside all of them: with one or more, the first choice of an
    architecture is also how many channels each stage gives. What a stage gives is written in another basis first, whose first
    channels tell the layers that read it as much as so few can."""

    epochs: Annotated[float, Field(gt=0)] = 5.0
    """Passes over the training images in the fine-tuning of the whole network."""

    batch_size: PositiveInt = 32
    """Images per step."""

    learning_rate: PositiveFloat = 0.03
    """Highest learning rate of the fine-tuning: it is reached linearly during warm-up, then falls to 0 along a cosine."""

    label_smoothing: Share = 0.1
    """Part of each label that is spread over all classes, from 0 (off) to 1 (arXiv 1512.00567)."""

    joint: JointSection | None = None
    """Train the network together with its cuts. Needs `importance = "taylor"`. Not given: it is fine-tuned alone, and cuts are
    judged as they are."""

    pool: PoolSection | None = None
    """Operations that no cut gives, and how they are made. Not given: none."""

    calibration_batches: PositiveInt = 2
    """Batches of training images from which the batch normalisation of each scored architecture takes its statistics."""

    eval_batch_size: PositiveInt = 256
    """Images per batch when scoring; larger is faster and needs more memory."""

    prefix_memory_mb: PositiveInt = 512
    """Megabytes that scoring may use to keep outputs of layers that several architectures share. It changes speed only."""

    timeout: PositiveFloat | None = None
    """Seconds that evaluating one architecture may take; a slower one fails. Not given: no limit."""

    starts_networks: ClassVar[bool] = True
    losses_add_up: ClassVar[bool] = True
    makes_operations: ClassVar[bool] = True
    judges_in_int8: ClassVar[bool] = True
    without_labels: ClassVar[bool] = True
    unrelated: ClassVar[frozenset[str]] = frozenset({"timeout", "prefix_memory_mb", "network", "weights"})

    @property
    def scores_hold(self) -> bool:
        """The weights are the same in all rounds."""
        return True

    def on(self, data: DataSection) -> EvaluatorSection:
        return AgreementSection.model_construct(**dict(self)) if data.labels is False else self

    def describe(self) -> str:
        return f"what they are when cut out of {self.network}, which was fine-tuned as a whole"

    def caveats(self) -> list[str]:
        return ["Scores are those of networks that were cut and not trained further; a delivered one is fine-tuned."]

    def plan(self, space: SearchSpace, rounds: int) -> list[str]:
        cuts = sum(len(layer.candidates) - 1 for layer in space.layers)
        joint = f", {self.joint.epochs} epochs together with {self.joint.cuts} cuts a step" if self.joint else ""
        return [
            f"fine-tuning {self.network}: {self.epochs:g} epochs{joint}; then measuring {cuts} cuts, one at a time",
            *self._plan_of_widths(space),
            *self._plan_of_pool(space),
        ]

    def _plan_of_widths(self, space: SearchSpace) -> list[str]:
        if not self.widths or (space.input_sizes is not None and space.input_sizes.has_channels):
            return []
        return [
            f"no stage of {self.network} can give fewer channels: in each, a layer has an activation behind what it gives, or "
            "sees channels one by one; evaluator.widths changes nothing"
        ]

    def _plan_of_pool(self, space: SearchSpace) -> list[str]:
        if self.pool is None:
            return []
        waiting = sum(len(layer.pending) for layer in space.layers)
        return [
            f"pool: {len(self.pool.operations)} operations, {self.pool.epochs} epochs each in every layer where they are "
            f"tried; {waiting} wait"
        ]

    def files(self) -> tuple[str, ...]:
        """Those of a folder, too, where ``network`` is one."""
        folder = tuple(f"{self.network}/{name}" for name in ("architecture.json", "model.safetensors"))
        return (*folder, self.weights) if self.weights else folder

    def check(self, config: StudyConfig) -> None:
        if config.space.name != "pretrained":
            raise invalid(
                f"evaluator.kind is 'cuts', which searches the space of its network: expected space.name = 'pretrained', found "
                f"{config.space.name!r}"
            )
        for key in ("path", "add_operations", "channels", "size", "classes"):
            if getattr(config.space, key):
                raise invalid(
                    "evaluator.kind is 'cuts', whose space is that of its network for the images of [data]: leave out "
                    f"space.{key}"
                )
        if config.evolution.method in ("nse", "autospace"):
            raise invalid(
                f"evaluator.kind is 'cuts', and evolution.method = {config.evolution.method!r} searches another space than "
                "that of its network: expected evidence, pad_nas or fixed"
            )
        asked = getattr(config.evolution, "k", None) or getattr(config.evolution, "make", None)
        if self.pool and not self.pool.at_once and not asked:
            raise invalid(
                "evaluator.pool has operations that wait, and evolution never asks for them: set evolution.make, to how many "
                "are made in a round, evolution.k, to how many candidates layers are refilled, or evaluator.pool.at_once"
            )
        if getattr(config.evolution, "zoom", False):
            raise invalid(
                "evaluator.kind is 'cuts', and evolution.zoom tries operations that cannot be cut out: leave it out"
            )
        if self.joint and self.importance != "taylor":
            raise invalid(
                "evaluator.joint trains cuts whose channels were chosen before: expected evaluator.importance = 'taylor', "
                f"found {self.importance!r}, which changes with the weights"
            )
        if self.joint and config.data.labels is False:
            raise invalid("evaluator.joint trains with labels, and data.labels is false: leave one of them out")
        if config.ground_truth.sample:
            raise invalid(
                "evaluator.kind is 'cuts', whose networks begin with trained weights, and ground_truth.sample trains networks "
                "from fresh ones, which says nothing: leave it out"
            )


class AgreementSection(CutsSection):
    """The same for images without labels: the network is not fine-tuned, and cuts are judged by how well they agree with it."""

    measures: ClassVar[str] = "agreement"
    likelihood: ClassVar[str] = "exp(-KL divergence)"

    def describe(self) -> str:
        return f"how well they agree with {self.network} when they are cut out of it; the images have no labels"

    def caveats(self) -> list[str]:
        return [
            f"Nothing is known of what is right: agreement is the share of images to which a network gives the class that "
            f"{self.network} gives, and a cut may be as wrong as that.",
            "Scores are those of networks that were cut and not trained further; a delivered one imitates the whole network.",
        ]

    def plan(self, space: SearchSpace, rounds: int) -> list[str]:
        cuts = sum(len(layer.candidates) - 1 for layer in space.layers)
        return [
            f"measuring how well {cuts} cuts agree with {self.network}, one at a time; nothing is fine-tuned",
            *self._plan_of_widths(space),
            *self._plan_of_pool(space),
        ]
