"""How a chosen network is trained and handed over."""

from __future__ import annotations

from typing import Any, ClassVar, get_args

from pydantic import NonNegativeFloat, field_validator

from studies.config.sections import Training
from studies.config.values import Added, Augmentation, BelowOne, Form, Jitter, PerRound, Share

WHOLE = "whole"
"""``deliver.teacher``: the network that the run has fine-tuned."""

IMITATED = "imitated"
"""``deliver.teacher``: the network that the run names for its blocks to imitate."""


class DeliverSection(Training):
    """How `python -m evo.deliver` trains the chosen network: from scratch (cuts: from their weights), on all training images,
    validation images too."""

    unrelated: ClassVar[frozenset[str]] = frozenset(
        {"teacher", "formats", "int8_changed"}
    )  # of a teacher its sha256 counts

    epochs: PerRound = 60.0
    """Passes over the training images."""

    label_smoothing: Share = 0.1
    """Part of each label that is spread over all classes, from 0 (off) to 1 (arXiv 1512.00567)."""

    mixup: NonNegativeFloat = 0.2
    """Parameter of MixUp's Beta distribution (arXiv 1710.09412); 0: off. With `cutmix`, one of the two per batch."""

    cutmix: NonNegativeFloat = 0.0
    """Parameter of CutMix's Beta distribution (arXiv 1905.04899); 0: off. With `mixup`, one of the two per batch."""

    drop_path: BelowOne = 0.0
    """How often the last layer's operations are left out where the input can pass by them, earlier ones less often;
    from 0 (off) to below 1 (stochastic depth, arXiv 1603.09382)."""

    ema: BelowOne = 0.99
    """Decay of the moving average of the weights, which is what is delivered; 0: the last weights are delivered."""

    augment: tuple[Augmentation, ...] | None = None
    """Random changes of training images, in place of `data.augment`. Not given: those."""

    jitter: Jitter | None = None
    """How far `colour_jitter` changes colours here, in place of `data.jitter`. Not given: as there."""

    add: tuple[Added, ...] = ()
    """What the network is given beside what was searched, as NSE (arXiv 2011.10904) does: `se`, a squeeze-excitation of a
    quarter of the hidden channels in operations that have none, and `swish`, in the place of all activations of operations,
    stem and head. Operations that have no such form stay. Not for weights that a run has trained."""

    teacher: str | None = None
    """Teaches the network beside the labels (distillation at temperature 1, arXiv 1503.02531): `whole`, the network that a run
    of `cuts` has fine-tuned; `imitated`, the `evaluator.teacher` that a run of `blockwise` names; or a folder that
    `evo.deliver` made, with the same channels and classes, for which images are resized. Not given: labels alone; where there
    are none, `whole` or `imitated`, whichever the run has."""

    teacher_share: Share = 0.5
    """Part of each target that is the teacher's probabilities of the classes, from 0 to 1 (labels are not used)."""

    teacher_features: NonNegativeFloat = 0.0
    """Weight in the loss of how far the outputs of blocks are from the teacher's: the mean squared difference as a share of the
    teacher's variance, averaged over the blocks that both have by name, with the same channels (in the manner of FitNets,
    arXiv 1412.6550); 0: off. Needs `teacher`."""

    formats: tuple[Form, ...] = ("onnx", "pt2")
    """Forms of the network that are written beside its weights and `model.py`: `onnx`; `pt2` (torch.export); `openvino`;
    `litert` (TFLite); `executorch`; `coreml`; `int8` (ONNX in 8 bits). One whose package is not installed is left out, with a
    reason."""

    int8_changed: Share = 0.01
    """Share of training images that the form `int8` may decide otherwise than the network in 32 bits. Where there are more,
    the layers that cost most stay in 32 bits."""

    @field_validator("add")
    @classmethod
    def _in_one_order(cls, names: tuple[Added, ...]) -> tuple[Added, ...]:
        return tuple(sorted(set(names)))

    @field_validator("formats")
    @classmethod
    def _each_once(cls, names: tuple[Form, ...]) -> tuple[Form, ...]:
        return tuple(name for name in get_args(Form) if name in names)

    def recipe(self) -> dict[str, Any]:
        """All of it that a training is described by."""
        return self.model_dump(mode="json", exclude={"formats", "int8_changed"})
