"""Which network of a run a call asks for."""

from __future__ import annotations

from collections.abc import Mapping

from evo.alone.selection import Criteria
from spaces.architecture import Architecture
from spaces.units import parse_number
from studies.records import EvoError


def make_criteria(
    limits: Mapping[str, float | str | None],
    arch: str | Architecture | None,
    knee: bool,
    scale_to: float | str | None,
    fill: bool,
    finalists: int,
    seeds: int,
) -> Criteria:
    """The criteria that the arguments of ``Run.deliver`` and ``Run.against`` mean.

    Args:
        limits: the name of a cost -> its limit; None: there is none.

    Raises:
        EvoError: a value cannot be, or two of them exclude each other.
    """
    most = {name: parse_limit(f"max_{name}", limit) for name, limit in limits.items() if limit is not None}
    if arch is not None and (most or knee):
        raise EvoError("arch names the network: leave out knee and all limits, max_macs and the like")
    for name, value in (("finalists", finalists), ("seeds", seeds)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise EvoError(f"{name} is {value!r}: expected a whole number from 1 on")
    wanted = Architecture.parse(str(arch)) if arch is not None else None
    target = None if scale_to is None else parse_limit("scale_to", scale_to)
    return Criteria(most, wanted, knee, target, fill, finalists, seeds)


def parse_limit(name: str, value: float | str) -> float:
    """A positive number, or a text such as ``50M``.

    Raises:
        EvoError: it is neither.
    """
    try:
        return parse_number(value if isinstance(value, str) else repr(float(value)))
    except (TypeError, ValueError):
        raise EvoError(f"{name} is {value!r}: expected a positive number, or a text such as '50M' or '300k'") from None
