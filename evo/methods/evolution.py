"""Space evolution: rate -> keep -> refill. A finished round goes in, the next round's space comes out.

Three seams, each a signature, and the parts that fill them. A method (``evo.methods``) picks one part of each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from math import inf
from random import Random

from spaces.architecture import Op, operations
from spaces.layer import Layer
from spaces.space import SearchSpace
from studies.records import Evaluation, Ratings, Round

Rate = Callable[[Round], Ratings]
"""What each candidate of each layer is worth, higher is better."""

Keep = Callable[[SearchSpace, Ratings], SearchSpace]
"""The space without its worst candidates. Never empties a layer."""

Refill = Callable[[SearchSpace, Ratings, Random], SearchSpace]
"""The space with new candidates."""


Prepare = Callable[[SearchSpace, Random], SearchSpace]
"""The run's first space from the one that the configuration names."""

Continue = Callable[[SearchSpace, SearchSpace, SearchSpace], SearchSpace]
"""The first space of a run that continues a finished one, from its own prepared space, the earlier run's first space, and
what the earlier run kept in the end."""


def kept_space(space: SearchSpace, earlier: SearchSpace, kept: SearchSpace) -> SearchSpace:
    """The run goes on in what the earlier one has kept."""
    return kept


@dataclass(frozen=True)
class Step:
    """What an evolution did: the next space, and the ratings that decided."""

    space: SearchSpace
    ratings: Ratings


@dataclass(frozen=True)
class Evolution:
    """rate -> keep -> refill, a pure function of the round and the generator. ``str()`` tells the rule."""

    rate: Rate
    keep: Keep
    refill: Refill
    prepare: Prepare = lambda space, rng: space
    continued: Continue = kept_space

    def __call__(self, finished: Round, rng: Random) -> Step:
        ratings = self.rate(finished)
        kept = self.keep(finished.space, ratings)
        return Step(self.refill(kept, ratings, rng), ratings)

    def __str__(self) -> str:
        return f"rate by {self.rate}; keep {self.keep}; refill {self.refill}"


# -- rate -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Uniform:
    """All candidates are worth the same."""

    def __call__(self, finished: Round) -> Ratings:
        return {(i, op): 1.0 for i, layer in enumerate(finished.space.layers) for op in layer.candidates}

    def __str__(self) -> str:
        return "nothing (all alike)"


def operation_shares(space: SearchSpace, evaluations: list[Evaluation] | tuple[Evaluation, ...]) -> Ratings:
    """Per layer, the fraction of the architectures that carry each candidate, 0 for one that none carries."""
    counts = Counter(
        (i, op) for e in evaluations for i, gene in enumerate(e.arch.genes) for op in set(operations(gene))
    )
    total = max(1, len(evaluations))
    return {(i, op): counts[i, op] / total for i, layer in enumerate(space.layers) for op in layer.candidates}


def measured_shares(finished: Round, among: Iterable[Evaluation]) -> Ratings:
    """Per layer, the fraction of ``among`` that carries each candidate that the round has measured.

    What was never measured is not rated: nothing speaks against it.
    """
    measured = operation_shares(finished.space, finished.evaluations)
    shares = operation_shares(finished.space, tuple(among))
    return {choice: share for choice, share in shares.items() if measured[choice]}


@dataclass(frozen=True)
class Learned:
    """What the evaluator learned about candidates while it was fitted: the losses of blocks, the fitness of cells."""

    def __call__(self, finished: Round) -> Ratings:
        return finished.ratings

    def __str__(self) -> str:
        return "what the evaluator has learned"


# -- keep -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Everything:
    """No candidate is dropped."""

    def __call__(self, space: SearchSpace, ratings: Ratings) -> SearchSpace:
        return space

    def __str__(self) -> str:
        return "everything"


@dataclass(frozen=True)
class Above:
    """Candidates rated above the threshold, and those not rated; those at it or below go. The best of a layer always stays."""

    threshold: float

    def __call__(self, space: SearchSpace, ratings: Ratings) -> SearchSpace:
        return space.replace_layers(
            _restrict(layer, [op for op in layer.candidates if ratings.get((i, op), inf) > self.threshold], i, ratings)
            for i, layer in enumerate(space.layers)
        )

    def __str__(self) -> str:
        return f"ratings > {self.threshold:g}"


@dataclass(frozen=True)
class Best:
    """The candidates among a layer's best ``k``, of all that were rated, and what ``stays`` whatever it is worth."""

    k: int
    stays: frozenset[Op] = frozenset()

    def __call__(self, space: SearchSpace, ratings: Ratings) -> SearchSpace:
        best = [self.stays | set(ranked_ops(ratings, i)[: self.k]) for i in range(len(space.layers))]
        return space.replace_layers(
            _restrict(layer, [op for op in layer.candidates if op in best[i]], i, ratings)
            for i, layer in enumerate(space.layers)
        )

    def __str__(self) -> str:
        return f"the best {self.k} of each layer" + (", and what always stays" if self.stays else "")


def ranked_ops(ratings: Ratings, i: int) -> list[Op]:
    """What was rated at layer ``i``, best first; of equals what was rated first."""
    return sorted((op for layer, op in ratings if layer == i), key=lambda op: -ratings[i, op])


def _restrict(layer: Layer, kept: list[Op], i: int, ratings: Ratings) -> Layer:
    """The layer with these candidates; with its best one where none is left and the layer cannot be skipped."""
    if not kept and not layer.skippable:
        kept = [max(layer.candidates, key=lambda op: ratings.get((i, op), 0.0))]
    return replace(layer, candidates=tuple(kept))


# -- refill -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Nothing:
    """No candidate is added."""

    def __call__(self, space: SearchSpace, ratings: Ratings, rng: Random) -> SearchSpace:
        return space

    def __str__(self) -> str:
        return "nothing"
