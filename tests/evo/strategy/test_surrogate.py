"""The surrogate's inside: what an encoding tells apart, the kernel, and how a generation is filled."""

from __future__ import annotations

import time
from random import Random
from typing import Any

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Matern
from threadpoolctl import threadpool_limits

from evo.strategy.encoding import Encoding
from evo.strategy.improvement import expected_improvement
from evo.strategy.surrogate import GroupedMatern, Surrogate, choose_batch, fit_surrogate
from spaces.architecture import Architecture
from spaces.costs.benchmark_tables import additive_costs, opaque_space
from spaces.costs.table import CostTable, cost_table
from spaces.library.named_spaces import load_space
from spaces.space import SearchSpace, canonical_arch
from tests.evo.conftest import made_up


def learned(space: SearchSpace, table: CostTable, n: int) -> tuple[Surrogate, Encoding]:
    rng = Random(0)
    evaluations = made_up(table, [space.sample(rng) for _ in range(n)])
    encode = Encoding(table, 0)
    x = encode([canonical_arch(e.arch, space) for e in evaluations])
    surrogate = fit_surrogate(
        x, encode.groups, np.array([e.accuracy for e in evaluations]), np.array([e.macs for e in evaluations])
    )
    assert surrogate is not None
    return surrogate, encode


def test_operations_without_cost_are_told_apart() -> None:
    """A cell space: ``none`` and ``pool`` both cost nothing, and are not the same."""
    genes = [[first, second] for first in ("conv", "none", "pool") for second in ("conv", "none", "pool")]
    keys = ["~".join(pair) for pair in genes]
    space = opaque_space("cell", keys, "~")
    archs = [Architecture(tuple(pair)) for pair in genes]
    table = additive_costs(space, archs, [float(9 * pair.count("conv")) for pair in genes]).table
    encoded = Encoding(table, 0)(archs)
    assert len(np.unique(encoded, axis=0)) == 9


def test_spellings_of_one_network_are_encoded_alike() -> None:
    space = load_space("nas_bench_macro")
    table = cost_table(space)
    rng = Random(0)
    by_form: dict[Architecture, set[Architecture]] = {}
    for arch in (space.sample(rng) for _ in range(2000)):
        by_form.setdefault(canonical_arch(arch, space), set()).add(arch)
    assert max(map(len, by_form.values())) > 1
    encoded = Encoding(table, 0)(list(by_form))
    assert np.isfinite(encoded).all()
    assert len(np.unique(encoded, axis=0)) == len(by_form)


def test_equal_length_scales_make_it_scikit_learns_matern() -> None:
    x = np.random.default_rng(0).random((12, 7))
    groups = np.array([0, 0, 0, 1, 1, 2, 2])
    ours = GroupedMatern(groups, np.full(3, 0.7))(x, x[:5])
    assert ours == pytest.approx(Matern(0.7, nu=2.5)(x, x[:5]), abs=1e-7)


def test_the_gradient_is_that_of_finite_differences() -> None:
    x = np.random.default_rng(1).random((8, 5))
    kernel = GroupedMatern(np.array([0, 0, 1, 1, 1]), np.array([0.5, 1.5]))
    _, gradient = kernel(x, eval_gradient=True)
    for i in range(2):
        step = np.eye(2)[i] * 1e-5
        up, down = (kernel.clone_with_theta(kernel.theta + sign * step)(x) for sign in (1, -1))
        assert gradient[:, :, i] == pytest.approx((up - down) / 2e-5, abs=1e-6)


def test_the_second_choice_is_what_a_process_told_of_the_first_would_choose(
    space: SearchSpace, table: CostTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Brute force: condition a new process on the first choice, at its predicted value, and improve on that."""
    monkeypatch.setattr("evo.strategy.surrogate.DEVIATION_FACTORS", (1.0,))
    surrogate, encode = learned(space, table, 30)
    rng = Random(9)
    archs = [space.sample(rng) for _ in range(150)]
    x, cost = encode([canonical_arch(arch, space) for arch in archs]), table.count(archs)[:, 0]
    most = float(table.bounds()[1, 0])
    first, second = choose_batch(surrogate, x, cost, 2, most)

    told, scaled = surrogate.process, x * surrogate.scale
    believed = float(told.predict(scaled[first : first + 1])[0])
    values, costs = np.append(surrogate.value, believed), np.append(surrogate.cost, cost[first])
    after = GaussianProcessRegressor(told.kernel_, optimizer=None).fit(
        np.vstack([told.X_train_, scaled[first]]), values
    )
    mean, deviation = after.predict(scaled, return_std=True)
    latent = np.sqrt(np.maximum(deviation**2 - told.kernel_.k2.noise_level, 1e-10))
    gain = expected_improvement(mean, latent, cost, values, costs, (float(surrogate.value.min()), most))
    gain[first] = -1.0
    assert gain[second] == pytest.approx(gain.max(), rel=1e-3)


def test_what_is_in_flight_is_believed_as_a_process_told_of_it_would(
    space: SearchSpace, table: CostTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Brute force, with several in flight: a new process, conditioned on their predicted values."""
    monkeypatch.setattr("evo.strategy.surrogate.DEVIATION_FACTORS", (1.0,))
    surrogate, encode = learned(space, table, 30)
    rng = Random(4)

    def described(count: int) -> tuple[Any, Any]:
        archs = [space.sample(rng) for _ in range(count)]
        return encode([canonical_arch(arch, space) for arch in archs]), table.count(archs)[:, 0]

    x, cost = described(150)
    most = float(table.bounds()[1, 0])
    favourites = choose_batch(surrogate, x, cost, 12, most)
    pending, their_cost = x[favourites], cost[favourites]
    (chosen,) = choose_batch(surrogate.believing(pending, their_cost), x, cost, 1, most)

    told = surrogate.process
    seen = np.vstack([told.X_train_, pending * surrogate.scale])
    values = np.append(surrogate.value, told.predict(pending * surrogate.scale))
    after = GaussianProcessRegressor(told.kernel_, optimizer=None).fit(seen, values)
    mean, deviation = after.predict(x * surrogate.scale, return_std=True)
    assert mean == pytest.approx(told.predict(x * surrogate.scale), abs=1e-6)
    latent = np.sqrt(np.maximum(deviation**2 - told.kernel_.k2.noise_level, 1e-10))
    costs, reference = np.append(surrogate.cost, their_cost), (float(surrogate.value.min()), most)
    gain = expected_improvement(mean, latent, cost, values, costs, reference)
    assert gain[chosen] == pytest.approx(gain.max(), rel=1e-3)
    assert chosen not in favourites  # one would be, if nothing were believed


def test_the_unit_of_accuracy_does_not_matter(space: SearchSpace, table: CostTable) -> None:
    evaluations = made_up(table, [space.sample(Random(i)) for i in range(40)])
    encode = Encoding(table, 0)
    x = encode([canonical_arch(e.arch, space) for e in evaluations])
    accuracy, cost = np.array([e.accuracy for e in evaluations]), np.array([e.macs for e in evaluations])
    share, percent = (fit_surrogate(x, encode.groups, accuracy * unit, cost) for unit in (1.0, 100.0))
    assert share is not None
    assert percent is not None
    assert percent.value == pytest.approx(share.value, abs=1e-6)


def test_threads_change_nothing(space: SearchSpace, table: CostTable) -> None:
    rng = Random(2)
    archs = [space.sample(rng) for _ in range(300)]
    chosen = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            surrogate, encode = learned(space, table, 60)
            x = encode([canonical_arch(arch, space) for arch in archs])
            chosen.append(choose_batch(surrogate, x, table.count(archs)[:, 0], 12, 1e6))
    assert chosen[0] == chosen[1]


def test_twenty_children_from_five_hundred_observations_take_seconds_at_most(
    space: SearchSpace, table: CostTable
) -> None:
    """A generous bound, for a busy machine: about half a second of one core is usual."""
    rng = Random(1)
    archs = [space.sample(rng) for _ in range(2000)]
    started = time.process_time()
    surrogate, encode = learned(space, table, 500)
    x = encode([canonical_arch(arch, space) for arch in archs])
    assert len(choose_batch(surrogate, x, table.count(archs)[:, 0], 20, 1e6)) == 20
    assert time.process_time() - started < 5
