"""Which paths of a supernet a training step runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from random import Random

from evo.evaluators.oneshot.nse_gates import Gates, balanced_paths
from evo.training.loop import Paths
from spaces.architecture import Architecture
from spaces.space import SearchSpace


def uniform_paths(space: SearchSpace) -> Paths:
    """One path per step, drawn uniformly (SPOS)."""
    return partial(_draw_one, space)


def _draw_one(space: SearchSpace, rng: Random) -> Sequence[tuple[Architecture]]:
    return ((space.sample(rng),),)


def fair_paths(space: SearchSpace) -> Paths:
    """As many paths per step as the widest layer has genes; every gene of every layer runs equally often (strict
    fairness of FairNAS, https://arxiv.org/abs/1907.01845). A narrower layer starts over when its genes are used up."""
    return partial(_draw_each_once, space)


def _draw_each_once(space: SearchSpace, rng: Random) -> Sequence[tuple[Architecture]]:
    width = max(layer.size for layer in space.layers)
    columns = []
    for layer in space.layers:
        column: list[str] = []
        while len(column) < width:
            column += rng.sample(layer.genes, len(layer.genes))
        columns.append(column[:width])
    return [(Architecture(genes),) for genes in zip(*columns, strict=True)]


def branch_paths(space: SearchSpace) -> Paths:
    """Every operation runs with probability one half (NSE's balanced sampling); scores, if any, do not matter."""
    return balanced_paths(Gates(space))


SAMPLING: dict[str, Callable[[SearchSpace], Paths]] = {
    "uniform": uniform_paths,
    "fair": fair_paths,
    "branches": branch_paths,
}
