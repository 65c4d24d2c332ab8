"""The settings of every method that evolves the space: ``MethodSection`` is the seam, ``METHODS`` the registry."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, comb, floor
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from studies.config.values import Section, Share, invalid

if TYPE_CHECKING:
    from spaces.space import SearchSpace
    from studies.config.study import StudyConfig


BY_CHANCE = 0.05
"""How often a rule may drop an operation that makes no difference."""

MANY = 10_000
"""Evaluations beyond which nobody asks how many would do."""


class MethodSection(Section):
    """Settings of a method, chosen by `method`; a plugin's settings inherit from this class.

    Attributes:
        whole_front: whether a round measures the whole front of the round before again, not a population of it at most.
    """

    whole_front: ClassVar[bool] = False

    method: str
    """How the space evolves after a round: the name of a method."""

    @property
    def predecessor(self) -> str | None:
        """The finished run that this one continues; None: it continues none."""
        return None

    def plan(self, space: SearchSpace) -> list[str]:
        """What the method has to do in a run that begins in ``space``, a line each."""
        return []

    def doubts(self, evaluations: int) -> list[str]:
        """What the rule cannot see in a round of so many evaluations, and how many would do: a line of the plan each."""
        return []

    def stats(self, config: StudyConfig, origins: Mapping[str, int]) -> Mapping[str, Any]:
        """What a finished round's row remembers of the method beside the rest, as JSON.

        Args:
            origins: how many of the round's proposals have each origin.
        """
        return {}

    def check(self, config: StudyConfig) -> None:
        """Raises ``invalid(...)`` where the rest of the configuration does not fit."""


class FixedEvolution(MethodSection):
    """The control arm: the space never changes."""

    method: Literal["fixed"]
    """`fixed`: change nothing."""


class PadNasEvolution(MethodSection):
    """Keep the operations that are frequent among the best architectures (PAD-NAS,
    https://arxiv.org/abs/2005.07564)."""

    method: Literal["pad_nas"]
    """`pad_nas`: drop operations that good architectures do not use."""

    rank: PositiveInt = 10
    """Architectures of a nondomination rank below this number count as good. Rank 1 is the Pareto front, so 2 means the
    front only."""

    share: Share = 0.01
    """An operation stays if more than this fraction of the good architectures have it, from 0 to 1."""

    @property
    def fewest_evaluations(self) -> int:
        """So many evaluations that an operation can be dropped even where all of them are good: the share of one network is
        then ``share`` at most. With a share of 0, as many as there are ranks, below which all are good."""
        if not self.share:
            return self.rank
        fewest = max(1, floor(1 / self.share))
        return fewest if 1 / fewest <= self.share else fewest + 1

    def doubts(self, evaluations: int) -> list[str]:
        fewest = self.fewest_evaluations
        if evaluations >= fewest:
            return []
        blind = f"with {evaluations} evaluations a round, PAD-NAS's rule sees little: "
        if evaluations < self.rank:
            blind += f"all have nondomination rank < {self.rank}"
        else:
            blind += f"few have nondomination rank {self.rank} or more"
        return [
            f"{blind}, and an operation of one of the others has a share of 1/{evaluations} or more, above evolution.share = "
            f"{self.share:g}, and stays; {fewest} evaluations would do"
        ]


class EvidenceEvolution(MethodSection):
    """Keep the operations that may be the best ones, by a posterior over what each adds at equal cost."""

    method: Literal["evidence"]
    """`evidence`: drop operations that are worse at every budget with high probability."""

    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.75
    """An operation is dropped if it is worse than the best of its layer with at least this probability, from 0.5 to 1."""

    margin: NonNegativeFloat = 0.0
    """By how much a network may score worse, in units of the score, and still count as equally good."""

    regions: PositiveInt = 3
    """Parts of the range of cost. An operation stays if it may be the best in one of them."""

    k: PositiveInt | None = None
    """Candidates per layer after a refill with the most promising of the other operations. Not given: no refill."""

    make: PositiveInt | None = None
    """Operations of the pool that a round makes, over all layers: those that would improve the front most, if they lost as much
    as others that were made. Only where losses of single operations add up (`evaluator.kind = "cuts"`). Not given: none."""

    zoom: bool = False
    """Let the neighbours of candidates (other kernels and expansions, one step away) fill a layer up to `k`, beside the
    operations that wait."""

    def check(self, config: StudyConfig) -> None:
        if self.make is not None and not config.evaluator.makes_operations:
            raise invalid(
                f"evolution.make weighs what single operations lose, which evaluator.kind = {config.evaluator.kind!r} does not "
                "know: expected 'cuts', or evolution.k"
            )
        pool = getattr(config.evaluator, "pool", None)
        if self.make is not None and (pool is None or pool.at_once):
            raise invalid(
                "evolution.make makes operations that wait, and none does: give evaluator.pool.operations without at_once, or "
                "leave evolution.make out"
            )
        if self.make is not None and self.k is not None:
            raise invalid("evolution.make and evolution.k both say what is tried next: leave one of them out")
        if self.zoom and self.k is None:
            raise invalid(
                "evolution.zoom refills layers with neighbours: say up to how many candidates with evolution.k"
            )


class NseEvolution(MethodSection):
    """Keep what the Pareto front uses, refill with operations not seen yet (NSE, https://arxiv.org/abs/2011.10904)."""

    whole_front: ClassVar[bool] = True

    method: Literal["nse"]
    """`nse`: keep what the front uses, then add unseen operations."""

    k: Annotated[int, Field(ge=2)] = 5
    """Candidates per layer after a refill."""

    branches: PositiveInt | None = None
    """Most operations side by side in one layer. Not given: any subset of the candidates, as in the paper."""

    samples: NonNegativeInt = 48
    """Architectures drawn by the learned gates inside the limits, measured before NSGA-II breeds."""

    guard_samples: NonNegativeInt = 4
    """Architectures drawn likewise in the guard band just below the limits: they shape the front, but never enter
    it."""

    guard: Share = 0.05
    """Width of the guard band, as a fraction of the least cost allowed."""

    continue_from: str | None = None
    """A finished run whose operations are kept while a new pool is tried. Not given: none."""

    @property
    def predecessor(self) -> str | None:
        return self.continue_from

    def stats(self, config: StudyConfig, origins: Mapping[str, int]) -> Mapping[str, Any]:
        """``guards``: how many architectures were to be drawn in the guard band, and how many were found; where none are drawn,
        nothing."""
        drawn = config.evaluator.learns_gates and config.search.sampler != "random"
        if not drawn or not self.draws_guards(config.search.cost, config.limits.given()):
            return {}
        return {"guards": {"wanted": self.guard_samples, "found": origins.get("guard", 0)}}

    def draws_guards(self, cost: str, limits: Mapping[str, tuple[float, float]]) -> bool:
        """Whether architectures are drawn below the least ``cost`` allowed by ``limits``: not where nothing lies there."""
        return self.guard_samples > 0 and self.guard > 0 and cost in limits and limits[cost][0] > 0

    @property
    def fewest_evaluations(self) -> int:
        """So many evaluations that an operation that makes no difference is missing on the Pareto front, and dropped, with at
        most the probability ``BY_CHANCE``, where accuracy and cost are unrelated. Of n such networks in order of cost, the i-th
        is on the front with probability 1/i, and there has the operation as often as a set of branches has it: ``share``."""
        most = min(self.branches or self.k, self.k)
        sets = {size: comb(self.k, size) for size in range(1, most + 1)}
        share = sum(size * number for size, number in sets.items()) / (self.k * sum(sets.values()))
        missing, number = 1.0, 0
        while missing > BY_CHANCE and number < MANY:
            number += 1
            missing *= 1 - share / number
        return number

    def doubts(self, evaluations: int) -> list[str]:
        fewest = self.fewest_evaluations
        if evaluations >= fewest:
            return []
        return [
            f"with {evaluations} evaluations a round, fronts may be so small that NSE's rule drops by chance: where accuracy "
            f"and cost are unrelated, an operation that makes no difference is missing on the front in {BY_CHANCE:.0%} of the "
            f"cases with {f'more than {MANY:,}' if fewest == MANY else fewest} evaluations, and more often with fewer"
        ]

    def rounds(self, operations: int) -> int:
        """Rounds that the paper's code makes of a pool of that many operations per layer, the last of which may never be dealt
        in."""
        return max(1, (operations - 1) // (self.k - 1))

    def rounds_until_dealt(self, space: SearchSpace) -> int:
        """Rounds from ``space`` on until every operation has been dealt in, if one of each layer stays each time: so that every
        round but the first one has room for ``k - 1`` more. More where more stay."""
        return 1 + max(ceil(len(layer.pending) / (self.k - 1)) for layer in space.layers)

    def plan(self, space: SearchSpace) -> list[str]:
        pool = max(len(layer.candidates) + len(layer.pending) for layer in space.layers)
        needed, made = self.rounds_until_dealt(space), self.rounds(pool)
        less = f" (the paper's code makes {made})" if made < needed and self.continue_from is None else ""
        rounds = f"{needed} round{'s' * (needed > 1)}"
        return [
            f"a pool of {pool} operations per layer needs {rounds} until every one has been dealt in, if one stays each "
            f"time{less}"
        ]


class DnaEvolution(MethodSection):
    """Rate operations by the best block that has them (DNA, https://arxiv.org/abs/1911.13053)."""

    method: Literal["dna"]
    """`dna`: rate operations by block losses."""

    keep: PositiveInt | None = None
    """Operations per layer that stay. Not given: all."""

    def check(self, config: StudyConfig) -> None:
        if config.evaluator.kind != "blockwise":
            raise invalid(
                "evolution.method = 'dna' rates operations by block loss: it needs evaluator.kind = 'blockwise', "
                f"found {config.evaluator.kind!r}"
            )


class AutoSpaceEvolution(MethodSection):
    """The fittest of the bred cells are the next space (AutoSpace-style, https://arxiv.org/abs/2103.11833)."""

    method: Literal["autospace"]
    """`autospace`: keep the fittest cells."""

    k: PositiveInt = 6
    """Cells per layer in the space; 6 in the paper's released space."""

    population: Annotated[int, Field(ge=2)] = 24
    """Cells per layer that are bred and rated."""

    references: Annotated[int, Field(ge=0, le=3)] = 3
    """Reference cells per layer in the space, from 0 to 3; 3 in the paper's released space."""

    def check(self, config: StudyConfig) -> None:
        if getattr(config.evaluator, "cells", None) is None:
            raise invalid("evolution.method 'autospace' needs evaluator.kind = 'oneshot' with evaluator.cells")
        if self.population < self.k:
            raise invalid(
                f"evolution.k is {self.k}, more than evolution.population {self.population}: "
                "the fittest k are taken from it"
            )


METHODS: dict[str, type[MethodSection]] = {
    "fixed": FixedEvolution,
    "pad_nas": PadNasEvolution,
    "nse": NseEvolution,
    "dna": DnaEvolution,
    "autospace": AutoSpaceEvolution,
    "evidence": EvidenceEvolution,
}
"""The settings of every ``evolution.method``."""
