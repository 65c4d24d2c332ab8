"""How many workers one coordinator keeps busy: the simulation against what can be worked out, and real sleepers."""

from __future__ import annotations

import pytest

from benchmarks.scale import Costs, main, measure_costs, measure_throughput, simulate

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
