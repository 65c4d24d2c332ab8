"""What the next round begins with: the Pareto front of what was measured before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from spaces.architecture import Architecture
from spaces.costs.table import COLUMNS, CostTable, LayerCosts
from spaces.errors import SpaceError
from studies.config import StudyConfig
from studies.database.rows import StoredRound, StoredRun
from studies.database.store import Store
from studies.pareto import evenly_spaced
from studies.records import Evaluation, Proposal, Round, complete_evaluations

MOST_GENES = 64
"""Layers with more genes than this are not looked through for one to take another's place."""

Limits = Mapping[str, tuple[float, float]]


def last_proposals(store: Store, run: StoredRun, earlier: Sequence[StoredRound]) -> list[Proposal]:
    """The last of the rounds ``earlier``; before the first round, the last that the run's predecessor has finished."""
    if not earlier and (predecessor := run.config.evolution.predecessor):
        earlier = [row for row in store.rounds(store.run(predecessor)) if row.finished]
    return store.proposals(earlier[-1]) if earlier else []


def surviving_front(
    before: Iterable[Evaluation],
    costs: CostTable,
    config: StudyConfig,
    most: int | None,
    guards: Iterable[Evaluation] = (),
) -> list[Architecture]:
    """The Pareto front of what was measured before inside the limits, as networks of the table's space, cheapest first.

    A network of the front that the space has lost is mended: an operation that was dropped gives way to the one of its layer
    that costs most nearly the same. More than ``most`` are thinned evenly, both ends kept; None: all stay.

    Args:
        guards: what was measured in the guard band below the limits: what one of them dominates does not survive, and none
            of them does (NSE, https://arxiv.org/abs/2011.10904).
    """
    limits, column = config.limits.given(), COLUMNS.index(config.search.cost)
    before, guards = _on_device(before, costs), _on_device(guards, costs)
    inside = [e for e in complete_evaluations(before) if _is_inside([e.cost(name) for name in limits], limits)]
    outside = [e for e in complete_evaluations(guards) if not _is_inside([e.cost(name) for name in limits], limits)]
    kept = _front([e for e in inside if e.arch in costs.space], outside, costs, config)
    lost = [arch for arch in _front(inside, outside, costs, config) if arch not in costs.space]
    mended = [arch for arch in (mend(arch, costs, column) for arch in lost) if arch and _fits(arch, costs, limits)]
    if not mended:
        return _thinned(kept, most)
    survivors = list(dict.fromkeys((*kept, *mended)))
    price = dict(zip(survivors, costs.count(survivors)[:, column].tolist(), strict=True))
    return _thinned(sorted(survivors, key=lambda arch: (price[arch], str(arch))), most)


def _on_device(before: Iterable[Evaluation], costs: CostTable) -> list[Evaluation]:
    """What was measured, with what it needs on the table's device: another run may have had another one, or none. Where
    there is a device, what the table cannot count is left out."""
    if costs.memory is None:
        return list(before)
    counted = []
    for evaluation in before:
        with suppress(SpaceError):
            (own,) = costs.count([evaluation.arch]).tolist()
            needs = {name: own[costs.columns.index(name)] for name in ("flash_kb", "memory_kb")}
            counted.append(replace(evaluation, **needs))
    return counted


def _thinned(survivors: list[Architecture], most: int | None) -> list[Architecture]:
    return survivors if most is None else evenly_spaced(survivors, most)


def _front(
    inside: Sequence[Evaluation], outside: Sequence[Evaluation], costs: CostTable, config: StudyConfig
) -> list[Architecture]:
    """Those of ``inside`` on the Pareto front of all, cheapest first."""
    search, ours = config.search, {e.arch for e in inside}
    everything = (*inside, *outside)
    finished = Round(
        0, costs.space, everything, cost=search.cost, objective=search.objective, further_costs=search.costs[1:]
    )
    return [e.arch for e in finished.front if e.arch in ours]


def mend(arch: Architecture, costs: CostTable, column: int) -> Architecture | None:
    """``arch`` with operations of today in the places of those that are gone, of most nearly the same cost.

    None where that cannot be told: in blocks with rows, in layers with too many genes, in spaces with other layers, of
    operations that a table alone knows, whose costs are those of the operations that it still has.
    """
    if len(arch.genes) != len(costs.layers):
        return None
    genes = []
    for layer, gene in zip(costs.layers, arch.genes, strict=True):
        if not layer.layer.allows(gene):
            if layer.block or layer.layer.size > MOST_GENES:
                return None
            try:
                gene = _nearest(layer, gene, column)
            except SpaceError:
                return None
        genes.append(gene)
    return Architecture(tuple(genes))


def _nearest(layer: LayerCosts, gene: str, column: int) -> str:
    """The gene of a layer that costs most nearly what ``gene`` does; of equals the first."""
    price = layer.cost_of(gene)[column]
    return min(layer.layer.genes, key=lambda other: abs(float(layer.cost_of(other)[column] - price)))


def _fits(arch: Architecture, costs: CostTable, limits: Limits) -> bool:
    price = costs.count([arch])[0]
    return arch in costs.space and _is_inside([float(price[COLUMNS.index(name)]) for name in limits], limits)


def _is_inside(prices: Sequence[float], limits: Limits) -> bool:
    return all(least <= price <= most for price, (least, most) in zip(prices, limits.values(), strict=True))
