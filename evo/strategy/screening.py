"""Screening: of many networks that might be measured next, those from which a surrogate expects most hypervolume.

Candidates are NSGA-II's children, every one-gene neighbour of the Pareto front (on the last percent local search is as
good as any model), and networks spread over the whole range of cost (a model that is wrong must be able to find out).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from random import Random
from typing import TYPE_CHECKING

import numpy as np

from evo.seeds import derive_seed
from evo.strategy.encoding import Encoding, Floats
from evo.strategy.nsga2 import CandidateFilter
from spaces.architecture import Architecture
from spaces.costs.sampling import sample_stratified
from spaces.costs.table import COLUMNS
from spaces.space import canonical_arch
from studies.config import SearchSection
from studies.pareto import on_front
from studies.records import Evaluation, costs_array

if TYPE_CHECKING:
    from evo.strategy.lessons import Lessons, Taught

CHILDREN, SPREAD = 20, 500
"""Candidates: so many children for each slot of the generation; so many networks spread over cost, one set per round."""


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
    _fitted: tuple[int, Taught | None] | None = None

    @cached_property
    def cost_spread(self) -> list[Architecture]:
        """Networks spread evenly over cost, inside the limits; the same for all generations of a round."""
        rng = Random(derive_seed(self.seed, "spread"))
        return sample_stratified(
            self.candidates.table, SPREAD, rng, cost=self.settings.cost, limits=self.candidates.limits
        )

    def __call__(self, bred: Iterator[Architecture], n: int, rng: Random) -> list[Architecture] | None:
        """``n`` new networks, best first; None when the surrogate has nothing to say (no better than chance, left out)."""
        if not self.seen:
            return None
        from evo.strategy.surrogate import choose_batch  # a second to import: not before a search learns

        taught = self._learned()
        if taught is None or not taught.surrogate.useful:
            return None
        candidates = self._candidates(bred, n, rng)
        if not candidates:
            return []
        surrogate, table = taught.surrogate, self.candidates.table

        def described(archs: list[Architecture]) -> tuple[Floats, Floats]:
            return self._encoded(archs), table.count(archs)[:, self._columns]

        if self.pending:
            surrogate = surrogate.believing(*described(self.pending), taught.prior(self._predicted(self.pending)))
        prior = taught.prior(self._predicted(candidates))
        return [candidates[i] for i in choose_batch(surrogate, *described(candidates), n, self._max_cost(), prior)]

    def review(self) -> None:
        """Hold other runs against what was seen, after a generation: those that do not help are ignored from now on."""
        if self.lessons is not None and self.seen:
            self._learned()

    def _learned(self) -> Taught | None:
        """The surrogate of what was seen, with what other runs add; None: there is nothing to learn."""
        if self._fitted is None or self._fitted[0] != len(self.seen):
            from evo.strategy.lessons import fit_taught

            archs = [e.arch for e in self.seen]
            score = np.array([e.score(self.settings.objective) for e in self.seen])
            cost, predicted = costs_array(self.seen, self.settings.costs), self._predicted(archs)
            sizes = {name: self.lessons.size(name) for name in predicted} if self.lessons else {}
            taught, verdicts = fit_taught(self._encoded(archs), self._encode.groups, score, cost, predicted, sizes)
            if self.lessons is not None:
                self.lessons.review(verdicts)
            self._fitted = len(self.seen), taught
        return self._fitted[1]

    @cached_property
    def _encode(self) -> Encoding:
        return Encoding(self.candidates.table, COLUMNS.index(self.settings.cost))

    def _encoded(self, archs: Sequence[Architecture]) -> Floats:
        return self._encode([canonical_arch(arch, self.candidates.space) for arch in archs])

    def _predicted(self, archs: Sequence[Architecture]) -> dict[str, Floats]:
        return self.lessons.predictions(archs) if self.lessons else {}

    def _candidates(self, bred: Iterator[Architecture], n: int, rng: Random) -> list[Architecture]:
        taken: set[Architecture] = set()
        candidates = self.candidates
        archs = candidates.unseen(islice(bred, CHILDREN * n), taken)
        archs += candidates.unseen(self._neighbours(), taken)
        archs += candidates.unseen(self.cost_spread, taken)
        least = CHILDREN * n if candidates.sparse else n  # children are seldom among the few that can be measured
        return archs + candidates.random_unseen(rng, max(0, least - len(archs)), taken)

    def _neighbours(self) -> Iterator[Architecture]:
        """Every network that differs from one of the front in one gene, and in what a changed row makes necessary."""
        scores = [e.score(self.settings.objective) for e in self.seen]
        front = on_front(costs_array(self.seen, self.settings.costs), scores)
        for evaluation in (e for e, on in zip(self.seen, front.tolist(), strict=True) if on):
            genes, space = evaluation.arch.genes, self.candidates.space
            for i, others in enumerate(space.genes):
                for gene in others:
                    yield space.repair(Architecture((*genes[:i], gene, *genes[i + 1 :])))

    @property
    def _columns(self) -> int | list[int]:
        """Where the costs stand in the table: of one cost its column, of several all of theirs."""
        columns = [COLUMNS.index(name) for name in self.settings.costs]
        return columns if len(columns) > 1 else columns[0]

    def _max_cost(self) -> Floats:
        """The most a network of the space may cost, of each cost."""
        limits = self.candidates.limits
        most = self.candidates.table.bounds()[1]
        ends = [limits.get(name, (0.0, np.inf))[1] for name in COLUMNS]
        return np.asarray(np.minimum(most, ends)[self._columns])
