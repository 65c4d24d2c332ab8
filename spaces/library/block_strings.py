"""Networks written as block strings, the notation of timm and of DNA's published networks.

    ds_r1_k3_s1_c16_se0.25          depthwise separable: kxk, squeeze-excite, 1x1
    ir_r2_k5_s2_e6_c40_se0.25       inverted residual: 1x1, kxk, squeeze-excite, 1x1

``r`` repeats, ``k`` kernel, ``s`` stride of the first repeat (the others have 1), ``e`` expansion, ``c`` output
channels, ``se`` squeeze-excitation as a ratio of the block's input channels. An ``ir`` block has its first 1x1 also at
``e1``. Strings say nothing of the activation: it is the network's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from spaces.architecture import Architecture, Op
from spaces.errors import SpaceError
from spaces.layer import Head, Layer, Shape, Stem
from spaces.operations.grammar import Bottleneck
from spaces.size import Size, stride_size
from spaces.space import SearchSpace

_BLOCK = re.compile(
    r"(?P<kind>ds|ir)_r(?P<r>[1-9]\d*)_k(?P<k>\d+)_s(?P<s>[1-9])(_e(?P<e>[1-9]\d*))?_c(?P<c>[1-9]\d*)(_se(?P<se>0\.\d+))?"
)


def from_block_strings(
    blocks: Sequence[str],
    stem: int = 32,
    head: int = 1280,
    size: Size = 224,
    classes: int = 1000,
    *,
    channels: int = 3,
    activation: str = "swish",
    name: str = "blocks",
) -> tuple[SearchSpace, Architecture]:
    """The network that block strings describe, and the space that holds it and nothing else.

    A stride-2 3x3 stem to ``stem`` channels, the blocks, a 1x1 convolution to ``head`` features. Layers of one width
    are one stage.

    Raises:
        SpaceError: a string is not of the form above.
    """
    front = Stem(stem, c_in=channels, size=size, activation=activation)
    layers: list[Layer] = []
    c_in, pixels = stem, stride_size(size, front.stride)
    stage = 1
    for block in blocks:
        op, c_out, repeats, first_stride = _parse_block(block, activation)
        stage += bool(layers) and c_out != c_in
        for i in range(repeats):
            shape = Shape(c_in, c_out, first_stride if i == 0 else 1, pixels)
            layers.append(Layer(shape, (op,), block=f"stage{stage}"))
            c_in, pixels = c_out, shape.size_out
    space = SearchSpace(name, tuple(layers), front, Head(head, classes, activation))
    return space, Architecture(tuple(layer.candidates[0] for layer in layers))


def _parse_block(block: str, activation: str) -> tuple[Op, int, int, int]:
    """Operation, output channels, repeats, first stride."""
    match = _BLOCK.fullmatch(block)
    if match is None or (match["kind"] == "ir") != (match["e"] is not None):
        raise SpaceError(
            f"block string {block!r}: expected ds_r<repeats>_k<kernel>_s<stride>_c<channels>, or "
            f"ir_r<repeats>_k<kernel>_s<stride>_e<expansion>_c<channels>, and _se0.<ratio> behind it or not"
        )
    op = Bottleneck(
        "mb",
        kernel=int(match["k"]),
        expansion=int(match["e"] or 1),
        groups=(1, 1) if match["kind"] == "ir" else None,
        se=round(100 * float(match["se"] or 0)),
        activation=activation,
    )
    return str(op), int(match["c"]), int(match["r"]), int(match["s"])
