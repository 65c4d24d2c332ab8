"""Latency tables that others have published, each as a ``spaces.costs.table.LatencyModel``.

A figure is the time of one forward pass, of as many images as the table was measured with. Activations are not told
apart, because the tables do not: ReLU, ReLU6 and swish find the same entry. Identities take no time. Whatever else a
table does not know is an error that names it.
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain, pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

from spaces.architecture import IDENTITIES, Op
from spaces.errors import SpaceError
from spaces.files.tables import Row, Table, whole_number
from spaces.files.text import read_text
from spaces.layer import Shape, Stem
from spaces.library.named_spaces import stage_layers
from spaces.operations.grammar import (
    bottleneck_steps,
    depthwise_steps,
    double_steps,
    full_steps,
    rectangular_steps,
    shortcut_steps,
)
from spaces.operations.primitives import Conv, MaxPool, SqueezeExcite, Step, head_steps, stem_steps
from spaces.size import Size, as_text, both_sides
from spaces.space import SearchSpace


def missing_entry(table: str, what: str, shape: Shape) -> SpaceError:
    """The error of a table that has no entry for ``what``, in a layer of ``shape``."""
    return SpaceError(
        f"the latency table {table} has no entry for {what} from {shape.c_in} to {shape.c_out} channels at stride "
        f"{shape.stride} and {as_text(shape.size)} pixels"
    )


@dataclass(frozen=True)
class BlockTable:
    """Whole inverted bottlenecks: the tables of ProxylessNAS (Pixel 1) and of NSGANetV2 (i7-8700K).

    https://arxiv.org/abs/1812.00332 and https://arxiv.org/abs/2007.10396. Their squeeze-excitation has a quarter of the
    hidden channels (``_seh25``), and an expansion of 1 no convolution of its own. NSGANetV2's networks end as
    MobileNetV3 does: a convolution to six times the channels, the pool, a convolution to the features. That end is
    taken for a head of as many features where the table has no such head.

    Attributes:
        blocks: shape, expansion, kernel and squeeze-excitation -> milliseconds.
        parts: stem, head, mix or classifier, and its shape -> milliseconds.
    """

    name: str
    blocks: Mapping[tuple[Shape, int, int, bool], float]
    parts: Mapping[tuple[str, Shape], float]

    @classmethod
    def of(cls, table: Table) -> BlockTable:
        """Reads the columns type, input, output, expand, kernel, stride, se and mean_ms."""
        blocks, parts = {}, {}
        for row in table.rows():
            size, c_in = row.parse("input", _size_and_channels, "56x56x24 or 1000")
            size_out, c_out = row.parse("output", _size_and_channels, "56x56x24 or 1000")
            kind = row.parse("type", _KINDS.__getitem__, f"one of {', '.join(_KINDS)}")
            if kind == "block":
                shape = Shape(c_in, c_out, row.integer("stride", 1), size)
                options = row.integer("expand", 1), row.integer("kernel", 1), row.text("se") in ("1", "1.0")
                blocks[shape, *options] = row.number("mean_ms")
            else:
                shape = (
                    Shape(c_in, c_out, size // size_out, size) if kind == "stem" else Shape(c_in, c_out, 1, size_out)
                )
                parts[kind, shape] = row.number("mean_ms")
        return cls(table.path.name, blocks, parts)

    def operation(self, op: Op, shape: Shape) -> float:
        """Milliseconds of one operation in a layer of ``shape``."""
        if op in IDENTITIES:
            return 0.0
        block = re.fullmatch(r"mb_k(?P<kernel>\d+)_e(?P<expansion>\d+)(?P<se>_seh25)?(_relu6|_swish)?", op)
        options = (int(block["expansion"]), int(block["kernel"]), bool(block["se"])) if block else (0, 0, False)
        if (shape, *options) not in self.blocks:
            raise missing_entry(self.name, repr(op), shape)
        return self.blocks[shape, *options]

    def fixed(self, space: SearchSpace) -> float:
        """Milliseconds of stem, last convolution and classifier."""
        stem, head, last = space.stem, space.head, space.layers[-1].shape
        parts = [("stem" if stem.kernel == 3 else f"stem of kernel {stem.kernel}", stem_shape(space))]
        direct = Shape(last.c_out, head.features, 1, last.size_out)
        wide = Shape(last.c_out, 6 * last.c_out, 1, last.size_out)
        mixed = Shape(wide.c_out, head.features, 1, 1)
        if ("head", direct) not in self.parts and ("mix", mixed) in self.parts:
            parts += [("head", wide), ("mix", mixed)]
        elif head.features:
            parts += [("head", direct)]
        parts += [("classifier", Shape(head.features or last.c_out, head.classes, 1, 1))]
        for part, shape in parts:
            if (part, shape) not in self.parts:
                raise missing_entry(self.name, f"the {part}", shape)
        return sum(self.parts[part] for part in parts)


_KINDS = {
    "expanded_conv": "block",
    "MBConv": "block",
    "Conv": "stem",
    "first_conv": "stem",
    "Conv_1": "head",
    "final_expand_layer": "head",
    "feature_mix_layer": "mix",
    "Logits": "classifier",
    "classifier": "classifier",
}
"""What the two tables call the parts of a network."""


def _size_and_channels(text: str) -> tuple[int, int]:
    """``56x56x24`` -> (56, 24); ``1000`` -> (1, 1000)."""
    numbers = [whole_number(number, 1) for number in text.split("x")]
    return (numbers[0], numbers[2]) if len(numbers) == 3 else (1, numbers[0])


def stem_shape(space: SearchSpace) -> Shape:
    """What the convolution in front turns into what."""
    return Shape(space.stem.c_in, space.stem.c_out, space.stem.stride, space.stem.size)


@dataclass(frozen=True)
class ConvolutionTable:
    """Single convolutions, added up: NSE's table of a GPU at batch 128 (https://arxiv.org/abs/2011.10904).

    An operation takes as long as its convolutions one by one, and an addition where its layer has a shortcut.

    Attributes:
        entries: kind, height, width, channels in and out, kernel, stride, dilation and groups -> milliseconds.
    """

    name: str
    entries: Mapping[tuple[str | int, ...], float]

    @classmethod
    def of(cls, table: Table) -> ConvolutionTable:
        """Reads the columns kind, size, c_in, c_out, kernel, stride, dilation, groups and latency."""
        return cls(table.path.name, {_convolution_key(row): row.number("latency") for row in table.rows()})

    def operation(self, op: Op, shape: Shape) -> float:
        """Milliseconds of one operation in a layer of ``shape``."""
        if op in IDENTITIES:
            return 0.0
        middle = {"mb": depthwise_steps, "conv": full_steps, "dual": double_steps, "rec": rectangular_steps}.get(
            op.split("_")[0]
        )
        if middle is None:
            raise missing_entry(self.name, repr(op), shape)
        add = ("add", *both_sides(shape.size), shape.c_in, shape.c_in, 0, 0, 0, 0, 0, 0)
        keys = [
            *_convolution_keys(bottleneck_steps(middle, op, shape), shape.size),
            *_convolution_keys(shortcut_steps(op, shape), shape.size),
            *([add] if shape.is_residual else []),
        ]
        return self._sum(keys, repr(op), shape)

    def fixed(self, space: SearchSpace) -> float:
        """Milliseconds of stem, last convolution, average pool and classifier."""
        last, head = space.layers[-1].shape, space.head
        size, features = last.size_out, head.features or last.c_out
        linear = (features, head.hidden, head.classes) if head.hidden else (features, head.classes)
        keys = [
            *_convolution_keys(head_steps(head, last.c_out), size),
            ("avgpool", *both_sides(size), features, features, *both_sides(size), 1, 1, 1, 1),
            *(("linear", 1, 1, before, behind, 0, 0, 0, 0, 0, 0) for before, behind in pairwise(linear)),
        ]
        stem = self._sum(_convolution_keys(stem_steps(space.stem), space.stem.size), "the stem", stem_shape(space))
        return stem + self._sum(keys, "the head", Shape(last.c_out, features, 1, size))

    def _sum(self, keys: Iterable[tuple[str | int, ...]], what: str, shape: Shape) -> float:
        if unknown := [key for key in keys if key not in self.entries]:
            kind, *numbers = unknown[0]
            raise missing_entry(self.name, f"{kind} {numbers} of {what}", shape)
        return sum(self.entries[key] for key in keys)


def _convolution_keys(steps: Iterable[Step | MaxPool], size: Size) -> list[tuple[str | int, ...]]:
    """The table's keys of a chain of steps; squeeze-excitation has one that no table knows."""
    keys: list[tuple[str | int, ...]] = []
    pixels = both_sides(size)
    for step in steps:
        if isinstance(step, Conv):
            keys.append(
                ("conv", *pixels, step.c_in, step.c_out, *step.kernel, *step.stride, step.dilation, step.groups)
            )
        elif isinstance(step, SqueezeExcite):
            keys.append(("squeeze-excitation", *pixels, step.channels, step.reduced))
        else:
            keys.append(("max pooling", *pixels, step.stride))
        pixels = step.out(pixels)
    return keys


def _convolution_key(row: Row) -> tuple[str | int, ...]:
    """The key of a row: its kind, then the numbers that stand in its columns."""
    columns = {"size": 2, "c_in": 1, "c_out": 1, "kernel": 2, "stride": 2, "dilation": 1, "groups": 1}
    numbers = (
        row.parse(column, partial(_parse_numbers, n=n), "7" if n == 1 else "7 or 1x7") for column, n in columns.items()
    )
    return row.text("kind"), *chain.from_iterable(numbers)


def _parse_numbers(text: str, n: int) -> tuple[int, ...]:
    """``7`` -> (7,), or (7, 7) where two are wanted; ``1x7`` -> (1, 7)."""
    numbers = tuple(whole_number(number) for number in text.split("x"))
    return numbers * n if len(numbers) == 1 else numbers


FBNET_PLAN = ((16, 1, 1), (24, 4, 2), (32, 4, 2), (64, 4, 2), (112, 4, 1), (184, 4, 2), (352, 1, 1))
"""The 22 layers of FBNet's space (https://arxiv.org/abs/1812.03443): channels, repeats, stride of the first."""

FBNET_OPS = {
    "k3_e1": "mb_k3_e1_g1x1",
    "k3_e1_g2": "mb_k3_e1_g2x2",
    "k3_e3": "mb_k3_e3",
    "k3_e6": "mb_k3_e6",
    "k5_e1": "mb_k5_e1_g1x1",
    "k5_e1_g2": "mb_k5_e1_g2x2",
    "k5_e3": "mb_k5_e3",
    "k5_e6": "mb_k5_e6",
    "skip": "proj",
}
"""FBNet's operations by the names of the table; its skip is the identity where the shape allows it."""


@dataclass(frozen=True)
class FbnetTable:
    """FBNet's operations on one of 27 devices, fitted to HELP's measurements of whole networks.

    https://arxiv.org/abs/2106.08630. A network takes a base and, per layer, what its operation takes longer than a
    skip. Layers of one shape were fitted one by one and differ by chance: their mean is taken.
    """

    name: str
    base: float
    entries: Mapping[tuple[Op, Shape], float]

    @classmethod
    def load(cls, path: Path, device: str | None) -> FbnetTable:
        """Reads the table of ``device``.

        Raises:
            SpaceError: there is no such device; the message lists those there are.
        """
        data = json.loads(read_text(path))
        if device not in data["devices"]:
            raise SpaceError(f"it has no device {device!r}; choose one of {', '.join(data['devices'])}")
        fitted = data["devices"][device]
        deltas_by_part: defaultdict[tuple[Op, Shape], list[float]] = defaultdict(list)
        for i, (shape, deltas) in enumerate(zip(_fbnet_shapes(), fitted["delta_vs_skip"], strict=True)):
            for op, delta in zip(data["ops"], deltas, strict=True):
                known = _finite(delta, f"delta_vs_skip of {device!r}, layer {i + 1}, {op}")
                deltas_by_part[FBNET_OPS[op], shape].append(known)
        base = _finite(fitted["base"], f"base of {device!r}")
        return cls(f"{path.name} ({device})", base, {key: fmean(deltas) for key, deltas in deltas_by_part.items()})

    def operation(self, op: Op, shape: Shape) -> float:
        """Milliseconds that an operation takes longer than a skip in a layer of ``shape``."""
        if op in IDENTITIES:
            return 0.0
        plain = re.sub(r"_(relu6|swish)$", "", op)
        if (plain, shape) not in self.entries or (op == "proj" and shape.is_residual):
            raise missing_entry(self.name, repr(op), shape)
        return self.entries[plain, shape]

    def fixed(self, space: SearchSpace) -> float:
        """Milliseconds of FBNet's network of skips.

        Raises:
            SpaceError: the space has other layers than FBNet's, so that the base is not its own.
        """
        if [layer.shape for layer in space.layers] != _fbnet_shapes():
            raise SpaceError(
                f"the latency table {self.name} holds for FBNet's 22 layers, and {space.name!r} has others"
            )
        return self.base


def _finite(number: Any, where: str) -> float:
    """A number of a JSON file, where infinity and NaN may stand, too."""
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not math.isfinite(number):
        raise SpaceError(f"{where} is {number!r}, expected a finite number")
    return number


def _fbnet_shapes() -> list[Shape]:
    stem = Stem(16)
    return [layer.shape for layer in stage_layers(stem, FBNET_PLAN, first=("proj",), rest=("proj",))]
