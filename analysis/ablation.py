"""Ablation of operations: how much hypervolume is lost if the networks that carry an operation are left out.

A rule that drops operations by mean accuracy drops those that cheap networks need; the hypervolume lost with an operation
measures what it contributes to the front. Networks are compared by their spelling, as the search keeps its survivors.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from spaces.architecture import operations
from spaces.space import SearchSpace
from studies import pareto

COLUMNS = ["layer_index", "layer", "op", "seen", "on_front", "hypervolume", "lost", "lost_share"]


def ablate(
    alike: pd.DataFrame,
    space: SearchSpace,
    costs: Sequence[str],
    *,
    max_cost: float | Sequence[float],
    min_accuracy: float,
) -> pd.DataFrame:
    """One row per layer and operation of ``space`` that could be dropped, the largest loss of hypervolume first.

    ``seen`` and ``on_front`` count the networks that carry the operation. ``hypervolume`` is that of all other networks,
    ``lost`` the difference to that of all networks, and ``lost_share`` the difference as a fraction of the latter. A layer
    with a single operation has no row.

    Args:
        alike: networks scored by one judge, one row each: columns ``arch``, ``score`` (higher is better) and ``costs``.
        costs: the names of the cost columns, lower is better.
        max_cost: of the cost, or of each of several; with ``min_accuracy`` the reference point of the hypervolume.
    """
    prices = alike[costs[0]].to_numpy() if len(costs) == 1 else alike[list(costs)].to_numpy()
    scores = alike["score"].to_numpy()
    front = pareto.on_front(prices, scores)
    carriers = _carriers(alike["arch"].tolist(), len(space.layers))

    def hypervolume_of(keep: pd.Series) -> float:
        return pareto.hypervolume(prices[keep], scores[keep], max_cost=max_cost, min_accuracy=min_accuracy)

    everything = pd.Series(True, index=range(len(alike)))
    whole = hypervolume_of(everything)
    rows = []
    for i, (name, layer) in enumerate(zip(space.names, space.layers, strict=True)):
        for op in layer.candidates if layer.size > 1 else ():
            places = carriers.get((i, op), [])
            on_front = int(front[places].sum())
            left = hypervolume_of(~everything.index.isin(places)) if on_front else whole
            rows.append((i, name, op, len(places), on_front, left, whole - left, (whole - left) / (whole or 1.0)))
    losses = pd.DataFrame(rows, columns=COLUMNS)
    return losses.sort_values(["lost", "on_front", "seen"], ascending=False, kind="stable", ignore_index=True)


def _carriers(archs: Sequence[str], layers: int) -> dict[tuple[int, str], list[int]]:
    """(layer, operation) -> the indices in ``archs`` of the networks that carry it."""
    carriers: dict[tuple[int, str], list[int]] = {}
    for place, arch in enumerate(archs):
        for i, gene in zip(range(layers), arch.split("|"), strict=True):
            for op in operations(gene):
                carriers.setdefault((i, op), []).append(place)
    return carriers
