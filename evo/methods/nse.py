"""NSE: evolving search space (Ci et al., ICCV 2021, https://arxiv.org/abs/2011.10904)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from random import Random

from evo.methods.evolution import Above, Evolution, measured_shares
from spaces.architecture import IDENTITIES
from spaces.layer import Layer
from spaces.space import SearchSpace
from studies.config import (
    NseEvolution,
    StudyConfig,
)
from studies.records import EvoError, LayerChoice, Ratings, Round


@dataclass(frozen=True)
class OnFront:
    """1 for an operation that an architecture of the Pareto front carries at a layer, 0 for any other.

    NSE, https://arxiv.org/abs/2011.10904. Architectures outside ``limits`` (the guard band: cheaper than allowed) shape the
    front and never enter it: what they dominate is no better for being inside. What no architecture had is not rated, but for
    operations that the gates have dropped while they learned: nothing could have them.
    """

    limits: Mapping[str, tuple[float, float]]

    def __call__(self, finished: Round) -> Ratings:
        inside = [
            e
            for e in finished.front
            if all(least <= e.cost(name) <= most for name, (least, most) in self.limits.items())
        ]
        used = {choice: float(share > 0) for choice, share in measured_shares(finished, inside).items()}
        return {**dict.fromkeys(_dropped_by_gates(finished), 0.0), **used}

    def __str__(self) -> str:
        return "use on the Pareto front"


def _dropped_by_gates(finished: Round) -> list[LayerChoice]:
    """The candidates that learned gates left out; none where nothing has learned gates."""
    if not finished.ratings:
        return []
    candidates = [(i, op) for i, layer in enumerate(finished.space.layers) for op in layer.candidates]
    return [choice for choice in candidates if choice not in finished.ratings]


@dataclass(frozen=True)
class AddNextUnseen:
    """The next pending operations, until a layer has ``k`` candidates. What was dropped does not come back (NSE)."""

    k: int

    def __call__(self, space: SearchSpace, ratings: Ratings, rng: Random) -> SearchSpace:
        return space.replace_layers(self._filled(layer) for layer in space.layers)

    def _filled(self, layer: Layer) -> Layer:
        room = max(0, self.k - len(layer.candidates))
        return replace(layer, candidates=layer.candidates + layer.pending[:room], pending=layer.pending[room:])

    def __str__(self) -> str:
        return f"with unseen operations up to {self.k}"


def add_unseen(space: SearchSpace, earlier: SearchSpace, kept: SearchSpace, k: int) -> SearchSpace:
    """NSE's second space: what an earlier run kept stays, and the operations it never had fill each layer up to ``k``.

    Args:
        space: the new run's first space, its operations dealt already.
        earlier: the first space of the earlier run: all operations it could have tried.
        kept: the earlier run's last space without what was added.

    Raises:
        EvoError: the two runs' layers have other shapes.
    """
    if [layer.shape for layer in space.layers] != [layer.shape for layer in earlier.layers]:
        raise EvoError(
            f"evolution.continue_from: the layers of {earlier.name!r} have other shapes than those of {space.name!r}"
        )
    layers = []
    for new, old, have in zip(space.layers, earlier.layers, kept.layers, strict=True):
        unseen = tuple(op for op in new.candidates + new.pending if op not in old.candidates + old.pending)
        branches = len(have.candidates) + len(unseen)
        layers.append(replace(new, candidates=have.candidates, pending=unseen, branches=branches))
    return AddNextUnseen(k)(space.replace_layers(layers), {}, Random(0))


@dataclass(frozen=True)
class RandomSubset:
    """The space as cells of branches, each layer's operations in a random order: the first ``k`` to start with, the rest
    pending. A cell keeps any subset of its candidates, of at most ``branches``; one whose shape allows it may keep none
    (NSE)."""

    k: int
    branches: int | None = None

    def __call__(self, space: SearchSpace, rng: Random) -> SearchSpace:
        if space.variant_blocks:
            raise EvoError(
                f"{space.name!r} has blocks with rows, whose layers are no cells of branches: choose another space"
            )
        return replace(space, merge="mean", layers=tuple(self._drawn_layer(layer, rng) for layer in space.layers))

    def _drawn_layer(self, layer: Layer, rng: Random) -> Layer:
        ops = [op for op in layer.candidates + layer.pending if op not in IDENTITIES]
        rng.shuffle(ops)
        return replace(
            layer,
            candidates=tuple(ops[: self.k]),
            pending=tuple(ops[self.k :]),
            branches=min(len(ops), self.branches or len(ops)),
            skippable=layer.shape.is_residual,
        )


def nse(section: NseEvolution, config: StudyConfig) -> Evolution:
    """Evolving search space (Ci et al., ICCV 2021, https://arxiv.org/abs/2011.10904).

    What the Pareto front uses stays; the next unseen operations of a layer's pool, in an order fixed by the seed, fill it
    up to ``k``.
    """
    return Evolution(
        OnFront(config.limits.given()),
        Above(0.0),
        AddNextUnseen(section.k),
        prepare=RandomSubset(section.k, section.branches),
        continued=partial(add_unseen, k=section.k),
    )
