"""Cuts that need no search. A stand-in until ``spaces.pretrained.uniform`` is there, with the same functions."""

from __future__ import annotations

from dataclasses import replace

from spaces.architecture import Architecture, Op
from spaces.costs.table import count_costs
from spaces.errors import SpaceError
from spaces.layer import Layer
from spaces.operations.grammar import BOTTLENECKS, hidden_channels, parse_op
from spaces.size import both_sides
from spaces.space import SearchSpace

STEPS = 1000
"""Shares of hidden channels that are tried."""

LEAST = 16
"""Pixels of the smallest images that are tried."""


def uniform_cut(found_space: SearchSpace, macs: float, convention: str = "macs") -> tuple[Architecture, SearchSpace]:
    """The same share of hidden channels, in multiples of 8, in all layers of the network of first candidates: the largest
    share that costs at most ``macs``; its space holds nothing else.

    Raises:
        SpaceError: no share does.
    """
    for step in range(STEPS, 0, -1):
        layers = [
            replace(layer, candidates=(_narrowed(layer, step / STEPS),), pending=()) for layer in found_space.layers
        ]
        space = found_space.replace_layers(layers)
        arch = Architecture(tuple(layer.candidates[0] for layer in layers))
        if count_costs(space, arch, convention).macs <= macs:
            return arch, space
    raise SpaceError(f"with 8 hidden channels in all layers {found_space.name} has more than {macs:,.0f} MACs")


def _narrowed(layer: Layer, share: float) -> Op:
    """The first candidate of a layer with a share of its hidden channels, where it has some that can be left out."""
    op = layer.candidates[0]
    if op.partition("_")[0] not in BOTTLENECKS:
        return op
    whole = parse_op(op)
    hidden = hidden_channels(whole, layer.shape)
    width = max(8, round(share * hidden / 8) * 8)
    if whole.groups not in (None, (1, 1)) or whole.groups is None or width >= hidden:
        return op
    even = width % layer.shape.c_in == 0 and width != layer.shape.c_in
    return str(replace(whole, expansion=width // layer.shape.c_in if even else 0, hidden=0 if even else width))


def smaller_images(space: SearchSpace, macs: float, convention: str = "macs") -> SearchSpace:
    """``space`` for the largest square images at which its first candidates cost at most ``macs``.

    Raises:
        SpaceError: there are none of ``LEAST`` pixels or more.
    """
    arch = Architecture(tuple(layer.candidates[0] for layer in space.layers))
    for pixels in range(min(both_sides(space.stem.size)), LEAST - 1, -1):
        smaller = _resized(space, pixels)
        if count_costs(smaller, arch, convention).macs <= macs:
            return smaller
    raise SpaceError(f"{space.name} has more than {macs:,.0f} MACs for images of {LEAST} pixels")


def _resized(space: SearchSpace, pixels: int) -> SearchSpace:
    stem, layers = replace(space.stem, size=pixels), list[Layer]()
    size = stem.size_out
    for layer in space.layers:
        layers.append(replace(layer, shape=replace(layer.shape, size=size)))
        size = layers[-1].shape.size_out
    return SearchSpace(space.name, tuple(layers), stem, space.head, space.merge)
