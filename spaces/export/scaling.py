"""Slimmer and wider versions of a space: the same choices, other channels."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from spaces.architecture import Architecture, Op, operations
from spaces.costs.table import count_costs
from spaces.errors import SpaceError
from spaces.operations.grammar import BOTTLENECKS, parse_op
from spaces.size import Size, as_size, both_sides
from spaces.space import SearchSpace, make_divisible, resolve_variants

MAX_FACTOR = 16
"""The largest factor that ``scale_to_macs`` tries."""

EVENNESS = 1.25
"""How far ahead of the others, at most, ``scale_to_macs`` lets a width grow to use up what is left of a budget."""


@dataclass(frozen=True)
class ScaledSpace:
    """A space whose widths were chosen for one architecture and one budget.

    Attributes:
        arch: the architecture as this space spells it, which has no rows.
        divisor: of all widths.
        widths: old channels -> new channels.
        macs: what the architecture costs there.
    """

    space: SearchSpace
    arch: Architecture
    divisor: int
    widths: dict[int, int]
    macs: int


def scale_widths(space: SearchSpace, width: float, divisor: int = 8) -> SearchSpace:
    """``space`` with all channels but the images' multiplied by ``width`` and rounded to multiples of ``divisor``.

    Candidates, strides and sizes stay; so an architecture of one is an architecture of the other.

    Raises:
        SpaceError: ``width`` is not positive, or the space has rows or operations in whose names widths stand.
    """
    if space.variant_blocks:
        raise SpaceError(f"{space.name!r} has rows, in whose names widths stand: scale one of its networks (plain)")
    _check_scalable(space, (op for layer in space.layers for op in layer.candidates + layer.pending))
    if width <= 0:
        raise SpaceError(f"width is {width}, expected a positive factor, e.g. 0.5")
    return _replace_channels(space, lambda channels: make_divisible(channels * width, divisor))


def shrink(arch: Architecture, space: SearchSpace, width: float, resolution: float) -> tuple[Architecture, SearchSpace]:
    """A network as a cheap round trains it: its channels and the sides of its images times these factors.

    Raises:
        SpaceError: a factor is not positive.
    """
    arch, space = resolve_variants(arch, space)
    space = scale_widths(space, width) if width != 1 else space
    return arch, resize_space(space, scaled_size(space.stem.size, resolution)) if resolution != 1 else space


def scaled_size(size: Size, resolution: float) -> Size:
    """The sides of an image times a factor, at least one pixel."""
    return as_size([max(1, round(side * resolution)) for side in both_sides(size)])


def resize_space(space: SearchSpace, size: Size) -> SearchSpace:
    """``space`` for images of another size."""
    stem, layers = replace(space.stem, size=size), []
    pixels = stem.size_out
    for layer in space.layers:
        layers.append(replace(layer, shape=replace(layer.shape, size=pixels)))
        pixels = layers[-1].shape.size_out
    return replace(space, stem=stem, layers=tuple(layers))


def scale_to_macs(
    space: SearchSpace, arch: Architecture, macs: float, convention: str = "macs", divisor: int = 8
) -> ScaledSpace:
    """``space`` with the widths at which ``arch`` comes as close to ``macs`` as multiples of ``divisor`` allow, not above.

    First a common factor for all widths, the largest that fits. Rounding leaves a gap, so widths that would round up next
    are then widened one by one, in that order, if they fit and do not get ahead of the others by more than a quarter.

    Raises:
        SpaceError: no width is narrow enough, the widest is not wide enough, or an operation's own channels stand in its name;
            the message says what can be had.
    """

    arch, space = resolve_variants(arch, space)
    _check_scalable(space, (op for gene in arch.genes for op in operations(gene)))

    def cost(widths: dict[int, int]) -> int:
        return count_costs(_replace_channels(space, widths.__getitem__), arch, convention).macs

    def grown(steps: list[Step]) -> dict[int, int]:
        return dict.fromkeys(channels, divisor) | {old: new for _, old, new in steps}

    channels = sorted(_all_channels(space))
    steps = _width_steps(channels, divisor)
    fitting = bisect_right(range(len(steps) + 1), macs, key=lambda n: cost(grown(steps[:n]))) - 1
    if fitting < 0:
        raise SpaceError(f"{macs:,.0f} MACs are too few: {str(arch)!r} needs {cost(grown([])):,} at its narrowest")
    if fitting == len(steps):
        most = cost(grown(steps))
        raise SpaceError(f"{macs:,.0f} MACs are too many: {str(arch)!r} has {most:,} at {MAX_FACTOR} times its widths")
    widths, too_wide = grown(steps[:fitting]), steps[fitting][0]
    for factor, old, new in steps[fitting:]:
        if factor < too_wide * EVENNESS and cost(widths | {old: new}) <= macs:
            widths[old] = new
    return ScaledSpace(_replace_channels(space, widths.__getitem__), arch, divisor, widths, cost(widths))


def _check_scalable(space: SearchSpace, ops: Iterable[Op]) -> None:
    """No operation whose channels stand in its name (``mb_k3_h72``): they would not be scaled with the others."""
    for op in ops:
        if op.partition("_")[0] in BOTTLENECKS and ((parsed := parse_op(op)).hidden or parsed.se_hard):
            raise SpaceError(
                f"{op} of {space.name!r} says how many channels it has inside: its widths cannot be scaled"
            )


Step = tuple[float, int, int]
"""The common factor at which rounded channels become wider, the old channels, the new ones."""


def _width_steps(channels: list[int], divisor: int) -> list[Step]:
    """Every step that rounded channels make while a common factor grows, in order."""
    steps = []
    for old in channels:
        for new in range(2 * divisor, MAX_FACTOR * old + divisor, divisor):
            below = new - divisor  # stays until it is nine tenths of the exact number, or that is nearer to the next
            steps.append((min(below / 0.9, below + divisor / 2) / old, old, new))
    return sorted(steps)


def _all_channels(space: SearchSpace) -> set[int]:
    """All numbers of channels that may change."""
    head = {width for width in (space.head.features, space.head.hidden) if width}
    return {space.stem.c_out} | {layer.shape.c_out for layer in space.layers} | head


def _replace_channels(space: SearchSpace, channels: Callable[[int], int]) -> SearchSpace:
    """``space`` with every number of channels but the images' replaced: equal ones stay equal."""
    layers = (
        replace(layer, shape=replace(layer.shape, c_in=channels(layer.shape.c_in), c_out=channels(layer.shape.c_out)))
        for layer in space.layers
    )
    return replace(
        space,
        layers=tuple(layers),
        stem=replace(space.stem, c_out=channels(space.stem.c_out)),
        head=replace(
            space.head,
            features=channels(space.head.features) if space.head.features else 0,
            hidden=channels(space.head.hidden) if space.head.hidden else 0,
        ),
    )
