"""A layer's population of cells: tournaments, children, and who leaves. Pure functions; no torch.

AutoSpace (https://arxiv.org/abs/2103.11833) selects by tournament and mutates locally. That children replace the weakest,
that a cell is measured before it competes and that fitness passes from parents to children are ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from statistics import fmean

from spaces.architecture import Op
from spaces.operations.cells import Alphabet, crossover, mutate, parse_cell
from studies.config import CellsSection
from studies.records import BredCell

MAX_TRIES = 30
"""How many children of one pair of parents may be known already before the pair stays without a child."""


def alphabet_of(settings: CellsSection) -> Alphabet:
    """What cells may be made of, as the configuration says."""
    return Alphabet(settings.nodes, settings.edge_ops, settings.expansions, settings.activation)


@dataclass(frozen=True)
class Population:
    """The cells of one layer.

    Attributes:
        fitness: of the cells that live, higher is better; oldest first.
        lives: of all cells that ever lived here, by name; no cell is born twice.
        active: the cells of the current iteration.
    """

    fitness: Mapping[Op, float]
    bred_cells: Mapping[Op, BredCell]
    active: tuple[Op, ...] = field(default=())

    @property
    def size(self) -> int:
        """How many live."""
        return len(self.fitness)


def tournament(fitness: Mapping[Op, float], size: int, rng: Random) -> Op:
    """The fittest of ``size`` cells drawn at random; of equals the one drawn first."""
    return max(rng.sample(list(fitness), min(size, len(fitness))), key=lambda op: fitness[op])


def next_iteration(
    population: Population, settings: CellsSection, place: tuple[int, int, int], rng: Random, taken: frozenset[Op]
) -> Population:
    """The population with the cells of the next iteration: some that live, and children of theirs.

    While there are cells that were never measured, they take their turn, and nothing is bred.

    Args:
        place: layer, round, iteration.
        taken: cells that are not to be bred: the reference cells.
    """
    layer, n, iteration = place
    waiting = [op for op in population.fitness if not population.bred_cells[op].fitness]
    room = min(settings.parallel_cells, population.size)
    if waiting:
        first = rng.sample(waiting, min(room, len(waiting)))
        return replace(population, active=(*first, *_winners(population, settings, room - len(first), rng, first)))
    wanted = max(1, round(settings.parallel_cells * settings.children))
    parents = _winners(population, settings, max(2, wanted, room - wanted), rng)
    lives, fitness, children = dict(population.bred_cells), dict(population.fitness), []
    for i in range(wanted):
        pair = (parents[i % len(parents)], parents[(i + 1) % len(parents)])
        born = _child(pair, settings, rng, lives.keys() | taken)
        if born is not None:
            child, origin, ancestors = born
            lives[child] = BredCell(layer, child, origin, ancestors, n, iteration)
            fitness[child] = fmean(population.fitness[op] for op in ancestors)
            children.append(child)
    elders = parents[: room - len(children)]
    return Population(fitness, lives, (*elders, *children))


def _winners(
    population: Population, settings: CellsSection, count: int, rng: Random, beside: Sequence[Op] = ()
) -> list[Op]:
    """The winners of ``count`` tournaments, each held among those who have not won yet."""
    winners: list[Op] = []
    for _ in range(min(count, population.size - len(beside))):
        left = {op: value for op, value in population.fitness.items() if op not in (*winners, *beside)}
        winners.append(tournament(left, settings.tournament, rng))
    return winners


def _child(
    pair: tuple[Op, Op], settings: CellsSection, rng: Random, known: frozenset[Op] | set[Op]
) -> tuple[Op, str, tuple[Op, ...]] | None:
    """A cell that was never there, how it was bred, and from whom; None where none is found."""
    alphabet = alphabet_of(settings)
    a, b = map(parse_cell, pair)
    for _ in range(MAX_TRIES):
        crossed = pair[0] != pair[1] and rng.random() < settings.crossover
        child = str(crossover(a, b, alphabet, rng) if crossed else mutate(a, alphabet, rng, settings.window))
        if child not in known:
            return (child, "crossover", pair) if crossed else (child, "mutation", pair[:1])
    return None


def with_measured_fitness(
    population: Population, weights: Sequence[float], settings: CellsSection, n: int, iteration: int, size: int
) -> Population:
    """The population after an iteration: fitness has moved towards the learned weights, and the weakest have left.

    Args:
        weights: of the active cells, as they were learned (logits).
        size: how many may live.
    """
    fitness, lives = dict(population.fitness), dict(population.bred_cells)
    for op, weight in zip(population.active, weights, strict=True):
        fitness[op] += settings.fitness_momentum * (weight - fitness[op])
        lives[op] = replace(lives[op], fitness=(*lives[op].fitness, (n, iteration, fitness[op])))
    youngest_first = list(reversed(fitness))  # so that of equals the younger stay
    strongest = set(sorted(youngest_first, key=lambda op: -fitness[op])[:size])
    return Population({op: value for op, value in fitness.items() if op in strongest}, lives, population.active)
