"""Networks that need no search, at a budget: the yardsticks that a searched network must beat.

Each is an architecture in a space of its own, whose widths were scaled until it costs as near below the budget as multiples
of 8 allow (``spaces.export.scaling``). So all of them, and a searched network whose widths are filled up likewise, can be
compared at the same multiply-accumulates. Nothing here imports torch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from random import Random

from spaces.architecture import IDENTITIES, Architecture, Op
from spaces.costs.sampling import sample_rows_evenly, sample_uniform
from spaces.costs.table import CostTable, cost_table, count_costs
from spaces.errors import SpaceError
from spaces.export.scaling import scale_to_macs
from spaces.layer import Layer
from spaces.library.named_spaces import load_space
from spaces.size import Size, both_sides, stride_size
from spaces.space import SearchSpace, resolve_variants
from spaces.variants import SKIP, VariantBlock, parse_variant

PUBLISHED = ("mobilenet_v2", "efficientnet_b0")
"""The spaces of the library that hold one published network each."""

LEAST_MAP = 4
"""Pixels, along its shorter side, that the last feature map of a published network keeps."""

DIVISORS = (8, 4, 2, 1)
"""Of the widths of a network: the first with which it is narrow enough."""

FULL = 0.95
"""The share of a budget from which on it counts as used up."""

ROW_CHOICES = 32
"""Networks with rows drawn evenly, one of which is the random one."""

NEAR = (0.9, 0.75, 0.5)
"""How much of a budget a random network has before its widths are scaled: at least the first share for which there is one."""


@dataclass(frozen=True)
class Contender:
    """A network that is compared with others at one budget.

    Attributes:
        space: holds ``arch`` and nothing else; it has no rows.
        macs: what ``arch`` costs there, by the convention that was asked for; ``params`` likewise.
    """

    name: str
    arch: Architecture
    space: SearchSpace
    macs: int
    params: int


def contender(name: str, arch: Architecture, space: SearchSpace, convention: str = "macs") -> Contender:
    """The network ``arch`` of ``space``, at the widths that it has there."""
    arch, space = resolve_variants(arch, space)
    cost = count_costs(space, arch, convention)
    return Contender(name, arch, space.restrict_to(arch), cost.macs, cost.params)


def scaled_contender(
    name: str, space: SearchSpace, arch: Architecture, macs: float, convention: str, divisor: int = 8
) -> Contender:
    """A network of ``space`` at the widths, multiples of ``divisor``, at which it comes closest to ``macs`` from below.

    Raises:
        SpaceError: no widths do; the message says what can be had.
    """
    scaled = scale_to_macs(space, arch, macs, convention, divisor)
    return contender(name, scaled.arch, scaled.space, convention)


def coarsely_scaled(name: str, space: SearchSpace, arch: Architecture, macs: float, convention: str) -> Contender:
    """``scaled_contender`` with the coarsest of ``DIVISORS`` by which the network is narrow enough.

    Raises:
        SpaceError: by none it is.
    """
    *coarse, finest = DIVISORS
    for divisor in coarse:
        with suppress(SpaceError):
            return scaled_contender(name, space, arch, macs, convention, divisor)
    return scaled_contender(name, space, arch, macs, convention, finest)


def filled_contender(network: Contender, macs: float, convention: str) -> Contender:
    """``network`` with finer widths, multiples of 4, 2 or 1, where it leaves more than 5 % of ``macs`` unused: those that leave
    least, the coarsest that leave less."""
    best = network
    for divisor in DIVISORS[1:]:
        if best.macs >= FULL * macs:
            break
        with suppress(SpaceError):
            finer = scaled_contender(network.name, network.space, network.arch, macs, convention, divisor)
            best = max(best, finer, key=lambda one: one.macs)
    return best


# -- one operation everywhere -----------------------------------------------------------------------------------------


def uniform_networks(space: SearchSpace, macs: float, convention: str = "macs") -> list[Contender]:
    """The networks that have one operation in all layers, in the order of the first layer that has them.

    An operation takes part if it is a candidate of more than half of the layers and no identity. A layer that lacks it (a
    fixed one, or one with candidates of its own, such as PAD-NAS's first) takes the candidate whose name has most in common
    with it. In spaces of branches there is one branch everywhere. A block with rows takes its deepest row, and of these the
    widest. Operations with which no widths meet the budget are left out.

    Raises:
        SpaceError: no operation is left; the message says why.
    """
    ops = uniform_operations(space)
    if not ops:
        raise SpaceError(f"{space.name!r} has no uniform network: no operation is a candidate of most of its layers")
    found, errors = [], []
    for op in ops:
        try:
            found.append(scaled_contender(f"{op} everywhere", space, uniform_arch(space, op), macs, convention))
        except SpaceError as error:
            errors.append(str(error))
    if not found:
        raise SpaceError(f"{space.name!r} has no uniform network of {macs:,.0f} MACs: {errors[0]}")
    return found


def uniform_operations(space: SearchSpace) -> list[Op]:
    """The operations that ``uniform_networks`` tries."""
    layers = [layer for i, layer in enumerate(space.layers) if not _is_chooser(space, i)]
    seen = Counter(op for layer in layers for op in layer.candidates)
    return [op for op, times in seen.items() if 2 * times > len(layers) and op not in IDENTITIES]


def uniform_arch(space: SearchSpace, op: Op, place: int | None = None) -> Architecture:
    """The architecture of ``space`` that has ``op``, or what comes nearest to it, in every layer.

    Args:
        place: which row blocks have, counted round and round in the block with most rows; other blocks have the one most like
            it. None: their deepest, and of these the widest.
    """
    genes = []
    for i, layer in enumerate(space.layers):
        block = space.variant_of(i)
        if block is None:
            genes.append(_nearest(layer, op))
        elif block[1] == 0:
            genes.append(_deepest_row(block[0]) if place is None else _row_at(space, block[0], place))
        else:
            genes.append(_nearest(layer, op) if block[0].runs(genes[block[0].start], block[1]) else SKIP)
    return space.check(Architecture(tuple(genes)))


def _is_chooser(space: SearchSpace, i: int) -> bool:
    """Whether layer ``i`` only chooses its block's row."""
    block = space.variant_of(i)
    return block is not None and block[1] == 0


def _deepest_row(block: VariantBlock) -> Op:
    return max(block.variants, key=lambda row: (parse_variant(row).depth, parse_variant(row).width))


def _row_at(space: SearchSpace, block: VariantBlock, place: int) -> Op:
    """The row of a block that is most like the one at ``place`` of the block with most rows: in depth, then in width."""
    model = max(space.variant_blocks, key=lambda one: len(one.variants))
    depth, width = _proportions(model, model.variants[place % len(model.variants)])
    away = {
        row: (abs(found[0] - depth), abs(found[1] - width))
        for row in block.variants
        if (found := _proportions(block, row))
    }
    return min(away, key=lambda row: away[row])


def _proportions(block: VariantBlock, row: Op) -> tuple[int, float]:
    """A row's depth, and its width as a multiple of the block's output; 1 where nothing is between."""
    parsed = parse_variant(row)
    return parsed.depth, parsed.width / block.layers[1].shape.c_out if parsed.width else 1.0


def _nearest(layer: Layer, op: Op) -> str:
    """``op``, or the first of the layer's candidates that shares most parts of its name; ``skip`` where there are none."""
    parts = set(op.split("_"))
    return max(layer.candidates, key=lambda other: (other == op, len(parts & set(other.split("_")))), default=SKIP)


# -- a network drawn at random ----------------------------------------------------------------------------------------


def random_network(space: SearchSpace, macs: float, rng: Random, convention: str = "macs") -> Contender:
    """A network drawn uniformly among those of ``space`` just below ``macs``, its widths then filled up to the budget. Where
    blocks have rows, every row is drawn as often as any other: nearly all strings have the deepest ones.

    Just below is from 90 % of the budget on; where the space has no such network, from the next share in ``NEAR`` on; where
    it has none of these, all of its networks take part, and the one that is drawn is scaled.

    Raises:
        SpaceError: the convention is unknown, or no widths meet the budget.
    """
    table = cost_table(space, convention)
    for share in NEAR:
        try:
            arch = _drawn(table, rng, {"macs": (share * macs, macs)})
            break
        except SpaceError:  # nothing lies there
            continue
    else:
        arch = _drawn(table, rng, None)
    return coarsely_scaled("a random network", space, arch, macs, convention)


def _drawn(table: CostTable, rng: Random, limits: Mapping[str, tuple[float, float]] | None) -> Architecture:
    if table.space.variant_blocks:
        return rng.choice(sample_rows_evenly(table, ROW_CHOICES, rng, limits=limits))
    return sample_uniform(table, 1, rng, limits=limits)[0]


# -- networks that others have published ------------------------------------------------------------------------------


def published_network(
    name: str, macs: float, convention: str = "macs", *, channels: int = 3, size: Size = 224, classes: int = 1000
) -> Contender:
    """A published network for images of ``channels``, ``size`` and ``classes`` classes, scaled in width to ``macs``.

    All its channels are scaled, those of its stem and head, too. Its strides suit the size of the images
    (``without_early_strides``): MobileNetV2 halves 224 pixels five times, to 7. Images of 32 pixels are halved three times,
    to 4: the strides of its stem and of the first stage that has one are left out. Where it is above the budget even with 8
    channels everywhere, its widths are multiples of 4, else of 2, else of 1.

    Raises:
        SpaceError: no published network has this name (the message lists them), or no widths meet the budget.
    """
    if name not in PUBLISHED:
        raise SpaceError(f"unknown published network {name!r}; known: {', '.join(PUBLISHED)}")
    space = without_early_strides(load_space(name, channels=channels, size=size, classes=classes))
    arch = Architecture(tuple(layer.candidates[0] for layer in space.layers))
    return coarsely_scaled(name, space, arch, macs, convention)


def without_early_strides(space: SearchSpace, least: int = LEAST_MAP) -> SearchSpace:
    """``space`` with the fewest strides left out, the stem's first, then layer by layer, for which the last feature map has
    ``least`` pixels along its shorter side; without any strides where the images themselves are smaller."""
    strides = [space.stem.stride, *(layer.shape.stride for layer in space.layers)]
    for place in [i for i, stride in enumerate(strides) if stride > 1]:
        if min(both_sides(_size_behind(space.stem.size, strides))) >= least:
            break
        strides[place] = 1
    layers = [
        replace(
            layer,
            shape=replace(layer.shape, stride=stride, size=_size_behind(space.stem.size, strides[:place])),
        )
        for place, (layer, stride) in enumerate(zip(space.layers, strides[1:], strict=True), start=1)
    ]
    return replace(space, layers=tuple(layers), stem=replace(space.stem, stride=strides[0]))


def _size_behind(size: Size, strides: Sequence[int]) -> Size:
    """What is left of ``size`` behind layers of these strides."""
    for stride in strides:
        size = stride_size(size, stride)
    return size
