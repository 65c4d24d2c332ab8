"""Layers in a row: what operations add, what pairs of neighbours add, and a curve of cost.

    accuracy = curve(cost) + sum over layers of what the operation adds + sum over neighbours of what the pair adds

The best network of every cost is found layer by layer, by its last operation: exactly, since costs are whole numbers. A first
gene may choose among several chains, which share their layers and costs, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from benchmarks.problems.generated import Floats, GeneratedProblem, known_costs, opaque_layers
from spaces.architecture import Architecture
from spaces.costs.table import cost_table
from spaces.layer import Head, Stem
from spaces.library.named_spaces import inverted_bottlenecks, stage_layers
from spaces.space import SearchSpace

ALONE, PAIRS = 0.02, 0.01
"""Standard deviations, over random networks, of what operations and what pairs of neighbours add in all."""

NEVER = -1e9
STEPS = 1500
"""Costs of real operations are counted in so many steps."""


@dataclass(frozen=True)
class Chain:
    """What adds up.

    Attributes:
        alone: per layer, gene -> what it adds.
        pairs: per two neighbours, ``(genes, genes)`` in the order of ``alone``.
        costs: per layer, gene -> a whole number.
        curve: what each cost adds, ``(most + 1,)``.
        runs: half-open ranges of layers in which identities stand last, as they do in canonical forms.
    """

    alone: Sequence[Mapping[str, float]]
    pairs: Sequence[Floats]
    costs: Sequence[Mapping[str, int]]
    curve: Floats
    runs: Sequence[tuple[int, int]] = ()

    def worth(self, genes: Sequence[str]) -> float:
        """The accuracy of a canonical form."""
        places = [list(here).index(gene) for here, gene in zip(self.alone, genes, strict=True)]
        adds = sum(here[gene] for here, gene in zip(self.alone, genes, strict=True))
        adds += sum(pair[a, b] for pair, (a, b) in zip(self.pairs, pairwise(places), strict=True))
        return float(self.curve[sum(here[gene] for here, gene in zip(self.costs, genes, strict=True))] + adds)

    def best(self) -> Floats:
        """``(most + 1,)``: the highest accuracy of a network of each cost; ``NEVER`` where none has it."""
        most, reached = len(self.curve), np.full((1, len(self.curve)), NEVER)
        reached[0, 0] = 0.0
        for i, here in enumerate(self.alone):
            pair = self.pairs[i - 1] if i else np.zeros((1, len(here)))
            after = np.full((len(here), most), NEVER)
            for place, (gene, adds) in enumerate(here.items()):
                before = reached + (pair[:, place] + self._forbidden(i, gene))[:, None]
                cost = self.costs[i][gene]
                after[place, cost:] = before.max(axis=0)[: most - cost] + adds
            reached = after
        return np.asarray(reached.max(axis=0) + self.curve)

    def _forbidden(self, i: int, gene: str) -> Floats:
        """Per gene of the layer before: ``NEVER`` where the two do not stand so in a canonical form."""
        inside = i and gene != "id" and any(start < i < stop for start, stop in self.runs)
        before = list(self.alone[i - 1]) if i else [""]
        return np.array([NEVER if inside and other == "id" else 0.0 for other in before])


def front_of(chains: Sequence[Chain]) -> tuple[Floats, Floats]:
    """Costs, and the best accuracy of each."""
    best = np.max([chain.best() for chain in chains], axis=0)
    possible = best > NEVER / 2
    return np.flatnonzero(possible).astype(float), best[possible]


def drawn_chain(
    rng: np.random.Generator,
    costs: Sequence[Mapping[str, int]],
    curve: Floats,
    useful: NDArray[np.bool_],
    runs: Sequence[tuple[int, int]] = (),
) -> Chain:
    """A chain whose operations differ half everywhere alike, half in each layer by itself; layers that are not ``useful`` add
    nothing."""
    names = list(dict.fromkeys(gene for here in costs for gene in here))
    everywhere = dict(zip(names, rng.normal(0, np.sqrt(0.5), len(names)), strict=True))
    unit = ALONE / np.sqrt(useful.sum())
    alone = [
        {gene: float(unit * counts * (everywhere[gene] + rng.normal(0, np.sqrt(0.5)))) for gene in here}
        for here, counts in zip(costs, useful, strict=True)
    ]
    together = useful[:-1] & useful[1:]
    unit = PAIRS / np.sqrt(max(1, together.sum()))
    pairs = [
        unit * counts * rng.normal(size=(len(a), len(b)))
        for (a, b), counts in zip(pairwise(costs), together, strict=True)
    ]
    return Chain(alone, pairs, costs, curve, runs)


def saturating(costs: Sequence[Mapping[str, int]], height: float, least_accuracy: float = 0.65) -> Floats:
    """A curve that rises with the logarithm of cost, ever more slowly."""
    least, most = (sum(end(here.values()) for here in costs) for end in (min, max))
    place = np.log(np.maximum(np.arange(most + 1), max(least, 1)) / max(least, 1)) / np.log(most / max(least, 1))
    return np.asarray(least_accuracy + height * (1 - np.exp(-3 * place)))


def deep(seed: int, layers: int, useless: float = 1 / 3, noise: float = 0.004) -> GeneratedProblem:
    """So many layers of nine inverted bottlenecks and identities with their real costs, some of them useless."""
    stem = Stem(16, 1, activation="relu", c_in=3, size=16)
    ops, third = inverted_bottlenecks((3, 5, 7), (1, 3, 6)), layers // 3
    plan = ((16, third, 1), (32, third, 2), (64, layers - 2 * third, 2))
    stages = stage_layers(stem, plan, first=ops, rest=(*ops, "id"))
    space = SearchSpace(f"deep_{layers}", stages, stem, Head(0, 10, activation="relu"))
    real = cost_table(space)
    unit = real.bounds()[1, 0] / STEPS
    fixed = round(float(real.fixed[0]) / unit)
    costs = [
        {op: round(float(part.cost_of(op)[0]) / unit) for op in layer.candidates}
        for part, layer in zip(real.layers, space.layers, strict=True)
    ]
    rng = np.random.default_rng((seed, layers))
    useful = rng.random(layers) >= useless
    useful[:2] = True
    curve = saturating(costs, 0.12, 0.65 if layers <= 20 else 0.6)  # in more layers the best is further from the mean
    chain = drawn_chain(rng, costs, curve, useful, space.interchangeable)
    prices, best = front_of([chain])
    table = known_costs(space, costs, fixed)
    return GeneratedProblem(
        space.name, seed, space, table, lambda arch: chain.worth(arch.genes), (prices + fixed, best), noise
    )


def topology(seed: int, noise: float = 0.002) -> GeneratedProblem:
    """A first gene of nine values, each of which gives the six others a meaning that is seven tenths its own."""
    rng = np.random.default_rng((seed, 1))
    names = ("gat", "gcn", "gin", "cheb", "sage", "arma", "graph", "fc", "skip_on")
    prices = [{name: int(cost) for name, cost in zip(names, rng.integers(0, 30, 9), strict=True)} for _ in range(6)]
    places = [f"topology_{letter}" for letter in "abcdefghi"]
    curve = saturating(prices, 0.03)
    common = drawn_chain(rng, prices, curve, np.ones(6, bool))
    chains = [_mixed(common, drawn_chain(rng, prices, curve, np.ones(6, bool)), 0.3) for _ in places]
    chains = [_shifted(chain, float(rng.normal(0, 0.01))) for chain in chains]
    space = opaque_layers("topology", [places, *([names] * 6)])
    table = known_costs(space, [dict.fromkeys(places, 0), *prices])
    by_name = dict(zip(places, chains, strict=True))

    def truth(arch: Architecture) -> float:
        return by_name[arch.genes[0]].worth(arch.genes[1:])

    return GeneratedProblem("topology", seed, space, table, truth, front_of(chains), noise)


def _mixed(common: Chain, own: Chain, share: float) -> Chain:
    """A chain with this share of the variance in common."""
    a, b = np.sqrt(share), np.sqrt(1 - share)
    alone = [
        {gene: a * here[gene] + b * other[gene] for gene in here}
        for here, other in zip(common.alone, own.alone, strict=True)
    ]
    pairs = [a * one + b * other for one, other in zip(common.pairs, own.pairs, strict=True)]
    return Chain(alone, pairs, common.costs, common.curve)


def _shifted(chain: Chain, by: float) -> Chain:
    return Chain(chain.alone, chain.pairs, chain.costs, chain.curve + by)


def unordered(seed: int, layers: int = 8, operations: int = 30, noise: float = 0.002) -> GeneratedProblem:
    """Many operations whose names say nothing."""
    rng = np.random.default_rng((seed, 2))
    names = [f"{a}{b}" for a in "pqrstu" for b in "vwxyz"][:operations]
    common = dict(zip(names, rng.integers(5, 40, len(names)).tolist(), strict=True))
    costs = [{name: common[name] * (1 + i // 3) for name in names} for i in range(layers)]
    chain = drawn_chain(rng, costs, saturating(costs, 0.08), np.ones(layers, bool))
    return _opaque("unordered", seed, chain, noise)


def unrelated(seed: int, layers: int = 12, operations: int = 6, noise: float = 0.002) -> GeneratedProblem:
    """What a network costs says nothing of its accuracy."""
    rng = np.random.default_rng((seed, 3))
    names = [f"{a}{b}" for a in "pqrstu" for b in "vwxyz"][:operations]
    costs = [{name: int(rng.integers(0, 40)) for name in names} for _ in range(layers)]
    curve = np.full(sum(max(here.values()) for here in costs) + 1, 0.85)
    return _opaque("unrelated", seed, drawn_chain(rng, costs, curve, np.ones(layers, bool)), noise)


def _opaque(name: str, seed: int, chain: Chain, noise: float) -> GeneratedProblem:
    space = opaque_layers(name, [list(here) for here in chain.alone])
    table = known_costs(space, chain.costs)
    return GeneratedProblem(name, seed, space, table, lambda arch: chain.worth(arch.genes), front_of([chain]), noise)
