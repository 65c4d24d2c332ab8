"""The space of a trained network: each layer as it is, with fewer hidden channels, with smaller kernels, or left out; the
size of the images; and the channels of its stages. Nothing here imports torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from spaces.architecture import IDENTITIES, Architecture, Op
from spaces.errors import SpaceError
from spaces.layer import Layer, Shape
from spaces.operations.grammar import (
    BOTTLENECKS,
    OPERATIONS,
    count_operation,
    entry_of,
    hidden_channels,
    parse_op,
    shortcut_steps,
)
from spaces.operations.primitives import Conv, Step
from spaces.size import Size, as_text, both_sides
from spaces.space import SearchSpace, make_divisible, resolve_variants
from spaces.variants import input_op, is_variant, stages

if TYPE_CHECKING:
    from spaces.pretrained.networks import Pretrained

SHARES = (0.75, 0.5, 0.25)
"""The parts of a layer's hidden channels that are tried beside all of them."""


def space_of(
    found: Pretrained,
    *,
    channels: int = 3,
    size: Size | None = None,
    classes: int = 1000,
    shares: Sequence[float] = SHARES,
    smaller: Sequence[Size] = (),
    widths: Sequence[float] = (),
    pool: Sequence[Op] = (),
) -> SearchSpace:
    """The space that grows out of a network, for images of so many channels, pixels and classes.

    Candidates stand from the network's own operation to the least of it; an identity is the last where shapes allow it.

    Args:
        smaller: other sizes that images may be scaled to; with them, a first layer chooses the size.
        widths: parts of the channels that stages give, all together, beside all of them; the first layer chooses them, too.
            Hidden channels are named by their number then, as it does not depend on those. Nothing changes where no stage can
            have fewer.
        pool: operations that wait in every layer whose shape allows them.

    Raises:
        SpaceError: the network has layers of several operations side by side, or sees images of other channels.
    """
    if channels not in (1, found.space.stem.c_in):
        raise SpaceError(
            f"{found.name} sees images of {found.space.stem.c_in} channels, and these have {channels}: expected as many, or "
            "grey images"
        )
    for op in pool:
        _check_useful(op, found.space.layers)
    stem = replace(found.space.stem, c_in=channels, size=size or found.space.stem.size)
    layers, pixels, narrowed = list[Layer](), stem.size_out, stages_to_narrow(found.space)
    _check_sizes(stem.size, smaller, found.space)
    sizes = tuple(dict.fromkeys((stem.size, *smaller)))
    profiles = tuple(dict.fromkeys(narrower_stages(found.space, share, narrowed) for share in widths))
    inputs = tuple(input_op(one, profile) for one in sizes for profile in ((), *filter(None, profiles)))
    numbered = any(profiles)
    if inputs[1:]:
        chooser = Shape(stem.c_out, stem.c_out, 1, pixels)
        layers.append(Layer(chooser, inputs, block="input"))
    for layer in found.space.layers:
        shape = replace(layer.shape, size=pixels)
        cuts = tuple(_cuts(layer, shape, shares, numbered=numbered))
        named = [numbered_op(op, shape) for op in pool if _reads_and_gives_all(op, shape)] if numbered else pool
        waiting = tuple(op for op in dict.fromkeys(named) if op not in cuts and _fits(op, shape))
        layers.append(replace(layer, shape=shape, candidates=cuts, pending=waiting))
        pixels = shape.size_out
    head = replace(found.space.head, classes=classes)
    return SearchSpace(f"{found.name}_cut", tuple(layers), stem, head, found.space.merge, own_weights=True)


def _check_useful(op: Op, layers: Sequence[Layer]) -> None:
    """
    Raises:
        SpaceError: an operation of the pool is unknown, none at all, or fits no layer.
    """
    if op in IDENTITIES or is_variant(op):
        raise SpaceError(f"{op!r} in the pool is no operation that could be made: expected e.g. mb_k3_e1_relu6")
    reasons = []
    for layer in layers:
        try:
            count_operation(op, layer.shape)
        except ValueError as error:
            reasons.append(str(error))
    if len(reasons) == len(layers):
        raise SpaceError(f"{op!r} in the pool fits no layer of the network: {reasons[0]}")


def _check_sizes(size: Size, smaller: Sequence[Size], space: SearchSpace) -> None:
    """
    Raises:
        SpaceError: a smaller size is not smaller, or so small that the network's strides leave less than a pixel.
    """
    stride = space.stem.stride * space.stem.pool * math.prod(layer.shape.stride for layer in space.layers)
    for other in smaller:
        if other == size or min(both_sides(other)) < stride:
            raise SpaceError(
                f"images of {as_text(other)} pixels are no choice beside {as_text(size)}: expected smaller ones, of at least "
                f"{stride} pixels, as the network's strides multiply to that"
            )


def _fits(op: Op, shape: Shape) -> bool:
    try:
        count_operation(op, shape)
    except ValueError:
        return False
    return True


def stages_to_narrow(space: SearchSpace) -> tuple[bool, ...]:
    """Of each stage of a network, the space of which this is, whether it can have fewer channels and keep its weights.

    What it gives must be a sum of convolutions without an activation, and be read by convolutions over all channels.
    """
    layers, head = space.layers, space.head
    ops = [layer.candidates[0] for layer in layers]
    gives = [_gives_all(op, layer.shape) for op, layer in zip(ops, layers, strict=True)]
    reads = [_reads_all(op, layer.shape) for op, layer in zip(ops, layers, strict=True)] + [bool(head.features)]
    found = []
    for start, stop in stages(layers):
        behind_stem = layers[start].shape.is_residual
        able = space.merge == "residual" and not behind_stem
        found.append(able and all(gives[start:stop]) and all(reads[start + 1 : stop + 1]))
    return tuple(found)


def _gives_all(op: Op, shape: Shape) -> bool:
    """Whether an operation ends with a convolution over all channels, without an activation, and nothing is added to it."""
    steps = steps_of(op, shape)
    last = steps[-1] if steps and not shortcut_steps(op, shape) else None
    return isinstance(last, Conv) and last.groups == 1 and last.activation is None


def _reads_all(op: Op, shape: Shape) -> bool:
    """Whether an operation begins with a convolution over all channels."""
    steps = steps_of(op, shape)
    first = steps[0] if steps and not shortcut_steps(op, shape) else None
    return isinstance(first, Conv) and first.groups == 1


def _reads_and_gives_all(op: Op, shape: Shape) -> bool:
    return _fits(op, shape) and _reads_all(op, shape) and _gives_all(op, shape)


def narrower_stages(space: SearchSpace, share: float, narrowed: Sequence[bool]) -> tuple[int, ...]:
    """The channels of all stages, a share of them where there can be fewer; nothing where that changes none.

    A layer that cannot add its input must not come to give as many channels as it is given: it gives more of them then.
    """
    found, given, changed = list[int](), space.stem.c_out, False
    for (start, _), able in zip(stages(space.layers), narrowed, strict=True):
        shape = space.layers[start].shape
        channels = min(shape.c_out, make_divisible(share * shape.c_out)) if able else shape.c_out
        if channels == given and shape.stride == 1 and not shape.is_residual:
            channels = min(shape.c_out, channels + 8) if channels + 8 <= shape.c_out else channels - 8
        changed = changed or channels != shape.c_out
        found.append(channels)
        given = channels
    return tuple(found) if changed else ()


def numbered_op(op: Op, shape: Shape) -> Op:
    """An operation, its hidden channels named by their number, where it has any."""
    if op.partition("_")[0] not in BOTTLENECKS:
        return op
    parsed = parse_op(op)
    if parsed.groups is None or parsed.expansion == 0 or (parsed.kind == "fused" and parsed.expansion == 1):
        return op
    return str(replace(parsed, expansion=0, hidden=hidden_channels(parsed, shape)))


def _cuts(layer: Layer, shape: Shape, shares: Sequence[float], numbered: bool) -> Iterator[Op]:
    """The operation of a layer, and what can be cut out of it."""
    if len(layer.candidates) != 1 or layer.branches > 1:
        raise SpaceError(
            f"the network has operations side by side in a layer of {layer.block} ({', '.join(layer.candidates) or 'none'}), "
            "and what can be cut has one in each: choose another network"
        )
    (op,) = layer.candidates
    if op.partition("_")[0] not in BOTTLENECKS:
        yield op
        return
    whole = parse_op(op)
    kernels = range(whole.kernel, 2, -2) if whole.kernel > 1 else (whole.kernel,)
    for width in (None, *sorted(widths_of(op, shape, shares), reverse=True)):
        for kernel in kernels:
            smaller = str(replace(whole, kernel=kernel))
            cut = smaller if width is None else narrower(smaller, shape, width)
            yield numbered_op(cut, shape) if numbered else cut
    if shape.is_residual:
        yield "id"


def widths_of(op: Op, shape: Shape, shares: Sequence[float]) -> set[int]:
    """The hidden channels, fewer than an operation's own, that shares of them are; none where they cannot be fewer."""
    if op.partition("_")[0] not in BOTTLENECKS:
        return set()
    whole = parse_op(op)
    hidden = hidden_channels(whole, shape)
    grouped = whole.groups not in (None, (1, 1))  # a channel belongs to others
    if grouped or whole.groups is None or (whole.kind == "fused" and whole.expansion == 1):  # nothing is hidden
        return set()
    return {width for width in (make_divisible(share * hidden) for share in shares) if width < hidden}


def narrower(op: Op, shape: Shape, width: int) -> Op:
    """An operation with ``width`` hidden channels."""
    even = width % shape.c_in == 0 and width != shape.c_in
    return str(replace(parse_op(op), expansion=width // shape.c_in if even else 0, hidden=0 if even else width))


def matching_steps(op: Op, cut: Op, shape: Shape) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
    """The steps of an operation, and those of one that can be cut out of it.

    Raises:
        SpaceError: it cannot be.
    """
    before, behind = steps_of(op, shape), steps_of(cut, shape)
    if list(map(type, before)) != list(map(type, behind)):
        raise SpaceError(f"{cut!r} cannot be cut out of {op!r}: they have other steps")
    convolutions = [
        (whole, part)
        for whole, part in zip(before, behind, strict=True)
        if isinstance(whole, Conv) and isinstance(part, Conv)
    ]
    narrower = any((whole.c_in, whole.c_out) != (part.c_in, part.c_out) for whole, part in convolutions)
    if narrower and not all(whole.groups == 1 or is_depthwise(whole) for whole, _ in convolutions):
        raise SpaceError(f"{cut!r} cannot be cut out of {op!r}: its channels are grouped")
    for whole, part in convolutions:
        if max(part.kernel) > max(whole.kernel) or part.c_out > whole.c_out or part.c_in > whole.c_in:
            raise SpaceError(f"{cut!r} cannot be cut out of {op!r}: it is larger")
        if part.activation != whole.activation or (part.groups == 1) != (whole.groups == 1):
            raise SpaceError(f"{cut!r} cannot be cut out of {op!r}: they have other steps")
    return before, behind


def can_be_cut(op: Op, cut: Op, shape: Shape) -> bool:
    """Whether the weights of an operation hold those of another one; an identity needs none."""
    if cut in IDENTITIES or op == cut:
        return True
    try:
        matching_steps(op, cut, shape)
    except SpaceError:
        return False
    return True


def only_cuts(space: SearchSpace) -> SearchSpace:
    """``space`` without operations that cannot be cut out of the network of first candidates, and without what waits."""
    return space.replace_layers(
        replace(
            layer,
            candidates=tuple(
                op for op in layer.candidates if is_variant(op) or can_be_cut(layer.candidates[0], op, layer.shape)
            ),
            pending=(),
        )
        for layer in space.layers
    )


def steps_of(op: Op, shape: Shape) -> tuple[Step, ...]:
    """The steps of an operation; none where it is no chain of them."""
    steps = OPERATIONS[entry_of(op)].steps
    return steps(op, shape) if steps is not None else ()


def is_depthwise(step: Conv) -> bool:
    """Whether every channel is seen by itself."""
    return step.groups == step.c_in == step.c_out


def whole_network(space: SearchSpace) -> Architecture:
    """The network whose space it is: the first candidates."""
    return Architecture(tuple(layer.candidates[0] for layer in space.layers))


def whole_alone(space: SearchSpace) -> tuple[Architecture, SearchSpace]:
    """The network whose space it is, and the space of it alone, for images of one size."""
    whole = whole_network(space)
    return resolve_variants(whole, space.restrict_to(whole))
