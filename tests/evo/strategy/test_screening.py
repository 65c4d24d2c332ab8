"""Screening: the surrogate against brute force and Monte Carlo, and what a screen may and may not choose."""

from __future__ import annotations

from itertools import islice
from random import Random

import numpy as np
import pytest

from evo.strategy.encoding import Encoding
from evo.strategy.kernel import Networks
from evo.strategy.nsga2 import CandidateFilter
from evo.strategy.screening import SurrogateScreen
from evo.strategy.surrogate import Surrogate, choose_batch, fit_kernel, learn
from spaces.architecture import Architecture
from spaces.costs.table import CostTable
from spaces.space import SearchSpace, canonical_arch
from studies.config import SearchSection
from studies.pareto import hypervolume
from studies.records import Evaluation
from tests.evo.conftest import made_up


def seen(space: SearchSpace, table: CostTable, n: int, seed: int = 0) -> list[Evaluation]:
    rng = Random(seed)
    return made_up(table, [space.sample(rng) for _ in range(n)])


def described(space: SearchSpace, table: CostTable, evaluations: list[Evaluation]) -> Networks:
    encoded = Encoding(table, 0)([canonical_arch(e.arch, space) for e in evaluations])
    return Networks(encoded, np.array([e.macs for e in evaluations]))


def surrogate_of(table: CostTable, networks: Networks, accuracy: np.ndarray) -> Surrogate | None:
    kernel = fit_kernel(Encoding(table, 0), networks, accuracy)
    return learn(kernel, networks, accuracy) if kernel else None


def learned(space: SearchSpace, table: CostTable, n: int) -> Surrogate:
    evaluations = seen(space, table, n)
    accuracy = np.array([e.accuracy for e in evaluations])
    surrogate = surrogate_of(table, described(space, table, evaluations), accuracy)
    assert surrogate is not None
    return surrogate


def test_leave_one_out_is_leaving_one_out(space: SearchSpace, table: CostTable) -> None:
    surrogate = learned(space, table, 25)
    columns = surrogate.kernel.columns(surrogate.networks)
    covariance = surrogate.kernel(columns, columns) + surrogate.kernel.noise * np.eye(25)
    expected = []
    for i in range(25):
        rest = np.arange(25) != i
        weights = np.linalg.solve(covariance[np.ix_(rest, rest)], surrogate.value[rest])
        expected.append(float(covariance[i, rest] @ weights))
    assert surrogate.leave_one_out().tolist() == pytest.approx(expected, abs=1e-4)


def test_the_surrogate_learns_what_can_be_learned(space: SearchSpace, table: CostTable) -> None:
    surrogate = learned(space, table, 60)
    assert surrogate.useful
    assert surrogate.agreement > 0.9


def test_it_has_nothing_to_say_about_noise(space: SearchSpace, table: CostTable) -> None:
    networks, silent = described(space, table, seen(space, table, 60)), 0
    for seed in range(10):
        surrogate = surrogate_of(table, networks, np.random.default_rng(seed).random(60))
        silent += surrogate is None or not surrogate.useful
    assert silent >= 8  # one in twenty speaks up by chance


@pytest.mark.parametrize("accuracy", [[0.5] * 6, [0.1, 0.2, 0.3]])
def test_too_little_to_learn_from_gives_no_surrogate(
    space: SearchSpace, table: CostTable, accuracy: list[float]
) -> None:
    networks = described(space, table, seen(space, table, len(accuracy)))
    assert fit_kernel(Encoding(table, 0), networks, np.array(accuracy)) is None


def test_a_generation_is_chosen_without_repeats_and_the_same_every_time(space: SearchSpace, table: CostTable) -> None:
    more = described(space, table, seen(space, table, 200, seed=1))
    chosen = [choose_batch(learned(space, table, 40), more, 10, float(more.cost.max())) for _ in range(2)]
    assert chosen[0] == chosen[1]
    assert len(set(chosen[0])) == 10


@pytest.fixture
def screen(space: SearchSpace, table: CostTable) -> SurrogateScreen:
    frontier = CandidateFilter(space, table, {"macs": (1e5, 3e5)})
    known = seen(space, table, 40)
    frontier.seen.update(canonical_arch(e.arch, space) for e in known)
    return SurrogateScreen(frontier, SearchSection(), 0, known)


def test_a_screen_chooses_new_networks_inside_the_limits(
    screen: SurrogateScreen, space: SearchSpace, table: CostTable
) -> None:
    rng = Random(3)
    chosen = screen(iter(lambda: space.sample(rng), None), 8, Random(4))
    assert chosen is not None
    assert len({canonical_arch(arch, space) for arch in chosen}) == 8
    assert not {canonical_arch(arch, space) for arch in chosen} & screen.candidates.seen
    macs = table.count(chosen)[:, 0]
    assert ((macs >= 1e5) & (macs <= 3e5)).all()


def test_what_it_chooses_is_better_than_what_comes_by(
    screen: SurrogateScreen, space: SearchSpace, table: CostTable
) -> None:
    rng = Random(5)
    by_chance = screen.candidates.unseen(islice(iter(lambda: space.sample(rng), None), 60), set())[:8]
    chosen = screen(iter(lambda: space.sample(rng), None), 8, Random(6))
    assert chosen is not None

    def volume(archs: list[Architecture]) -> float:
        evaluations = [e for e in [*screen.seen, *made_up(table, archs)] if 1e5 <= e.macs <= 3e5]
        return hypervolume([e.macs for e in evaluations], [e.accuracy for e in evaluations], max_cost=3e5)

    assert volume(chosen) > volume(by_chance)


def test_a_screen_that_knows_nothing_says_so(space: SearchSpace, table: CostTable) -> None:
    frontier = CandidateFilter(space, table, {})
    assert (
        SurrogateScreen(frontier, SearchSection(), 0, [])(iter(lambda: space.sample(Random(0)), None), 4, Random(0))
        is None
    )


def test_what_a_screen_keeps_is_near_the_front_and_of_all_times(
    screen: SurrogateScreen, space: SearchSpace, table: CostTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evo.strategy.screening.MAX_KEPT", 30)
    kept = screen._kept(40).tolist()
    assert kept == sorted(set(kept))
    assert len(kept) == 30
    evaluations = screen.seen
    front = [
        i
        for i, e in enumerate(evaluations)
        if not any(o.macs <= e.macs and o.accuracy >= e.accuracy and o is not e for o in evaluations)
    ]
    assert set(front) <= set(kept)
    assert screen._kept(15).tolist() == list(range(15))


def test_parameters_depend_on_what_was_seen_alone(
    screen: SurrogateScreen, space: SearchSpace, table: CostTable
) -> None:
    """A screen that has seen all at once, as after an interruption, chooses what one does that was asked before."""
    rng = Random(3)
    bred = [space.sample(rng) for _ in range(200)]
    early = SurrogateScreen(screen.candidates, screen.settings, 0, screen.seen[:25])
    early(iter(bred), 4, Random(1))
    early.seen = list(screen.seen)
    assert early(iter(bred), 4, Random(4)) == screen(iter(bred), 4, Random(4))


def test_what_is_missing_from_a_table_is_no_candidate(space: SearchSpace, table: CostTable) -> None:
    known = seen(space, table, 40)
    rng = Random(6)
    able = frozenset(space.sample(rng) for _ in range(300))
    candidates = CandidateFilter(space, table, {}, {canonical_arch(e.arch, space) for e in known}, able)
    chosen = SurrogateScreen(candidates, SearchSection(), 0, known)(iter(lambda: space.sample(rng), None), 8, Random(4))
    assert chosen is not None
    assert len(chosen) == 8
    assert set(chosen) <= able
