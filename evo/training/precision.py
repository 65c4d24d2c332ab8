"""How precisely networks compute: in 32-bit floats throughout, or their forward passes in bfloat16 (``torch.autocast``).

Under bf16 convolutions and matrix products take and give bfloat16. Parameters, what optimisers keep, the statistics of batch
normalisation, averages of weights, losses and scores stay 32-bit or wider. All forward passes of a run, those that train, those
that recalibrate and those that score, go through ``forward``, so none of them differs from the others.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor

from studies.config import StudyConfig

Precision = Literal["fp32", "bf16"]

NATIVE = 8
"""The least compute capability of a CUDA GPU that has bfloat16 in hardware (8.0: Ampere)."""


def resolve_precision(word: str, device: str) -> Precision:
    """What ``precision`` in a configuration means on this machine.

    Args:
        word: ``fp32``, ``bf16``, or ``auto``: bf16 where the device is a GPU that computes in it natively.
        device: the configuration's word for it.
    """
    if word != "auto":
        return "bf16" if word == "bf16" else "fp32"
    if device == "cpu" or not torch.cuda.is_available():
        return "fp32"
    return "bf16" if torch.cuda.get_device_capability()[0] >= NATIVE else "fp32"


def precision_of(config: StudyConfig) -> Precision:
    """That of a configuration on this machine."""
    return resolve_precision(config.precision, config.device)


def settle_precision(config: StudyConfig) -> StudyConfig:
    """The settings of a run that begins: ``auto`` is decided by this machine, and is the run's from then on."""
    return config.model_copy(update={"precision": precision_of(config)})


def name_suffix(precision: Precision) -> str:
    """What the name of a judge ends with; nothing for fp32, in which all judges of earlier versions have computed."""
    return "" if precision == "fp32" else f":{precision}"


def precision_facts(config: StudyConfig) -> dict[str, str]:
    """What is written of it beside the device that trained a network; nothing for fp32."""
    precision = precision_of(config)
    return {} if precision == "fp32" else {"precision": precision}


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[Any]:
    """In its body networks compute in ``precision`` on ``device``; on ``meta``, where tensors have no numbers, as they are.

    Only forward passes belong there, between two steps of an optimiser: weights are converted once for all of the body.
    """
    if precision == "fp32" or device.type == "meta":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def forward(precision: Precision, network: Callable[..., Any], images: Tensor, *path: Any) -> Any:
    """What ``network`` gives for ``images`` and ``path``, computed in ``precision``; floats of 32 bits, whatever it is."""
    with autocast(precision, images.device):
        given = network(images, *path)
    return in_full(given)


def in_full(given: Any) -> Any:
    """The same in floats of 32 bits at least: a tensor, or several, some of which may be None."""
    if isinstance(given, Tensor):
        return given.float() if given.dtype == torch.bfloat16 else given
    if isinstance(given, (list, tuple)):
        return type(given)(map(in_full, given))
    return given
