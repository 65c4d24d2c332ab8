"""The training loop: one function, for supernets and for single networks.

Everything random in an epoch flows from (seed, epoch), so a run that was interrupted and continues from the end of its
last whole epoch ends with the same weights, bit for bit, as one that was not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evo.console import Track, untracked
from evo.data.augmentation import spelled
from evo.data.source import Batches
from evo.seeds import derive_seed
from evo.training.checkpoints import DamagedError, previous_path, quarantine, read_checkpoint, write_checkpoint
from evo.training.data_parallel import (
    accumulate_gradients,
    mean_over_ranks,
    mix_over_ranks,
    replicate,
    share_of_pass,
)
from evo.training.precision import Precision, forward
from evo.workers.ranks import SINGLE_PROCESS, ProcessGroup
from studies.config import DataSection, Training, value_in_round
from studies.records import EvoError


class DivergedError(EvoError):
    """The loss is no longer a number."""


Paths = Callable[[Random], Sequence[tuple[Any, ...]]]
"""What a step trains: for each entry, ``model(x, *entry)`` is run and its gradient added. A network has one: ``()``."""


MixImages = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Blends the images of a batch: images and labels ``(n,)`` -> images and shares of the classes ``(n, classes)``. Each is
blended with the one before it, the first with the last, and what is drawn does not depend on ``n``."""


class BetweenSteps(Protocol):
    """Something that learns between the steps (gates, cells), and is kept in the checkpoint with the weights."""

    def __call__(self, model: nn.Module, step: int) -> None:
        """Called after weight step ``step``, counted from 0 over all epochs."""
        ...

    def state(self) -> dict[str, Tensor]:
        """All that later steps depend on."""
        ...

    def load(self, state: dict[str, Tensor]) -> None:
        """Take on what ``state`` gave."""
        ...


Loss = Callable[[Any, Tensor], Tensor]
"""(what the model gives, what the batch says) -> a scalar."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast: Nesterov SGD, linear warm-up, then a cosine or a line to zero. ``warmup_fraction`` is a share of
    all steps, ``warmup_start`` one of the learning rate. ``augment`` is as ``evo.data.augmentation.spelled`` gives it.

    With a ``decay`` it is Adam instead, whose learning rate is multiplied by it after every epoch (DNA). A batch is cut into
    ``accumulate`` pieces, whose gradients add up to a step; batch normalisation then takes the statistics of each piece.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    momentum: float = 0.9
    weight_decay: float = 4e-5
    label_smoothing: float = 0.0
    warmup_fraction: float = 0.05
    augment: tuple[str, ...] = ()
    decay: float | None = None
    warmup_start: float = 0.0
    annealing: str = "cosine"
    accumulate: int = 1

    def learning_rate_at(self, step: int, steps: int) -> float:
        """Learning rate at ``step`` (from 0) of ``steps``."""
        if self.decay is not None:
            return self.learning_rate * self.decay ** (step * self.epochs // steps)
        rising = self.warmup_fraction * steps
        if step < rising:
            first, rest = self.warmup_start * self.learning_rate, (1 - self.warmup_start) * self.learning_rate
            return first + rest * (step + 1) / rising
        passed = (step - rising) / max(1.0, steps - rising)
        if self.annealing == "linear":
            return self.learning_rate * (1 - passed)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * passed))


def schedule_of(training: Training, data: DataSection, n: int) -> Schedule:
    """The schedule that a configuration gives for round ``n`` (from 1)."""
    return Schedule(
        epochs=round(value_in_round(training.epochs, n)),
        batch_size=training.batch_size,
        learning_rate=value_in_round(training.learning_rate, n),
        momentum=training.momentum,
        weight_decay=training.weight_decay,
        label_smoothing=training.label_smoothing,
        warmup_fraction=training.warmup_fraction,
        augment=spelled(data.augment, data.jitter),
        warmup_start=training.warmup_start,
        annealing=training.annealing,
        accumulate=training.accumulate,
    )


def whole_network_path(rng: Random) -> Sequence[tuple[Any, ...]]:
    """The path of a model that has only one."""
    return ((),)


def train(
    model: nn.Module,
    images: Batches,
    schedule: Schedule,
    *,
    seed: int,
    loss: Loss | None = None,
    paths: Paths = whole_network_path,
    mix: MixImages | None = None,
    between: BetweenSteps | None = None,
    checkpoint: Path | None = None,
    start: Path | None = None,
    until: int | None = None,
    rates: Mapping[str, float] = MappingProxyType({}),
    track: Track = untracked,
    label: str = "training",
    group: ProcessGroup = SINGLE_PROCESS,
    precision: Precision = "fp32",
) -> None:
    """Train ``model`` in place.

    Args:
        loss: what is made small; None: cross-entropy, labels smoothed as the schedule says.
        paths: which sub-networks each step trains, drawn anew from the generator it is given.
        mix: how the images of a batch are blended, if they are; like the model, it may draw from torch's own generator.
        between: what happens after each step, e.g. gates that learn.
        checkpoint: where each finished epoch is kept, and the one before it; if the file is there, training continues
            from it, and from the epoch before where it is damaged.
        start: another such file, to continue from where ``checkpoint`` is not there yet.
        until: pause after so many epochs of the schedule (None: go to its end).
        rates: the first part of parameters' names -> their learning rate in the place of the schedule's; where any is given,
            all parameters have one.
        group: the processes that train together, each on its part of every batch; ``train`` is called on rank 0.
        precision: in which forward passes compute; all else stays in fp32.

    Raises:
        DivergedError: the loss is no longer a number; what was reached before stays in ``checkpoint``.
    """
    model.to(images.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = make_optimizer(model, schedule, rates, fused=images.device.type == "cuda")
    loss = loss or partial(F.cross_entropy, label_smoothing=schedule.label_smoothing)
    done = _resume_progress(model, optimizer, between, [path for path in (checkpoint, start) if path])
    work = partial(
        _train_epochs, model, optimizer, images, schedule, seed, loss, paths, mix, between, done, until, label, precision,
    )  # fmt: skip
    if diverged := group.run_on_all_ranks(work, checkpoint=checkpoint, track=track):
        raise diverged


def _train_epochs(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    images: Batches,
    schedule: Schedule,
    seed: int,
    loss: Loss,
    paths: Paths,
    mix: MixImages | None,
    between: BetweenSteps | None,
    done: int,
    until: int | None,
    label: str,
    precision: Precision,
    group: ProcessGroup,
    checkpoint: Path | None = None,
    track: Track = untracked,
) -> DivergedError | None:
    """Train from epoch ``done`` on; runs on every rank. All ranks draw the same paths, batches and augmentations, and the
    loss of a part of a batch is weighted by its number of images. A single process is a group of size 1.

    A loss that is no longer a number is given back, on every rank: it may be a result, and no rank has failed.
    """
    model.to(images.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    batches = max(1, len(images) // schedule.batch_size)
    steps = batches * schedule.epochs
    whole = min(schedule.batch_size, len(images))
    part = group.batch_slice(whole)
    weight = (part.stop - part.start) * group.size / whole
    count = piece_count(whole // group.size, schedule.accumulate)  # the smallest part's: all ranks have as many
    idle = paths is not whole_network_path
    with track(label, steps) as advance, replicate(model, group, images.device, idle) as run:
        advance(done * batches)
        for epoch in range(done, until or schedule.epochs):
            model.train()
            run.train()
            rng = Random(derive_seed(seed, "paths", epoch))
            torch.manual_seed(derive_seed(seed, "torch", epoch))
            total = torch.zeros((), device=images.device)
            epoch_batches = images.epoch(
                schedule.batch_size, schedule.augment, derive_seed(seed, "batches", epoch), part
            )
            for batch, (x, y) in enumerate(epoch_batches):
                for parameters in optimizer.param_groups:
                    parameters["lr"] = parameters["schedule"].learning_rate_at(epoch * batches + batch, steps)
                if mix is not None:
                    x, y = mix_over_ranks(run, mix, x, y)
                optimizer.zero_grad(set_to_none=True)  # an idle operation has no gradient, and so does not move
                chosen = paths(rng)
                for piece, (images_of, labels_of, share, is_last) in enumerate(pieces(x, y, count)):
                    for place, path in enumerate(chosen, start=1):
                        with (
                            share_of_pass(group, whole, piece, count),
                            accumulate_gradients(run, last=is_last and place == len(chosen)),
                        ):
                            given = forward(precision, run, images_of, *path)
                            lost = weight * share * loss(given, labels_of)
                            lost.backward()
                        total += lost.detach()
                optimizer.step()
                if between is not None:
                    between(model, epoch * batches + batch)
                advance(1)
            total = mean_over_ranks(run, total)
            if not torch.isfinite(total):
                return DivergedError(
                    f"{label}: the loss is {total.item()} after epoch {epoch + 1} of {schedule.epochs}; "
                    "lower learning_rate or raise warmup_fraction"
                )
            if checkpoint is not None:
                _write_progress(model, optimizer, between, checkpoint, epoch + 1)
    return None


def piece_count(images: int, count: int) -> int:
    """Into how many pieces a batch is cut for ``count`` of them: each has two images at least, which batch normalisation needs
    where an output has one place."""
    return max(1, min(count, images // 2))


def pieces(x: Tensor, y: Tensor, count: int) -> Iterator[tuple[Tensor, Tensor, float, bool]]:
    """A batch cut into ``count`` pieces of nearly the same size, or as few as ``piece_count`` says: the images and labels of
    each, its share of the batch, and whether it is the last."""
    count = piece_count(len(x), count)
    for place, (images, labels) in enumerate(zip(x.tensor_split(count), y.tensor_split(count), strict=True), start=1):
        yield images, labels, len(images) / len(x), place == count


def make_optimizer(
    model: nn.Module, schedule: Schedule, rates: Mapping[str, float] = MappingProxyType({}), fused: bool = False
) -> torch.optim.Optimizer:
    """SGD or Adam, without weight decay on normalisation weights and biases.

    Args:
        rates: as in ``train``; each group of parameters holds the schedule of its own.
        fused: whether a step is one kernel for all tensors, which rounds otherwise; on a CPU it is not.
    """
    groups = [
        group
        for prefix, rate in (rates or {"": schedule.learning_rate}).items()
        for group in _parameter_groups(model, prefix, replace(schedule, learning_rate=rate))
    ]
    if schedule.decay is not None:
        return torch.optim.Adam(groups, lr=schedule.learning_rate, fused=fused or None)
    optimizer = torch.optim.SGD(
        groups,
        lr=schedule.learning_rate,
        momentum=schedule.momentum,
        nesterov=schedule.momentum > 0,
        fused=fused or None,
    )
    if (
        fused and schedule.momentum
    ):  # the kernel takes no tensors some of which have no momentum yet, and 0 is as good as none
        for parameter in model.parameters():
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


def _parameter_groups(model: nn.Module, prefix: str, schedule: Schedule) -> Iterator[dict[str, Any]]:
    """Matrices, and vectors, which have no weight decay."""
    own = [parameter for name, parameter in model.named_parameters() if name.startswith(prefix)]
    matrices, vectors = [p for p in own if p.ndim > 1], [p for p in own if p.ndim <= 1]
    yield {"params": matrices, "weight_decay": schedule.weight_decay, "schedule": schedule}
    yield {"params": vectors, "weight_decay": 0.0, "schedule": schedule}


def _write_progress(
    model: nn.Module, optimizer: torch.optim.Optimizer, between: BetweenSteps | None, path: Path, epochs: int
) -> None:
    """Write weights and momenta after a whole epoch, and keep those of the epoch before."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {f"between.{name}": tensor for name, tensor in (between.state() if between else {}).items()}
    for name, parameter in model.named_parameters():
        state = optimizer.state.get(parameter, {}).items()
        tensors |= {f"{key}.{name}": value for key, value in state if value is not None}
    write_checkpoint(tensors, path, {"epochs": epochs}, keep=True)


def write_trained(model: nn.Module, path: Path, epochs: int) -> None:
    """Keep a model that was trained elsewhere as ``train`` keeps one after its last epoch: it has nothing left to do."""
    write_checkpoint({f"model.{name}": tensor for name, tensor in model.state_dict().items()}, path, {"epochs": epochs})


def _resume_progress(
    model: nn.Module, optimizer: torch.optim.Optimizer, between: BetweenSteps | None, paths: Sequence[Path]
) -> int:
    """Load the newest intact file of ``_write_progress``, if there is one; gives the number of epochs that are done."""
    newest_first = [place for path in paths for place in (path, previous_path(path))]
    for path in filter(Path.exists, newest_first):
        try:
            kept, facts = read_checkpoint(path)
        except DamagedError as damage:
            quarantine(damage)
            continue
        model.load_state_dict({name: kept[f"model.{name}"] for name in model.state_dict()})
        for name, parameter in model.named_parameters():
            for key in ("momentum_buffer", "exp_avg", "exp_avg_sq"):
                if (entry := f"{key}.{name}") in kept:
                    optimizer.state[parameter][key] = torch.empty_like(parameter).copy_(kept[entry])
            if (entry := f"step.{name}") in kept:
                where = parameter.device if optimizer.defaults["fused"] else "cpu"
                optimizer.state[parameter]["step"] = kept[entry].to(where)
        if between is not None:
            names = [name for name in kept if name.startswith("between.")]
            between.load({name.removeprefix("between."): kept[name] for name in names})
        return int(facts["epochs"])
    return 0
