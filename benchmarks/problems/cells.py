"""Small graphs, all of whose networks are listed: operations that cut others off, two spellings of a network, missing rows."""

from __future__ import annotations

from itertools import product

import numpy as np

from benchmarks.problems.generated import Floats, GeneratedProblem, known_costs, opaque_layers
from spaces.architecture import Architecture

EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""From node to node of a cell of four."""

GAINS = {"none": 0.0, "pool": 0.5, "skip_on": 0.7, "conv_1x1": 1.0, "conv_3x3": 1.3}
COSTS = {"none": 0, "pool": 0, "skip_on": 0, "conv_1x1": 3, "conv_3x3": 20}


def cell(seed: int, noise: float = 0.002, missing: float = 0.0) -> GeneratedProblem:
    """Six edges of five operations: signals are multiplied along paths and added where they meet, so what an edge is worth
    depends on all others, and an edge behind nothing is worth nothing. A share of the rows may be missing."""
    rng = np.random.default_rng((seed, 4))
    gains = [{op: gain * float(np.exp(rng.normal(0, 0.25))) for op, gain in GAINS.items()} for _ in EDGES]
    archs = [Architecture(genes) for genes in product(GAINS, repeat=len(EDGES))]
    accuracy = dict(zip(archs, (_signal(arch, gains) for arch in archs), strict=True))
    kept = [arch for arch in archs if rng.random() >= missing]
    space = opaque_layers("missing" if missing else "cell", [list(GAINS)] * len(EDGES))
    table = known_costs(space, [COSTS] * len(EDGES), fixed=10.0)
    front = table.count(kept)[:, 0], np.array([accuracy[arch] for arch in kept])
    measurable = frozenset(kept) if missing else None
    return GeneratedProblem(space.name, seed, space, table, accuracy.__getitem__, front, noise, measurable)


def _signal(arch: Architecture, gains: list[dict[str, float]]) -> float:
    strength = [1.0, 0.0, 0.0, 0.0]
    for (start, stop), op, gain in zip(EDGES, arch.genes, gains, strict=True):
        strength[stop] += gain[op] * strength[start]
    return 0.1 + 0.8 * (1 - float(np.exp(-0.8 * strength[3])))


def halves(seed: int, operations: int = 7, noise: float = 0.002) -> GeneratedProblem:
    """Two halves of three genes each that may change places: two spellings of one network, which no canonical form knows. Much
    of what a half is worth belongs to all three of its genes together."""
    rng = np.random.default_rng((seed, 5))
    names = [f"op_{letter}" for letter in "abcdefghijklm"[:operations]]
    prices = dict(zip(names, rng.integers(1, 20, operations).tolist(), strict=True))
    triples = list(product(range(operations), repeat=3))
    alone = rng.normal(0, 0.02 / np.sqrt(12), (3, operations))
    worth = {t: float(sum(alone[i, op] for i, op in enumerate(t)) + rng.normal(0, 0.02 / 2)) for t in triples}
    place = {name: i for i, name in enumerate(names)}
    most = 6 * max(prices.values())
    space = opaque_layers("halves", [names] * 6)
    table = known_costs(space, [prices] * 6)

    def truth(arch: Architecture) -> float:
        genes = tuple(place[gene] for gene in arch.genes)
        share = sum(prices[gene] for gene in arch.genes) / most
        return 0.75 + 0.15 * (1 - float(np.exp(-3 * share))) + worth[genes[:3]] + worth[genes[3:]]

    return GeneratedProblem("halves", seed, space, table, truth, _front_of_halves(worth, list(prices.values())), noise)


def _front_of_halves(worth: dict[tuple[int, ...], float], prices: list[int]) -> tuple[Floats, Floats]:
    cost = np.array([sum(prices[op] for op in triple) for triple in worth], float)
    value = np.array(list(worth.values()))
    total = (cost[:, None] + cost).ravel()
    curve = 0.75 + 0.15 * (1 - np.exp(-3 * total / (6 * max(prices))))
    return total, curve + (value[:, None] + value).ravel()


def rugged(seed: int, genes: int = 6, operations: int = 6, together: int = 4, noise: float = 0.002) -> GeneratedProblem:
    """What a gene is worth depends on the three behind it, in no way that can be learned from others (the NK model of
    Kauffman & Levin, J. Theor. Biol. 128(1), 1987): neighbours are alike, and that is all."""
    rng = np.random.default_rng((seed, 6))
    names = [f"op_{letter}" for letter in "abcdefghijklm"[:operations]]
    tables = rng.normal(0, 0.025 / np.sqrt(genes), (genes, *[operations] * together))
    prices = [dict(zip(names, rng.integers(1, 20, operations).tolist(), strict=True)) for _ in range(genes)]
    space = opaque_layers("rugged", [names] * genes)
    table = known_costs(space, prices)
    places = np.array(list(product(range(operations), repeat=genes)))
    price = sum(np.array(list(here.values()))[places[:, i]] for i, here in enumerate(prices))
    most = sum(max(here.values()) for here in prices)
    around = [tuple(places[:, (i + k) % genes] for k in range(together)) for i in range(genes)]
    worth = 0.8 + 0.05 * price / most + sum(tables[i][where] for i, where in enumerate(around))
    value = dict(zip(map(tuple, places.tolist()), worth.tolist(), strict=True))
    place = {name: i for i, name in enumerate(names)}

    def truth(arch: Architecture) -> float:
        return value[tuple(place[gene] for gene in arch.genes)]

    return GeneratedProblem("rugged", seed, space, table, truth, (price.astype(float), worth), noise)
