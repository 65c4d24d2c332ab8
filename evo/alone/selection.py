"""Which network of a run is wanted, and which one that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, zip_longest
from math import inf, isfinite

import numpy as np

from evo.alone.blocks import losses_of_blocks
from evo.evaluators.blockwise.combination import front_of_ratings, without_gains
from evo.evaluators.blockwise.limits import best_within
from evo.strategy.promised import Promises
from spaces.architecture import Architecture
from spaces.costs.table import COLUMNS, PEAKS, CostTable, cost_table
from spaces.space import SearchSpace, canonical_arch
from spaces.units import format_number
from studies.database.measured import measured_rounds
from studies.database.rows import StoredRound, StoredRun
from studies.database.store import Store
from studies.database.urls import command_on
from studies.records import Evaluation, EvoError, Round, complete_evaluations


@dataclass(frozen=True)
class Criteria:
    """Which network of a run is wanted.

    Attributes:
        max_costs: what it may cost: the name of a cost -> its limit, beside the run's own.
        arch: this very one (else the best of the front by the run's objective).
        knee: the one where the front bends most, rather than the best.
        scale_to: the MACs to widen or slim it to.
        fill: widen it to the limit of its MACs.
        finalists: how many of the best are trained alone, of which the best on held-out images is wanted.
        seeds: how many times each of them is trained.

    Raises:
        EvoError: two wishes exclude each other.
    """

    max_costs: Mapping[str, float]
    arch: Architecture | None = None
    knee: bool = False
    scale_to: float | None = None
    fill: bool = False
    finalists: int = 1
    seeds: int = 1

    def __post_init__(self) -> None:
        if self.finalists > 1 and (self.knee or self.arch is not None):
            raise EvoError("finalists are compared, and knee or arch names the one network: leave out one of the two")
        if self.fill and self.scale_to is not None:
            raise EvoError("fill widens the network to its limit of MACs, scale_to to others: leave out one of the two")
        if self.fill and self.max_costs.keys() - {"macs"}:
            raise EvoError(
                "fill widens the network to its limit of MACs, and other limits may then be broken: give max_macs only"
            )


@dataclass(frozen=True)
class Selected:
    """The network that the criteria select.

    Attributes:
        evaluation: that of the round's judge, if it has measured the network.
        summed_loss: what its operations or blocks lose by themselves, in sum, if it was chosen as the one that loses least.
        summed_over: whose losses these are, ``cuts`` or ``blocks``.
    """

    arch: Architecture
    space: SearchSpace
    round: int
    evaluation: Evaluation | None
    summed_loss: float | None = None
    summed_over: str = "cuts"


def select_network(store: Store, run: StoredRun, criteria: Criteria) -> Selected:
    """The network that the criteria mean, of the run's last finished round; with finalists, the first of them.

    Raises:
        EvoError, SpaceError: as ``select_finalists``.
    """
    return select_finalists(store, run, criteria)[0]


def select_finalists(store: Store, run: StoredRun, criteria: Criteria) -> list[Selected]:
    """The networks among which the criteria leave the choice, of the run's last finished round, the favourite first; as
    many as ``criteria.finalists`` or all there are (see ``favourites``).

    Raises:
        EvoError: no round is finished, or nothing on its front is cheap enough.
        SpaceError: the architecture asked for is in none of the run's spaces.
    """
    rows = [row for row in store.rounds(run) if row.finished]
    if not rows:
        begin = command_on(store.url, "evo.round", "1", "--run", run.name)
        raise EvoError(f"run {run.name!r} has no finished round to pick from; run: {begin}")
    finished = last_round(store, run, rows)
    if criteria.arch is not None:
        evaluation = next((e for e in finished.evaluations if e.arch == criteria.arch), None)
        return [Selected(criteria.arch, find_space(criteria.arch, run, rows), rows[-1].number, evaluation)]
    if criteria.knee:
        front = within_limits(allowed_front(run, finished), criteria.max_costs)
        knee = knee_point(front, finished.cost, finished.objective)
        return [Selected(knee.arch, finished.space, finished.n, knee)]
    widened = criteria.fill or criteria.scale_to is not None
    return favourites(promises_after(finished, run), run, criteria.max_costs, criteria.finalists, widened=widened)


def last_round(store: Store, run: StoredRun, rows: Sequence[StoredRound]) -> Round:
    """The last of a run's rounds as it was measured, with those before it and what its blocks lose."""
    *earlier, last = measured_rounds(store, run.config, rows)
    return replace(last, earlier=tuple(earlier), blocks=losses_of_blocks(store, run, rows[-1]))


def promises_after(finished: Round, run: StoredRun) -> Promises:
    """What a regression promises after a round; it is fitted once, when it is asked."""
    return Promises(
        finished, cost_table(finished.space, run.config.search.macs_convention, target=run.config.device_numbers)
    )


def favourites(
    promises: Promises, run: StoredRun, most: Mapping[str, float], number: int, *, widened: bool = False
) -> list[Selected]:
    """Up to ``number`` distinct networks within the limits ``most`` and the run's own, the best of the round's front first.

    Where the round knows what each operation or block loses by itself, the first is the best that these add up to within limits
    (``combined``), measured as a whole or not: a front is as dense as its measurements are many, and rarely ends just below a
    limit. After the first, those that were measured and those that the regression promises most take turns: the best of many
    noisy scores owes its place to luck, too, and the best network may never have been measured.

    Args:
        widened: whether their widths will be scaled to a budget. Then the next ones are those that are expected to be best at
            that, else those of the front.

    Raises:
        EvoError: nothing on the front is within the limits, and nothing is known to be.
    """
    finished, first = promises.finished, combined(promises, run, most)
    try:
        ranked = ranked_front(promises, run, most, widened=widened and number > 1)
    except EvoError:
        if not first:
            raise
        return first
    measured = [Selected(e.arch, finished.space, finished.n, e) for e in ranked]
    distinct: dict[Architecture, Selected] = {}
    for one in chain(first, *zip_longest(measured, promised(promises, run, most, number - 1, widened))):
        if one is not None:
            distinct.setdefault(canonical_arch(one.arch, finished.space), one)
    return list(distinct.values())[:number]


def ranked_front(
    promises: Promises, run: StoredRun, most: Mapping[str, float], *, widened: bool = False
) -> list[Evaluation]:
    """What was measured within all limits, the best of the front first; then the others of the front, or, ``widened``, all by
    what is expected of them then.

    Raises:
        EvoError: nothing on the front is within the limits.
    """
    finished = promises.finished
    front = within_limits(allowed_front(run, finished), most)
    ranked = best_networks(front, finished.cost, finished.objective)
    return [ranked[0], *best_when_widened(promises, run, most)] if widened else ranked


def combined(promises: Promises, run: StoredRun, most: Mapping[str, float]) -> list[Selected]:
    """The network whose losses add up to the least within all limits.

    Those of blocks: exact with any upper limits but that of latency (``combined_blocks``). Those of operations: ``most`` has at
    least one of the limits; exact where one upper limit counts beside that of memory, and with several the best of those that
    are on the exact front of losses and one of the limited costs. None where the round does not know what operations or blocks
    lose by themselves, and none where latency counts.
    """
    finished, limits = promises.finished, limits_within(run, most)
    if finished.blocks:
        return combined_blocks(promises, limits)
    if not most or not finished.ratings or "latency_ms" in {finished.cost, *limits}:
        return []
    ratings = without_gains(finished.ratings)
    summed = [cost for cost in limits if cost not in PEAKS] or [finished.cost]
    fronts = (front_of_ratings(ratings, promises.costs, cost, limits) for cost in summed)
    fitting = [arch for front in fronts for arch in _fitting(front, promises.costs, limits)[-1:]]
    if not fitting:
        return []
    lost = {arch: -sum(ratings[choice] for choice in enumerate(arch.genes)) for arch in fitting}
    best = min(fitting, key=lost.__getitem__)
    known = {e.arch: e for e in finished.evaluations}
    return [Selected(best, finished.space, finished.n, known.get(best), lost[best])]


def _fitting(
    archs: Sequence[Architecture], costs: CostTable, limits: Mapping[str, tuple[float, float]]
) -> list[Architecture]:
    """Those within limits."""
    within = map(partial(_are_within, limits=limits), costs.count(archs).tolist())
    return [arch for arch, fits in zip(archs, within, strict=True) if fits]


def combined_blocks(promises: Promises, limits: Mapping[str, tuple[float, float]]) -> list[Selected]:
    """The network whose blocks lose least in sum within limits; none where no limit has an end, or latency has one."""
    finished = promises.finished
    if "latency_ms" in limits or not any(isfinite(most) for _, most in limits.values()):
        return []
    if (best := best_within(finished.blocks, promises.costs, limits)) is None:
        return []
    (arch, lost), space = best, finished.space
    known = {canonical_arch(e.arch, space): e for e in finished.evaluations}
    return [Selected(arch, space, finished.n, known.get(canonical_arch(arch, space)), lost, "blocks")]


def best_when_widened(promises: Promises, run: StoredRun, most: Mapping[str, float]) -> list[Evaluation]:
    """What was measured in a round within all limits, first what is expected to be best when all are widened alike."""
    finished = promises.finished
    held = within_limits(_allowed(run, finished), most)
    worth = dict(zip((e.arch for e in held), promises.scores_widened(held).tolist(), strict=True))
    return sorted(held, key=lambda e: (-worth[e.arch], e.cost(finished.cost)))


def promised(
    promises: Promises, run: StoredRun, most: Mapping[str, float], number: int, widened: bool
) -> list[Selected]:
    """Networks that the regression promises most within all limits, which trainings alone are to check."""
    finished, limits = promises.finished, limits_within(run, most)
    if number < 1 or "latency_ms" in {finished.cost, *limits}:
        return []
    summed = [name for name in limits if name not in PEAKS]
    cost = finished.cost if finished.cost in limits else next(iter(summed), finished.cost)
    known = {e.arch: e for e in finished.evaluations}
    return [
        Selected(arch, finished.space, finished.n, known.get(arch))
        for arch in promises.networks(cost, limits.get(cost, (0, inf))[1], number, widened=widened, limits=limits)
        if _are_within(promises.costs.count([arch])[0].tolist(), limits)
    ]


def limits_within(run: StoredRun, most: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """Least and most of each limited cost: the run's own limits, and ``most``."""
    limits = run.config.limits.given()
    narrowed = {name: limits.get(name, (0, inf)) for name in most}
    return limits | {name: (least, min(high, most[name])) for name, (least, high) in narrowed.items()}


def _are_within(costs: Sequence[float], limits: Mapping[str, tuple[float, float]]) -> bool:
    """Whether costs, in the order of ``COLUMNS``, are within limits."""
    return all(low <= costs[COLUMNS.index(name)] <= high for name, (low, high) in limits.items())


def allowed_front(run: StoredRun, finished: Round) -> tuple[Evaluation, ...]:
    """The Pareto front of what a round has measured within the run's limits, cheapest first."""
    return replace(finished, evaluations=_allowed(run, finished)).front


def _allowed(run: StoredRun, finished: Round) -> tuple[Evaluation, ...]:
    limits = run.config.limits.given().items()
    complete = complete_evaluations(finished.evaluations)
    return tuple(e for e in complete if all(low <= e.cost(name) <= high for name, (low, high) in limits))


def find_space(arch: Architecture, run: StoredRun, rows: list[StoredRound]) -> SearchSpace:
    """The latest of the run's spaces that holds ``arch``.

    Raises:
        SpaceError: none does; the message names the layer.
    """
    spaces = [run.space, *(row.space for row in rows)]
    return next((space for space in reversed(spaces) if arch in space), None) or run.space.restrict_to(arch)


def within_limits(front: Sequence[Evaluation], most: Mapping[str, float]) -> list[Evaluation]:
    """Those of a front that cost at most ``most``: a cost's name -> its limit.

    Raises:
        EvoError: none does; the message names the cheapest of them.
    """
    if not front:
        raise EvoError("no network of the last round was measured to the end within the run's limits")
    allowed = [e for e in front if all(e.cost(name) <= limit for name, limit in most.items())]
    if not allowed:
        asked = " and ".join(f"{format_number(limit)} {name}" for name, limit in most.items())
        least = ", ".join(f"{format_number(min(e.cost(name) for e in front))} {name}" for name in most)
        raise EvoError(
            f"no network of the front has at most {asked}: they begin at {least}; allow more, or use --scale-to"
        )
    return allowed


def best_networks(front: Sequence[Evaluation], cost: str, objective: str) -> list[Evaluation]:
    """The best by ``objective`` (``accuracy`` or ``likelihood``, higher is better) first; of equals the cheapest."""
    return sorted(front, key=lambda e: (-e.score(objective), e.cost(cost)))


def best_network(front: Sequence[Evaluation], cost: str, objective: str) -> Evaluation:
    """The first of ``best_networks``."""
    return best_networks(front, cost, objective)[0]


def knee_point(front: Sequence[Evaluation], cost: str, objective: str) -> Evaluation:
    """Where a front bends most: the network farthest above the line from its cheapest to its best.

    ``objective`` against the logarithm of cost, both from 0 to 1 over the front. Where no network is above the line, there
    is no knee, and the best is it.
    """
    if len(front) < 3:
        return best_network(front, cost, objective)
    x = _normalise(np.log(np.maximum([e.cost(cost) for e in front], 1e-12)))
    y = _normalise(np.array([e.score(objective) for e in front]))
    above = y - x  # the line is the diagonal: the distance from it is this, over the square root of 2
    place = int(np.argmax(above))
    return front[place] if above[place] > 1e-9 else best_network(front, cost, objective)


def _normalise(values: np.ndarray) -> np.ndarray:
    """Values moved and stretched to [0, 1]."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.zeros_like(values)
