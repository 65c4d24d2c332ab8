"""What would be lost? Each operation that remains is taken away in thought, and what was seen is judged anew.

A rule that drops by mean accuracy drops the operations that cheap networks need; the hypervolume that goes with an
operation says what it is worth at the front. Networks count by their spelling, as the search itself keeps survivors.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from spaces.architecture import operations
from spaces.space import SearchSpace
from studies import pareto

COLUMNS = ["layer_index", "layer", "op", "seen", "on_front", "hypervolume", "lost", "lost_share"]


def dropping(
    alike: pd.DataFrame, space: SearchSpace, cost: str, *, max_cost: float, min_accuracy: float
) -> pd.DataFrame:
    """One row per layer and operation of ``space`` that could go: what hypervolume would go with it, most first.

    ``seen`` and ``on_front`` count the networks that carry it; ``hypervolume`` is what the others have, ``lost`` the
    difference to all of them, ``lost_share`` that difference as a share of the whole. A layer's only operation is left out.

    Args:
        alike: networks under one judge, each once: columns ``arch``, ``score`` and ``cost``.
    """
    costs, scores = alike[cost].to_numpy(), alike["score"].to_numpy()
    front = pareto.on_front(costs, scores)
    carried = _carriers(alike["arch"].tolist(), len(space.layers))

    def volume(keep: pd.Series) -> float:
        return pareto.hypervolume(costs[keep], scores[keep], max_cost=max_cost, min_accuracy=min_accuracy)

    everything = pd.Series(True, index=range(len(alike)))
    whole = volume(everything)
    rows = []
    for i, (name, layer) in enumerate(zip(space.names, space.layers, strict=True)):
        for op in layer.candidates if layer.size > 1 else ():
            places = carried.get((i, op), [])
            on_front = int(front[places].sum())
            left = volume(~everything.index.isin(places)) if on_front else whole
            rows.append((i, name, op, len(places), on_front, left, whole - left, (whole - left) / (whole or 1.0)))
    found = pd.DataFrame(rows, columns=COLUMNS)
    return found.sort_values(["lost", "on_front", "seen"], ascending=False, kind="stable", ignore_index=True)


def _carriers(archs: Sequence[str], layers: int) -> dict[tuple[int, str], list[int]]:
    """(layer, operation) -> the places in ``archs`` of the networks that carry it."""
    found: dict[tuple[int, str], list[int]] = {}
    for place, arch in enumerate(archs):
        for i, gene in zip(range(layers), arch.split("|"), strict=True):
            for op in operations(gene):
                found.setdefault((i, op), []).append(place)
    return found
