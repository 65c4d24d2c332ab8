"""Multiply-accumulates of any module, also of one that another library has changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from spaces.size import Size, both_sides


@dataclass
class Count:
    """Multiply-accumulates of all that ran while it was counted."""

    macs: float = 0.0


@contextmanager
def counted() -> Iterator[Count]:
    """Count those of convolutions and linear layers in the body: half of torch's floating-point operations.

    Forward passes only: torch counts the backward pass of a depthwise convolution as if it had one group.
    """
    found = Count()
    with FlopCounterMode(display=False) as counter:
        yield found
    found.macs = counter.get_total_flops() / 2


def module_macs(module: nn.Module, channels: int, size: Size) -> int:
    """Multiply-accumulates of one image of so many channels and pixels; the module is left in evaluation mode."""
    with counted() as found, torch.no_grad():
        module.eval()(torch.zeros(1, channels, *both_sides(size)))
    return round(found.macs)


def module_params(module: nn.Module) -> int:
    """Weights and biases."""
    return sum(parameter.numel() for parameter in module.parameters())
