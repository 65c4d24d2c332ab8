"""What is measured before anything is known: networks spread over cost that together cover all operations evenly.

One network is drawn from each stratum of cost, as ``sample_stratified`` does, or ``sample_rows_evenly`` where blocks have rows;
of several draws, the one whose operations were measured least so far. Then an operation that is still missing takes the place
of a frequent one where that changes the cost least. An orthogonal array covers operations exactly evenly (Hedayat, Sloane &
Stufken, Orthogonal Arrays, 1999), but it leaves cost to chance, and few networks of a real space are cheap or dear.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from random import Random

from evo.strategy.nsga2 import CandidateFilter
from spaces.architecture import Architecture, Op, operations
from spaces.costs.sampling import sample_rows_evenly, sample_stratified
from spaces.costs.table import COLUMNS
from spaces.space import SearchSpace
from studies.records import LayerChoice

DRAWS = 16
"""Networks that are drawn from each stratum, one of which is taken."""

SPARE = 4 / 3
"""Networks for each operation that a layer still lacks: with one each, all of them would cost about the same."""


def choices_of(arch: Architecture) -> list[LayerChoice]:
    """Every operation of an architecture, with its layer."""
    return [(i, op) for i, gene in enumerate(arch.genes) for op in operations(gene)]


def candidate_choices(space: SearchSpace) -> list[LayerChoice]:
    """Every candidate of every layer."""
    return [(i, op) for i, layer in enumerate(space.layers) for op in layer.candidates]


def choices_to_cover(space: SearchSpace) -> list[LayerChoice]:
    """Every candidate of every layer that all networks have, rows among them: few networks cannot have all of the others, which
    need the deepest rows."""
    return [(i, op) for i, op in candidate_choices(space) if _is_always_there(space, i)]


def _is_always_there(space: SearchSpace, i: int) -> bool:
    known = space.variant_of(i)
    return known is None or known[1] == 0 or all(known[0].runs(row, known[1]) for row in known[0].variants)


def networks_to_cover(space: SearchSpace, seen: Collection[LayerChoice]) -> int:
    """How many networks measure all of ``choices_to_cover`` that are not among ``seen``, and leave room to spread over cost."""
    missing = Counter(i for i, op in choices_to_cover(space) if (i, op) not in seen)
    return math.ceil(SPARE * max(missing.values(), default=0))


def covering_networks(
    candidates: CandidateFilter, n: int, rng: Random, cost: str, given: Iterable[Architecture] = ()
) -> list[Architecture]:
    """``n`` networks, cheapest stratum first, that are spread over ``cost`` and together carry all operations about evenly.

    Fewer where fewer are found.

    Args:
        given: what is measured anyway, and counts.
    """
    sample = sample_rows_evenly if candidates.space.variant_blocks else sample_stratified
    drawn = sample(candidates.table, n * DRAWS, rng, cost=cost, limits=candidates.limits)
    drawn = [arch for arch in drawn if candidates.may_be_proposed(arch)]
    strata = [drawn[i * len(drawn) // n : (i + 1) * len(drawn) // n] for i in range(n)]
    counts = Counter(choice for arch in given for choice in choices_of(arch))
    asked = set(choices_to_cover(candidates.space))
    chosen: dict[int, Architecture] = {}
    for i in rng.sample(range(n), n):
        if strata[i]:
            chosen[i] = min(strata[i], key=lambda arch: sum(counts[c] for c in choices_of(arch) if c in asked))
            counts.update(choices_of(chosen[i]))
    networks = [chosen[i] for i in sorted(chosen)]
    return _with_missing(candidates, networks, counts, COLUMNS.index(cost))


def _with_missing(
    candidates: CandidateFilter, networks: list[Architecture], counts: Counter[LayerChoice], column: int
) -> list[Architecture]:
    """The networks, changed in single layers so that candidates stand somewhere that stood nowhere."""
    for i, op in choices_to_cover(candidates.space):
        if counts[i, op]:
            continue
        changes = list(_changes(candidates, networks, counts, i, op))
        if not changes:
            continue
        costs = candidates.table.count([arch for place, arch in changes for arch in (networks[place], arch)])[:, column]
        differences = abs(costs[1::2] - costs[::2]).tolist()
        place, arch = changes[differences.index(min(differences))]
        counts.subtract(choices_of(networks[place]))
        counts.update(choices_of(arch))
        networks[place] = arch
    return networks


def _changes(
    candidates: CandidateFilter, networks: list[Architecture], counts: Counter[LayerChoice], i: int, op: Op
) -> Iterator[tuple[int, Architecture]]:
    """Networks with ``op`` at layer ``i`` in place of what the others still have there; with their places."""
    for place, arch in enumerate(networks):
        changed = candidates.space.repair(Architecture((*arch.genes[:i], op, *arch.genes[i + 1 :])))
        lost = set(choices_of(arch)) - set(choices_of(changed))
        if (
            changed in candidates.space
            and changed.genes[i] == op
            and all(counts[choice] > 1 for choice in lost)
            and changed not in networks
            and candidates.may_be_proposed(changed)
        ):
            yield place, changed
