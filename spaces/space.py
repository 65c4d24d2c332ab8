"""A search space is, per layer, the operations one may choose now and those still waiting.

Everything here is frozen data and pure functions; no torch, no Optuna. A space carries its own future (``pending``), so
that evolving it is a pure function of it.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import combinations
from random import Random
from typing import Any

from spaces.architecture import IDENTITIES, Architecture, Op, join, operations


@dataclass(frozen=True, slots=True)
class Shape:
    """What a layer must turn into what: channels in and out, stride, and the input's height (= width) in pixels."""

    c_in: int
    c_out: int
    stride: int
    size: int

    @property
    def size_out(self) -> int:
        """Height (= width) of the output in pixels; every operation pads to keep ``ceil(size / stride)``."""
        return -(-self.size // self.stride)

    @property
    def residual(self) -> bool:
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
            raise ValueError(f"a layer of {self.block} has no candidates: expected at least one operation")
        if repeated := [op for op, n in Counter(ops).items() if n > 1]:
            raise ValueError(f"operations stand twice in a layer of {self.block}: {', '.join(repeated)}")
        if (self.skippable or IDENTITIES & set(ops)) and not self.shape.residual:
            raise ValueError(f"a layer of {self.block} turns {self.shape} and cannot be an identity")

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
    size: int = 224


@dataclass(frozen=True)
class Head:
    """The fixed end: a 1x1 convolution to ``features`` (0: none), average pool, linear layer to ``classes``."""

    features: int
    classes: int
    activation: str = "relu6"
    norm: bool = True


@dataclass(frozen=True)
class SearchSpace:
    """Stem, searchable layers, head.

    Attributes:
        merge: how a layer adds its input to what its operations give, where shapes allow it: ``residual`` adds it,
            ``mean`` (NSE, ICCV 2021) averages all branches with the input counted as one of them.
    """

    name: str
    layers: tuple[Layer, ...]
    stem: Stem
    head: Head
    merge: str = "residual"

    def __post_init__(self) -> None:
        if not self.layers:
            raise ValueError(f"space {self.name!r} has no layers")
        if self.merge not in ("residual", "mean"):
            raise ValueError(f"space {self.name!r}: merge is {self.merge!r}, expected 'residual' or 'mean'")
        channels, size = self.stem.c_out, -(-self.stem.size // self.stem.stride)
        for name, layer in zip(self.names, self.layers, strict=True):
            if (layer.shape.c_in, layer.shape.size) != (channels, size):
                raise ValueError(
                    f"space {self.name!r}: {name} expects {layer.shape.c_in} channels at {layer.shape.size} pixels, "
                    f"and is given {channels} channels at {size} pixels"
                )
            channels, size = layer.shape.c_out, layer.shape.size_out

    @cached_property
    def names(self) -> tuple[str, ...]:
        """One name per layer: its block and its place inside it, e.g. ``stage2.layer1``; Optuna's parameter names."""
        seen: Counter[str] = Counter()
        names = []
        for layer in self.layers:
            seen[layer.block] += 1
            names.append(f"{layer.block}.layer{seen[layer.block]}")
        return tuple(names)

    @cached_property
    def interchangeable(self) -> tuple[tuple[int, int], ...]:
        """The half-open ranges of two or more neighbouring layers that have one and the same residual shape."""
        shapes = [layer.shape for layer in self.layers]
        runs, start = [], 0
        for i in range(1, len(shapes) + 1):
            if i == len(shapes) or shapes[i] != shapes[start] or not shapes[start].residual:
                if i - start > 1:
                    runs.append((start, i))
                start = i
        return tuple(runs)

    @property
    def size(self) -> int:
        """How many architectures the space holds, counted as strings (an exact integer)."""
        return math.prod(layer.size for layer in self.layers)

    def __contains__(self, arch: object) -> bool:
        return (
            isinstance(arch, Architecture)
            and len(arch.genes) == len(self.layers)
            and all(layer.allows(gene) for layer, gene in zip(self.layers, arch.genes, strict=True))
        )

    def sample(self, rng: Random) -> Architecture:
        """An architecture drawn uniformly."""
        return Architecture(tuple(rng.choice(layer.genes) for layer in self.layers))

    def check(self, arch: Architecture) -> Architecture:
        """``arch`` itself, when the space holds it.

        Raises:
            ValueError: it does not; the message names the layer, what stands there and what may stand there.
        """
        if len(arch.genes) != len(self.layers):
            raise ValueError(
                f"{self.name!r} has {len(self.layers)} layers, and {str(arch)!r} has {len(arch.genes)} genes"
            )
        for name, layer, gene in zip(self.names, self.layers, arch.genes, strict=True):
            if not layer.allows(gene):
                raise ValueError(
                    f"{name} of {self.name!r} cannot be {gene!r}; its candidates: {', '.join(layer.candidates)}"
                )
        return arch

    def only(self, arch: Architecture) -> SearchSpace:
        """The space that holds ``arch`` and nothing else of this one, or what is left out of a layer that may be empty."""
        layers = []
        for layer, gene in zip(self.layers, self.check(arch).genes, strict=True):
            ops = () if gene == "skip" and layer.skippable else operations(gene)
            layers.append(replace(layer, candidates=ops, pending=(), branches=max(1, len(ops)), skippable=not ops))
        return self.replace_layers(layers)

    def replace_layers(self, layers: Iterable[Layer]) -> SearchSpace:
        """The same space with other layers."""
        return replace(self, layers=tuple(layers))

    def diff(self, later: SearchSpace) -> tuple[LayerChange, ...]:
        """What happened, layer by layer, on the way from this space to ``later``."""
        return tuple(
            LayerChange(
                kept=tuple(op for op in old.candidates if op in new.candidates),
                dropped=tuple(op for op in old.candidates if op not in new.candidates),
                refilled=tuple(op for op in new.candidates if op not in old.candidates),
            )
            for old, new in zip(self.layers, later.layers, strict=True)
        )

    def to_json(self) -> str:
        """The space as JSON text; ``from_json`` reads it back, equal."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> SearchSpace:
        """The space that ``to_json`` wrote."""
        data: dict[str, Any] = json.loads(text)
        layers = tuple(
            Layer(
                **{
                    **layer,
                    "shape": Shape(**layer["shape"]),
                    "candidates": tuple(layer["candidates"]),
                    "pending": tuple(layer["pending"]),
                }
            )
            for layer in data["layers"]
        )
        return cls(**{**data, "layers": layers, "stem": Stem(**data["stem"]), "head": Head(**data["head"])})


@dataclass(frozen=True, slots=True)
class LayerChange:
    """What one evolution step did to one layer's candidates."""

    kept: tuple[Op, ...]
    dropped: tuple[Op, ...]
    refilled: tuple[Op, ...]


def canonical(arch: Architecture, space: SearchSpace) -> Architecture:
    """The one spelling of all strings that are the same network.

    Branches have no order, and an identity commutes with its neighbours among layers of one shape: both are sorted, the
    identities last. In NAS-Bench-Macro 6561 strings are 3969 networks. The result is a key: it need not be in ``space``.
    """
    genes = ["id" if gene in IDENTITIES else join(operations(gene)) if "+" in gene else gene for gene in arch.genes]
    for start, stop in space.interchangeable:
        run = genes[start:stop]
        genes[start:stop] = [gene for gene in run if gene != "id"] + ["id"] * run.count("id")
    return Architecture(tuple(genes))
