"""A layer's population of cells: tournaments, children, and survival. Pure functions; no torch.

AutoSpace (https://arxiv.org/abs/2103.11833) selects by tournament and mutates locally. Three rules are ours: children replace
the weakest cells, a cell is measured before it competes, and children inherit the fitness of their parents.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from statistics import fmean

from evo.evaluators.autospace.measuring import Measurement
from spaces.architecture import Op
from spaces.operations.cells import Alphabet, crossover, mutate, parse_cell
from studies.config import CellsSection
from studies.records import BredCell, Fitness

MAX_TRIES = 30
"""So many tries to breed a new child of one pair of parents; then the pair stays without a child."""


def alphabet_of(settings: CellsSection) -> Alphabet:
    """The alphabet of cells in the configuration."""
    return Alphabet(settings.nodes, settings.edge_ops, settings.expansions, settings.activation)


@dataclass(frozen=True)
class Population:
    """The cells of one layer.

    Attributes:
        fitness: of the living cells, higher is better; oldest cell first.
        bred_cells: records of all cells that ever lived in this layer; no cell is bred twice.
        active: the cells of the current iteration.
    """

    fitness: Mapping[Op, float]
    bred_cells: Mapping[Op, BredCell]
    active: tuple[Op, ...] = field(default=())

    @property
    def size(self) -> int:
        """The number of living cells."""
        return len(self.fitness)


def tournament(fitness: Mapping[Op, float], size: int, rng: Random) -> Op:
    """The fittest of ``size`` cells drawn at random; among equals the one drawn first."""
    return max(rng.sample(list(fitness), min(size, len(fitness))), key=lambda op: fitness[op])


def next_iteration(
    population: Population, settings: CellsSection, place: tuple[int, int, int], rng: Random, taken: frozenset[Op]
) -> Population:
    """The population with the cells of the next iteration active: some living cells, and children of them.

    While there are cells that were never measured, they are measured first, and nothing is bred.

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
    bred_cells, fitness, children = dict(population.bred_cells), dict(population.fitness), []
    for i in range(wanted):
        pair = (parents[i % len(parents)], parents[(i + 1) % len(parents)])
        offspring = _child(pair, settings, rng, bred_cells.keys() | taken)
        if offspring is not None:
            child, origin, ancestors = offspring
            bred_cells[child] = BredCell(layer, child, origin, ancestors, n, iteration)
            fitness[child] = fmean(population.fitness[op] for op in ancestors)
            children.append(child)
    elders = parents[: room - len(children)]
    return Population(fitness, bred_cells, (*elders, *children))


def _winners(
    population: Population, settings: CellsSection, count: int, rng: Random, beside: Sequence[Op] = ()
) -> list[Op]:
    """The winners of ``count`` tournaments, each among the cells that have not won yet and are not in ``beside``."""
    winners: list[Op] = []
    for _ in range(min(count, population.size - len(beside))):
        left = {op: value for op, value in population.fitness.items() if op not in (*winners, *beside)}
        winners.append(tournament(left, settings.tournament, rng))
    return winners


def _child(
    pair: tuple[Op, Op], settings: CellsSection, rng: Random, known: frozenset[Op] | set[Op]
) -> tuple[Op, str, tuple[Op, ...]] | None:
    """A cell that is not in ``known``, how it was bred, and its parents; None if ``MAX_TRIES`` tries gave none."""
    alphabet = alphabet_of(settings)
    a, b = map(parse_cell, pair)
    for _ in range(MAX_TRIES):
        crossed = pair[0] != pair[1] and rng.random() < settings.crossover
        child = str(crossover(a, b, alphabet, rng) if crossed else mutate(a, alphabet, rng, settings.window))
        if child not in known:
            return (child, "crossover", pair) if crossed else (child, "mutation", pair[:1])
    return None


def with_measured_fitness(
    population: Population,
    measured: Mapping[Op, Measurement],
    momentum: float,
    place: tuple[int, int],
    size: int,
    stay: Collection[Op] = (),
) -> Population:
    """The population after an iteration: fitness moves towards what was measured, and the weakest cells are removed.

    A cell's record gets the fitness of the iterations in which it ran.

    Args:
        measured: of living cells, the active ones among them.
        momentum: how far fitness moves, from 0 (not at all) to 1.
        place: round, iteration.
        size: the maximum number of living cells.
        stay: cells that are not removed.
    """
    fitness = dict(population.fitness)
    for op, found in measured.items():
        fitness[op] += momentum * (found.value - fitness[op])
    ran = {op: Fitness(*place, fitness[op], measured[op].error) for op in population.active}
    youngest_first = list(reversed(fitness))  # among equals the younger ones stay
    strongest = set(sorted(youngest_first, key=lambda op: (op not in stay, -fitness[op]))[:size])
    alive = {op: value for op, value in fitness.items() if op in strongest}
    return Population(alive, _with_records(population.bred_cells, ran), population.active)


def with_last_fitness(population: Population, measured: Mapping[Op, Measurement], place: tuple[int, int]) -> Population:
    """The population whose fitness is what was measured in the end, with weights that have learned.

    Args:
        place: round, iteration: what the iteration itself has measured is replaced.
    """
    found = {op: Fitness(*place, value, error) for op, (value, error) in measured.items()}
    fitness = {**population.fitness, **{op: value for op, (value, _) in measured.items()}}
    return replace(population, fitness=fitness, bred_cells=_with_records(population.bred_cells, found))


def _with_records(bred_cells: Mapping[Op, BredCell], found: Mapping[Op, Fitness]) -> Mapping[Op, BredCell]:
    """The cells with one more fitness each, which takes the place of one of the same iteration."""
    changed = dict(bred_cells)
    for op, fitness in found.items():
        before = (known for known in changed[op].fitness if known[:2] != fitness[:2])
        changed[op] = replace(changed[op], fitness=(*before, fitness))
    return changed
