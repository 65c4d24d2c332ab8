"""What other runs have measured: used where it helps, by an independent count of what it says of networks that are left out."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest
from scipy.stats import norm, spearmanr
from sklearn.gaussian_process import GaussianProcessRegressor

from evo.strategy.encoding import Encoding
from evo.strategy.generations import SearchTask, search_round
from evo.strategy.lessons import CAUTIOUS, Lesson, Lessons, Verdict, fit_taught
from evo.strategy.surrogate import fit_surrogate, leave_one_out_likelihood, most_probable_weight
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


def learned(space: SearchSpace, table: CostTable, n: int, *lessons: Lesson):  # type: ignore[no-untyped-def]
    archs = sample(space, n, seed=0)
    encode, asked = Encoding(table, 0), Lessons(lessons, table, "macs")
    x = encode([canonical_arch(arch, space) for arch in archs])
    predicted = asked.predictions(archs)
    cost = table.count(archs)[:, 0]
    taught, verdicts = fit_taught(x, encode.groups, truth(archs), cost, predicted, {one.source: 80 for one in lessons})
    assert taught is not None
    new = sample(space, 200, seed=5)
    mean = taught.surrogate.predict(encode([canonical_arch(a, space) for a in new])) + taught.prior(
        asked.predictions(new)
    )
    return taught, verdicts, float(spearmanr(mean, truth(new)).statistic)


def test_the_likelihood_is_that_of_leaving_one_out(space: SearchSpace, table: CostTable) -> None:
    process = learned(space, table, 20)[0].surrogate.process
    total = 0.0
    for i in range(20):
        rest = np.arange(20) != i
        without = GaussianProcessRegressor(process.kernel_, optimizer=None)
        without.fit(process.X_train_[rest], process.y_train_[rest])
        mean, deviation = without.predict(process.X_train_[i : i + 1], return_std=True)
        total += norm.logpdf(process.y_train_[i], mean[0], deviation[0])
    assert leave_one_out_likelihood(process) == pytest.approx(total, abs=1e-4)


def test_the_weight_is_the_most_probable_one(space: SearchSpace, table: CostTable) -> None:
    process = learned(space, table, 20)[0].surrogate.process
    given = np.random.default_rng(3).normal(size=20)
    covariance = process.kernel_(process.X_train_) + process.alpha * np.eye(20)
    inverse = np.linalg.inv(covariance)

    def log_posterior(weight: float) -> float:
        left = process.y_train_ - weight * given
        return float(-(left @ inverse @ left) / 2 - weight**2 / 2)

    weights = np.linspace(-2, 2, 4001)
    best = weights[np.argmax([log_posterior(w) for w in weights])]
    assert most_probable_weight(process, given) == pytest.approx(best, abs=1e-3)


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
    assert taught.prior({}) == 0.0
    assert (taught.surrogate.process.alpha_ == alone.surrogate.process.alpha_).all()
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


def test_without_sources_the_surrogate_is_what_it_is(space: SearchSpace, table: CostTable) -> None:
    archs, encode = sample(space, 20, 0), Encoding(table, 0)
    x, cost = encode([canonical_arch(arch, space) for arch in archs]), table.count(archs)[:, 0]
    plain = fit_surrogate(x, encode.groups, truth(archs), cost)
    taught = learned(space, table, 20)[0]
    assert plain is not None
    assert (plain.process.alpha_ == taught.surrogate.process.alpha_).all()
    assert taught.weights == {}


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
