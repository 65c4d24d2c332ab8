"""Whether a space of bred cells has settled: how many of them are among the best still."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance

from spaces.architecture import Op
from spaces.space import SearchSpace
from studies.records import BredCell, Fitness, Ratings


@dataclass(frozen=True)
class Stability:
    """The next space's bred cells beside this round's, summed over layers.

    Attributes:
        cells: bred cells among the candidates.
        stay: those that are among as many of their layer's best.
        reliability: part of the variance of fitness within a layer that is not due to measuring, from 0 to 1, the mean
            over layers; None where no standard error is known.
    """

    cells: int
    stay: int
    reliability: float | None


def stability(space: SearchSpace, lives: Sequence[BredCell], ratings: Ratings) -> Stability:
    """Of a round whose space is ``space``.

    Args:
        lives: all cells of the run.
        ratings: of those that live in the end.
    """
    last = {(life.layer_index, life.cell): life.fitness[-1] for life in lives if life.fitness}
    bred = {(life.layer_index, life.cell) for life in lives}
    cells, stay, reliable = 0, 0, list[float]()
    for i, layer in enumerate(space.layers):
        own: set[Op] = {op for op in layer.candidates if (i, op) in bred}
        living = sorted((op for j, op in ratings if j == i), key=lambda op: -ratings[i, op])
        cells, stay = cells + len(own), stay + len(own & set(living[: len(own)]))
        reliable += _reliability([last[i, op] for op in living if (i, op) in last])
    return Stability(cells, stay, fmean(reliable) if reliable else None)


def _reliability(fitness: Sequence[Fitness]) -> list[float]:
    """That of one layer; empty where fewer than two errors are known."""
    errors = [one.error for one in fitness if one.error is not None]
    if len(errors) < 2:
        return []
    spread = variance(one.value for one in fitness)
    return [max(0.0, 1 - fmean(error**2 for error in errors) / spread) if spread else 0.0]
