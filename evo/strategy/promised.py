"""What a regression on all measurements promises most: the best networks within a cost, measured or not."""

from __future__ import annotations

import numpy as np

from evo.strategy.design import candidate_choices
from evo.strategy.effects import fit_round
from spaces.architecture import Architecture
from spaces.costs.table import COLUMNS, CostTable
from studies.records import Round


def promised_networks(finished: Round, costs: CostTable, most: float, number: int) -> list[Architecture]:
    """Up to ``number`` distinct networks of the round's space, of which ``finished.cost`` is at most ``most``.

    The first has the highest expected score; the others are the best by functions drawn from the posterior (Thompson,
    Biometrika 25, 1933), so they differ where little is known. There are none where operations do not predict scores better
    than chance, and in spaces with branches or rows, where what operations add does not add up.

    Args:
        costs: of the round's space.
    """
    from evo.strategy.best_operations import CostLadder, best_within

    layers, column = finished.space.layers, COLUMNS.index(finished.cost)
    if finished.space.variant_blocks or any(layer.branches > 1 or layer.skippable for layer in layers):
        return []
    posterior = fit_round(finished, candidate_choices(finished.space))
    if posterior is None or not posterior.useful:
        return []
    prices = [np.array([part.cost_of(op)[column] for op in part.layer.candidates]) for part in costs.layers]
    ladder = CostLadder.of(prices, float(costs.fixed[column]), most)
    drawn = np.vstack([posterior.mean[None, :], posterior.draw(4 * number, np.random.default_rng(finished.n))])
    worth = [drawn[:, [posterior.place[i, op] for op in layer.candidates]] for i, layer in enumerate(layers)]
    places = best_within(ladder, worth, posterior.cost_curve(drawn, ladder.budgets))
    networks = [
        Architecture(tuple(layer.candidates[place] for layer, place in zip(layers, row, strict=True)))
        for row in places.tolist()
    ]
    within = costs.count(networks)[:, column] <= most
    return list(dict.fromkeys(arch for arch, fits in zip(networks, within.tolist(), strict=True) if fits))[:number]
