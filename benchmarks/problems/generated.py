"""A search problem with a known truth: what a search may ask, and what its answers are worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random

import numpy as np
from numpy.typing import NDArray

from evo.seeds import derive_seed
from spaces.architecture import Architecture
from spaces.costs.table import CostTable, LayerCosts
from spaces.layer import Head, Layer, Shape, Stem
from spaces.space import SearchSpace, canonical_arch
from studies.pareto import hypervolume

Floats = NDArray[np.float64]

DRAWN = 1000
"""Random networks from which the floor is read off."""


@dataclass(frozen=True)
class GeneratedProblem:
    """A problem: accuracy up, cost down.

    Attributes:
        costs: exact, known before anything is evaluated.
        truth: canonical form -> the true accuracy, a fraction.
        front: costs and true accuracies of networks among which is the whole true front, ``(n,)`` each.
        noise: standard deviation of what an evaluation adds to the truth; the same whenever it is asked.
        measurable: the architectures that can be evaluated; None: all.
    """

    name: str
    seed: int
    space: SearchSpace
    costs: CostTable
    truth: Callable[[Architecture], float]
    front: tuple[Floats, Floats]
    noise: float = 0.0
    measurable: frozenset[Architecture] | None = None

    @cached_property
    def max_cost(self) -> float:
        """The reference point's cost: the most that a network costs."""
        return float(self.costs.bounds()[1, 0])

    @cached_property
    def floor(self) -> float:
        """The reference point's accuracy: two standard deviations below the mean of random networks."""
        rng, drawn = Random(derive_seed(self.seed, "floor")), list[float]()
        listed = None if self.measurable is None else sorted(self.measurable, key=str)
        while len(drawn) < DRAWN:
            arch = self.space.sample(rng) if listed is None else rng.choice(listed)
            drawn.append(self.truth(canonical_arch(arch, self.space)))
        return max(0.0, float(np.mean(drawn) - 2 * np.std(drawn)))

    @cached_property
    def volume(self) -> float:
        """Hypervolume of the true front."""
        return hypervolume(*self.front, max_cost=self.max_cost, min_accuracy=self.floor)

    def answer(self, arch: Architecture) -> tuple[float, float]:
        """What an evaluation says: accuracy with noise, and the exact cost."""
        form = canonical_arch(arch, self.space)
        luck = np.random.default_rng(derive_seed(self.seed, "noise", str(form))).normal() if self.noise else 0.0
        return float(np.clip(self.truth(form) + self.noise * luck, 0.0, 1.0)), float(self.costs.count([arch])[0, 0])


def known_costs(space: SearchSpace, costs: Sequence[Mapping[str, float]], fixed: float = 0.0) -> CostTable:
    """The cost table in which each gene of each layer costs what ``costs`` says."""
    layers = (
        LayerCosts(name, layer, "macs", None, {gene: np.array([cost, 0.0, 0.0]) for gene, cost in here.items()})
        for name, layer, here in zip(space.names, space.layers, costs, strict=True)
    )
    return CostTable(space, "macs", np.array([fixed, 0.0, 0.0]), tuple(layers))


def opaque_layers(name: str, candidates: Sequence[Sequence[str]]) -> SearchSpace:
    """A space of genes that are names and nothing else; no gene is an identity."""
    layers = tuple(Layer(Shape(1, 1, 2, 1), tuple(here)) for here in candidates)
    return SearchSpace(name, layers, Stem(1, stride=1, kernel=1, c_in=1, size=1), Head(0, 1))
