"""The surrogate's inside: what an encoding tells apart, and how a generation is filled."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from evo.strategy.encoding import Encoding, Floats
from evo.strategy.improvement import expected_improvement
from evo.strategy.kernel import NetworkKernel, Networks
from evo.strategy.surrogate import LEFT_PER_SLOT, Surrogate, choose_batch, fit_kernel, gaussian_values, learn
from spaces.architecture import Architecture
from spaces.costs.benchmark_tables import additive_costs, opaque_space
from spaces.costs.table import CostTable, cost_table
from spaces.library.named_spaces import load_space
from spaces.space import SearchSpace, canonical_arch
from tests.evo.conftest import made_up


def described(space: SearchSpace, table: CostTable, archs: list[Architecture]) -> Networks:
    return Networks(Encoding(table, 0)([canonical_arch(arch, space) for arch in archs]), table.count(archs)[:, 0])


def learned(space: SearchSpace, table: CostTable, n: int) -> Surrogate:
    rng = Random(0)
    evaluations = made_up(table, [space.sample(rng) for _ in range(n)])
    networks = described(space, table, [e.arch for e in evaluations])
    accuracy = np.array([e.accuracy for e in evaluations])
    kernel = fit_kernel(Encoding(table, 0), networks, accuracy)
    assert kernel is not None
    return learn(kernel, networks, accuracy)


def conditioned(kernel: NetworkKernel, seen: Networks, values: Floats, asked: Networks) -> tuple[Floats, Floats]:
    """Mean and standard deviation of a Gaussian process, by the textbook."""
    a, b = kernel.columns(seen), kernel.columns(asked)
    inverse = np.linalg.inv(kernel(a, a) + kernel.noise * np.eye(len(values)))
    across = kernel(b, a)
    variance = np.diag(kernel(b, b)) - np.einsum("ij,jk,ik->i", across, inverse, across)
    return across @ inverse @ values, np.sqrt(np.maximum(variance, 1e-10))


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


def test_predictions_are_those_of_the_textbook(space: SearchSpace, table: CostTable) -> None:
    surrogate, rng = learned(space, table, 30), Random(8)
    asked = described(space, table, [space.sample(rng) for _ in range(50)])
    told = surrogate.predict(asked)
    mean, deviation = conditioned(surrogate.kernel, surrogate.networks, surrogate.value, asked)
    assert told.mean == pytest.approx(mean, abs=1e-5)
    assert np.sqrt(told.variance) == pytest.approx(deviation, abs=1e-4)


@pytest.mark.parametrize("window", [1, 2, 5])
def test_each_choice_is_what_a_process_told_of_those_before_would_choose(
    space: SearchSpace, table: CostTable, monkeypatch: pytest.MonkeyPatch, window: int
) -> None:
    """Brute force: condition a new process on the choices before, at their predicted values, and improve on these; whether
    they were made in the same window or in one before."""
    monkeypatch.setattr("evo.strategy.surrogate.DEVIATION_FACTORS", (1.0,))
    monkeypatch.setattr("evo.strategy.surrogate.WINDOW", window)
    surrogate, rng = learned(space, table, 30), Random(9)
    asked = described(space, table, [space.sample(rng) for _ in range(150)])
    most = float(table.bounds()[1, 0])
    chosen = choose_batch(surrogate, asked, 5, most)
    assert len(set(chosen)) == 5
    seen, values, costs = surrogate.networks, surrogate.value, surrogate.costs
    for n, choice in enumerate(chosen):
        mean, deviation = conditioned(surrogate.kernel, seen, values, asked)
        gain = expected_improvement(mean, deviation, asked.cost, values, costs, (float(surrogate.value.min()), most))
        gain[chosen[:n]] = -1.0
        assert gain[choice] == pytest.approx(gain.max(), rel=1e-3)
        one = asked[np.array([choice])]
        seen, values, costs = seen.joined(one), np.append(values, mean[choice]), np.append(costs, one.cost)


def test_what_is_in_flight_is_believed_as_a_process_told_of_it_would(
    space: SearchSpace, table: CostTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Brute force, with several in flight: a new process, conditioned on their predicted values."""
    monkeypatch.setattr("evo.strategy.surrogate.DEVIATION_FACTORS", (1.0,))
    surrogate, rng = learned(space, table, 30), Random(4)
    asked = described(space, table, [space.sample(rng) for _ in range(150)])
    most = float(table.bounds()[1, 0])
    favourites = choose_batch(surrogate, asked, 12, most)
    pending = asked[np.array(favourites)]
    believing = surrogate.believing(pending[slice(0, 5)]).believing(pending[slice(5, 12)])
    (chosen,) = choose_batch(believing, asked, 1, most)

    values = np.append(surrogate.value, surrogate.predict(pending).mean)
    mean, deviation = conditioned(surrogate.kernel, surrogate.networks.joined(pending), values, asked)
    assert mean == pytest.approx(surrogate.predict(asked).mean, abs=1e-4)
    costs, reference = np.append(surrogate.costs, pending.cost), (float(surrogate.value.min()), most)
    gain = expected_improvement(mean, deviation, asked.cost, values, costs, reference)
    assert gain[chosen] == pytest.approx(gain.max(), rel=1e-3)
    assert chosen not in favourites  # one would be, if nothing were believed


def test_the_unit_of_accuracy_does_not_matter() -> None:
    accuracy = np.random.default_rng(0).random(40)
    assert gaussian_values(100 * accuracy) == pytest.approx(gaussian_values(accuracy), abs=1e-6)


def test_threads_change_nothing(space: SearchSpace, table: CostTable) -> None:
    rng = Random(2)
    asked = described(space, table, [space.sample(rng) for _ in range(300)])
    chosen = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            chosen.append(choose_batch(learned(space, table, 60), asked, 12, 1e6))
    assert chosen[0] == chosen[1]


def test_a_generation_of_a_hundred_is_filled_from_a_few_more(space: SearchSpace, table: CostTable) -> None:
    rng = Random(1)
    asked = described(space, table, [space.sample(rng) for _ in range(150)])
    assert 100 * LEFT_PER_SLOT > 150
    chosen = choose_batch(learned(space, table, 60), asked, 100, 1e6)
    assert len(set(chosen)) == 100
    assert sorted(choose_batch(learned(space, table, 60), asked, 151, 1e6)) == list(range(150))
