"""What a training step takes: ``evo.training.loop`` itself runs, on images without numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import torch
from torch import nn

from evo.data.source import Batches
from evo.memory.meter import byte_size, counting_without_numbers
from evo.memory.paths import dearest_paths
from evo.memory.step import StepMemory
from evo.training.loop import Loss, Paths, Schedule, piece_count, train, whole_network_path


def training_memory(
    name: str,
    build: Callable[[], nn.Module],
    images: Batches,
    schedule: Schedule,
    *,
    paths: Paths = whole_network_path,
    loss: Loss | None = None,
    beside: int = 0,
    section: str = "evaluator",
    processes: int = 1,
) -> StepMemory:
    """What a step of training takes.

    Args:
        build: makes the model, on the device ``meta``.
        beside: bytes that are there all the time beside the model.
        section: the part of the configuration that has ``batch_size`` and ``accumulate``.
        processes: that share every batch.
    """
    with counting_without_numbers() as live:
        model = build_on_meta(build)
        kept = live.restart() + optimizer_bytes(model, schedule)
        shared = schedule_of_share(schedule, processes)
        steps = max(1, len(images) // schedule.batch_size) * schedule.epochs
        drawn = paths if paths is whole_network_path else dearest_paths(model, paths, live, steps)
        live.restart()
        train(model, images, shared, seed=0, paths=drawn, loss=loss)
        peak = live.peak + optimizer_bytes(model, schedule)
    return step_of(name, kept + beside, peak + beside, images, shared, section)


M = TypeVar("M", bound=nn.Module)


def build_on_meta(build: Callable[[], M]) -> M:
    """A model without numbers."""
    with torch.device("meta"):
        return build()


def schedule_of_share(schedule: Schedule, processes: int) -> Schedule:
    """One epoch of a process's part of every batch, by an optimiser that keeps nothing: what one keeps is counted whole, for
    a few steps do not reach all weights."""
    return replace(
        schedule,
        epochs=1,
        batch_size=-(-schedule.batch_size // processes),
        momentum=0.0,
        decay=None,
        warmup_fraction=0.0,
    )


def optimizer_bytes(model: nn.Module, schedule: Schedule) -> int:
    """What the optimiser keeps from step to step, once all weights have moved: momenta, or Adam's two means."""
    copies = 2 if schedule.decay is not None else 1 if schedule.momentum else 0
    return copies * byte_size(parameter for parameter in model.parameters() if parameter.requires_grad)


def step_of(name: str, fixed: int, peak: int, images: Batches, schedule: Schedule, section: str) -> StepMemory:
    """A training step whose peak was counted."""
    batch = min(schedule.batch_size, len(images))
    pieces = piece_count(batch, schedule.accumulate)
    at_once = -(-batch // pieces)
    return StepMemory(
        name,
        fixed,
        at_once,
        (peak - fixed) / at_once,
        f"{section}.batch_size",
        f"{section}.accumulate",
        pieces,
    )
