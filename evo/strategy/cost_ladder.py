"""A space's networks by what they cost, in equal steps: block by block, the ways through it, and what their choices add."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from evo.strategy.encoding import Floats
from spaces.architecture import Op
from spaces.costs.table import COLUMNS, CostTable
from spaces.space import SearchSpace
from spaces.variants import SKIP

BUCKETS = 192
"""Costs are counted in so many steps."""

Places = NDArray[np.intp]


@dataclass(frozen=True)
class Way:
    """One way through a block: a row, or the only one.

    Attributes:
        layers: of the block, all of them.
        places: per layer, which of the layer's choices this way leaves, ``(k,)``; ``costs``: what each of them costs, ``(k,)``.
    """

    layers: tuple[int, ...]
    places: tuple[Places, ...]
    costs: tuple[Floats, ...]

    @property
    def least(self) -> float:
        return float(sum(costs.min() for costs in self.costs))

    @property
    def most(self) -> float:
        return float(sum(costs.max() for costs in self.costs))


@dataclass(frozen=True)
class CostLadder:
    """Buckets of cost, and where networks stand on them.

    Attributes:
        blocks: the ways through each block; a layer without rows is a block of its own.
        least: cost of the first bucket; ``width``: of a bucket.
    """

    blocks: tuple[tuple[Way, ...], ...]
    least: float
    width: float

    @classmethod
    def of(cls, blocks: Sequence[Sequence[Way]], fixed: float, most: float = np.inf) -> CostLadder:
        """From the ways and what every network costs besides; nothing above ``most`` is looked at."""
        least = fixed + sum(min(way.least for way in block) for block in blocks)
        dearest = fixed + sum(max(way.most for way in block) for block in blocks)
        return cls(tuple(map(tuple, blocks)), least, max((min(dearest, most) - least) / (BUCKETS - 1), 1e-12))

    @classmethod
    def of_space(cls, costs: CostTable, choices: Sequence[Sequence[Op]], cost: str, most: float) -> CostLadder:
        """Of a space's layers with these choices; ``cost``: a column's name."""
        column = COLUMNS.index(cost)
        return cls.of(_ways(costs, choices, column), float(costs.fixed[column]), most)

    @property
    def budgets(self) -> Floats:
        """``(BUCKETS,)`` the cost of each bucket."""
        return np.asarray(self.least + self.width * np.arange(BUCKETS))

    @cached_property
    def starts(self) -> tuple[tuple[int, ...], ...]:
        """Per block and way: the buckets between the cheapest networks of the block and of this way."""
        return tuple(
            tuple(self._buckets(np.array([way.least for way in block]) - min(way.least for way in block)))
            for block in self.blocks
        )

    def steps(self, way: Way, layer: int) -> Places:
        """``(k,)`` the buckets that each choice adds to the cheapest one; ``layer``: a place in the way."""
        return self._buckets(way.costs[layer] - way.costs[layer].min())

    def _buckets(self, costs: Floats) -> Places:
        return np.minimum(np.rint(costs / self.width), BUCKETS).astype(np.intp)


def layer_choices(space: SearchSpace, ops: Sequence[Sequence[Op]]) -> list[tuple[Op, ...]]:
    """Per layer, ``ops``, and ``skip`` behind them where a row leaves the layer out."""
    choices = [tuple(here) for here in ops]
    for block in space.variant_blocks:
        for place in range(1, len(block.layers)):
            if not all(block.runs(row, place) for row in choices[block.start]):
                choices[block.start + place] += (SKIP,)
    return choices


def _ways(costs: CostTable, choices: Sequence[Sequence[Op]], column: int) -> list[list[Way]]:
    """The ways through each block of a space."""
    blocks: list[list[Way]] = []
    for i, here in enumerate(choices):
        if (known := costs.space.variant_of(i)) is None:
            prices = np.array([costs.layers[i].cost_of(op)[column] for op in here])
            blocks.append([Way((i,), (np.arange(len(here)),), (prices,))])
        elif known[1] == 0:
            layers = range(known[0].start, known[0].stop)
            inside = [choices[layer] for layer in layers]
            blocks.append([_row_way(costs, layers, inside, place, column) for place in range(len(here))])
    return blocks


def _row_way(costs: CostTable, layers: range, choices: Sequence[Sequence[Op]], place: int, column: int) -> Way:
    """The way through a block with rows that the row at ``place`` of its choices leaves."""
    known = costs.space.variant_of(layers.start)
    assert known is not None
    block, row = known[0], choices[0][place]
    places, prices = [np.array([place])], [np.array([costs.layers[layers.start].cost_of(row)[column]])]
    for layer, here in zip(layers[1:], choices[1:], strict=True):
        runs = block.runs(row, layer - block.start)
        left = [i for i, op in enumerate(here) if (op != SKIP) == runs]
        places.append(np.array(left))
        prices.append(np.array([costs.layers[layer].cost_of(f"{row}/{here[i]}")[column] for i in left]))
    return Way(tuple(layers), tuple(places), tuple(prices))
