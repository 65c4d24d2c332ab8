"""What the best network with a given operation is worth, at every budget: dynamic programming over costs that add up.

With additive scores and additive costs, the best network of every cost is found layer by layer, as in a knapsack with one
choice per layer (Kellerer, Pferschy & Pisinger, Knapsack Problems, 2004, chapter 11). Here it is found for many functions at
once, and for each operation of each layer that the network must have. In blocks with rows what a layer may have, and what it
costs, depends on the row: there it is found for each row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from evo.strategy.cost_ladder import CostLadder, Way
from evo.strategy.encoding import Floats

NEVER, POSSIBLE = -1e18, -1e15
"""The worth of what cannot be, and below what of what can."""


def best_with_each(ladder: CostLadder, worth: Sequence[Floats], curve: Floats) -> Iterator[tuple[int, Floats]]:
    """Layer by layer: what the best network within each budget is worth that has each choice there.

    Args:
        worth: per layer, what its choices add, ``(functions, choices of the layer)``.
        curve: what a cost is worth by itself, ``(functions, BUCKETS)``.

    Yields:
        The layer and ``(functions, choices, BUCKETS)``; ``NEVER`` or less where a budget is too small.
    """
    start = np.full(curve.shape, NEVER)
    start[:, 0] = 0.0
    blocks = range(len(ladder.blocks))
    for block, others in _without_each(start, blocks, lambda best, one: _with_block(best, ladder, one, worth)):
        layers = ladder.blocks[block][0].layers
        values = {layer: np.full((len(curve), worth[layer].shape[1], curve.shape[1]), 2 * NEVER) for layer in layers}
        for way, first in zip(ladder.blocks[block], ladder.starts[block], strict=True):
            _improve(values, ladder, way, _shifted(others, first), worth)
        for layer in layers:
            yield layer, np.maximum.accumulate(values.pop(layer) + curve[:, None, :], axis=2)


def best_within(
    ladder: CostLadder, worth: Sequence[Floats], curve: Floats, buckets: Sequence[int] = (-1,)
) -> NDArray[np.intp]:
    """``(buckets, functions, layers)``: the places of the choices of the best networks that cost no more than a bucket does.

    Costs are rounded to buckets, so a network may cost a little more; then the one of a bucket below may do.

    Args:
        worth, curve: as those of ``best_with_each``.
        buckets: places in ``ladder.budgets``.
    """
    places = np.zeros((len(buckets), len(curve), len(worth)), np.intp)
    for layer, best in best_with_each(ladder, worth, curve):
        places[:, :, layer] = best[:, :, list(buckets)].argmax(axis=1).T
    return places


def _improve(values: dict[int, Floats], ladder: CostLadder, way: Way, others: Floats, worth: Sequence[Floats]) -> None:
    """Raise ``values``, layer -> ``(functions, choices, BUCKETS)``, to what networks are worth that go this way."""
    inside = range(len(way.layers))
    for i, rest in _without_each(others, inside, lambda best, one: _with_layer(best, ladder, way, one, worth)):
        here = values[way.layers[i]]
        for place, step in zip(way.places[i], ladder.steps(way, i), strict=True):
            adds = worth[way.layers[i]][:, place, None]
            np.maximum(here[:, place], _shifted(rest, step) + adds, out=here[:, place])


def _without_each(
    best: Floats, parts: range, with_part: Callable[[Floats, int], Floats]
) -> Iterator[tuple[int, Floats]]:
    """For each of some parts: the best, at each exact cost, when all parts but that one are chosen.

    Args:
        best: that of everything else; ``with_part``: what it becomes when one more part is chosen.
    """
    if len(parts) == 1:
        yield parts[0], best
        return
    left, right = parts[: len(parts) // 2], parts[len(parts) // 2 :]
    for mine, others in ((left, right), (right, left)):
        done = best
        for part in others:
            done = with_part(done, part)
        yield from _without_each(done, mine, with_part)


def _with_block(best: Floats, ladder: CostLadder, block: int, worth: Sequence[Floats]) -> Floats:
    """The best at each exact cost when one more block is gone through."""
    after = np.full(best.shape, 2 * NEVER)
    for way, start in zip(ladder.blocks[block], ladder.starts[block], strict=True):
        through = _shifted(best, start)
        for i in range(len(way.layers)):
            through = _with_layer(through, ladder, way, i, worth)
        np.maximum(after, through, out=after)
    return after


def _with_layer(best: Floats, ladder: CostLadder, way: Way, i: int, worth: Sequence[Floats]) -> Floats:
    """The best at each exact cost when one more layer of a way is chosen."""
    after = np.full(best.shape, 2 * NEVER)
    for place, step in zip(way.places[i], ladder.steps(way, i), strict=True):
        np.maximum(after, _shifted(best, step) + worth[way.layers[i]][:, place, None], out=after)
    return after


def _shifted(best: Floats, step: int) -> Floats:
    """``best`` at costs that are ``step`` buckets higher."""
    if step == 0:
        return best
    shifted = np.full(best.shape, NEVER)
    if step < best.shape[1]:
        shifted[:, step:] = best[:, :-step]
    return shifted
