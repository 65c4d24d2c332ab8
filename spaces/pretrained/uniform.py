"""Smaller networks that no search is needed for: the same share cut out of every layer, or smaller images.

They are what a search for cuts has to beat.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace

from spaces.architecture import Architecture, Op
from spaces.costs.table import count_costs
from spaces.errors import SpaceError
from spaces.export.scaling import resize_space, scaled_size
from spaces.layer import Layer
from spaces.pretrained.cut_space import narrower, narrower_stages, numbered_op, stages_to_narrow, widths_of
from spaces.size import both_sides
from spaces.space import SearchSpace
from spaces.units import format_number
from spaces.variants import stages as stages_of

STEPS = 1000
"""How finely shares are tried."""

Cut = tuple[Architecture, SearchSpace]
"""A network, and the space of it alone."""


def uniform_cut(whole: Cut, macs: float, convention: str = "macs", *, stages: bool = False) -> Cut:
    """The whole network with the same share of hidden channels in every layer, the greatest that ``macs`` allow.

    Channels are multiples of 8; kernels, layers and the images' size stay.

    Args:
        stages: let stages give the same share of their channels, too, where they can.

    Raises:
        SpaceError: ``macs`` are too few for any share.
    """
    arch, space = whole

    def network(step: int) -> Cut:
        ops = [_at_share(op, layer, step / STEPS) for op, layer in zip(arch.genes, space.layers, strict=True)]
        channels = narrower_stages(space, step / STEPS, stages_to_narrow(space)) if stages else ()
        return _with_operations(space, ops, channels)

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


def _with_operations(space: SearchSpace, ops: Sequence[Op], channels: Sequence[int]) -> Cut:
    """The network of ``ops``, whose hidden channels stay as many where stages give others than the space's."""
    if channels:
        ops = [numbered_op(op, layer.shape) for op, layer in zip(ops, space.layers, strict=True)]
    layers = [replace(layer, candidates=(op,), pending=()) for op, layer in zip(ops, space.layers, strict=True)]
    given = space.stem.c_out
    for (start, stop), number in zip(stages_of(space.layers), channels, strict=False):
        for i in range(start, stop):
            layers[i] = replace(layers[i], shape=replace(layers[i].shape, c_in=given, c_out=number))
            given = number
    return Architecture(tuple(ops)), space.replace_layers(layers)


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
