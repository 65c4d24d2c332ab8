"""What to try next: the first generation evenly over cost, then NSGA-II's children, unseen and inside the limits.

Optuna's ``NSGAIISampler`` selects the parents and breeds (tournaments, crossover); what it breeds passes through here,
as its ``child_generation_strategy``. Costs are known before anything is trained, so no infeasible network is ever
measured and none needs a fake value; and no network is proposed twice, whatever its spelling.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from random import Random
from typing import Any, Literal

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import NSGAIISampler
from optuna.samplers._lazy_random_state import LazyRandomState
from optuna.samplers.nsgaii import UniformCrossover
from optuna.samplers.nsgaii._child_generation_strategy import NSGAIIChildGenerationStrategy
from optuna.samplers.nsgaii._elite_population_selection_strategy import NSGAIIElitePopulationSelectionStrategy
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState, create_trial

from evo.seeds import derive_seed
from evo.strategy.measured_latency import MeasuredLatency
from spaces.architecture import Architecture
from spaces.costs.sampling import sample_uniform
from spaces.costs.table import COLUMNS, PEAKS, CostTable
from spaces.space import SearchSpace, canonical_arch
from studies.database.trials import GENERATION_KEY


def directions(trial: FrozenTrial) -> list[Literal["maximize", "minimize"]]:
    """Of a trial's values: accuracy, then costs."""
    costs: list[Literal["maximize", "minimize"]] = ["minimize"] * (len(trial.values) - 1)
    return ["maximize", *costs]


MAX_ENUMERATED = 100_000
"""A space of at most so many strings is listed when chance finds nothing new in it."""


@dataclass
class CandidateFilter:
    """What may still be proposed: networks of the space, inside the limits, not seen before, that can be measured.

    Attributes:
        limits: cost name -> (least, most), inclusive.
        seen: canonical forms of everything proposed so far.
        measurable: the architectures that the judge can answer for; None: all of the space.
        latency: what networks take on a device that times them; None: what the table says.
    """

    space: SearchSpace
    table: CostTable
    limits: Mapping[str, tuple[float, float]]
    seen: set[Architecture] = field(default_factory=set)
    measurable: Collection[Architecture] | None = None
    latency: MeasuredLatency | None = None

    def costs(self, archs: Sequence[Architecture]) -> np.ndarray:
        """``(n, columns)``: what architectures cost; where latency is measured, what they are predicted to take."""
        costs = self.table.count(archs)
        if self.latency is not None and archs:
            costs[:, COLUMNS.index("latency_ms")] = self.latency(archs)
        return costs

    def feasible(self, archs: Sequence[Architecture]) -> np.ndarray:
        """Which architectures lie inside every limit, ``(n,)`` of bool."""
        costs = self.costs(archs)
        inside = np.ones(len(archs), bool)
        for name, (least, most) in self.limits.items():
            column = costs[:, COLUMNS.index(name)]
            inside &= (least <= column) & (column <= most)
        return inside

    def unseen(self, archs: Iterable[Architecture], excluded: set[Architecture]) -> list[Architecture]:
        """The architectures that may be proposed, each network once; their canonical forms are added to ``taken``."""
        unseen = []
        for arch in archs:
            form = canonical_arch(arch, self.space)
            if form not in self.seen and form not in excluded and self._can_be_measured(arch):
                excluded.add(form)
                unseen.append(arch)
        inside = self.feasible(unseen) if unseen and self.limits else np.ones(len(unseen), bool)
        return [arch for arch, good in zip(unseen, inside.tolist(), strict=True) if good]

    def may_be_proposed(self, arch: Architecture) -> bool:
        """Whether ``unseen`` would let the architecture pass."""
        return bool(self.unseen([arch], set()))

    @property
    def sparse(self) -> bool:
        """Whether less than half of the space can be measured."""
        return self.measurable is not None and 2 * len(self.measurable) < self.space.size

    def _can_be_measured(self, arch: Architecture) -> bool:
        return self.measurable is None or arch in self.measurable

    def random_unseen(self, rng: Random, n: int, excluded: set[Architecture]) -> list[Architecture]:
        """Up to ``n`` new networks from anywhere in the space: by chance, or by listing it when chance finds none."""
        archs: list[Architecture] = []
        for _ in range(20):
            archs += self.unseen((self.space.sample(rng) for _ in range(10 * n)), excluded)
            if len(archs) >= n:
                return archs[:n]
        if PEAKS & self.limits.keys():  # leaves few of all genes, and so by far fewer of all networks
            archs += self.unseen(sample_uniform(self.table, 10 * n, rng, limits=self.limits), excluded)
            if len(archs) >= n:
                return archs[:n]
        listed = self.space.enumerate() if self.space.size <= MAX_ENUMERATED else self.measurable
        if listed is not None:
            rest = self.unseen(listed, excluded)
            archs += rng.sample(rest, min(len(rest), n - len(archs)))
        return archs


Screening = Callable[[Iterator[Architecture], int, Random], list[Architecture] | None]
"""(children without end, how many are wanted, generator) -> the networks to measure; None: no opinion."""


class ChildGeneration:
    """NSGA-II's child generation, a generation of ``n`` at a time: Optuna calls it once, and ``batch`` has them all.

    Attributes:
        screened: whether a screen chose the batch; False also when the screen had nothing to say.
    """

    def __init__(self, candidates: CandidateFilter, n: int, seed: int, screen: Screening | None = None) -> None:
        self.candidates = candidates
        self.n = n
        self.screen = screen
        self.screened = False
        self.batch: list[Architecture] = []
        self.rng = Random(derive_seed(seed, "fill"))
        self.breed = NSGAIIChildGenerationStrategy(
            crossover=UniformCrossover(),
            crossover_prob=0.9,
            swapping_prob=0.5,
            rng=LazyRandomState(derive_seed(seed, "breed")),
        )

    def __call__(
        self, study: Study, search_space: dict[str, BaseDistribution], parents: list[FrozenTrial]
    ) -> dict[str, Any]:
        """The parameters of the first child; none when there is no network left to propose."""
        self.batch = self._generation(study, search_space, parents)
        return dict(zip(self.candidates.space.names, self.batch[0].genes, strict=True)) if self.batch else {}

    def _generation(
        self, study: Study, search_space: dict[str, BaseDistribution], parents: list[FrozenTrial]
    ) -> list[Architecture]:
        bred = self._breed(study, search_space, parents)
        if self.screen is not None and (chosen := self.screen(bred, self.n, self.rng)) is not None:
            self.screened = True
            return chosen
        taken: set[Architecture] = set()
        children: list[Architecture] = []
        for _ in range(30):
            children += self.candidates.unseen(islice(bred, self.n - len(children)), taken)
            if len(children) == self.n:
                return children
        return children + self.candidates.random_unseen(self.rng, self.n - len(children), taken)

    def _breed(
        self, study: Study, search_space: dict[str, BaseDistribution], parents: list[FrozenTrial]
    ) -> Iterator[Architecture]:
        """Children without end. Optuna leaves a mutated parameter out; it gets a gene drawn uniformly. Where a row was
        bred into a block of another depth, the block's genes are made to fit it."""
        space = self.candidates.space
        while True:
            child = self.breed(study, search_space, parents)
            genes = (
                child[name] if name in child else self.rng.choice(genes)
                for name, genes in zip(space.names, space.genes, strict=True)
            )
            yield space.repair(Architecture(tuple(genes)))


def breed_children(parents: Sequence[FrozenTrial], children: ChildGeneration) -> list[Architecture]:
    """What Optuna's NSGA-II breeds from ``parents``: up to ``children.n`` architectures, fewer when none are left.

    Each ``ask`` of a study walks through its trials to infer the space and to find the parents, and copies both. They
    are known here: the sampler gets them, and is asked once for the generation that comes after the parents.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = NSGAIISampler(
            population_size=len(parents),
            elite_population_selection_strategy=lambda study, population: list(parents),
            child_generation_strategy=children,
            seed=0,
        )
    # A distribution with one choice is no parameter to Optuna's samplers.
    options = {name: choices for name, choices in parents[0].distributions.items() if not choices.single()}
    child = create_trial(state=TrialState.RUNNING, system_attrs={GENERATION_KEY: 1})
    sampler.sample_relative(optuna.create_study(directions=directions(parents[0])), child, options)
    return children.batch


def select_survivors(trials: Sequence[FrozenTrial], population: int) -> list[FrozenTrial]:
    """Those that Optuna's NSGA-II lets live: by nondomination rank, then by crowding distance; in order of number."""
    if len(trials) <= population:
        return list(trials)
    survive = NSGAIIElitePopulationSelectionStrategy(population_size=population)
    return sorted(
        survive(optuna.create_study(directions=directions(trials[0])), list(trials)), key=lambda trial: trial.number
    )
