"""Search problems whose truth is known, from a seed: real operations with real costs, made-up accuracies.

The accuracy of a network is a saturating function of its cost, plus what the operation of each layer adds, plus what pairs of
neighbouring layers add (half as much in all), all drawn from normal distributions. Some operations are bad in all layers. A
judge sees the truth with noise that belongs to the network and to the judge, as a supernet's does.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from evo.seeds import derive_seed
from spaces.architecture import Architecture, Op
from spaces.costs.table import CostTable, cost_table
from spaces.layer import Head, Stem
from spaces.library.named_spaces import inverted_bottlenecks, stage_layers
from spaces.space import SearchSpace, canonical_arch
from studies.records import Evaluation

GOOD = inverted_bottlenecks((3, 5, 7), (1, 3, 6))
BAD = ("mb_k3_e2_relu6", "mb_k5_e2_relu6", "mb_k5_e4_relu6", "mb_k3_e5_relu6", "mb_k7_e5_relu6")
PLAN = ((16, 3, 1), (32, 4, 2), (64, 4, 2))

SPREAD, PAIRS = 0.0028, 0.004
"""Standard deviations of what an operation of a layer adds, and of what a pair of neighbours does."""


def generated_space(bad: bool) -> SearchSpace:
    """11 layers of nine inverted bottlenecks, five bad ones where asked for, and identities."""
    stem = Stem(16, 1, activation="relu", c_in=3, size=16)
    operations = GOOD + (BAD if bad else ())
    layers = stage_layers(stem, PLAN, first=operations, rest=(*operations, "id"))
    return SearchSpace("generated", layers, stem, Head(0, 10, activation="relu"))


@dataclass(frozen=True)
class Generated:
    """A problem.

    Attributes:
        seed: of its truth; ``bad``: what an operation of ``BAD`` loses; 0: the space has none of them.
    """

    seed: int
    bad: float = 0.0
    space: SearchSpace = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "space", generated_space(self.bad > 0))

    @cached_property
    def costs(self) -> CostTable:
        return cost_table(self.space)

    @cached_property
    def _leanings(self) -> list[dict[Op, float]]:
        """What short trainings add to the worth of each operation: as much as the operations differ in truth."""
        rng = np.random.default_rng((self.seed, 1))
        return [{op: rng.normal(0, SPREAD) for op in layer.candidates} for layer in self.space.layers]

    @cached_property
    def _adds(self) -> tuple[list[dict[Op, float]], list[dict[tuple[Op, Op], float]]]:
        rng = np.random.default_rng(self.seed)
        layers = [layer.candidates for layer in self.space.layers]
        everywhere = {op: rng.normal(0, SPREAD / np.sqrt(2)) - self.bad * (op in BAD) for op in (*GOOD, *BAD, "id")}
        adds = [{op: everywhere[op] + rng.normal(0, SPREAD / np.sqrt(2)) for op in layer} for layer in layers]
        pairs = [
            {(a, b): rng.normal(0, PAIRS) for a in one for b in other} for one, other in itertools.pairwise(layers)
        ]
        return adds, pairs

    def accuracy(self, arch: Architecture) -> float:
        """The truth."""
        least, most = np.log(self.costs.bounds()[:, 0])
        place = (np.log(self.costs.count([arch])[0, 0]) - least) / (most - least)
        adds, pairs = self._adds
        genes = arch.genes
        alone = sum(here[gene] for here, gene in zip(adds, genes, strict=True))
        together = sum(here[pair] for here, pair in zip(pairs, itertools.pairwise(genes), strict=True))
        return float(0.80 + 0.12 * (1 - np.exp(-3 * place)) + alone + together)

    def judged(
        self, archs: Sequence[Architecture], judge: str, noise: float, seed: int, lean: float = 0.0
    ) -> list[Evaluation]:
        """What a judge with this standard deviation of noise says; the same whenever it is asked.

        Args:
            lean: how much it has of the leanings of short trainings; 0: it has none.
        """
        costs = self.costs.count(archs).tolist()
        return [
            Evaluation(arch, judge, self._seen(arch, lean) + noise * self._luck(arch, judge, seed), macs, params)
            for arch, (macs, params, _) in zip(archs, costs, strict=True)
        ]

    def _seen(self, arch: Architecture, lean: float) -> float:
        leaning = sum(here[gene] for here, gene in zip(self._leanings, arch.genes, strict=True)) if lean else 0.0
        return self.accuracy(arch) + lean * leaning

    def _luck(self, arch: Architecture, judge: str, seed: int) -> float:
        form = str(canonical_arch(arch, self.space))
        return float(np.random.default_rng(derive_seed(self.seed, seed, judge, form)).normal())
