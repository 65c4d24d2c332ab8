"""The operations next to an operation: its name with one number changed by one step."""

from __future__ import annotations

from dataclasses import replace

from spaces.architecture import Op
from spaces.errors import SpaceError
from spaces.operations.grammar import Bottleneck, parse_op

KERNELS, EXPANSIONS = (3, 9), (1, 8)
"""The least and the greatest that a step leads to."""


def neighbours(op: Op) -> tuple[Op, ...]:
    """The bottlenecks whose kernel differs from ``op``'s by 2, or whose expansion by 1; none of what is no bottleneck.

    Between the coarse expansions 3 and 6 lie 4 and 5: the neighbours of good operations refine a space where it is good.
    """
    try:
        parsed = parse_op(op)
    except SpaceError:
        return ()
    kernels = (parsed.kernel - 2, parsed.kernel + 2)
    expansions = (parsed.expansion - 1, parsed.expansion + 1)
    changed = [replace(parsed, kernel=kernel) for kernel in kernels if _within(KERNELS, kernel)]
    if not parsed.hidden:  # else its channels are no multiple of the input's
        changed += [_expanded(parsed, expansion) for expansion in expansions if _within(EXPANSIONS, expansion)]
    return tuple(str(bottleneck) for bottleneck in changed)


def _within(bounds: tuple[int, int], value: int) -> bool:
    return bounds[0] <= value <= bounds[1]


def _expanded(bottleneck: Bottleneck, expansion: int) -> Bottleneck:
    """With another expansion; groups of the 1x1 convolutions that stand at their default stay there."""
    parsed = replace(bottleneck, expansion=expansion)
    plain = parse_op(f"{bottleneck.kind}_k{bottleneck.kernel}_e{bottleneck.expansion}")
    if bottleneck.groups != plain.groups:
        return parsed
    return replace(parsed, groups=parse_op(f"{bottleneck.kind}_k{bottleneck.kernel}_e{expansion}").groups)
