"""The torch modules of ``spaces.operations.primitives``, and how their weights begin."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn

from spaces.errors import SpaceError
from spaces.operations.primitives import AveragePool, Conv, MaxPool, SqueezeExcite, Step
from spaces.size import Size, both_sides

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": lambda: nn.ReLU(inplace=True),
    "relu6": lambda: nn.ReLU6(inplace=True),
    "swish": lambda: nn.SiLU(inplace=True),
    "hswish": lambda: nn.Hardswish(inplace=True),
}

GATES: dict[str, Callable[[], nn.Module]] = {"sigmoid": nn.Sigmoid, "hard_sigmoid": nn.Hardsigmoid}


def build_activation(name: str) -> nn.Module:
    """A fresh activation.

    Raises:
        SpaceError: no activation has this name.
    """
    if name not in ACTIVATIONS:
        raise SpaceError(f"unknown activation {name!r}; known: {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]()


def resize_images(images: Tensor, size: Size) -> Tensor:
    """``images`` ``(n, c, height, width)``, scaled to ``size`` pixels (bilinear, antialiased); themselves where they have so
    many."""
    if tuple(images.shape[2:]) == both_sides(size):
        return images
    scaled = nn.functional.interpolate(images, both_sides(size), mode="bilinear", antialias=True)
    return scaled.contiguous(memory_format=torch.channels_last)


class Resize(nn.Module):
    """Scales images to one size."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.size = size

    def forward(self, images: Tensor) -> Tensor:
        return resize_images(images, self.size)


class SqueezeExcitation(nn.Module):
    """Squeeze-excitation: ``x`` times a gate per channel in (0, 1)."""

    def __init__(self, step: SqueezeExcite) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(step.channels, step.reduced, 1),
            build_activation(step.activation),
            nn.Conv2d(step.reduced, step.channels, 1),
            GATES[step.gate](),
        )

    def forward(self, x: Tensor) -> Tensor:
        gated: Tensor = x * self.gate(x)
        return gated


class SameConv2d(nn.Conv2d):
    """A convolution that pads as TensorFlow's SAME does: no more than it needs, an odd pixel more at the far side."""

    def forward(self, x: Tensor) -> Tensor:
        (top, bottom), (left, right) = (self._margins(axis, x.shape[axis + 2]) for axis in (0, 1))
        return super().forward(nn.functional.pad(x, (left, right, top, bottom)))

    def _margins(self, axis: int, pixels: int) -> tuple[int, int]:
        """The pixels to be added in front of an axis (0: height) and behind it."""
        stride, reach = self.stride[axis], self.dilation[axis] * (self.kernel_size[axis] - 1) + 1
        missing = max(0, (-(-pixels // stride) - 1) * stride + reach - pixels)
        return missing // 2, missing - missing // 2


class WithShortcut(nn.Module):
    """What ``branch`` gives, and what ``shortcut`` makes of the same input, added."""

    def __init__(self, branch: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.branch = branch
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.branch(x) + self.shortcut(x)
        return output


class Normalise(nn.Module):
    """Images with values from 0 to 1 -> less each channel's mean, over its standard deviation: the preprocessing.

    Both are buffers, ``(channels, 1, 1)``, and so are kept with the weights.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).float().view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).float().view(-1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        return (images - self.get_buffer("mean")) / self.get_buffer("std")

    def after(self, mean: Sequence[float], std: Sequence[float]) -> Normalise:
        """The same for images that ``mean`` and ``std``, per channel, have normalised already."""
        own_mean, own_std = (self.get_buffer(name).flatten().tolist() for name in ("mean", "std"))
        return Normalise(
            [(own - known) / scale for own, known, scale in zip(own_mean, mean, std, strict=True)],
            [own / scale for own, scale in zip(own_std, std, strict=True)],
        )


def build_convolution(step: Conv) -> nn.Sequential:
    """Convolution, batch normalisation, activation: those of the three that the step has."""
    same = step.padding == "same" and step.stride != (1, 1)  # else both paddings are one
    margins = (step.dilation * (step.kernel[0] // 2), step.dilation * (step.kernel[1] // 2))
    modules: list[nn.Module] = [
        (SameConv2d if same else nn.Conv2d)(
            step.c_in,
            step.c_out,
            step.kernel,
            step.stride,
            padding=(0, 0) if same else margins,
            dilation=step.dilation,
            groups=step.groups,
            bias=False,
        )
    ]
    if step.norm:
        modules.append(nn.BatchNorm2d(step.c_out))
    if step.activation:
        modules.append(build_activation(step.activation))
    return nn.Sequential(*modules)


def build_sequence(steps: Iterable[Step | AveragePool | MaxPool]) -> nn.Sequential:
    """The steps one after another."""
    return nn.Sequential(*map(build_step, steps))


def build_step(step: Step | AveragePool | MaxPool) -> nn.Module:
    """A fresh module for one step."""
    match step:
        case Conv():
            return build_convolution(step)
        case SqueezeExcite():
            return SqueezeExcitation(step)
        case AveragePool(kernel, stride):
            return nn.AvgPool2d(kernel, stride, kernel // 2, count_include_pad=False)
        case MaxPool():
            return nn.MaxPool2d(3, step.stride, 1)


def initialise(module: nn.Module) -> None:
    """Draw all weights from torch's generator: He's normal by fan-out for convolutions, N(0, 0.01) for linear layers.

    The recipe of MobileNetV2's and torchvision's mobile networks. Biases are 0, normalisations the identity.
    """
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out")
        elif isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, 0.0, 0.01)
        elif isinstance(part, nn.BatchNorm2d):
            nn.init.ones_(part.weight)
        if isinstance(part, (nn.Conv2d, nn.Linear, nn.BatchNorm2d)) and part.bias is not None:
            nn.init.zeros_(part.bias)


def zero_init_last_norm(module: nn.Module) -> None:
    """Zero the last batch normalisation's weight, so that the module gives zero until it has learned something.

    On a residual branch this starts the layer as the identity (https://arxiv.org/abs/1706.02677, section 5.1). A module
    without normalisation stays as it is, and so does one with a shortcut of its own.
    """
    if isinstance(module, WithShortcut):
        return
    norms = [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]
    if norms:
        with torch.no_grad():
            norms[-1].weight.zero_()
