"""The grammar of operations, and what each of them consists of and costs.

    mb_k<kernel>_e<expansion>     inverted bottleneck of MobileNetV2: 1x1, depthwise kxk, 1x1
    conv_k<kernel>_e<expansion>   1x1, full kxk, 1x1
    dual_k<kernel>_e<expansion>   1x1, full kxk, full kxk, 1x1
    rec_k<kernel>_e<expansion>    1x1, full 1xk, full kx1, 1x1
    fused_k<kernel>_e<expansion>  full kxk, 1x1 (at e1 the kxk alone): EfficientNetV2, https://arxiv.org/abs/2104.00298
    basic_k<kernel>_e<expansion>  full kxk, full kxk: ResNet, https://arxiv.org/abs/1512.03385
    proj                          1x1 and nothing else
    id, skip                      the input itself
    cell:...                      a small graph between two 1x1 (``spaces.operations.cells``)

``row_...`` is no operation: it chooses the depth and the width of the block that it begins (``spaces.variants``).

The middle convolutions have ``expansion`` times the input's channels, or, where the name says ``h<channels>`` in the place of
``e<expansion>``, so many. Batch normalisation follows every convolution, an activation all but the last (and that of
``fused_..._e1``). The first six take options, in this order:

    _d<dilation>    of the middle convolutions
    _g<a>x<b>       groups of the first and of the last 1x1
    _se<percent>    squeeze-excite in front of the last 1x1, reduced to percent of the operation's *input* channels
    _seh<percent>   the same, percent of the *hidden* channels
    _hse<channels>  MobileNetV3's (https://arxiv.org/abs/1905.02244): so many channels, ReLU and a hard sigmoid
    _relu6, _swish, _hswish   instead of ReLU
    _sc             where the layer cannot add its input, a 1x1 convolution of it is added (ResNet's shortcut)

One network has one spelling: an option at its default is left out. ``mb_k3_e1`` has no first 1x1 (MobileNetV2,
https://arxiv.org/abs/1801.04381); ``mb_k3_e1_g1x1`` names the groups of both and so has it (NSE,
https://arxiv.org/abs/2011.10904).
"""

# This module imports no torch: names and costs are free of it. ``spaces.networks.build`` makes the modules.

from __future__ import annotations

import os.path
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TYPE_CHECKING, NamedTuple

from spaces.architecture import Op
from spaces.errors import SpaceError
from spaces.layer import Shape
from spaces.operations.cell_graph import graph_of_cell
from spaces.operations.cells import parse_cell
from spaces.operations.primitives import Conv, OpCounts, SqueezeExcite, Step, total_counts

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """A parsed ``<kind>_k<kernel>_e<expansion>...``; ``str()`` gives the one spelling back.

    Attributes:
        groups: of the first and the last 1x1 convolution; None: there is no first one, and the last is not grouped.
        expansion: 0 where ``hidden`` says how many channels the middle has, and that is 0 otherwise.
        se: reduced channels of squeeze-excitation in percent of the input channels, ``se_hidden`` in percent of the
            hidden channels, ``se_hard``: of MobileNetV3's, in channels; 0: no squeeze-excitation.
        shortcut: whether the input is added by a 1x1 convolution where the layer cannot add it.
    """

    kind: str
    kernel: int
    expansion: int
    dilation: int = 1
    groups: tuple[int, int] | None = (1, 1)
    se: int = 0
    se_hidden: int = 0
    activation: str = "relu"
    hidden: int = 0
    se_hard: int = 0
    shortcut: bool = False

    def __str__(self) -> str:
        default = _default_groups(self.kind, self.expansion)
        parts = (
            f"{self.kind}_k{self.kernel}_" + (f"h{self.hidden}" if self.hidden else f"e{self.expansion}"),
            f"_d{self.dilation}" if self.dilation > 1 else "",
            f"_g{self.groups[0]}x{self.groups[1]}" if self.groups and self.groups != default else "",
            f"_se{self.se}" if self.se else "",
            f"_seh{self.se_hidden}" if self.se_hidden else "",
            f"_hse{self.se_hard}" if self.se_hard else "",
            f"_{self.activation}" if self.activation != "relu" else "",
            "_sc" if self.shortcut else "",
        )
        return "".join(parts)


_OPTIONS = ("k", "e", "h", "d", "g", "se", "seh", "hse", "relu", "swish", "hswish", "sc")
_GRAMMAR = re.compile(
    r"(?P<kind>[a-z0-9]+)_k(?P<k>\d+)_(e(?P<e>\d+)|h(?P<h>[1-9]\d*))(_d(?P<d>\d+))?(_g(?P<first>\d+)x(?P<last>\d+))?"
    r"(_se(?P<se>\d+))?(_seh(?P<seh>\d+))?(_hse(?P<hse>\d+))?(_(?P<activation>relu6?|h?swish))?(?P<sc>_sc)?"
)


@cache
def parse_op(op: Op) -> Bottleneck:
    """What ``mb_...``, ``conv_...``, ``dual_...`` or ``rec_...`` says.

    Raises:
        SpaceError: an option is unknown, missing, repeated or impossible, or the spelling is not the canonical one;
            the message says which, and what is allowed.
    """
    kind, *options = op.split("_")
    names = [re.sub("[^a-z].*", "", option) for option in options]
    if unknown := [option for option, name in zip(options, names, strict=True) if name not in _OPTIONS]:
        raise SpaceError(f"operation {op!r} has the unknown option {unknown[0]!r}; {_ALLOWED}")
    in_order = sorted(zip(names, options, strict=True), key=lambda pair: _OPTIONS.index(pair[0]))
    match = _GRAMMAR.fullmatch("_".join([kind, *(option for _, option in in_order)]))
    if match is None:
        raise SpaceError(
            f"operation {op!r} is not {kind}_k<kernel>_e<expansion> or {kind}_k<kernel>_h<hidden channels> with each option "
            f"once; {_ALLOWED}"
        )
    parsed = Bottleneck(
        kind,
        kernel=int(match["k"]),
        expansion=int(match["e"] or 0),
        hidden=int(match["h"] or 0),
        dilation=int(match["d"] or 1),
        groups=(int(match["first"]), int(match["last"]))
        if match["first"]
        else _default_groups(kind, int(match["e"] or 0)),
        se=int(match["se"] or 0),
        se_hidden=int(match["seh"] or 0),
        se_hard=int(match["hse"] or 0),
        activation=match["activation"] or "relu",
        shortcut=bool(match["sc"]),
    )
    if parsed.kernel % 2 == 0 or 0 in (parsed.expansion + parsed.hidden, parsed.dilation, *(parsed.groups or ())):
        raise SpaceError(f"operation {op!r}: expected an odd kernel, and expansion, dilation and groups of at least 1")
    if (parsed.se > 0) + (parsed.se_hidden > 0) + (parsed.se_hard > 0) > 1:
        raise SpaceError(
            f"operation {op!r} has two squeeze-excitations: expected one of se (percent of the input), seh (of the hidden) "
            "and hse (channels)"
        )
    if kind in _WITHOUT_GROUPS and (match["first"] or parsed.dilation > 1):
        raise SpaceError(f"operation {op!r}: {kind} has no groups and no dilation")
    if str(parsed) != op:
        raise SpaceError(f"operation {op!r} is spelled {str(parsed)!r}: options in one order, none at its default")
    return parsed


_ALLOWED = (
    "options, in this order: d<dilation>, g<groups>x<groups>, se<percent of the input channels> or "
    "seh<percent of the hidden channels> or hse<channels>, relu6, swish or hswish, sc"
)

BOTTLENECKS = ("mb", "conv", "dual", "rec", "fused", "basic")
_WITHOUT_GROUPS = ("fused", "basic")
"""The kinds that take options, and those without two 1x1 convolutions."""


def _default_groups(kind: str, expansion: int) -> tuple[int, int] | None:
    """MobileNetV2's first block has nothing to expand and no first 1x1 convolution; all others have both."""
    return None if kind == "mb" and expansion == 1 else (1, 1)


Middle = Callable[[Bottleneck, int, Shape], tuple[Conv, ...]]
"""(parsed, hidden channels, the layer's shape) -> the convolutions between the two 1x1."""


def depthwise_steps(op: Bottleneck, hidden: int, shape: Shape) -> tuple[Conv, ...]:
    """kxk, every channel on its own."""
    return (replace(full_steps(op, hidden, shape)[0], groups=hidden),)


def full_steps(op: Bottleneck, hidden: int, shape: Shape) -> tuple[Conv, ...]:
    """kxk over all channels."""
    return (_square(op, hidden, hidden, shape, shape.stride),)


def double_steps(op: Bottleneck, hidden: int, shape: Shape) -> tuple[Conv, ...]:
    """kxk twice, the stride on the second."""
    return (_square(op, hidden, hidden, shape), *full_steps(op, hidden, shape))


def rectangular_steps(op: Bottleneck, hidden: int, shape: Shape) -> tuple[Conv, ...]:
    """1xk with the stride on the width, then kx1 with the stride on the height."""
    wide = Conv(
        hidden, hidden, (1, op.kernel), (1, shape.stride), op.dilation, activation=op.activation, padding=shape.padding
    )
    return wide, replace(wide, kernel=(op.kernel, 1), stride=(shape.stride, 1))


def _square(op: Bottleneck, c_in: int, c_out: int, shape: Shape, stride: int = 1) -> Conv:
    """A full kxk convolution with the operation's activation."""
    kernel = (op.kernel, op.kernel)
    return Conv(c_in, c_out, kernel, (stride, stride), op.dilation, activation=op.activation, padding=shape.padding)


def bottleneck_steps(middle: Middle, op: Op, shape: Shape) -> tuple[Step, ...]:
    """1x1 to the hidden channels, ``middle``, squeeze-excite if any, 1x1 to the output channels."""
    parsed = parse_op(op)
    hidden = hidden_channels(parsed, shape)
    first, last = parsed.groups or (0, 1)
    expand = (Conv(shape.c_in, hidden, groups=first, activation=parsed.activation),) if first else ()
    excite = _excite_steps(parsed, hidden, shape)
    return (*expand, *middle(parsed, hidden, shape), *excite, Conv(hidden, shape.c_out, groups=last))


def fused_steps(op: Op, shape: Shape) -> tuple[Step, ...]:
    """kxk to the hidden channels, squeeze-excite if any, 1x1 to the output channels; at expansion 1 the kxk alone."""
    parsed = parse_op(op)
    if parsed.expansion == 1:
        return (
            _square(parsed, shape.c_in, shape.c_out, shape, shape.stride),
            *_excite_steps(parsed, shape.c_out, shape),
        )
    hidden = hidden_channels(parsed, shape)
    wide = _square(parsed, shape.c_in, hidden, shape, shape.stride)
    return (wide, *_excite_steps(parsed, hidden, shape), Conv(hidden, shape.c_out))


def basic_steps(op: Op, shape: Shape) -> tuple[Step, ...]:
    """kxk to the hidden channels, kxk to the output channels, squeeze-excite if any."""
    parsed = parse_op(op)
    hidden = hidden_channels(parsed, shape)
    second = replace(_square(parsed, hidden, shape.c_out, shape), activation=None)
    return (
        _square(parsed, shape.c_in, hidden, shape, shape.stride),
        second,
        *_excite_steps(parsed, shape.c_out, shape),
    )


def hidden_channels(op: Bottleneck, shape: Shape) -> int:
    """The channels in the middle."""
    return op.hidden or shape.c_in * op.expansion


def _excite_steps(op: Bottleneck, channels: int, shape: Shape) -> tuple[SqueezeExcite, ...]:
    """The squeeze-excitation of ``channels``, if there is one."""
    if op.se_hard:
        return (SqueezeExcite(channels, op.se_hard, "relu", "hard_sigmoid"),)
    if not op.se and not op.se_hidden:
        return ()
    return (SqueezeExcite(channels, max(1, (shape.c_in * op.se + channels * op.se_hidden) // 100), op.activation),)


def projection_steps(_: Op, shape: Shape) -> tuple[Step, ...]:
    """A 1x1 convolution with the layer's stride: what stands for an identity where the shape changes."""
    return (Conv(shape.c_in, shape.c_out, stride=(shape.stride, shape.stride)),)


def shortcut_steps(op: Op, shape: Shape) -> tuple[Step, ...]:
    """What is done to the input before it is added; nothing where the operation adds no input of its own."""
    own = op.partition("_")[0] in BOTTLENECKS and parse_op(op).shortcut and not shape.is_residual
    return projection_steps(op, shape) if own else ()


def identity_steps(op: Op, shape: Shape) -> tuple[Step, ...]:
    """No step at all.

    Raises:
        SpaceError: input and output differ in shape.
    """
    if not shape.is_residual:
        raise SpaceError(f"{op!r} cannot turn {shape.c_in} into {shape.c_out} channels at stride {shape.stride}")
    return ()


class Operation(NamedTuple):
    """What an operation costs in a layer, and the steps it consists of; nothing is built here.

    Attributes:
        counts: counts for one image.
        steps: one after another; None: it is no chain of steps.
        module: what builds an operation of a user's own that is no chain; the project's own are in
        ``spaces.networks.build.BUILDERS``.
    """

    counts: Callable[[Op, Shape], OpCounts]
    steps: Callable[[Op, Shape], tuple[Step, ...]] | None = None
    module: Callable[[Op, Shape], nn.Module] | None = None


def chain_of_steps(steps: Callable[[Op, Shape], tuple[Step, ...]]) -> Operation:
    """The operation whose module and cost are those of its steps, one after another, and of its shortcut."""

    def counts(op: Op, shape: Shape) -> OpCounts:
        return total_counts(steps(op, shape), shape.size) + total_counts(shortcut_steps(op, shape), shape.size)

    return Operation(counts, steps)


def count_cell(op: Op, shape: Shape) -> OpCounts:
    """The cost of a ``cell:...``."""
    return graph_of_cell(parse_cell(op), shape).counts(shape)


def entry_of(op: Op) -> str:
    """The key of ``OPERATIONS`` that ``op`` belongs to.

    Raises:
        SpaceError: there is none; the message lists those there are.
    """
    prefix = re.match(r"[a-z0-9]+[_:]", op)
    entry = prefix[0] if prefix else op
    if entry not in OPERATIONS:
        raise SpaceError(
            f"unknown operation {op!r}; known: {', '.join(OPERATIONS)} (those that end in _ or : take options)"
        )
    return entry


def count_operation(op: Op, shape: Shape) -> OpCounts:
    """What ``op`` costs in a layer of ``shape``, for one image."""
    return OPERATIONS[entry_of(op)].counts(op, shape)


OPERATIONS: dict[str, Operation] = {
    "id": chain_of_steps(identity_steps),
    "skip": chain_of_steps(identity_steps),
    "proj": chain_of_steps(projection_steps),
    "mb_": chain_of_steps(partial(bottleneck_steps, depthwise_steps)),
    "conv_": chain_of_steps(partial(bottleneck_steps, full_steps)),
    "dual_": chain_of_steps(partial(bottleneck_steps, double_steps)),
    "rec_": chain_of_steps(partial(bottleneck_steps, rectangular_steps)),
    "fused_": chain_of_steps(fused_steps),
    "basic_": chain_of_steps(basic_steps),
    "cell:": Operation(count_cell),
}
"""Every operation there is, by name; a name that ends in ``_`` or ``:`` is followed by options."""


def defining_file(thing: Callable[..., object]) -> str:
    """The file in which a function or class is defined, absolute: a script and the same file as a plugin are one."""
    file = getattr(sys.modules.get(thing.__module__), "__file__", None)
    return os.path.abspath(file) if file else thing.__module__


_OWNERS: dict[str, str] = {}
"""Key of ``OPERATIONS`` -> the file in which a user has defined it; the project's own are not in it."""


def register(key: str, operation: Operation, function: Callable[..., object]) -> None:
    """Add an operation of a user's own. The same file may define it again, as a notebook does.

    Raises:
        ValueError: another operation has the name.
    """
    file = defining_file(function)
    if key in OPERATIONS and _OWNERS.get(key) != file:
        raise ValueError(
            f"operation {key!r} is defined already, by {_OWNERS.get(key, 'this program')}: choose another name"
        )
    OPERATIONS[key], _OWNERS[key] = operation, file


def owner_file(op: Op) -> str | None:
    """The file in which a user has defined the operation; None: it is one of the project's own."""
    prefix = re.match(r"[a-z0-9]+[_:]", op)
    return _OWNERS.get(prefix[0] if prefix else op)
