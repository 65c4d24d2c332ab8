"""How many workers one coordinator keeps busy: the simulation against what can be worked out, and real sleepers."""

from __future__ import annotations

import pytest

from benchmarks.scale import main, measure_costs, measure_search, measure_throughput
from benchmarks.simulated import Costs, simulate, simulate_in_flight
from evo.round.in_flight import generations_in_flight

FREE = Costs(0.0, 0.0, 0.0)


def test_workers_that_cost_nothing_are_always_busy() -> None:
    alike = simulate(10, 60.0, 100, FREE, spread=(1.0, 1.0))
    assert alike.busy == pytest.approx(1.0)
    assert alike.rate == pytest.approx(10 / 60)


def test_the_slowest_of_a_generation_is_waited_for() -> None:
    assert simulate(100, 60.0, 100, FREE).busy == pytest.approx(1 / 1.5, abs=0.02)  # the largest of 100 from 0.5 to 1.5
    assert simulate(10, 60.0, 1000, FREE).busy > 0.98


def test_workers_without_a_trial_are_idle() -> None:
    assert simulate(100, 60.0, 10, FREE, spread=(1.0, 1.0)).busy == pytest.approx(0.1)


def test_the_coordinator_bounds_the_rate() -> None:
    handing = simulate(1000, 0.1, 1000, Costs(0.001, 0.002, 0.003), spread=(1.0, 1.0))
    assert handing.rate == pytest.approx(1 / 0.006, rel=0.01)
    proposing = simulate(1000, 1.0, 1000, Costs(0.009, 0.001, 0.0), spread=(1.0, 1.0))
    assert proposing.rate == pytest.approx(1000 / (10 + 1))


def test_one_generation_in_flight_is_a_barrier() -> None:
    """Two simulations that share no line but the drawing of times."""
    for workers, size, costs in ((100, 100, FREE), (7, 20, Costs(0.1, 0.2, 0.3))):
        barrier = simulate(workers, 60.0, size, costs)
        assert simulate_in_flight(workers, 60.0, size, 1, 20 * size, costs).busy == pytest.approx(
            barrier.busy, rel=0.02
        )


@pytest.mark.parametrize("size", [20, 50])
def test_without_a_barrier_workers_are_busy(size: int) -> None:
    """What idles is the start of the round, and its end; with all alike, what is worked out: all are begun at once, but the
    first."""
    in_flight = generations_in_flight(300, size)
    assert simulate_in_flight(300, 60.0, size, in_flight, 60_000, FREE).busy > 0.97
    assert simulate_in_flight(300, 60.0, size, in_flight // 2, 60_000, FREE).busy < 0.85
    assert simulate(300, 60.0, size, FREE).busy < 0.15
    alike = simulate_in_flight(20, 60.0, 20, 10, 2000, FREE, spread=(1.0, 1.0))
    assert alike.busy == pytest.approx(1.0)


def test_a_search_keeps_workers_that_sleep_busier_in_flight() -> None:
    assert measure_search(8, 0.2, 20, 2).rate > 0
    assert generations_in_flight(8, 20) == 1


def test_the_costs_of_a_trial_are_measured() -> None:
    costs = measure_costs(20, False, 0.0)
    assert 0 < costs.store < 0.1
    assert 0 < costs.propose < 0.1


def test_workers_that_sleep_are_kept_busy() -> None:
    throughput = measure_throughput(2, 0.01)
    assert 20 < throughput.rate <= 200
    assert 0 < throughput.cpu < 0.1


def test_a_number_that_cannot_be_is_answered(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--workers", "0"])
    assert "expected whole numbers from 1" in capsys.readouterr().err
