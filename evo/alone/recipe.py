"""A full training, and what it has beside its schedule: blended images, dropped paths, averaged weights.

Their draws come from torch's own generator, which ``evo.training.loop`` seeds anew for every epoch.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from evo.alone.features import FeatureLoss
from evo.console import Track, untracked
from evo.data.augmentation import spelled
from evo.data.source import Batches
from evo.training.data_parallel import rand_per_image
from evo.training.loop import MixImages, schedule_of, train
from evo.training.precision import precision_of
from evo.workers.ranks import SINGLE_PROCESS, ProcessGroup
from spaces import torchvision_shim
from spaces.networks.network import MixedLayer, Network
from studies.config import DeliverSection, StudyConfig

SoftLabels = Callable[[Tensor], Tensor]
"""Images as they are trained on -> probabilities of the classes, ``(n, classes)``."""


def train_by_recipe(
    network: Network,
    config: StudyConfig,
    images: Batches,
    classes: int,
    seed: int,
    *,
    teacher: SoftLabels | None = None,
    features: FeatureLoss | None = None,
    checkpoint: Path | None = None,
    track: Track = untracked,
    group: ProcessGroup = SINGLE_PROCESS,
) -> None:
    """Train ``network``, which has fresh weights, as the section ``deliver`` says; averaged weights replace its own.

    Args:
        images: all that it is trained on, of so many ``classes``.
        seed: of everything random in the training.
        teacher: what it says of the images is a part of the targets; None: labels alone are.
        features: the loss that draws blocks towards those of ``teacher``; None: cross-entropy.
        checkpoint: where each finished epoch is kept, and from which an interrupted training goes on; None: nowhere.
        group: the processes that train it together.

    Raises:
        DivergedError: the loss is no longer a number.
    """
    section = config.deliver
    add_drop_path(network, section.drop_path)
    average = ModelEMA(network, section.ema) if section.ema else None
    augment = spelled(section.augment or (), section.jitter or config.data.jitter)
    schedule = replace(schedule_of(section, config.data, 1), augment=augment)
    mix = mix_images(section, classes)
    if teacher is not None:
        mix, schedule = blend_targets(mix, teacher, section, classes), replace(schedule, label_smoothing=0.0)
    with features or nullcontext() as loss:
        train(
            network,
            images,
            schedule,
            seed=seed,
            loss=loss,
            mix=mix,
            between=average,
            checkpoint=checkpoint,
            track=track,
            label="training",
            group=group,
            precision=precision_of(config),
        )
    network.load_state_dict(average.state() if average else network.state_dict())


def mix_images(section: DeliverSection, classes: int) -> MixImages | None:
    """MixUp (https://arxiv.org/abs/1710.09412), CutMix (https://arxiv.org/abs/1905.04899), or one of them per batch."""
    return partial(_mix, section.mixup, section.cutmix, classes) if section.mixup or section.cutmix else None


def _mix(mixup: float, cutmix: float, classes: int, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    x, y = _one_of(mixup, cutmix, classes)(x, y)
    return x.contiguous(memory_format=torch.channels_last), y


@cache
def _one_of(mixup: float, cutmix: float, classes: int) -> Callable[..., tuple[Tensor, Tensor]]:
    """Made in every process anew: ranks are sent numbers, and import torchvision themselves."""
    asked = ((torchvision_shim.transforms.MixUp, mixup), (torchvision_shim.transforms.CutMix, cutmix))
    kinds = [kind(alpha=alpha, num_classes=classes) for kind, alpha in asked if alpha]
    blend: Callable[..., tuple[Tensor, Tensor]] = torchvision_shim.transforms.RandomChoice(kinds)
    return blend


def blend_targets(mix: MixImages | None, teacher: SoftLabels, section: DeliverSection, classes: int) -> MixImages:
    """After ``mix``, the share ``section.teacher_share`` of each target is what ``teacher`` says of the (blended) image.

    Labels are smoothed here: the loss would smooth the teacher's part, too.
    """
    return partial(_blend, mix, teacher, section.teacher_share, section.label_smoothing, classes)


def _blend(
    mix: MixImages | None, teacher: SoftLabels, share: float, smoothing: float, classes: int, x: Tensor, y: Tensor
) -> tuple[Tensor, Tensor]:
    x, y = mix(x, y) if mix is not None else (x, nn.functional.one_hot(y, classes).float())
    labels = (1 - smoothing) * y + smoothing / classes
    return x, (1 - share) * labels + share * teacher(x)


def add_drop_path(network: Network, rate: float) -> None:
    """Let operations be left out of single images while training, where the layer's input can pass by them.

    The probability grows linearly with depth, to ``rate`` in the last layer; outputs that stay are scaled up to make up for
    it (stochastic depth, https://arxiv.org/abs/1603.09382, section 3).
    """
    for place, cell in enumerate(network.layers, start=1):
        assert isinstance(cell, MixedLayer)
        if rate and cell.shape.is_residual:
            for op in cell.ops.values():
                op.register_forward_hook(partial(_drop_samples, rate * place / len(network.layers)))


def _drop_samples(probability: float, module: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> Tensor:
    if not module.training:
        return output
    stays = rand_per_image(len(output), output.device).view(-1, 1, 1, 1) >= probability
    return output * stays / (1 - probability)


class ModelEMA:
    """The moving average of all weights, and of what batch normalisation has counted: a ``BetweenSteps`` of the training.

    It forgets quickly at first: the decay after step ``t`` is the lesser of ``decay`` and ``(1 + t) / (10 + t)``.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = model
        self.decay = decay
        self.tensors: dict[str, Tensor] = {}
        self.averaged: list[tuple[Tensor, Tensor]] = []

    def __call__(self, model: nn.Module, step: int) -> None:
        if not self.averaged:
            self._begin()
        own, values = map(list, zip(*self.averaged, strict=True))
        decay = min(self.decay, (1 + step) / (10 + step))
        get_ema_multi_avg_fn(decay)(own, values, None)  # type: ignore[no-untyped-call]  # one call for all of them

    def _begin(self) -> None:
        """Where there is no average yet, it is what there is now. The model's tensors stay the objects that they are."""
        values = self.model.state_dict()
        self.tensors = self.tensors or {name: value.clone() for name, value in values.items()}
        self.averaged = [(self.tensors[name], value) for name, value in values.items() if value.is_floating_point()]

    def state(self) -> dict[str, Tensor]:
        """What was averaged; and what batch normalisation has counted, as it is now."""
        if self.tensors:
            for name, value in self.model.state_dict().items():
                if not value.is_floating_point():
                    self.tensors[name].copy_(value)
        return self.tensors

    def load(self, state: dict[str, Tensor]) -> None:
        values = self.model.state_dict()
        self.averaged = []
        self.tensors = {name: torch.empty_like(values[name]).copy_(tensor) for name, tensor in state.items()}
