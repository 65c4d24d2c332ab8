"""Which GPU a worker process of this machine uses: one each, in turn."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

import torch

VARIABLE = "CUDA_VISIBLE_DEVICES"


def visible_gpus(
    environment: Mapping[str, str] = os.environ, count: Callable[[], int] = torch.cuda.device_count
) -> list[str]:
    """The GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them."""
    named = environment.get(VARIABLE)
    return [name.strip() for name in named.split(",")] if named else [str(i) for i in range(count())]


def own_gpu(worker: int, gpus: Sequence[str]) -> dict[str, str]:
    """The environment variable that leaves a worker, counted from 0, the GPU that is its own; nothing without GPUs."""
    return {VARIABLE: gpus[worker % len(gpus)]} if gpus else {}
