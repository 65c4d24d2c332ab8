"""Workers that do not exist, event by event: what share of their time they evaluate, with and without a barrier."""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, field
from random import Random

SPREAD = (0.5, 1.5)
"""Times of evaluations, as shares of their mean: networks of one space differ by a factor of three."""

ROUNDS = 20
"""Generations with a barrier, simulated."""


@dataclass(frozen=True)
class Costs:
    """CPU seconds of the coordinator per trial: proposing, storing, and handing out and taking in a piece of one trial."""

    propose: float
    store: float
    hand: float


@dataclass(frozen=True)
class Outcome:
    """``busy``: the fraction of their time in which workers evaluate; ``rate``: trials per second."""

    busy: float
    rate: float

    def __str__(self) -> str:
        return f"{100 * self.busy:.0f} ({3600 * self.rate:,.0f})"


def simulate(
    workers: int, seconds: float, size: int, costs: Costs, spread: tuple[float, float] = SPREAD, seed: int = 0
) -> Outcome:
    """Simulate ``ROUNDS`` generations, each finished before the next; the coordinator and each worker do one thing at a
    time."""
    from evo.workers.dask_cluster import chunk_size

    rng, clock, busy = Random(seed), 0.0, 0.0
    per_piece = chunk_size(seconds, size, workers)
    for _ in range(ROUNDS):
        clock += size * costs.propose
        trials = [seconds * rng.uniform(*spread) for _ in range(size)]
        pieces = [sum(trials[start : start + per_piece]) for start in range(0, size, per_piece)]
        free, ends = [clock] * workers, []
        for piece in pieces:
            clock += costs.hand / 2
            end = max(heapq.heappop(free), clock) + piece
            heapq.heappush(free, end)
            ends.append(end)
        for end in sorted(ends):
            clock = max(clock, end) + costs.hand / 2
        clock += size * costs.store
        busy += sum(trials)
    return Outcome(busy / (workers * clock), ROUNDS * size / clock)


def simulate_in_flight(
    workers: int,
    seconds: float,
    size: int,
    in_flight: int,
    trials: int,
    costs: Costs,
    spread: tuple[float, float] = SPREAD,
    seed: int = 0,
) -> Outcome:
    """Simulate a round of so many ``trials`` with so many generations ``in_flight``, from its start, when little is known and
    little is proposed, to its end, when nothing is left to begin. Pieces hold one trial."""
    cluster = Cluster(workers, seconds, costs, Random(seed), spread)
    flying: deque[int] = deque()
    left: dict[int, int] = {}
    begun = recorded = 0
    for number in range(-(-trials // size)):
        while flying and not _may_propose(flying, left, in_flight, recorded, size):
            recorded += cluster.finish(flying.popleft(), left)
        count = min(size, trials - begun)
        cluster.begin(number, count)
        left[number] = count
        flying.append(number)
        begun += count
    while flying:
        recorded += cluster.finish(flying.popleft(), left)
    return Outcome(cluster.busy / (workers * cluster.clock), trials / cluster.clock)


def _may_propose(flying: deque[int], left: dict[int, int], in_flight: int, recorded: int, size: int) -> bool:
    """The rule of ``evo.strategy.generations``, where nothing fails and the opening is one generation."""
    from evo.strategy.generations import BELIEVED

    return len(flying) < in_flight and sum(left[number] for number in flying) + size <= BELIEVED * recorded


@dataclass
class Cluster:
    """Workers, and the one coordinator whose ``clock`` this is; both do one thing at a time, in the order in which it comes.

    Attributes:
        busy: seconds that workers have evaluated.
        ends: of the trials that were begun and not taken in, when they end, and their generations.
        taken: how many trials of a generation were taken in.
    """

    workers: int
    seconds: float
    costs: Costs
    rng: Random
    spread: tuple[float, float]
    clock: float = 0.0
    busy: float = 0.0
    ends: list[tuple[float, int]] = field(default_factory=list)
    taken: dict[int, int] = field(default_factory=dict)
    free: list[float] = field(init=False)

    def __post_init__(self) -> None:
        self.free = [0.0] * self.workers

    def begin(self, generation: int, count: int) -> None:
        """Propose a generation and hand it out."""
        self.clock += count * self.costs.propose
        for _ in range(count):
            self.clock += self.costs.hand / 2
            lasts = self.seconds * self.rng.uniform(*self.spread)
            end = max(heapq.heappop(self.free), self.clock) + lasts
            heapq.heappush(self.free, end)
            heapq.heappush(self.ends, (end, generation))
            self.busy += lasts

    def finish(self, generation: int, sizes: dict[int, int]) -> int:
        """Take in answers until a generation is whole, and record it; gives its size."""
        while self.taken.get(generation, 0) < sizes[generation]:
            end, of = heapq.heappop(self.ends)
            self.clock = max(self.clock, end) + self.costs.hand / 2
            self.taken[of] = self.taken.get(of, 0) + 1
        self.clock += sizes[generation] * self.costs.store
        return sizes[generation]
