"""Space evolution: rate -> keep -> refill. A finished round goes in, the next round's space comes out.

Three seams, each a signature, and the parts that fill them. A method (``evo.methods``) picks one part of each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from random import Random

from spaces.architecture import IDENTITIES, Op, operations
from spaces.space import Layer, SearchSpace
from studies.records import Evaluation, EvoError, Ratings, Round

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


def the_kept(space: SearchSpace, earlier: SearchSpace, kept: SearchSpace) -> SearchSpace:
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
    continued: Continue = the_kept

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


@dataclass(frozen=True)
class ShareAmongRanks:
    """How often an operation occurs at a layer among the architectures of nondomination rank < ``rank`` (1: the front).

    PAD-NAS, https://arxiv.org/abs/2005.07564: ranks behind the front are let in against one-shot noise.
    """

    rank: int

    def __call__(self, finished: Round) -> Ratings:
        good = [e for e, rank in zip(finished.evaluations, finished.ranks.tolist(), strict=True) if rank < self.rank]
        return shares(finished.space, good)

    def __str__(self) -> str:
        return f"share among nondomination ranks < {self.rank}"


@dataclass(frozen=True)
class OnFront:
    """1 for an operation that an architecture of the Pareto front carries at a layer, 0 for any other.

    NSE, https://arxiv.org/abs/2011.10904. Architectures outside ``limits`` (the guard band: cheaper than allowed) shape the
    front and never enter it: what they dominate is no better for being inside.
    """

    limits: Mapping[str, tuple[float, float]]

    def __call__(self, finished: Round) -> Ratings:
        inside = [
            e
            for e in finished.front
            if all(least <= e.cost(name) <= most for name, (least, most) in self.limits.items())
        ]
        return {choice: float(share > 0) for choice, share in shares(finished.space, inside).items()}

    def __str__(self) -> str:
        return "use on the Pareto front"


def shares(space: SearchSpace, evaluations: list[Evaluation] | tuple[Evaluation, ...]) -> Ratings:
    """Per layer, the fraction of the architectures that carry each candidate."""
    counts = Counter(
        (i, op) for e in evaluations for i, gene in enumerate(e.arch.genes) for op in set(operations(gene))
    )
    total = max(1, len(evaluations))
    return {(i, op): counts[i, op] / total for i, layer in enumerate(space.layers) for op in layer.candidates}


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
    """Candidates rated above the threshold; those at it or below go. The best of a layer always stays."""

    threshold: float

    def __call__(self, space: SearchSpace, ratings: Ratings) -> SearchSpace:
        return space.replace_layers(
            _restrict(layer, [op for op in layer.candidates if ratings.get((i, op), 0.0) > self.threshold], i, ratings)
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
        best = [self.stays | set(ranking(ratings, i)[: self.k]) for i in range(len(space.layers))]
        return space.replace_layers(
            _restrict(layer, [op for op in layer.candidates if op in best[i]], i, ratings)
            for i, layer in enumerate(space.layers)
        )

    def __str__(self) -> str:
        return f"the best {self.k} of each layer" + (", and what always stays" if self.stays else "")


def ranking(ratings: Ratings, i: int) -> list[Op]:
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


@dataclass(frozen=True)
class NextUnseen:
    """The next pending operations, until a layer has ``k`` candidates. What was dropped does not come back (NSE)."""

    k: int

    def __call__(self, space: SearchSpace, ratings: Ratings, rng: Random) -> SearchSpace:
        return space.replace_layers(self._filled(layer) for layer in space.layers)

    def _filled(self, layer: Layer) -> Layer:
        room = max(0, self.k - len(layer.candidates))
        return replace(layer, candidates=layer.candidates + layer.pending[:room], pending=layer.pending[room:])

    def __str__(self) -> str:
        return f"with unseen operations up to {self.k}"


def with_unseen(space: SearchSpace, earlier: SearchSpace, kept: SearchSpace, k: int) -> SearchSpace:
    """NSE's second space: what an earlier run kept stays, and the operations it never had fill each layer up to ``k``.

    Args:
        space: the new run's first space, its operations dealt already.
        earlier: the first space of the earlier run: all operations it could have tried.
        kept: the earlier run's last space without what was refilled.

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
    return NextUnseen(k)(space.replace_layers(layers), {}, Random(0))


# -- prepare ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Deal:
    """The space as cells of branches, each layer's operations in a random order: the first ``k`` to start with, the rest
    pending. A cell keeps any subset of its candidates, of at most ``branches``; one whose shape allows it may keep none
    (NSE)."""

    k: int
    branches: int | None = None

    def __call__(self, space: SearchSpace, rng: Random) -> SearchSpace:
        if space.rowed:
            raise EvoError(
                f"{space.name!r} has blocks with rows, whose layers are no cells of branches: choose another space"
            )
        return replace(space, merge="mean", layers=tuple(self._dealt(layer, rng) for layer in space.layers))

    def _dealt(self, layer: Layer, rng: Random) -> Layer:
        ops = [op for op in layer.candidates + layer.pending if op not in IDENTITIES]
        rng.shuffle(ops)
        return replace(
            layer,
            candidates=tuple(ops[: self.k]),
            pending=tuple(ops[self.k :]),
            branches=min(len(ops), self.branches or len(ops)),
            skippable=layer.shape.residual,
        )
