"""Screening: of many networks that might be measured next, those from which a surrogate expects most hypervolume.

Candidates are NSGA-II's children; neighbours of the Pareto front, in deep spaces two genes away, too (on the last percent local
search is as good as any model); networks spread over the whole range of cost (a model that is wrong must be able to find out);
in deep spaces also, climbing from the best of these, their neighbours: what is best by the model is seldom among the first.

What a proposal costs hardly grows with the number of evaluations: the model keeps ``MAX_KEPT`` of them, those nearest the
front first, and its parameters are fitted again when there are a tenth more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from random import Random
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evo.seeds import derive_seed
from evo.strategy.encoding import Encoding, Floats
from evo.strategy.nsga2 import CandidateFilter
from spaces.architecture import Architecture
from spaces.costs.sampling import sample_stratified
from spaces.costs.table import COLUMNS
from spaces.space import canonical_arch
from studies.config import SearchSection
from studies.pareto import nondomination_ranks
from studies.records import Evaluation, costs_array

if TYPE_CHECKING:
    from evo.strategy.kernel import NetworkKernel, Networks
    from evo.strategy.lessons import Lessons, Taught
    from evo.strategy.surrogate import Surrogate


@dataclass(frozen=True)
class Effort:
    """How many candidates are looked at.

    Attributes:
        children, neighbours: of each for a slot of the generation; ``chance``: networks that are drawn from anywhere.
    """

    children: int
    neighbours: int
    chance: int


SHALLOW, DEEP = Effort(20, 60, 400), Effort(10, 20, 0)
"""In spaces of few layers, where looking is cheap and many networks are near the front; and in others, where climbing
finds more."""

PAIRS, SPREAD = 4, 100
"""In deep spaces, neighbours two genes away for each slot; networks spread over cost, one set per round."""

LAYERS_PER_CLIMB, STEPS, STARTS = 10, 8, 2
"""A region of trust: there is a step uphill for so many layers, so that no more than a tenth of a network leaves what was bred.
How many neighbours are looked at in each step for each slot; from how many of the best for each slot."""

MAX_KEPT, GROWTH = 300, 1.1
"""The most evaluations that predictions use; by which factor their number grows until parameters are fitted again."""


@dataclass
class SurrogateScreen:
    """Chooses generations by a surrogate of one judge's evaluations so far.

    Attributes:
        settings: name the objectives.
        seed: of the round's search.
        seen: every evaluation that may be learned from.
        pending: networks in flight, which are believed to come out as predicted.
        lessons: what other runs have measured; None: nothing.
    """

    candidates: CandidateFilter
    settings: SearchSection
    seed: int
    seen: list[Evaluation] = field(default_factory=list)
    pending: list[Architecture] = field(default_factory=list)
    lessons: Lessons | None = None
    _kernel: tuple[int, NetworkKernel | None] = (0, None)
    _taught: tuple[int, Taught | None] = (0, None)
    _taught_kernel: tuple[tuple[int, tuple[str, ...]], NetworkKernel | None] = ((0, ()), None)

    @cached_property
    def cost_spread(self) -> list[Architecture]:
        """Networks spread evenly over cost, inside the limits; the same for all generations of a round."""
        rng = Random(derive_seed(self.seed, "spread"))
        return sample_stratified(
            self.candidates.table, SPREAD, rng, cost=self.settings.cost, limits=self.candidates.limits
        )

    def __call__(self, bred: Iterator[Architecture], n: int, rng: Random) -> list[Architecture] | None:
        """``n`` new networks, best first; None when the surrogate has nothing to say (no better than chance, left out)."""
        taught = self._learned()
        if taught is None or not taught.surrogate.useful:
            return None
        surrogate = taught.surrogate
        from evo.strategy.surrogate import choose_batch

        taken: set[Architecture] = set()
        archs = self._candidates(bred, n, rng, taken)
        if not archs:
            return []
        if self.pending:
            surrogate = surrogate.believing(self._described(self.pending, taught))
        archs, networks = self._climbed(replace(taught, surrogate=surrogate), archs, n, rng, taken)
        return [archs[i] for i in choose_batch(surrogate, networks, n, self._max_cost())]

    def review(self) -> None:
        """Hold other runs against what was seen, after a generation: those that do not help are ignored from now on."""
        if self.lessons is not None and self.seen:
            self._learned()

    def _learned(self) -> Taught | None:
        """What can be learned from what was seen, and from other runs."""
        if self._taught[0] != len(self.seen):
            self._taught = len(self.seen), self._learn()
        return self._taught[1]

    def _learn(self) -> Taught | None:
        from evo.strategy.lessons import Taught, weigh_sources
        from evo.strategy.surrogate import can_be_learned, learn  # a second to import: not before a search learns

        places = self._kept(len(self.seen))
        score, archs = self._scores(len(self.seen))[places], [self.seen[i].arch for i in places]
        kernel = self._fitted_kernel()
        if kernel is None or not can_be_learned(score):
            return None
        plain = learn(kernel, self._encoded(archs), score)
        if self.lessons is None:
            return Taught(plain)
        predicted = self.lessons.predictions(archs)
        taught, verdicts = weigh_sources(plain, predicted, {name: self.lessons.size(name) for name in predicted})
        self.lessons.review(verdicts)
        return replace(taught, surrogate=self._refitted(taught, score)) if taught.weights else taught

    def _refitted(self, taught: Taught, score: Floats) -> Surrogate:
        """The surrogate whose kernel was fitted to what sources leave: again when the other one was, or other sources help."""
        from evo.strategy.surrogate import fit_kernel, learn

        key = self._kernel[0], tuple(sorted(taught.weights))
        if self._taught_kernel[0] != key:
            self._taught_kernel = key, fit_kernel(self._encode, taught.surrogate.networks, score)
        kernel = self._taught_kernel[1]
        return taught.surrogate if kernel is None else learn(kernel, taught.surrogate.networks, score)

    def _fitted_kernel(self) -> NetworkKernel | None:
        """The kernel, fitted to as many evaluations as there were when they had last grown by a tenth."""
        from evo.strategy.surrogate import fit_kernel

        number = 4
        while (after := max(number + 1, int(number * GROWTH))) <= len(self.seen):
            number = after
        if self._kernel[0] != number and number <= len(self.seen):
            places = self._kept(number)
            networks = self._encoded([self.seen[i].arch for i in places])
            self._kernel = number, fit_kernel(self._encode, networks, self._scores(number)[places])
        return self._kernel[1]

    def _kept(self, number: int) -> NDArray[np.intp]:
        """Which of the first so many evaluations predictions rest on: those nearest the front, and others, evenly chosen."""
        if number <= MAX_KEPT:
            return np.arange(number)
        ranks = nondomination_ranks(costs_array(self.seen[:number], self.settings.costs), self._scores(number))
        order = np.argsort(ranks, kind="stable")
        nearest = max(MAX_KEPT // 2, min(MAX_KEPT, int((ranks == 1).sum())))
        others = np.sort(order[nearest:])
        some = others[np.linspace(0, len(others) - 1, MAX_KEPT - nearest).round().astype(int)]
        return np.sort(np.concatenate([order[:nearest], some]))

    def _scores(self, number: int) -> Floats:
        return np.array([e.score(self.settings.objective) for e in self.seen[:number]])

    @cached_property
    def _encode(self) -> Encoding:
        return Encoding(self.candidates.table, COLUMNS.index(self.settings.cost))

    def _encoded(self, archs: list[Architecture]) -> Networks:
        from evo.strategy.kernel import Networks

        encoded = self._encode([canonical_arch(arch, self.candidates.space) for arch in archs])
        return Networks(encoded, self.candidates.costs(archs)[:, self._columns])

    def _described(self, archs: list[Architecture], taught: Taught) -> Networks:
        """Encoded, with what other runs say of them."""
        networks = self._encoded(archs)
        if self.lessons is None or not taught.weights:
            return networks
        return replace(networks, prior=taught.prior(self.lessons.predictions(archs)))

    def _candidates(
        self, bred: Iterator[Architecture], n: int, rng: Random, taken: set[Architecture]
    ) -> list[Architecture]:
        candidates, front, effort = self.candidates, self._front(), DEEP if self._reach else SHALLOW
        archs = candidates.unseen(islice(bred, effort.children * n), taken)
        archs += candidates.unseen(self._neighbours(front, effort.neighbours * max(n, 20), rng), taken)
        if self._reach:
            changed = (self._changed(rng.choice(front), 2, rng) for _ in range(PAIRS * n))
            archs += candidates.unseen(changed, taken)
        archs += candidates.unseen(self.cost_spread, taken)
        archs += candidates.unseen((candidates.space.sample(rng) for _ in range(effort.chance)), taken)
        least = (
            effort.children * n if candidates.sparse else n
        )  # children are seldom among the few that can be measured
        return archs + candidates.random_unseen(rng, max(0, least - len(archs)), taken)

    @property
    def _reach(self) -> int:
        """How many genes further than one a network may be from what was bred."""
        return len(self.candidates.space.layers) // LAYERS_PER_CLIMB

    def _front(self) -> list[Architecture]:
        ranks = nondomination_ranks(costs_array(self.seen, self.settings.costs), self._scores(len(self.seen)))
        return [self.seen[i].arch for i in np.flatnonzero(ranks == 1)]

    def _neighbours(self, front: list[Architecture], most: int, rng: Random) -> Iterator[Architecture]:
        """Networks that differ from one of the front in one gene, and in what a changed row makes necessary: all, or as many as
        are wanted, by chance."""
        space = self.candidates.space
        sizes = [len(genes) - 1 for genes in space.genes]
        if sum(sizes) * len(front) > most:
            for _ in range(most):
                yield self._changed(rng.choice(front), 1, rng)
            return
        for arch in front:
            genes = arch.genes
            for i, others in enumerate(space.genes):
                for gene in others:
                    yield space.repair(Architecture((*genes[:i], gene, *genes[i + 1 :])))

    def _changed(self, arch: Architecture, number: int, rng: Random) -> Architecture:
        """The network with other genes in so many layers."""
        space, genes = self.candidates.space, list(arch.genes)
        for _ in range(number):
            i = rng.randrange(len(genes))
            genes[i] = rng.choice(space.genes[i])
        return space.repair(Architecture(tuple(genes)))

    def _climbed(
        self, taught: Taught, archs: list[Architecture], n: int, rng: Random, taken: set[Architecture]
    ) -> tuple[list[Architecture], Networks]:
        """The best of the candidates, of their neighbours, of the neighbours of the best of all these, ..."""
        from evo.strategy.surrogate import LEFT_PER_SLOT, greatest

        surrogate, networks = taught.surrogate, self._described(archs, taught)
        gains = self._gains(surrogate, networks)
        for _ in range(self._reach):
            starts = [archs[i] for i in greatest(list(gains), STARTS * n)]
            new = self.candidates.unseen((self._changed(rng.choice(starts), 1, rng) for _ in range(STEPS * n)), taken)
            if not new:
                break
            found = self._described(new, taught)
            archs, networks = archs + new, networks.joined(found)
            gains = np.concatenate([gains, self._gains(surrogate, found)], axis=1)
        best = greatest(list(gains), 2 * LEFT_PER_SLOT * n)
        return [archs[i] for i in best], networks[best]

    def _gains(self, surrogate: Surrogate, networks: Networks) -> Floats:
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1):
            return np.array(surrogate.gains(surrogate.predict(networks), networks.cost, self._max_cost()))

    @property
    def _columns(self) -> int | list[int]:
        """Where the costs stand in the table: of one cost its column, of several all of theirs."""
        columns = [COLUMNS.index(name) for name in self.settings.costs]
        return columns if len(columns) > 1 else columns[0]

    def _max_cost(self) -> Floats:
        """The most a network of the space may cost, of each cost."""
        limits = self.candidates.limits
        most = self.candidates.table.bounds()[1]
        ends = [limits.get(name, (0.0, np.inf))[1] for name in self.candidates.table.columns]
        return np.asarray(np.minimum(most, ends)[self._columns])
