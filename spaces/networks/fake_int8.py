"""What a module gives when it is computed in 8 bits, computed in floats: weights and activations are rounded as ONNX Runtime
does after training (``spaces.export.int8``).

Weights of convolutions and linear layers are symmetric, with a scale per output channel; batch normalisation, which is folded
into them, scales whole channels and changes nothing of that. Activations are asymmetric, with one range per tensor, from the
least to the most on calibration images: what enters a convolution, a linear layer, a smooth activation or a squeeze-excitation;
what a gate, a squeeze-excitation or an operation gives. Swish is a gate and a product, as files have it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from spaces.networks.modules import SqueezeExcitation

LEAST, MOST = -128, 127

Range = tuple[Tensor, Tensor]
"""Least and most of a tensor on calibration images, which have 0 between them."""

GATES = (nn.Sigmoid, nn.Hardsigmoid)
ENTERED = (nn.Conv2d, nn.Linear, nn.Hardswish, *GATES, SqueezeExcitation)
LEFT = (*GATES, SqueezeExcitation)
WEIGHTED = (nn.Conv2d, nn.Linear)


def range_of(x: Tensor) -> Range:
    """The range of a tensor."""
    least, most = torch.aminmax(x.float())
    return least.clamp(max=0), most.clamp(min=0)


def wider(one: Range, other: Range) -> Range:
    """The range of both."""
    return torch.minimum(one[0], other[0]), torch.maximum(one[1], other[1])


def round_activations(x: Tensor, seen: Range) -> Tensor:
    """``x`` in 256 steps over a range; what lies outside takes its ends."""
    least, most = seen
    scale = ((most - least) / (MOST - LEAST)).clamp(min=1e-12)
    zero = (LEAST - least / scale).round().clamp(LEAST, MOST).int()
    return torch.fake_quantize_per_tensor_affine(x, scale, zero, LEAST, MOST)


def round_weights(weight: Tensor) -> Tensor:
    """Weights ``(out, ...)`` in 255 steps per output channel, 0 among them."""
    scale = (weight.flatten(1).abs().amax(1) / MOST).clamp(min=1e-12)
    zeros = torch.zeros_like(scale, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, scale, zeros, 0, LEAST, MOST)


@contextmanager
def observing(roots: Sequence[nn.Module]) -> Iterator[list[Range]]:
    """Notes the ranges of all that is rounded, in the order in which it is computed, of what runs in the body."""
    found: list[Range] = []

    def note(x: Tensor) -> Tensor:
        found.append(range_of(x))
        return x

    with _hooked(roots, note):
        yield found


@contextmanager
def rounding(roots: Sequence[nn.Module], ranges: Sequence[Range], rounded: dict[nn.Module, Tensor]) -> Iterator[None]:
    """What runs in the body does so in 8 bits.

    Args:
        ranges: as ``observing`` has noted them in a run of the same modules.
        rounded: weights that were rounded before; those that are missing are added.
    """
    left = iter(ranges)
    modules = [module for root in roots for module in root.modules() if isinstance(module, WEIGHTED)]
    kept = [(module, module.weight.data) for module in modules]
    try:
        for module, weight in kept:
            if module not in rounded:
                rounded[module] = round_weights(weight)
            module.weight.data = rounded[module]
        with _hooked(roots, lambda x: round_activations(x, next(left))):
            yield
    finally:
        for module, weight in kept:
            module.weight.data = weight


@contextmanager
def _hooked(roots: Sequence[nn.Module], change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Calls ``change`` with every tensor that is rounded; what it gives takes the tensor's place."""
    modules = [module for root in roots for module in root.modules()]
    swishes = [module for module in modules if isinstance(module, nn.SiLU)]
    entered = [module for module in modules if isinstance(module, ENTERED)]
    left = [*(module for module in modules if isinstance(module, LEFT)), *roots]
    hooks = [module.register_forward_pre_hook(lambda _, given: (change(given[0]), *given[1:])) for module in entered]
    hooks += [module.register_forward_hook(lambda _, given, output: change(output)) for module in left]
    try:
        for swish in swishes:
            swish.forward = partial(_swish, change)  # type: ignore[method-assign]
        yield
    finally:
        for swish in swishes:
            del swish.forward
        for hook in hooks:
            hook.remove()


def _swish(change: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    x = change(x)
    return x * change(torch.sigmoid(x))
