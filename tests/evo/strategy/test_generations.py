"""The search inside a round: generations, limits, budgets, survivors, and the same result however it was interrupted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from random import Random

import optuna
import pytest

from evo.seeds import derive_seed
from evo.strategy.design import candidate_choices, choices_of
from evo.strategy.generations import SearchTask, check_limits, search_round
from spaces.architecture import Architecture
from spaces.costs.table import CostTable, cost_table
from spaces.space import SearchSpace, canonical_arch
from studies.config import LimitsSection, SearchSection
from studies.records import Evaluation, EvoError, Proposal
from tests.evo.conftest import made_up

SETTINGS = SearchSection(population=10, evaluations=30)


@pytest.fixture(scope="module")
def task(space: SearchSpace, table: CostTable) -> SearchTask:
    return SearchTask(space, table, SETTINGS, LimitsSection(), seed=7)


def run(task: SearchTask, done: Sequence[Proposal] = (), stop_after: int | None = None) -> tuple[list[Proposal], bool]:
    recorded: list[Proposal] = list(done)

    def record(generation: Sequence[Proposal]) -> None:
        recorded.extend(generation)
        if stop_after is not None and len(recorded) >= stop_after:
            raise KeyboardInterrupt

    try:
        return search_round(task, lambda archs: made_up(task.table, archs), record, done)
    except KeyboardInterrupt:
        return recorded, False


@pytest.fixture(scope="module")
def finished(task: SearchTask) -> tuple[list[Proposal], bool]:
    """A search that nothing interrupted."""
    return run(task)


def test_the_budget_counts_distinct_networks(task: SearchTask, finished: tuple[list[Proposal], bool]) -> None:
    proposals, exhausted = finished
    assert not exhausted
    assert len(proposals) == 30
    assert [p.number for p in proposals] == list(range(30))
    assert len({canonical_arch(p.arch, task.space) for p in proposals}) == 30
    assert [p.generation for p in proposals] == [0] * 10 + [1] * 10 + [2] * 10


def test_the_first_generation_is_spread_over_cost(task: SearchTask, finished: tuple[list[Proposal], bool]) -> None:
    proposals, _ = finished
    macs = [p.evaluation.macs for p in proposals[:10]]
    least, most = task.table.bounds()[:, 0]
    strata = {int(5 * (m - least) / (most - least + 1)) for m in macs}
    assert strata == set(range(5))


def test_the_first_networks_cover_all_operations_also_where_a_generation_is_too_small(task: SearchTask) -> None:
    small = replace(task, settings=SearchSection(population=4, evaluations=16))
    first = [p for p in run(small)[0] if p.origin in ("uniform", "stratified")]
    assert [p.generation for p in first] == [0] * 4 + [1] * 4
    assert {choice for p in first for choice in choices_of(p.arch)} == set(candidate_choices(task.space))
    again = replace(small, measured=candidate_choices(task.space))  # earlier rounds have done so
    assert [p.origin for p in run(again)[0]].count("stratified") == 4


def test_networks_with_one_operation_everywhere_come_first_where_nothing_is_known(
    task: SearchTask, finished: tuple[list[Proposal], bool]
) -> None:
    proposals, _ = finished
    ops = [op for op in task.space.layers[0].candidates if op != "id"]
    uniform = [p.arch.genes for p in proposals if p.origin == "uniform"]
    assert uniform == [(op,) * len(task.space.layers) for op in ops]
    assert {p.origin for p in proposals[: len(ops)]} == {"uniform"}
    cheap = replace(task, limits=LimitsSection(macs=(0, 1e5)))
    assert all(p.evaluation.macs <= 1e5 for p in run(cheap)[0])
    later = replace(task, survivors=[proposals[-1].arch])
    assert "uniform" not in {p.origin for p in run(later)[0]}


def test_the_seed_decides_and_nothing_else(task: SearchTask, finished: tuple[list[Proposal], bool]) -> None:
    assert run(task) == finished
    assert run(replace(task, seed=8)) != finished


@pytest.mark.parametrize("stop_after", [10, 20])
def test_an_interrupted_search_ends_like_an_uninterrupted_one(
    task: SearchTask, finished: tuple[list[Proposal], bool], stop_after: int
) -> None:
    done, _ = run(task, stop_after=stop_after)
    assert len(done) == stop_after
    assert run(task, done) == finished


def test_nothing_outside_the_limits_is_ever_measured(task: SearchTask) -> None:
    limits = LimitsSection(macs=(1e5, 2e5), params=(0, 1.5e4))
    proposals, _ = run(replace(task, limits=limits))
    assert len(proposals) == 30
    assert all(1e5 <= p.evaluation.macs <= 2e5 and p.evaluation.params <= 1.5e4 for p in proposals)


def test_what_failed_is_spent_never_proposed_again_and_no_parent(task: SearchTask) -> None:
    """All but one of the first two generations fail: one parent alone cannot breed, and the search draws at random."""
    measured: list[Evaluation] = []

    def measure(archs: Sequence[Architecture]) -> list[Evaluation]:
        found = made_up(task.table, archs)
        if len(measured) < 20:
            keep = 1 if measured else 0
            found = found[:keep] + [replace(e, accuracy=math.nan, failed="no") for e in found[keep:]]
        measured.extend(found)
        return found

    task = replace(task, settings=SearchSection(population=10, evaluations=40))
    proposals, _ = search_round(task, measure, lambda generation: None)
    assert len(proposals) == 40
    assert len({canonical_arch(p.arch, task.space) for p in proposals}) == 40
    assert [p.evaluation.state for p in proposals] == ["failed"] * 10 + ["complete"] + ["failed"] * 9 + [
        "complete"
    ] * 20
    assert [p.origin for p in proposals[10:]] == ["random"] * 20 + [p.origin for p in proposals[30:]]
    assert proposals[-1].origin in ("child", "screened")
    assert search_round(task, measure, lambda generation: None, proposals[:20])[0] == proposals


def test_limits_that_no_architecture_meets_are_told_beforehand(task: SearchTask) -> None:
    with pytest.raises(EvoError, match=r"limits.macs is \[1, 2\], but the architectures of 'digits' have"):
        check_limits(task.space, task.table, LimitsSection(macs=(1, 2)))


def test_survivors_are_parents(task: SearchTask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Enqueued trials would not be: NSGA-II only breeds from trials that carry a generation (Optuna 5.0)."""
    rng = Random(0)
    survivors = [task.space.sample(rng) for _ in range(10)]
    parents: list[list[str]] = []
    original = optuna.samplers.NSGAIISampler.select_parent

    def spy(
        self: optuna.samplers.NSGAIISampler, study: optuna.Study, generation: int
    ) -> list[optuna.trial.FrozenTrial]:
        selected = original(self, study, generation)
        parents.append(["|".join(trial.params[name] for name in task.space.names) for trial in selected])
        return selected

    monkeypatch.setattr(optuna.samplers.NSGAIISampler, "select_parent", spy)
    proposals, _ = run(replace(task, survivors=survivors, measured=candidate_choices(task.space)))
    assert [p.arch for p in proposals[:10]] == survivors
    assert {p.origin for p in proposals[:10]} == {"survivor"}
    assert set(parents[0]) == {str(arch) for arch in survivors}


def test_an_enqueued_trial_carries_no_generation() -> None:
    """The fact of Optuna 5.0 that made ``studies.database.trials`` write the attribute itself: NSGA-II does not see
    such a trial."""
    study = optuna.create_study(sampler=optuna.samplers.NSGAIISampler(population_size=2), directions=["maximize"] * 2)
    study.enqueue_trial({"x": "a"})
    trial = study.ask()
    trial.suggest_categorical("x", ["a"])
    study.tell(trial, [1, 1])
    assert "NSGAIISampler:generation" not in study.trials[0].system_attrs


def test_what_is_known_is_not_measured_again(task: SearchTask, finished: tuple[list[Proposal], bool]) -> None:
    first, _ = finished
    known = {canonical_arch(p.arch, task.space): p.evaluation for p in first}
    survivors = [p.arch for p in first[:5]]
    again, _ = run(replace(task, seed=9, known=known, survivors=survivors))
    assert [p.is_new for p in again[:5]] == [False] * 5
    assert sum(p.is_new for p in again) == 30
    assert not {canonical_arch(p.arch, task.space) for p in again if p.is_new} & known.keys()


def small(space: SearchSpace) -> SearchSpace:
    """One operation everywhere but in the last two layers: 1 x 6 x 7 networks."""
    fixed = [replace(layer, candidates=layer.candidates[:1]) for layer in space.layers[:-2]]
    return space.replace_layers([*fixed, *space.layers[-2:]])


def test_an_exhausted_space_ends_the_round_early(task: SearchTask) -> None:
    tiny = small(task.space)
    exhaustive = replace(
        task, space=tiny, table=cost_table(tiny), settings=SearchSection(population=8, evaluations=100)
    )
    proposals, exhausted = run(exhaustive)
    assert exhausted
    assert len(proposals) == tiny.size == 42


@pytest.mark.parametrize("trials", [1, 5])
def test_a_budget_below_the_population_is_kept(task: SearchTask, trials: int) -> None:
    proposals, exhausted = run(replace(task, settings=SearchSection(population=8, evaluations=trials)))
    assert (len(proposals), exhausted) == (trials, False)


def test_a_budget_in_seconds_ends_the_round_after_the_generation_it_runs_out_in(task: SearchTask) -> None:
    proposals, exhausted = run(
        replace(task, settings=SearchSection(population=8, evaluations=1000, time_limit_seconds=1e-6))
    )
    assert (len(proposals), exhausted) == (8, False)


def test_a_space_of_one_network_is_exhausted_at_once(task: SearchTask) -> None:
    one = task.space.replace_layers(replace(layer, candidates=layer.candidates[:1]) for layer in task.space.layers)
    proposals, exhausted = run(replace(task, space=one, table=cost_table(one)))
    assert (len(proposals), exhausted) == (1, True)


def test_a_search_finds_better_fronts_than_chance(task: SearchTask) -> None:
    """The made-up accuracy has a known best: the most expensive network with 5 x 5 kernels everywhere."""
    wide = replace(task, settings=SearchSection(population=10, evaluations=80))
    proposals, _ = run(wide)
    rng = Random(3)
    chance = made_up(task.table, [task.space.sample(rng) for _ in range(80)])
    assert max(p.evaluation.accuracy for p in proposals) > max(e.accuracy for e in chance)


def test_seeds_of_different_places_differ() -> None:
    assert len({derive_seed(0, "search", n, g) for n in range(20) for g in range(20)}) == 400
    assert derive_seed(1, "a") == derive_seed(1, "a")


def test_survivors_do_not_push_guard_samples_off_the_end_of_the_budget(task: SearchTask) -> None:
    rng = Random(3)
    archs = [task.space.sample(rng) for _ in range(40)]
    guards, survivors, drawn = archs[:3], archs[3:38], archs[38:]
    both = [*((arch, "drawn") for arch in drawn), *((arch, "guard") for arch in guards)]
    proposals, _ = run(replace(task, survivors=survivors, drawn=both))
    assert len(proposals) == 30
    assert [p.arch for p in proposals if p.origin == "guard"] == guards


def test_what_another_version_proposed_is_gone_on_from(task: SearchTask, finished: tuple[list[Proposal], bool]) -> None:
    """The opening is the same in all versions, what is bred is not: here it was drawn by chance."""
    rng, first = Random(1), finished[0][:10]
    seen = {canonical_arch(p.arch, task.space) for p in first}
    others: list[Architecture] = []
    while len(others) < 10:
        arch = task.space.sample(rng)
        if canonical_arch(arch, task.space) not in seen:
            seen.add(canonical_arch(arch, task.space))
            others.append(arch)
    done = first + [Proposal(10 + i, 1, "screened", e) for i, e in enumerate(made_up(task.table, others))]
    proposals, _ = run(task, done)
    assert proposals[:20] == done
    assert len({canonical_arch(p.arch, task.space) for p in proposals}) == len(proposals) == 30
    assert [p.arch for p in proposals[20:]] != [p.arch for p in finished[0][20:]]
