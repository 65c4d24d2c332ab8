"""Generated search problems: their true fronts against brute force, and what a search may ask of them."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from random import Random

import numpy as np
import pytest

from benchmarks.baselines import trace
from benchmarks.generated_search import main
from benchmarks.problems.cells import halves, rugged
from benchmarks.problems.chains import NEVER, drawn_chain, front_of, saturating, topology
from benchmarks.problems.generated import opaque_layers
from benchmarks.problems.kinds import KINDS
from spaces.architecture import Architecture
from spaces.space import canonical_arch

COSTS = [{"a": 1, "b": 3}, {"a": 2, "b": 5, "id": 0}, {"a": 1, "b": 4, "id": 0}, {"a": 2, "b": 3, "id": 0}]


def test_the_best_of_every_cost_is_that_of_all_canonical_forms() -> None:
    """Identities stand last among the layers of a run."""
    useful = np.array([True, True, False, True])
    chain = drawn_chain(np.random.default_rng(0), COSTS, saturating(COSTS, 0.1), useful, runs=[(1, 4)])
    expected: dict[int, float] = {}
    for genes in product(*COSTS):
        run = list(genes[1:])
        if run == [gene for gene in run if gene != "id"] + ["id"] * run.count("id"):
            cost = sum(here[gene] for here, gene in zip(COSTS, genes, strict=True))
            expected[cost] = max(expected.get(cost, NEVER), chain.worth(genes))
    costs, best = front_of([chain])
    assert dict(zip(costs.astype(int).tolist(), best.tolist(), strict=True)) == pytest.approx(expected)


def test_a_topology_changes_what_the_others_mean() -> None:
    posed, rng = topology(0), Random(0)
    archs = [posed.space.sample(rng) for _ in range(200)]
    others = [Architecture(("topology_b", *arch.genes[1:])) for arch in archs]
    first = [Architecture(("topology_a", *arch.genes[1:])) for arch in archs]
    alike = np.corrcoef([posed.truth(arch) for arch in first], [posed.truth(arch) for arch in others])[0, 1]
    assert alike < 0.8
    assert posed.costs.count(first).tolist() == posed.costs.count(others).tolist()


def test_halves_may_change_places() -> None:
    posed, rng = halves(1), Random(0)
    for arch in (posed.space.sample(rng) for _ in range(20)):
        other = Architecture((*arch.genes[3:], *arch.genes[:3]))
        assert posed.truth(arch) == pytest.approx(posed.truth(other))
    assert max(posed.truth(arch) for arch in _all(posed.space.genes)) == pytest.approx(posed.front[1].max())


def test_a_rugged_problem_has_its_best_among_what_is_listed() -> None:
    posed = rugged(0, genes=4, operations=3, together=3)
    truths = {arch: posed.truth(arch) for arch in _all(posed.space.genes)}
    assert max(truths.values()) == posed.front[1].max()
    assert len(set(truths.values())) == 81


def _all(genes: tuple[tuple[str, ...], ...]) -> list[Architecture]:
    return [Architecture(one) for one in product(*genes)]


@pytest.mark.parametrize("kind", KINDS)
def test_no_network_is_above_the_front_and_answers_are_the_same_twice(kind: str) -> None:
    posed, rng = KINDS[kind](5), Random(1)
    costs, best = posed.front
    for arch in (posed.space.sample(rng) for _ in range(30)):
        if posed.measurable is None or arch in posed.measurable:
            accuracy, cost = posed.answer(arch)
            assert posed.truth(canonical_arch(arch, posed.space)) <= best[costs <= cost + 1e-6].max() + 1e-9
            assert (accuracy, cost) == posed.answer(arch)
    assert 0 < posed.floor < best.max() <= 1
    assert posed.answer(arch) != KINDS[kind](6).answer(arch)


@pytest.mark.parametrize("arm", ["random", "local", "local-spread", "ours", "ours-screened"])
def test_what_is_missing_is_never_asked_for(arm: str) -> None:
    posed = KINDS["missing"](2)
    assert posed.measurable is not None
    assert 0.45 < len(posed.measurable) / posed.space.size < 0.55
    answers = trace(posed, arm, seed=0, budget=40)
    assert len(answers.results) == 40
    assert set(answers.results) <= posed.measurable


def test_a_space_of_names_has_no_identity() -> None:
    space = opaque_layers("made", [("a", "b")] * 3)
    assert not space.interchangeable


def test_a_comparison_says_by_how_much_ours_is_ahead(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--kinds", "missing", "--seeds", "2", "--budget", "25"]
    written = tmp_path / "before.csv"
    assert main([*options, "--arms", "ours-screened", "--out", str(written)]) == 0
    assert main([*options, "--arms", "random,ours-screened", "--against", str(written)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert any(line.startswith("| before ") and "+0.00 ± 0.00" in line for line in printed)
    assert any(line.startswith("| random ") for line in printed)


@pytest.mark.parametrize(
    ("wrong", "answer"), [(["--kinds", "flat"], "unknown kind 'flat'"), (["--arms", "x"], "unknown arm 'x'")]
)
def test_what_is_wrong_is_said(wrong: list[str], answer: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*wrong, "--seeds", "1"]) == 1
    assert answer in capsys.readouterr().err
