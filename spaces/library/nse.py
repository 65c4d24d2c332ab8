"""NSE's spaces: cells that keep any subset of their operations, averaged; an empty cell is left out.

Ci et al., Evolving Search Space for Neural Architecture Search, ICCV 2021, https://arxiv.org/abs/2011.10904.
"""

from __future__ import annotations

from collections.abc import Sequence

from spaces.architecture import Architecture, Op, join
from spaces.errors import SpaceError
from spaces.layer import Head, Layer, Shape, Stem
from spaces.operations.grammar import Bottleneck
from spaces.size import Size, stride_size
from spaces.space import SearchSpace, make_divisible


def _linear_bottleneck(kernel: int, expansion: int, dilation: int = 1, groups: tuple[int, int] = (1, 1)) -> Op:
    """NSE's linear bottleneck, which has its first 1x1 also at expansion 1."""
    return str(Bottleneck("mb", kernel, expansion, dilation, groups))


_RECTANGULAR = tuple(f"rec_k{k}_e{t}" for k in (5, 7) for t in (1, 2, 4))
_MULTI_MAC = (
    *(_linear_bottleneck(3, t, d) for t in (1, 3, 6) for d in (1, 2, 3)),
    *(_linear_bottleneck(k, t) for k in (5, 7, 9, 11) for t in (1, 3, 6)),
    *_RECTANGULAR,
)
_GROUPED = tuple(
    _linear_bottleneck(k, t, groups=g) for k in (3, 5, 7, 9, 11) for t in (1, 3, 6) for g in ((1, 2), (2, 1), (2, 2))
)

NSE_POOLS: dict[str, tuple[Op, ...]] = {
    "multi_mac": _MULTI_MAC,
    "multi_mac_group": _MULTI_MAC + _GROUPED,
    "multi_branch": (
        *(_linear_bottleneck(k, t) for k in (3, 5, 7) for t in (1, 3, 6)),
        *("conv_k3_e1", "conv_k3_e2", "dual_k3_e1", "dual_k3_e2"),
        *_RECTANGULAR,
    ),
}
"""The papers' pools: an operation's place is the id by which published networks name it."""

PLANS: dict[str, str] = {"NER": "NRRRERE", "NR": "NRRRR"}
"""How each group of cells begins. N: nothing before its normal cells. R: a cell to the next width with stride 2.
E: a cell to the next width with stride 1."""


def nse_space(
    pool: str | Sequence[Op],
    plan: str,
    alloc_space: Sequence[int],
    channels: Sequence[int],
    scale: float = 1.0,
    *,
    k: int | None = None,
    size: Size = 224,
    classes: int = 1000,
    image_channels: int = 3,
    squeeze_excite: bool = False,
    activation: str = "relu",
) -> SearchSpace:
    """A space of NSE.

    Args:
        pool: a name of ``NSE_POOLS``, or operations in their own order.
        plan: ``NER`` (the MAC setting) or ``NR`` (the GPU setting).
        alloc_space: normal cells of each group; a group beyond the list has none.
        channels: width of the stem and first group, then of each further group.
        scale: multiplies every width but the first; widths are multiples of 8.
        k: how many operations of the pool are candidates at first, the rest is pending (None: all are candidates).
        squeeze_excite: whether every operation has a squeeze-excitation of a quarter of its hidden channels.

    Raises:
        SpaceError: the pool or the plan is unknown, or the widths do not fit the plan.
    """
    ops = _with_options(_operation_pool(pool), squeeze_excite, activation)
    if plan not in PLANS:
        raise SpaceError(f"unknown plan {plan!r}; known: {', '.join(PLANS)}")
    begins = PLANS[plan]
    if len(channels) != len(begins) or len(alloc_space) > len(begins):
        raise SpaceError(
            f"plan {plan!r} has {len(begins)} groups of cells: expected as many channels and at most as many entries "
            f"of alloc_space, found {len(channels)} and {len(alloc_space)}"
        )
    widths = (channels[0], *(make_divisible(c * scale) for c in channels[1:]))
    stem = Stem(channels[0], c_in=image_channels, size=size, activation=activation)
    layers: list[Layer] = []
    c_in, pixels = stem.c_out, stride_size(size, stem.stride)
    normal_cells = (*alloc_space, *(0 for _ in range(len(begins) - len(alloc_space))))
    for number, (begin, c_out, normal) in enumerate(zip(begins, widths, normal_cells, strict=True), start=1):
        for stride in {"N": [], "E": [1], "R": [2]}[begin] + [1] * normal:
            shape = Shape(c_in, c_out, stride, pixels)
            layers.append(
                Layer(
                    shape,
                    ops[:k],
                    ops[len(ops[:k]) :],
                    f"stage{number}",
                    branches=len(ops),
                    skippable=shape.is_residual,
                )
            )
            c_in, pixels = c_out, shape.size_out
    head = Head(1024, classes, activation, norm=False)
    return SearchSpace(f"nse_{pool}" if isinstance(pool, str) else "nse", tuple(layers), stem, head, merge="mean")


def nse_architecture(
    pool: str | Sequence[Op],
    cells: Sequence[Sequence[int]],
    *,
    squeeze_excite: bool = False,
    activation: str = "relu",
) -> Architecture:
    """The architecture that keeps, cell by cell, the operations of these ids; no id at all leaves the cell out.

    Raises:
        SpaceError: the pool is unknown, or an id is not in it.
    """
    ops = _with_options(_operation_pool(pool), squeeze_excite, activation)
    if outside := sorted({i for cell in cells for i in cell if not 0 <= i < len(ops)}):
        raise SpaceError(f"the pool has the ids 0 to {len(ops) - 1}, found {outside}")
    return Architecture(tuple(join(ops[i] for i in cell) for cell in cells))


def _operation_pool(pool: str | Sequence[Op]) -> tuple[Op, ...]:
    if not isinstance(pool, str):
        return tuple(pool)
    if pool not in NSE_POOLS:
        raise SpaceError(f"unknown pool {pool!r}; known: {', '.join(NSE_POOLS)}")
    return NSE_POOLS[pool]


def _with_options(ops: tuple[Op, ...], squeeze_excite: bool, activation: str) -> tuple[Op, ...]:
    options = ("_seh25" if squeeze_excite else "") + (f"_{activation}" if activation != "relu" else "")
    return tuple(op + options for op in ops)
