"""What a space consists of: layers with their shapes and operations, a stem in front, a head at the end."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field, fields
from functools import cached_property
from itertools import combinations
from typing import Any

from spaces.architecture import IDENTITIES, Op, join, operations
from spaces.errors import SpaceError
from spaces.size import Size, as_size, stride_size


def _later(default: Any) -> Any:
    """A field that came after spaces had been written: ``written_fields`` and ``repr`` leave it out where it is at its default,
    or always, so that names which were made of them stay."""
    return field(default=default, repr=False, metadata={"later": True})


def written_fields(part: Any) -> dict[str, Any]:
    """The fields of a dataclass by name, as they are written: without later ones that stand at their defaults."""
    found = {each.name: (getattr(part, each.name), each) for each in fields(part)}
    return {
        name: value for name, (value, each) in found.items() if not each.metadata.get("later") or value != each.default
    }


PADDINGS = ("symmetric", "same")
"""Where a convolution with a stride pads: both sides alike, or, as TensorFlow does, no more than it needs, and where that is an
odd number of pixels, one more at the far side. They differ where a side is a multiple of the stride."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a layer must turn into what: channels in and out, stride, and the input's pixels: height and width.

    Attributes:
        padding: one of ``PADDINGS``; outputs have one size either way.
    """

    c_in: int
    c_out: int
    stride: int
    size: Size
    padding: str = _later("symmetric")

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", as_size(self.size))
        _check_padding(self.padding)

    @property
    def size_out(self) -> Size:
        """The output's pixels; every operation pads to keep ``ceil(side / stride)``."""
        return stride_size(self.size, self.stride)

    @property
    def is_residual(self) -> bool:
        """Whether input and output have one shape, so that the input can be added to the output."""
        return self.c_in == self.c_out and self.stride == 1


def _check_padding(padding: str) -> None:
    if padding not in PADDINGS:
        raise SpaceError(f"padding is {padding!r}: expected {' or '.join(map(repr, PADDINGS))}")


@dataclass(frozen=True)
class Layer:
    """One searchable layer: the operations one may choose now, and those that later rounds may still try.

    Attributes:
        candidates: operations of this round, in the order in which Optuna sees them.
        pending: operations not tried yet, in the order in which they are taken.
        block: the stage the layer belongs to; DNA's unit of distillation, and the first half of the layer's name.
        branches: how many operations may run in parallel (1: exactly one is chosen).
        skippable: whether the layer may also be left out (gene ``skip``); only where input and output have one shape.
    """

    shape: Shape
    candidates: tuple[Op, ...]
    pending: tuple[Op, ...] = ()
    block: str = "stage1"
    branches: int = 1
    skippable: bool = False

    def __post_init__(self) -> None:
        ops = self.candidates + self.pending
        if not self.candidates and not self.skippable:
            raise SpaceError(f"a layer of {self.block} has no candidates: expected at least one operation")
        if repeated := [op for op, n in Counter(ops).items() if n > 1]:
            raise SpaceError(f"operations stand twice in a layer of {self.block}: {', '.join(repeated)}")
        if (self.skippable or IDENTITIES & set(ops)) and not self.shape.is_residual:
            raise SpaceError(f"a layer of {self.block} turns {self.shape} and cannot be an identity")

    @cached_property
    def genes(self) -> tuple[str, ...]:
        """Every gene that this layer may carry: each non-empty set of up to ``branches`` candidates, then ``skip``."""
        sets = (join(ops) for n in range(1, self.branches + 1) for ops in combinations(self.candidates, n))
        return tuple(sets) + (("skip",) if self.skippable else ())

    @property
    def size(self) -> int:
        """How many genes the layer may carry (without listing them)."""
        return sum(math.comb(len(self.candidates), n) for n in range(1, self.branches + 1)) + self.skippable

    def allows(self, gene: str) -> bool:
        """Whether ``gene`` is one of ``genes`` (branches in any order)."""
        if gene == "skip" and self.skippable:
            return True
        ops = operations(gene)
        return len(ops) == len(set(ops)) <= self.branches and all(op in self.candidates for op in ops)


@dataclass(frozen=True)
class Stem:
    """The fixed convolution in front: ``kernel x kernel``, stride, normalisation, activation.

    Attributes:
        activation: a name of ``spaces.networks.modules.ACTIVATIONS``.
        padding: as that of ``Shape``.
        pool: stride of a 3x3 max pooling behind it, as ResNets have; 1: there is none.
    """

    c_out: int
    stride: int = 2
    kernel: int = 3
    activation: str = "relu6"
    c_in: int = 3
    size: Size = 224
    padding: str = _later("symmetric")
    pool: int = _later(1)

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", as_size(self.size))
        _check_padding(self.padding)
        for name in ("stride", "pool"):
            if (value := getattr(self, name)) < 1:
                raise SpaceError(f"{name} of the stem is {value}: expected a whole number from 1")

    @property
    def size_out(self) -> Size:
        """The pixels that the first layer is given."""
        return stride_size(stride_size(self.size, self.stride), self.pool)


@dataclass(frozen=True)
class Head:
    """The fixed end: a 1x1 convolution to ``features`` (0: none), average pool, linear layer to ``classes``.

    Attributes:
        hidden: outputs of a linear layer between them, with the activation behind it, as MobileNetV3 has; 0: there is none.
    """

    features: int
    classes: int
    activation: str = "relu6"
    norm: bool = True
    hidden: int = _later(0)

    def __post_init__(self) -> None:
        if self.hidden < 0:
            raise SpaceError(f"hidden of the head is {self.hidden}: expected outputs of a linear layer, or 0 for none")


@dataclass(frozen=True, slots=True)
class LayerChange:
    """What one evolution step did to one layer's candidates."""

    kept: tuple[Op, ...]
    dropped: tuple[Op, ...]
    added: tuple[Op, ...]
