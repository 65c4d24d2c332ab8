"""Named spaces: those of the papers, and small ones for small images.

``load_space("pad_nas_large")`` gives a space as its paper has it; images of other channels, size and classes are asked for by
keyword.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from spaces.architecture import Op
from spaces.errors import SpaceError
from spaces.layer import Head, Layer, Shape, Stem
from spaces.library.block_strings import from_block_strings
from spaces.library.nse import NSE_POOLS, nse_architecture, nse_space
from spaces.size import Size, stride_size
from spaces.space import SearchSpace
from spaces.variants import BlockVariant

__all__ = ["LIBRARY", "NSE_POOLS", "from_block_strings", "load_space", "nse_architecture", "nse_space"]


def load_space(
    name: str, *, channels: int | None = None, size: Size | None = None, classes: int | None = None
) -> SearchSpace:
    """The space of this name, for images of ``channels``, ``size`` (pixels, or height and width) and ``classes`` classes.

    What is not given is as the space's own data set has it.

    Raises:
        SpaceError: no space has this name; the message lists those there are.
    """
    if name not in LIBRARY:
        raise SpaceError(f"unknown space {name!r}; known: {', '.join(LIBRARY)}")
    wanted = {"channels": channels, "size": size, "classes": classes}
    return LIBRARY[name](name, **{key: value for key, value in wanted.items() if value is not None})


Stage = tuple[int, int, int]
"""Output channels, number of layers, stride of the first of them."""


def stage_layers(stem: Stem, plan: Sequence[Stage], first: Sequence[Op], rest: Sequence[Op]) -> tuple[Layer, ...]:
    """The layers behind a stem: ``first`` are the candidates of a stage's first layer, ``rest`` those of the others."""
    layers = []
    c_in, size = stem.c_out, stride_size(stem.size, stem.stride)
    for number, (c_out, repeats, stride) in enumerate(plan, start=1):
        for i in range(repeats):
            shape = Shape(c_in, c_out, 1 if i else stride, size)
            layers.append(Layer(shape, tuple(rest if i else first), block=f"stage{number}"))
            c_in, size = c_out, shape.size_out
    return tuple(layers)


def with_variants(layers: Sequence[Layer], rows: Mapping[str, Sequence[tuple[int, int]]]) -> tuple[Layer, ...]:
    """The layers with a choice of rows in front of the blocks that have some: ``rows`` are depths and widths, by block."""
    extended: list[Layer] = []
    for layer in layers:
        if layer.block in rows and (not extended or extended[-1].block != layer.block):
            shape = layer.shape
            passing = Shape(shape.c_in, shape.c_in, 1, shape.size)
            choices = tuple(str(BlockVariant(depth, width if depth > 1 else 0)) for depth, width in rows[layer.block])
            extended.append(Layer(passing, choices, block=layer.block))
        extended.append(layer)
    return tuple(extended)


def inverted_bottlenecks(kernels: Sequence[int], expansions: Sequence[int], options: str = "") -> tuple[Op, ...]:
    """``mb`` with each kernel and expansion, expansion by expansion."""
    return tuple(f"mb_k{k}_e{e}{options}" for e in expansions for k in kernels)


def mobile_space(
    name: str,
    channels: int = 3,
    size: Size = 32,
    classes: int = 10,
    *,
    plan: Sequence[Stage],
    stem: tuple[int, int],
    kernels: Sequence[int] = (3, 5, 7),
    expansions: Sequence[int] = (3, 6),
    features: int = 0,
) -> SearchSpace:
    """A space for small images: inverted bottlenecks, and identity in all but a stage's first layer.

    ``stem``: its channels and stride; ``features``: those of the head's convolution, 0: there is none.
    """
    front = Stem(*stem, activation="relu", c_in=channels, size=size)
    ops = inverted_bottlenecks(kernels, expansions)
    layers = stage_layers(front, plan, first=ops, rest=(*ops, "id"))
    return SearchSpace(name, layers, front, Head(features, classes, activation="relu"))


RICH_OPS = (
    *inverted_bottlenecks((3, 5), (1, 3)),
    "mb_k3_e6",
    "conv_k3_e1",
    *inverted_bottlenecks((3, 5), (1, 3), "_se25_swish"),
    "mb_k3_e6_se25_swish",
    "conv_k3_e1_se25_swish",
)
"""Separable (e1) and inverted bottlenecks and a full convolution, each with ReLU, and with squeeze-excitation and swish."""

COARSE_OPS = ("mb_k3_e1", "mb_k3_e3", "conv_k3_e1", "mb_k3_e3_se25_swish")
"""What a search of growing spaces begins with; the other ``RICH_OPS`` wait."""

RICH_ROWS = ((1, 0), (2, 1), (2, 2), (3, 0.5), (3, 1), (3, 1.5), (5, 0.5), (5, 1))
"""Depths of a stage, and widths inside as multiples of its output's."""


def rich_space(
    name: str,
    channels: int = 3,
    size: Size = 32,
    classes: int = 10,
    *,
    plan: Sequence[Stage],
    stem: tuple[int, int],
    features: int = 0,
    coarse: bool = False,
) -> SearchSpace:
    """A space in which much can be chosen: ``RICH_OPS`` in all layers, and identity in all but a stage's first one.

    Args:
        stem, features: as those of ``mobile_space``.
        coarse: only ``COARSE_OPS`` are candidates, the others pending.
    """
    front = Stem(*stem, activation="relu", c_in=channels, size=size)
    ops = COARSE_OPS if coarse else RICH_OPS
    waiting = tuple(op for op in RICH_OPS if op not in ops)
    layers = stage_layers(front, plan, first=ops, rest=(*ops, "id"))
    pending = tuple(replace(layer, pending=waiting) for layer in layers)
    return SearchSpace(name, pending, front, Head(features, classes, activation="relu"))


def rows_space(
    name: str,
    channels: int = 3,
    size: Size = 32,
    classes: int = 10,
    *,
    plan: Sequence[Stage],
    stem: tuple[int, int],
    features: int = 0,
) -> SearchSpace:
    """``rich_space`` with a choice of depth and width for every stage, ``RICH_ROWS``, in the place of identities."""
    front = Stem(*stem, activation="relu", c_in=channels, size=size)
    layers = stage_layers(front, plan, first=RICH_OPS, rest=RICH_OPS)
    rows = {
        f"stage{number}": tuple((depth, int(width * c_out)) for depth, width in RICH_ROWS if depth <= deepest)
        for number, (c_out, deepest, _) in enumerate(plan, start=1)
    }
    return SearchSpace(name, with_variants(layers, rows), front, Head(features, classes, activation="relu"))


def digits_rows(name: str, channels: int = 1, size: Size = 8, classes: int = 10) -> SearchSpace:
    """Three blocks of three rows each, for small images: a depth, and the channels inside."""
    front = Stem(8, 1, activation="relu", c_in=channels, size=size)
    ops = inverted_bottlenecks((3, 5), (1, 3))
    layers = stage_layers(front, ((8, 2, 1), (16, 3, 2), (32, 2, 2)), first=ops, rest=ops)
    rows = {
        "stage1": ((1, 0), (2, 8), (2, 16)),
        "stage2": ((2, 16), (3, 16), (2, 24)),
        "stage3": ((1, 0), (2, 32), (2, 16)),
    }
    return SearchSpace(name, with_variants(layers, rows), front, Head(0, classes, activation="relu"))


def nas_bench_macro(name: str, channels: int = 3, size: Size = 32, classes: int = 10) -> SearchSpace:
    """NAS-Bench-Macro: 3 operations in 8 layers, 6561 architectures, 3969 networks.

    Su et al., CVPR 2021, https://arxiv.org/abs/2103.11922. A candidate's position is the benchmark's digit; what the
    benchmark calls identity is a projection in the first layer of a stage.
    """
    stem = Stem(32, 1, c_in=channels, size=size)
    bottlenecks = ("mb_k3_e3_relu6", "mb_k5_e6_relu6")
    plan = ((64, 2, 2), (128, 3, 2), (256, 3, 2))
    layers = stage_layers(stem, plan, first=("proj", *bottlenecks), rest=("id", *bottlenecks))
    return SearchSpace(name, layers, stem, Head(1280, classes))


def pad_nas(
    name: str,
    channels: int = 3,
    size: Size = 224,
    classes: int = 1000,
    *,
    expansions: Sequence[int],
    stem: int,
    second: int,
) -> SearchSpace:
    """PAD-NAS: 22 layers; ``stem`` and ``second`` are the widths of the stem and of the second stage.

    https://arxiv.org/abs/2005.07564. The first layer has expansion 1; the first layer of a stage cannot be left out.
    """
    front = Stem(stem, activation="relu", c_in=channels, size=size)
    ops = inverted_bottlenecks((3, 5, 7), expansions)
    plan = ((16, 1, 1), (second, 4, 2), (40, 4, 2), (80, 4, 2), (96, 4, 1), (192, 4, 2), (320, 1, 1))
    opening, *others = stage_layers(front, plan, first=ops, rest=(*ops, "id"))
    opening = replace(opening, candidates=inverted_bottlenecks((3, 5, 7), (1,)))
    return SearchSpace(name, (opening, *others), front, Head(1280, classes, activation="relu"))


DNA_BLOCKS: Sequence[Stage] = ((24, 2, 2), (40, 4, 2), (80, 4, 2), (112, 4, 1), (192, 4, 2), (320, 1, 1))
"""DNA's six blocks, as its code has them when nothing else is asked for."""


DNA_DEEPEST: Sequence[Stage] = ((24, 3, 2), (40, 4, 2), (80, 4, 2), (96, 4, 1), (160, 5, 2), (320, 1, 1))
"""The widths and the greatest depths of DNA-a; its smaller depths are those that DNA's authors tell of."""


DNA_ROWS: Mapping[str, Sequence[tuple[int, int]]] = {
    "stage1": ((2, 24), (3, 24), (2, 32)),
    "stage2": ((2, 40), (3, 40), (4, 40)),
    "stage3": ((2, 80), (3, 80), (4, 80)),
    "stage4": ((3, 112), (4, 112), (4, 96)),
    "stage5": ((4, 192), (5, 192), (5, 160)),
}
"""The cells of DNA's blocks, depth and width: 195,898,498,887,057,408 networks. The depths are confirmed: an author counts the
networks block by block, https://github.com/changlin31/DNA/issues/28. The widths are not: they are from memory, and the released
code has one cell per block."""

DNA_ROWS_DEEPEST: Sequence[Stage] = ((24, 3, 2), (40, 4, 2), (80, 4, 2), (112, 4, 1), (192, 5, 2), (320, 1, 1))
"""``DNA_BLOCKS``, as deep as the deepest rows."""


def dna(
    name: str,
    channels: int = 3,
    size: Size = 224,
    classes: int = 1000,
    *,
    plan: Sequence[Stage] = DNA_BLOCKS,
    depths: Sequence[int] = (),
    rows: Mapping[str, Sequence[tuple[int, int]]] | None = None,
) -> SearchSpace:
    """DNA: 6 operations in each layer of the blocks ``stage1`` to ``stage6``, which are distilled one by one.

    https://arxiv.org/abs/1911.13053. Widths are those of the final network. The layer of block ``stem`` is fixed, so
    the space of 19 layers has 6^19 architectures.

    Args:
        depths: per block, the least number of layers: those beyond it may be identities. Empty: all layers are needed.
        rows: depths and widths by block (``with_variants``).
    """
    stem = Stem(32, activation="swish", c_in=channels, size=size)
    ops = inverted_bottlenecks((3, 5, 7), (6, 3), "_se25_swish")
    fixed = Layer(Shape(32, 16, 1, stride_size(size, 2)), ("mb_k3_e1_se25_swish",), block="stem")
    layers = stage_layers(replace(stem, c_out=fixed.shape.c_out), plan, first=ops, rest=ops)
    needed = (
        [i < least for (_, most, _), least in zip(plan, depths, strict=True) for i in range(most)] if depths else ()
    )
    layers = tuple(
        layer if always else replace(layer, candidates=(*layer.candidates, "id"))
        for layer, always in zip(layers, needed or (True,) * len(layers), strict=True)
    )
    return SearchSpace(name, (fixed, *with_variants(layers, rows or {})), stem, Head(1280, classes, activation="swish"))


def nse_cells(
    name: str,
    channels: int = 3,
    size: Size = 224,
    classes: int = 1000,
    *,
    pool: str,
    plan: str,
    normal_cells: Sequence[int],
    widths: Sequence[int],
    k: int,
) -> SearchSpace:
    """NSE: cells that keep any subset; the first ``k`` operations of the pool are candidates, the others pending.

    https://arxiv.org/abs/2011.10904
    """
    space = nse_space(pool, plan, normal_cells, widths, k=k, size=size, classes=classes, image_channels=channels)
    return replace(space, name=name)


def published_network(name: str, *, blocks: str, activation: str, **images: Any) -> SearchSpace:
    """The space that holds one published network and nothing else."""
    return from_block_strings(blocks.split(), activation=activation, name=name, **images)[0]


NSE_MACS: dict[str, Any] = {
    "plan": "NER",
    "normal_cells": (1, 3, 3, 3, 3, 3),
    "widths": (16, 24, 40, 80, 96, 192, 320),
    "k": 5,
}
"""NSE's setting for a budget of MACs: 22 cells, five operations in each."""

NSE_GPU: dict[str, Any] = {"plan": "NR", "normal_cells": (1, 3, 3, 7, 3), "widths": (16, 32, 64, 128, 256), "k": 6}
"""NSE's setting for a latency on a GPU: 21 cells, six operations in each."""

MOBILENET_V2 = (
    "ds_r1_k3_s1_c16 ir_r2_k3_s2_e6_c24 ir_r3_k3_s2_e6_c32 ir_r4_k3_s2_e6_c64 "
    "ir_r3_k3_s1_e6_c96 ir_r3_k3_s2_e6_c160 ir_r1_k3_s1_e6_c320"
)
"""https://arxiv.org/abs/1801.04381, table 2."""

EFFICIENTNET_B0 = (
    "ds_r1_k3_s1_c16_se0.25 ir_r2_k3_s2_e6_c24_se0.25 ir_r2_k5_s2_e6_c40_se0.25 ir_r3_k3_s2_e6_c80_se0.25 "
    "ir_r3_k5_s1_e6_c112_se0.25 ir_r4_k5_s2_e6_c192_se0.25 ir_r1_k3_s1_e6_c320_se0.25"
)
"""https://arxiv.org/abs/1905.11946, table 1."""

PLAN_28: dict[str, Any] = {"plan": ((16, 5, 1), (32, 5, 2), (64, 5, 2)), "stem": (16, 2), "channels": 1, "size": 28}
PLAN_32: dict[str, Any] = {"plan": ((24, 5, 2), (48, 5, 2), (96, 5, 2)), "stem": (16, 1)}
PLAN_64: dict[str, Any] = {
    "plan": ((24, 5, 2), (48, 5, 2), (96, 5, 2), (160, 3, 1)), "stem": (16, 2), "features": 640, "size": 64,
}  # fmt: skip
"""Stages, stem and images of the spaces with much to choose: those of ``mobile_28``, ``mobile_cifar`` and ``mobile_64``,
deeper. The first stage has 14 or 16 pixels; the depths of the stages say where among the layers the strides fall."""

LIBRARY: dict[str, Callable[..., SearchSpace]] = {
    "digits": partial(
        mobile_space,
        plan=((8, 2, 1), (16, 3, 2), (32, 2, 2)),
        stem=(8, 1),
        kernels=(3, 5),
        expansions=(1, 3, 6),
        channels=1,
        size=8,
    ),
    "mobile_28": partial(mobile_space, plan=((16, 3, 1), (32, 3, 2), (64, 3, 2)), stem=(16, 2), channels=1, size=28),
    "mobile_cifar": partial(mobile_space, plan=((24, 3, 2), (48, 3, 2), (96, 3, 2)), stem=(16, 1)),
    "mobile_64": partial(
        mobile_space, plan=((24, 3, 2), (48, 3, 2), (96, 4, 2), (160, 1, 1)), stem=(16, 2), features=640, size=64
    ),
    "rich_28": partial(rich_space, **PLAN_28),
    "rich_32": partial(rich_space, **PLAN_32),
    "rich_64": partial(rich_space, **PLAN_64),
    "coarse_28": partial(rich_space, **PLAN_28, coarse=True),
    "coarse_32": partial(rich_space, **PLAN_32, coarse=True),
    "coarse_64": partial(rich_space, **PLAN_64, coarse=True),
    "rows_28": partial(rows_space, **PLAN_28),
    "rows_32": partial(rows_space, **PLAN_32),
    "rows_64": partial(rows_space, **PLAN_64),
    "nas_bench_macro": nas_bench_macro,
    "pad_nas_basic": partial(pad_nas, expansions=(3, 6), stem=32, second=32),
    "pad_nas_large": partial(pad_nas, expansions=(1, 2, 3, 4, 5, 6), stem=16, second=24),
    "autospace": partial(
        pad_nas, expansions=(3, 6), stem=32, second=24
    ),  # layers of its released network; cells come in
    "dna": dna,
    "dna_multi": partial(dna, plan=DNA_DEEPEST, depths=(2, 2, 2, 3, 4, 1)),
    "dna_rows": partial(dna, plan=DNA_ROWS_DEEPEST, rows=DNA_ROWS),
    "digits_rows": digits_rows,
    "nse_27": partial(nse_cells, pool="multi_mac", **NSE_MACS),
    "nse_72": partial(nse_cells, pool="multi_mac_group", **NSE_MACS),
    "nse_gpu": partial(nse_cells, pool="multi_branch", **NSE_GPU),
    "mobilenet_v2": partial(published_network, blocks=MOBILENET_V2, activation="relu6"),
    "efficientnet_b0": partial(published_network, blocks=EFFICIENTNET_B0, activation="swish"),
}
"""Name -> the function that makes the space, from the name and from channels, size or classes that are not its own."""
