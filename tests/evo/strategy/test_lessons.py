"""What other runs have measured: used where it helps, by an independent count of what it says of networks that are left out."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest
from scipy.stats import norm, spearmanr

from evo.strategy.encoding import Encoding
from evo.strategy.generations import SearchTask, search_round
from evo.strategy.kernel import JITTER, Networks
from evo.strategy.lessons import CAUTIOUS, Lesson, Lessons, Verdict, weigh_sources
from evo.strategy.surrogate import Surrogate, fit_kernel, learn
from spaces.architecture import Architecture
from spaces.costs.table import CostTable
from spaces.space import SearchSpace, canonical_arch
from studies.config import LimitsSection, SearchSection
from studies.records import Evaluation, Proposal

WORTH = {
    "mb_k3_e1": 0.0,
    "mb_k5_e1": 1.0,
    "mb_k3_e3": -1.5,
    "mb_k5_e3": 2.0,
    "mb_k3_e6": 0.5,
    "mb_k5_e6": -0.5,
    "id": -1.0,
}


def truth(archs: list[Architecture], noise: int = 0) -> np.ndarray:
    """A score that costs tell nothing of: what operations are worth, more in later layers, with noise of a seed's own."""
    worth = [sum((i + 1) * WORTH[gene] for i, gene in enumerate(arch.genes)) for arch in archs]
    return np.array(
        [w / 100 + 0.5 + 0.02 * Random(f"{noise}{a}").gauss(0, 1) for w, a in zip(worth, archs, strict=True)]
    )


def sample(space: SearchSpace, n: int, seed: int) -> list[Architecture]:
    rng = Random(seed)
    return [space.sample(rng) for _ in range(n)]


def source(space: SearchSpace, change: str = "") -> Lesson:
    archs = sample(space, 80, seed=9)
    score = truth(archs, noise=1)
    if change == "shuffled":
        np.random.default_rng(0).shuffle(score)
    return Lesson(change or "related", tuple(archs), tuple((-score if change == "reversed" else score).tolist()))


def encoded(space: SearchSpace, table: CostTable, archs: list[Architecture]) -> Networks:
    x = Encoding(table, 0)([canonical_arch(arch, space) for arch in archs])
    return Networks(x, table.count(archs)[:, 0])


def plain_surrogate(space: SearchSpace, table: CostTable, n: int) -> Surrogate:
    archs = sample(space, n, seed=0)
    networks = encoded(space, table, archs)
    kernel = fit_kernel(Encoding(table, 0), networks, truth(archs))
    assert kernel is not None
    return learn(kernel, networks, truth(archs))


def learned(space: SearchSpace, table: CostTable, n: int, *lessons: Lesson):  # type: ignore[no-untyped-def]
    asked = Lessons(lessons, table, "macs")
    predicted = asked.predictions(sample(space, n, seed=0))
    taught, verdicts = weigh_sources(plain_surrogate(space, table, n), predicted, {one.source: 80 for one in lessons})
    new = sample(space, 200, seed=5)
    networks = replace(encoded(space, table, new), prior=taught.prior(asked.predictions(new)))
    return taught, verdicts, float(spearmanr(taught.surrogate.predict(networks).mean, truth(new)).statistic)


def covariance_of(surrogate: Surrogate) -> np.ndarray:
    columns = surrogate.kernel.columns(surrogate.networks)
    return surrogate.kernel(columns, columns) + (surrogate.kernel.noise + JITTER) * np.eye(len(surrogate.value))


def test_the_likelihood_is_that_of_leaving_one_out(space: SearchSpace, table: CostTable) -> None:
    surrogate, total = plain_surrogate(space, table, 20), 0.0
    covariance, value = covariance_of(surrogate), surrogate.value
    for i in range(20):
        rest = np.arange(20) != i
        weights = np.linalg.solve(covariance[np.ix_(rest, rest)], covariance[rest, i])
        deviation = np.sqrt(covariance[i, i] - weights @ covariance[rest, i])
        total += norm.logpdf(value[i], weights @ value[rest], deviation)
    assert surrogate.leave_one_out_likelihood() == pytest.approx(total, abs=1e-4)


def test_the_weight_is_the_most_probable_one(space: SearchSpace, table: CostTable) -> None:
    surrogate = plain_surrogate(space, table, 20)
    given = np.random.default_rng(3).normal(size=20)
    inverse = np.linalg.inv(covariance_of(surrogate))

    def log_posterior(weight: float) -> float:
        left = surrogate.value - weight * given
        return float(-(left @ inverse @ left) / 2 - weight**2 / 2)

    weights = np.linspace(-2, 2, 4001)
    best = weights[np.argmax([log_posterior(w) for w in weights])]
    assert surrogate.most_probable_weight(given) == pytest.approx(best, abs=1e-3)


def test_a_related_run_helps(space: SearchSpace, table: CostTable) -> None:
    _, _, alone = learned(space, table, 20)
    taught, verdicts, together = learned(space, table, 20, source(space))
    assert taught.weights["related"] == verdicts["related"].weight > 0.3
    assert verdicts["related"].gain > 2
    assert together > alone + 0.05


@pytest.mark.parametrize("change", ["shuffled", "reversed"])
def test_a_run_that_does_not_help_changes_nothing(space: SearchSpace, table: CostTable, change: str) -> None:
    alone, _, _ = learned(space, table, 20)
    taught, verdicts, _ = learned(space, table, 20, source(space, change))
    assert verdicts[change].weight == 0
    assert taught.weights == {}
    assert taught.prior({}) is None
    assert (taught.surrogate.leave_one_out() == alone.surrogate.leave_one_out()).all()
    assert verdicts["reversed"].ignored if change == "reversed" else True


def test_a_gain_below_the_margin_is_waited_with(
    space: SearchSpace, table: CostTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evo.strategy.lessons.MARGIN", 1000.0)
    taught, verdicts, _ = learned(space, table, 20, source(space))
    assert taught.weights == {}
    assert verdicts["related"].weight == 0
    assert verdicts["related"].gain > 2
    assert not verdicts["related"].ignored


def test_the_helpful_one_of_several_is_taken(space: SearchSpace, table: CostTable) -> None:
    taught, verdicts, _ = learned(space, table, 20, source(space, "reversed"), source(space))
    assert set(taught.weights) == {"related"}
    assert verdicts["reversed"].ignored
    assert not verdicts["related"].ignored


def test_with_few_measurements_all_are_trusted_a_little(space: SearchSpace, table: CostTable) -> None:
    _, verdicts, _ = learned(space, table, 6, source(space), source(space, "shuffled"))
    assert {(v.weight, v.gain, v.ignored) for v in verdicts.values()} == {(CAUTIOUS / 2, None, False)}


def test_a_prior_is_added_to_what_is_predicted_and_the_process_learns_the_rest(
    space: SearchSpace, table: CostTable
) -> None:
    surrogate = plain_surrogate(space, table, 20)
    prior = np.linspace(-1, 1, 20)
    moved = replace(surrogate, value=surrogate.value + prior).with_prior(prior)
    new = encoded(space, table, sample(space, 5, 3))
    added = np.arange(5.0)
    before, after = surrogate.predict(new), moved.predict(replace(new, prior=added))
    assert after.mean == pytest.approx(before.mean + added)
    assert (after.variance == before.variance).all()
    assert moved.leave_one_out() == pytest.approx(surrogate.leave_one_out() + prior)


def test_what_is_ignored_is_not_asked_again(space: SearchSpace, table: CostTable) -> None:
    asked = Lessons([source(space), source(space, "reversed")], table, "macs")
    asked.review({"reversed": Verdict("reversed", 80, 10, 0.0, -1.0, ignored=True)})
    asked.review({"related": Verdict("related", 80, 20, 0.5, 3.0, ignored=False)})
    assert set(asked.predictions(sample(space, 3, 0))) == {"related"}
    assert [(one["source"], one["own"], one["ignored"]) for one in asked.report()] == [
        ("related", 20, False), ("reversed", 10, True),
    ]  # fmt: skip


def test_networks_that_a_source_cannot_know_are_predicted_to_be_average(space: SearchSpace, table: CostTable) -> None:
    other = Architecture(("mb_k7_e6", *sample(space, 1, 0)[0].genes[1:]))
    predicted = Lessons([source(space)], table, "macs").predictions([other, *sample(space, 2, 0)])["related"]
    assert predicted[0] == 0
    assert (predicted[1:] != 0).all()


@pytest.mark.parametrize("in_flight", [1, 2])
def test_a_search_that_learns_goes_on_as_if_it_had_not_stopped(
    space: SearchSpace, table: CostTable, in_flight: int
) -> None:
    settings = SearchSection(population=6, evaluations=24, in_flight=in_flight)
    task = SearchTask(space, table, settings, LimitsSection(), seed=5)

    def measure(archs: list[Architecture]) -> list[Evaluation]:
        costs = table.count(archs)
        return [
            Evaluation(a, "j", s, c[0], c[1])
            for a, s, c in zip(archs, truth(archs).tolist(), costs.tolist(), strict=True)
        ]

    def run(done: list[Proposal] | None = None) -> tuple[list[Proposal], list[dict[str, object]]]:
        asked = Lessons([source(space), source(space, "reversed")], table, "macs")
        found, _ = search_round(replace(task, lessons=asked), measure, lambda _: None, done or ())  # type: ignore[arg-type]
        return found, asked.report()

    whole, verdicts = run()
    assert [one["ignored"] for one in verdicts] == [False, True]
    assert verdicts[1]["own"] < 24  # once ignored, it is not tried any more
    for last in {proposal.generation for proposal in whole[8:]}:
        again, same = run([proposal for proposal in whole if proposal.generation <= last])
        assert [p.arch for p in again] == [p.arch for p in whole]
        assert same == verdicts
    without, _ = search_round(task, measure, lambda _: None)  # type: ignore[arg-type]
    assert [p.arch for p in without] != [p.arch for p in whole]
