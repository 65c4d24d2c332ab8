"""Slimmer and wider versions of a space: the same choices, other channels."""

from __future__ import annotations

from dataclasses import replace

from spaces.space import SearchSpace


def scaled(space: SearchSpace, width: float, divisor: int = 8) -> SearchSpace:
    """``space`` with all channels but the images' multiplied by ``width`` and rounded to multiples of ``divisor``.

    Candidates, strides and sizes stay; so an architecture of one is an architecture of the other.

    Raises:
        ValueError: ``width`` is not positive.
    """
    if width <= 0:
        raise ValueError(f"width is {width}, expected a positive factor, e.g. 0.5")

    def channels(number: int) -> int:
        return divisible(number * width, divisor)

    layers = (
        replace(layer, shape=replace(layer.shape, c_in=channels(layer.shape.c_in), c_out=channels(layer.shape.c_out)))
        for layer in space.layers
    )
    return replace(
        space,
        layers=tuple(layers),
        stem=replace(space.stem, c_out=channels(space.stem.c_out)),
        head=replace(space.head, features=channels(space.head.features) if space.head.features else 0),
    )


def divisible(number: float, divisor: int) -> int:
    """The multiple of ``divisor`` nearest to ``number``, at least one of it, and at least nine tenths of ``number``.

    MobileNetV2's rule for the channels of a network made wider or slimmer, https://arxiv.org/abs/1801.04381.
    """
    nearest = max(divisor, int(number + divisor / 2) // divisor * divisor)
    return nearest if nearest >= 0.9 * number else nearest + divisor
