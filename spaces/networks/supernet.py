"""A supernet holds every candidate of every layer once; an architecture is a path through it.

One-shot search (SPOS, https://arxiv.org/abs/1904.00420): weights are shared by all architectures that use an operation
at a layer. A parameter's name says (layer, operation), which is all that inheriting weights needs.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from spaces.architecture import Architecture
from spaces.networks.counted_norm import count_on_host
from spaces.networks.modules import build_sequence, initialise, resize_images
from spaces.networks.network import MixedLayer, VariantLayer, build_heads, build_layers, build_stem
from spaces.operations.primitives import Conv
from spaces.space import SearchSpace
from spaces.variants import parse_image_size


class PathNetwork(nn.Module):
    """A stem, layers with all their candidates, and a head; an architecture is a path through them."""

    space: SearchSpace
    stem: nn.Module
    layers: nn.ModuleList
    head: nn.Module

    def forward(self, x: Tensor, arch: Architecture) -> Tensor:
        genes = self.space.weight_genes(arch)
        x = self.stem(resize_images(x, parse_image_size(genes[0])) if self.space.input_sizes else x)
        for cell, gene in zip(self.layers, genes, strict=True):
            x = cell(x, gene)
        output: Tensor = self.head(x)
        return output

    def _initialise(self, zero_init: bool) -> None:
        initialise(self)
        count_on_host(self)
        if zero_init:
            zero_init_layers(self.layers)


class SizedStem(nn.Module):
    """A stem behind the choice of the images' size: ``(n, c, height, width)`` and ``size_80`` -> the first layer's input."""

    def __init__(self, stem: nn.Module) -> None:
        super().__init__()
        self.stem = stem

    def forward(self, x: Tensor, gene: str) -> Tensor:
        output: Tensor = self.stem(resize_images(x, parse_image_size(gene)))
        return output


class Supernet(PathNetwork):
    """All networks of ``space`` in one: images ``(n, c, height, width)`` and an architecture -> scores ``(n, classes)``.

    Rows of a block share no weights: their layers have other shapes, and in DNA each row is a supernet of its own.

    Args:
        zero_init: start every layer as the identity where shapes allow it; on a short budget this lifts the one-shot
            accuracies a lot (https://arxiv.org/abs/1706.02677, section 5.1).
    """

    def __init__(self, space: SearchSpace, *, zero_init: bool = True) -> None:
        super().__init__()
        self.space = space
        self.stem = build_stem(space)
        self.layers = build_layers(space)
        self.head = build_heads(space)
        self._initialise(zero_init)


class BlockSupernet(PathNetwork):
    """A supernet of some neighbouring layers, which imitates a block of another network (DNA, arXiv 1911.13053).

    It turns what the block is given, ``(n, c_in, height, width)``, into what it should give, ``(n, c_out, height, width)``, by
    the path that an architecture of these layers alone names. The first block is given images and has the space's stem.
    Where the other network is wider or slimmer than the space, a 1x1 convolution in front and one behind, shared by all
    paths, turn its channels into the space's and back: candidates are built, and cost, as in the final network.

    Args:
        start, stop: the layers' half-open range; ``start`` 0 is the first block.
    """

    def __init__(
        self, space: SearchSpace, start: int, stop: int, c_in: int, c_out: int, *, zero_init: bool = True
    ) -> None:
        super().__init__()
        self.space = space.slice(start, stop)
        layers = self.space.layers
        entered, left = layers[0].shape.c_in, layers[-1].shape.c_out
        adapter = build_sequence((Conv(c_in, entered),)) if c_in != entered else nn.Identity()
        self.stem = adapter if start else build_stem(space)
        self.layers = build_layers(self.space)
        self.head = nn.Conv2d(left, c_out, 1) if c_out != left else nn.Identity()
        self._initialise(zero_init)


def zero_init_layers(layers: nn.ModuleList) -> None:
    """Let every layer begin as the identity, where shapes allow it."""
    for cell in layers:
        assert isinstance(cell, MixedLayer | VariantLayer)
        cell.zero_init()


def inherit_weights(child: nn.Module, weights: Mapping[str, Tensor]) -> list[str]:
    """Copy every tensor of ``weights`` that ``child`` has too; gives the names of those that ``child`` keeps fresh."""
    fresh = []
    with torch.no_grad():
        for name, tensor in child.state_dict().items():
            if name in weights and weights[name].shape == tensor.shape:
                tensor.copy_(weights[name])
            else:
                fresh.append(name)
    return fresh
