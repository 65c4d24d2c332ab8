"""Screening: the surrogate against brute force and Monte Carlo, and what a screen may and may not choose."""

from __future__ import annotations

from itertools import islice
from random import Random

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor

from evo.strategy.encoding import Encoding
from evo.strategy.nsga2 import CandidateFilter
from evo.strategy.screening import SurrogateScreen
from evo.strategy.surrogate import choose_batch, fit_surrogate, leave_one_out
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


def arrays(space: SearchSpace, table: CostTable, evaluations: list[Evaluation]) -> tuple[np.ndarray, ...]:
    encode = Encoding(table, 0)
    x = encode([canonical_arch(e.arch, space) for e in evaluations])
    return x, encode.groups, np.array([e.accuracy for e in evaluations]), np.array([e.macs for e in evaluations])


def test_leave_one_out_is_leaving_one_out(space: SearchSpace, table: CostTable) -> None:
    surrogate = fit_surrogate(*arrays(space, table, seen(space, table, 25)))
    assert surrogate is not None
    process = surrogate.process
    expected = []
    for i in range(25):
        rest = np.arange(25) != i
        without = GaussianProcessRegressor(process.kernel_, optimizer=None).fit(
            process.X_train_[rest], process.y_train_[rest]
        )
        expected.append(float(without.predict(process.X_train_[i : i + 1])[0]))
    # the kernel's white noise counts on the diagonal of what was seen, not of what is asked
    assert leave_one_out(process).tolist() == pytest.approx(expected, abs=1e-6)


def test_the_surrogate_learns_what_can_be_learned(space: SearchSpace, table: CostTable) -> None:
    surrogate = fit_surrogate(*arrays(space, table, seen(space, table, 60)))
    assert surrogate is not None
    assert surrogate.useful
    assert surrogate.agreement > 0.9


def test_it_has_nothing_to_say_about_noise(space: SearchSpace, table: CostTable) -> None:
    x, groups, _, cost = arrays(space, table, seen(space, table, 60))
    silent = 0
    for seed in range(10):
        surrogate = fit_surrogate(x, groups, np.random.default_rng(seed).random(60), cost)
        silent += surrogate is None or not surrogate.useful
    assert silent >= 8  # one in twenty speaks up by chance


@pytest.mark.parametrize("accuracy", [[0.5] * 6, [0.1, 0.2, 0.3]])
def test_too_little_to_learn_from_gives_no_surrogate(
    space: SearchSpace, table: CostTable, accuracy: list[float]
) -> None:
    x, groups, _, cost = arrays(space, table, seen(space, table, len(accuracy)))
    assert fit_surrogate(x, groups, np.array(accuracy), cost) is None


def test_a_generation_is_chosen_without_repeats_and_the_same_every_time(space: SearchSpace, table: CostTable) -> None:
    x, groups, accuracy, cost = arrays(space, table, seen(space, table, 40))
    more, _, _, costs = arrays(space, table, seen(space, table, 200, seed=1))
    chosen = [
        choose_batch(s, more, costs, 10, float(cost.max()))
        for s in (fit_surrogate(x, groups, accuracy, cost),) * 2
        if s
    ]
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
