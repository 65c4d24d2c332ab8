"""Generators of the pretended device, which torch cannot make for a backend in Python."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from tests.accelerator.backend import DEVICE

TORCH_GENERATOR = torch.Generator


class DeviceGenerator(torch.Generator):
    """``torch.Generator(DEVICE)``; for any other device, a generator of torch's."""

    made: ClassVar[list[torch.Generator]] = []
    """All of them. Kept, since operations are handed other objects of the same address."""

    def __new__(cls, device: Any = None) -> Any:
        if device is None or torch.device(device).type != DEVICE.type:
            return TORCH_GENERATOR() if device is None else TORCH_GENERATOR(device)
        generator = super().__new__(cls)
        cls.made.append(generator)
        return generator

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return DEVICE

    def manual_seed(self, seed: int) -> DeviceGenerator:
        super().manual_seed(seed)
        return self


def is_of_device(generator: torch.Generator) -> bool:
    """Whether a generator, as an operation is handed it, is one of the pretended device."""
    return any(generator._cdata == known._cdata for known in DeviceGenerator.made)  # type: ignore[attr-defined]
