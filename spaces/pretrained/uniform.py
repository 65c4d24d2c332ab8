"""Smaller networks that no search is needed for: the same share cut out of every layer, or smaller images.

They are what a search for cuts has to beat.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import replace

from spaces.architecture import Architecture, Op
from spaces.costs.table import count_costs
from spaces.errors import SpaceError
from spaces.export.scaling import resize_space, scaled_size
from spaces.layer import Layer
from spaces.pretrained.cut_space import narrower, widths_of
from spaces.size import both_sides
from spaces.space import SearchSpace
from spaces.units import format_number

STEPS = 1000
"""How finely shares are tried."""

Cut = tuple[Architecture, SearchSpace]
"""A network, and the space of it alone."""


def uniform_cut(whole: Cut, macs: float, convention: str = "macs") -> Cut:
    """The whole network with the same share of hidden channels in every layer, the greatest that ``macs`` allow.

    Channels are multiples of 8; kernels, layers and the images' size stay.

    Raises:
        SpaceError: ``macs`` are too few for any share.
    """
    arch, space = whole

    def network(step: int) -> Cut:
        ops = [_at_share(op, layer, step / STEPS) for op, layer in zip(arch.genes, space.layers, strict=True)]
        layers = (replace(layer, candidates=(op,), pending=()) for op, layer in zip(ops, space.layers, strict=True))
        return Architecture(tuple(ops)), space.replace_layers(layers)

    def cost(step: int) -> float:
        cut, alone = network(step)
        return count_costs(alone, cut, convention).macs

    fitting = bisect_right(range(1, STEPS + 1), macs, key=cost)
    if not fitting:
        raise SpaceError(
            f"{format_number(macs)} MACs are too few for a share of the channels of every layer: they begin at "
            f"{format_number(cost(1))}"
        )
    return network(fitting)


def _at_share(op: Op, layer: Layer, share: float) -> Op:
    widths = widths_of(op, layer.shape, (share,))
    return narrower(op, layer.shape, min(widths)) if widths else op


def smaller_images(whole: Cut, macs: float, convention: str = "macs") -> Cut:
    """The whole network on smaller images, as large as ``macs`` allow.

    Of sizes at the same MACs the largest: what a stride leaves over costs nothing behind it.

    Raises:
        SpaceError: ``macs`` are too few for any size.
    """
    arch, space = whole
    longest = max(both_sides(space.stem.size))

    def at(side: int) -> SearchSpace:
        return resize_space(space, scaled_size(space.stem.size, side / longest))

    def cost(side: int) -> float:
        return count_costs(at(side), arch, convention).macs

    fitting = bisect_right(range(1, longest + 1), macs, key=cost)
    if not fitting:
        raise SpaceError(
            f"{format_number(macs)} MACs are too few for images of any size: they begin at {format_number(cost(1))}"
        )
    return arch, at(fitting)
