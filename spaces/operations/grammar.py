"""The grammar of operations, and what each of them consists of and costs.

    mb_k<kernel>_e<expansion>     inverted bottleneck of MobileNetV2: 1x1, depthwise kxk, 1x1
    conv_k<kernel>_e<expansion>   1x1, full kxk, 1x1
    dual_k<kernel>_e<expansion>   1x1, full kxk, full kxk, 1x1
    rec_k<kernel>_e<expansion>    1x1, full 1xk, full kx1, 1x1
    proj                          1x1 and nothing else
    id, skip                      the input itself
    cell:...                      a small graph between two 1x1 (``spaces.operations.cells``)

``row_...`` is no operation: it chooses the depth and the width of the block that it begins (``spaces.variants``).

The middle convolutions have ``expansion`` times the input's channels. Batch normalisation follows every convolution,
an activation all but the last. The first four take options, in this order:

    _d<dilation>    of the middle convolutions
    _g<a>x<b>       groups of the first and of the last 1x1
    _se<percent>    squeeze-excite in front of the last 1x1, reduced to percent of the operation's *input* channels
    _seh<percent>   the same, percent of the *hidden* channels
    _relu6, _swish  instead of ReLU

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
from dataclasses import dataclass
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
        se: reduced channels of squeeze-excitation in percent of the input channels, ``se_hidden`` in percent of the
            hidden channels; 0: no squeeze-excitation.
    """

    kind: str
    kernel: int
    expansion: int
    dilation: int = 1
    groups: tuple[int, int] | None = (1, 1)
    se: int = 0
    se_hidden: int = 0
    activation: str = "relu"

    def __str__(self) -> str:
        default = _default_groups(self.kind, self.expansion)
        parts = (
            f"{self.kind}_k{self.kernel}_e{self.expansion}",
            f"_d{self.dilation}" if self.dilation > 1 else "",
            f"_g{self.groups[0]}x{self.groups[1]}" if self.groups and self.groups != default else "",
            f"_se{self.se}" if self.se else "",
            f"_seh{self.se_hidden}" if self.se_hidden else "",
            f"_{self.activation}" if self.activation != "relu" else "",
        )
        return "".join(parts)


_OPTIONS = ("k", "e", "d", "g", "se", "seh", "relu", "swish")
_GRAMMAR = re.compile(
    r"(?P<kind>[a-z0-9]+)_k(?P<k>\d+)_e(?P<e>\d+)(_d(?P<d>\d+))?(_g(?P<first>\d+)x(?P<last>\d+))?"
    r"(_se(?P<se>\d+))?(_seh(?P<seh>\d+))?(_(?P<activation>relu6?|swish))?"
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
        raise SpaceError(f"operation {op!r} is not {kind}_k<kernel>_e<expansion> with each option once; {_ALLOWED}")
    parsed = Bottleneck(
        kind,
        kernel=int(match["k"]),
        expansion=int(match["e"]),
        dilation=int(match["d"] or 1),
        groups=(int(match["first"]), int(match["last"])) if match["first"] else _default_groups(kind, int(match["e"])),
        se=int(match["se"] or 0),
        se_hidden=int(match["seh"] or 0),
        activation=match["activation"] or "relu",
    )
    if parsed.kernel % 2 == 0 or 0 in (parsed.expansion, parsed.dilation, *(parsed.groups or ())):
        raise SpaceError(f"operation {op!r}: expected an odd kernel, and expansion, dilation and groups of at least 1")
    if parsed.se and parsed.se_hidden:
        raise SpaceError(
            f"operation {op!r} has two squeeze-excitations: expected se (of the input) or seh (of the hidden)"
        )
    if str(parsed) != op:
        raise SpaceError(f"operation {op!r} is spelled {str(parsed)!r}: options in one order, none at its default")
    return parsed


_ALLOWED = (
    "options, in this order: d<dilation>, g<groups>x<groups>, se<percent of the input channels> or "
    "seh<percent of the hidden channels>, relu6 or swish"
)


def _default_groups(kind: str, expansion: int) -> tuple[int, int] | None:
    """MobileNetV2's first block has nothing to expand and no first 1x1 convolution; all others have both."""
    return None if kind == "mb" and expansion == 1 else (1, 1)


Middle = Callable[[Bottleneck, int, int], tuple[Conv, ...]]
"""(parsed, hidden channels, stride) -> the convolutions between the two 1x1."""


def depthwise_steps(op: Bottleneck, hidden: int, stride: int) -> tuple[Conv, ...]:
    """kxk, every channel on its own."""
    kernel = (op.kernel, op.kernel)
    return (Conv(hidden, hidden, kernel, (stride, stride), op.dilation, groups=hidden, activation=op.activation),)


def full_steps(op: Bottleneck, hidden: int, stride: int) -> tuple[Conv, ...]:
    """kxk over all channels."""
    kernel = (op.kernel, op.kernel)
    return (Conv(hidden, hidden, kernel, (stride, stride), op.dilation, activation=op.activation),)


def double_steps(op: Bottleneck, hidden: int, stride: int) -> tuple[Conv, ...]:
    """kxk twice, the stride on the second."""
    return full_steps(op, hidden, 1) + full_steps(op, hidden, stride)


def rectangular_steps(op: Bottleneck, hidden: int, stride: int) -> tuple[Conv, ...]:
    """1xk with the stride on the width, then kx1 with the stride on the height."""
    return (
        Conv(hidden, hidden, (1, op.kernel), (1, stride), op.dilation, activation=op.activation),
        Conv(hidden, hidden, (op.kernel, 1), (stride, 1), op.dilation, activation=op.activation),
    )


def bottleneck_steps(middle: Middle, op: Op, shape: Shape) -> tuple[Step, ...]:
    """1x1 to the hidden channels, ``middle``, squeeze-excite if any, 1x1 to the output channels."""
    parsed = parse_op(op)
    hidden = shape.c_in * parsed.expansion
    first, last = parsed.groups or (0, 1)
    expand = (Conv(shape.c_in, hidden, groups=first, activation=parsed.activation),) if first else ()
    reduced = (shape.c_in * parsed.se + hidden * parsed.se_hidden) // 100
    wants_se = parsed.se or parsed.se_hidden
    excite = (SqueezeExcite(hidden, max(1, reduced), parsed.activation),) if wants_se else ()
    return (*expand, *middle(parsed, hidden, shape.stride), *excite, Conv(hidden, shape.c_out, groups=last))


def projection_steps(_: Op, shape: Shape) -> tuple[Step, ...]:
    """A 1x1 convolution with the layer's stride: what stands for an identity where the shape changes."""
    return (Conv(shape.c_in, shape.c_out, stride=(shape.stride, shape.stride)),)


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
    """The operation whose module and cost are those of its steps, one after another."""
    return Operation(lambda op, shape: total_counts(steps(op, shape), shape.size), steps)


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
