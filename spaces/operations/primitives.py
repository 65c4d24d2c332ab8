"""What operations are made of: convolutions, squeeze-excitation and averages, as data that counts itself.

An operation is a chain of steps. Its cost is read off the steps, and its module is built from them by
``spaces.networks.modules``; so a cost needs no module, and no torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass

from spaces.errors import SpaceError
from spaces.layer import Head, Stem
from spaces.size import Size, both_sides

Pixels = tuple[int, int]
"""Height and width."""


@dataclass(frozen=True, slots=True)
class OpCounts:
    """Raw counts for one image, from which ``spaces.costs.table`` composes its conventions. Tallies add up.

    Attributes:
        macs: multiply-accumulates of convolutions and linear layers, those of squeeze-excitation apart.
        se_macs: multiply-accumulates of the two small convolutions of squeeze-excitations.
        se_biases: biases that these two add.
        bn_elements: numbers that pass a batch normalisation.
        pool_inputs, pool_outputs: numbers that enter and leave the average pool in front of the classifier.
        params: weights and biases, those of normalisations included.
    """

    macs: int = 0
    se_macs: int = 0
    se_biases: int = 0
    bn_elements: int = 0
    pool_inputs: int = 0
    pool_outputs: int = 0
    params: int = 0

    def __add__(self, other: OpCounts) -> OpCounts:
        return OpCounts(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True, slots=True)
class Conv:
    """A convolution without bias that keeps ``ceil(pixels / stride)``, its batch normalisation and its activation.

    Attributes:
        kernel: height and width, both odd; ``stride`` likewise. A number stands for two equal ones.
        activation: a name of ``spaces.networks.modules.ACTIVATIONS``; None: linear.
        norm: whether a batch normalisation follows.
        padding: one of ``spaces.layer.PADDINGS``.

    Raises:
        SpaceError: something is no whole number where one is needed, a kernel is even, or groups do not divide the channels.
    """

    c_in: int
    c_out: int
    kernel: Pixels = (1, 1)
    stride: Pixels = (1, 1)
    dilation: int = 1
    groups: int = 1
    activation: str | None = None
    norm: bool = True
    padding: str = "symmetric"

    def __post_init__(self) -> None:
        for name in ("kernel", "stride"):
            object.__setattr__(self, name, _pair(name, getattr(self, name)))
        for name in ("c_in", "c_out", "dilation", "groups"):
            _whole(name, getattr(self, name))
        if not all(side % 2 for side in self.kernel):
            raise SpaceError(f"kernel is {self.kernel}: expected odd numbers, which have a middle")
        if self.c_in % self.groups or self.c_out % self.groups:
            raise SpaceError(f"{self.groups} groups do not divide {self.c_in} -> {self.c_out} channels")

    def out(self, pixels: Pixels) -> Pixels:
        """Height and width of the output."""
        return -(-pixels[0] // self.stride[0]), -(-pixels[1] // self.stride[1])

    def counts(self, pixels: Pixels) -> OpCounts:
        """Counts for an input of ``pixels``."""
        height, width = self.out(pixels)
        weights = self.c_out * (self.c_in // self.groups) * self.kernel[0] * self.kernel[1]
        return OpCounts(
            macs=weights * height * width,
            bn_elements=self.norm * self.c_out * height * width,
            params=weights + self.norm * 2 * self.c_out,
        )


def _pair(name: str, value: object) -> Pixels:
    """Height and width, of a number or of two."""
    two = value if isinstance(value, tuple) and len(value) == 2 else (value, value)
    return _whole(name, two[0]), _whole(name, two[1])


def _whole(name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise SpaceError(f"{name} of a convolution is {value!r}: expected a whole number from 1")
    return value


@dataclass(frozen=True, slots=True)
class SqueezeExcite:
    """Scales each channel by a gate computed from all channels' means: pool, 1x1, activation, 1x1, sigmoid.

    Both 1x1 convolutions have biases. Squeeze-and-Excitation Networks, https://arxiv.org/abs/1709.01507

    Attributes:
        gate: a name of ``spaces.networks.modules.GATES``: the sigmoid, or what stands for it.
    """

    channels: int
    reduced: int
    activation: str
    gate: str = "sigmoid"

    def out(self, pixels: Pixels) -> Pixels:
        """Height and width of the output: those of the input."""
        return pixels

    def counts(self, _: Pixels) -> OpCounts:
        """Counts for an input of any size."""
        weights, biases = 2 * self.channels * self.reduced, self.channels + self.reduced
        return OpCounts(se_macs=weights, se_biases=biases, params=weights + biases)


@dataclass(frozen=True, slots=True)
class AveragePool:
    """The mean over ``kernel`` x ``kernel`` pixels (odd), those outside the image left out; keeps ``ceil(pixels / stride)``.

    With kernel 1 it takes every ``stride``-th pixel. It has no weights, and costs nothing under any convention here.
    """

    kernel: int
    stride: int

    def out(self, pixels: Pixels) -> Pixels:
        """Height and width of the output."""
        return -(-pixels[0] // self.stride), -(-pixels[1] // self.stride)

    def counts(self, _: Pixels) -> OpCounts:
        """No counts."""
        return OpCounts()


@dataclass(frozen=True, slots=True)
class MaxPool:
    """The greatest of 3x3 pixels; keeps ``ceil(pixels / stride)``. It costs nothing under any convention here."""

    stride: int

    def out(self, pixels: Pixels) -> Pixels:
        """Height and width of the output."""
        return -(-pixels[0] // self.stride), -(-pixels[1] // self.stride)

    def counts(self, _: Pixels) -> OpCounts:
        """No counts."""
        return OpCounts()


Step = Conv | SqueezeExcite
"""What chains are made of. Cells have ``AveragePool`` on their edges, too, and stems may have a ``MaxPool``."""


def total_counts(steps: Iterable[Step | AveragePool | MaxPool], size: Size) -> OpCounts:
    """Counts of a chain of steps for an input of this size."""
    pixels, counts = both_sides(size), OpCounts()
    for step in steps:
        counts += step.counts(pixels)
        pixels = step.out(pixels)
    return counts


def stem_steps(stem: Stem) -> tuple[Step | MaxPool, ...]:
    """The convolution in front of the layers, and the pooling behind it, if there is one."""
    kernel, stride = (stem.kernel, stem.kernel), (stem.stride, stem.stride)
    conv = Conv(stem.c_in, stem.c_out, kernel, stride, activation=stem.activation, padding=stem.padding)
    return (conv, MaxPool(stem.pool)) if stem.pool > 1 else (conv,)


def head_steps(head: Head, c_in: int) -> tuple[Step, ...]:
    """The convolution between the layers and the average pool, if there is one."""
    return (Conv(c_in, head.features, activation=head.activation, norm=head.norm),) if head.features else ()
