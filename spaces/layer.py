"""What a space consists of: layers with their shapes and operations, a stem in front, a head at the end."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

from spaces.architecture import IDENTITIES, Op, join, operations
from spaces.errors import SpaceError
from spaces.size import Size, as_size, stride_size


@dataclass(frozen=True, slots=True)
class Shape:
    """What a layer must turn into what: channels in and out, stride, and the input's pixels: height and width."""

    c_in: int
    c_out: int
    stride: int
    size: Size

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", as_size(self.size))

    @property
    def size_out(self) -> Size:
        """The output's pixels; every operation pads to keep ``ceil(side / stride)``."""
        return stride_size(self.size, self.stride)

    @property
    def is_residual(self) -> bool:
        """Whether input and output have one shape, so that the input can be added to the output."""
        return self.c_in == self.c_out and self.stride == 1


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
    """The fixed convolution in front: ``kernel x kernel``, stride, normalisation, activation (relu, relu6, swish)."""

    c_out: int
    stride: int = 2
    kernel: int = 3
    activation: str = "relu6"
    c_in: int = 3
    size: Size = 224

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", as_size(self.size))


@dataclass(frozen=True)
class Head:
    """The fixed end: a 1x1 convolution to ``features`` (0: none), average pool, linear layer to ``classes``."""

    features: int
    classes: int
    activation: str = "relu6"
    norm: bool = True


@dataclass(frozen=True, slots=True)
class LayerChange:
    """What one evolution step did to one layer's candidates."""

    kept: tuple[Op, ...]
    dropped: tuple[Op, ...]
    added: tuple[Op, ...]
