"""The settings of every method that evolves the space: ``MethodSection`` is the seam, ``METHODS`` the registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from studies.config.sections import Section, Share, invalid

if TYPE_CHECKING:
    from spaces.space import SearchSpace
    from studies.config.study import StudyConfig


class MethodSection(Section):
    """Settings of a method, chosen by ``method``; a plugin's settings inherit from this class."""

    method: str

    @property
    def predecessor(self) -> str | None:
        """The finished run that this one continues; None: it continues none."""
        return None

    def plan(self, space: SearchSpace) -> list[str]:
        """What the method has to do in a run that begins in ``space``, a line each."""
        return []

    def check(self, config: StudyConfig) -> None:
        """Raises ``invalid(...)`` where the rest of the configuration does not fit."""


class FixedEvolution(MethodSection):
    """The control arm: the space never changes."""

    method: Literal["fixed"]


class PadNasEvolution(MethodSection):
    """PAD-NAS (arXiv 2005.07564): keep operations with more than ``share`` among nondomination ranks < ``rank``."""

    method: Literal["pad_nas"]
    rank: PositiveInt = 10
    share: Share = 0.01


class NseEvolution(MethodSection):
    """NSE (arXiv 2011.10904): keep what the Pareto front uses, refill with unseen operations up to ``k`` per layer.

    A cell may carry up to ``branches`` operations side by side (None, as in the paper: any subset of its candidates).

    Before NSGA-II breeds, ``samples`` architectures are drawn by the learned gates inside the limits, and
    ``guard_samples`` in the band of width ``guard`` (a share of the least cost allowed) below them: those shape the front
    and never enter it. ``continue_from`` names a finished run whose operations are kept while a new pool is tried.
    """

    method: Literal["nse"]
    k: Annotated[int, Field(ge=2)] = 5
    branches: PositiveInt | None = None
    samples: NonNegativeInt = 48
    guard_samples: NonNegativeInt = 4
    guard: Share = 0.05
    continue_from: str | None = None

    @property
    def predecessor(self) -> str | None:
        return self.continue_from

    def rounds(self, operations: int) -> int:
        """Rounds until a pool of that many operations per layer has been seen, if one of ``k`` stays each time."""
        return max(1, (operations - 1) // (self.k - 1))

    def plan(self, space: SearchSpace) -> list[str]:
        pool = max(len(layer.candidates) + len(layer.pending) for layer in space.layers)
        return [f"a pool of {pool} operations per layer needs {self.rounds(pool)} rounds"]


class DnaEvolution(MethodSection):
    """DNA (arXiv 1911.13053): operations are rated by the best block that has them; a layer's best ``keep`` stay (all)."""

    method: Literal["dna"]
    keep: PositiveInt | None = None

    def check(self, config: StudyConfig) -> None:
        if config.evaluator.kind != "blockwise":
            raise invalid(
                "evolution.method = 'dna' rates operations by block loss: it needs evaluator.kind = 'blockwise', "
                f"found {config.evaluator.kind!r}"
            )


class AutoSpaceEvolution(MethodSection):
    """AutoSpace-style (arXiv 2103.11833): a ``population`` of cells per layer, of which the fittest ``k`` are the space,
    beside ``references`` reference cells (6 and 3 in the released space)."""

    method: Literal["autospace"]
    k: PositiveInt = 6
    population: Annotated[int, Field(ge=2)] = 24
    references: Annotated[int, Field(ge=0, le=3)] = 3

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
}
"""The settings of every ``evolution.method``."""
