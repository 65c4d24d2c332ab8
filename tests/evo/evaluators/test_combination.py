"""Combining blocks is exact: what listing every combination finds, to the last tie."""

from __future__ import annotations

import time
from itertools import product
from random import Random

import numpy as np
import pytest

from evo.evaluators.blockwise.combination import BlockCandidates, Combination, best_combination, combination_front
from evo.evaluators.blockwise.limits import _Problem
from spaces.architecture import Architecture
from spaces.costs.table import COLUMNS, cost_table
from spaces.library.named_spaces import load_space


def listed(blocks: list[BlockCandidates]) -> list[Combination]:
    """Every combination there is."""
    found = []
    for choice in product(*(range(len(block.losses)) for block in blocks)):
        loss = cost = 0.0
        for block, i in zip(blocks, choice, strict=True):
            loss, cost = loss + float(block.losses[i]), cost + float(block.costs[i])
        found.append(Combination(choice, loss, cost))
    return found


def cheapest_loss(blocks: list[BlockCandidates], budget: float) -> Combination | None:
    affordable = [combination for combination in listed(blocks) if combination.cost < budget]
    return min(affordable, key=lambda c: (c.loss, c.cost, c.choice)) if affordable else None


def stairs(blocks: list[BlockCandidates]) -> list[Combination]:
    found: list[Combination] = []
    for combination in sorted(listed(blocks), key=lambda c: (c.cost, c.loss, c.choice)):
        if not found or combination.loss < found[-1].loss:
            found.append(combination)
    return found


def instance(rng: Random, kind: str) -> list[BlockCandidates]:
    """Up to five blocks of up to six candidates: anything, dear ones that lose less, or integers full of ties."""
    blocks = []
    for _ in range(rng.randint(1, 5)):
        n = rng.randint(1, 6)
        if kind == "ties":
            blocks.append(
                BlockCandidates.of([rng.randrange(4) for _ in range(n)], [rng.randrange(4) for _ in range(n)])
            )
        else:
            losses, costs = [rng.random() for _ in range(n)], [rng.random() for _ in range(n)]
            if kind == "opposed":
                losses, costs = sorted(losses), sorted(costs, reverse=True)
            blocks.append(BlockCandidates.of(losses, costs))
    return blocks


@pytest.mark.parametrize("kind", ["any", "opposed", "ties"])
def test_it_equals_brute_force_on_hundreds_of_instances(kind: str) -> None:
    rng = Random(kind)
    for _ in range(170):
        blocks = instance(rng, kind)
        dearest = sum(float(block.costs.max()) for block in blocks)
        budget = rng.randint(0, round(dearest) + 1) if kind == "ties" else rng.uniform(0, 1.05 * dearest)
        assert best_combination(blocks, budget) == cheapest_loss(blocks, budget)
        assert combination_front(blocks) == stairs(blocks)


def test_of_equal_combinations_the_cheaper_counts_and_then_the_first() -> None:
    alike = BlockCandidates.of([1, 1, 1], [3, 2, 2])
    assert best_combination([alike, alike], 100) == Combination((1, 1), 2.0, 4.0)
    assert combination_front([alike, alike]) == [Combination((1, 1), 2.0, 4.0)]


def test_the_budget_itself_is_not_below_the_budget() -> None:
    block = BlockCandidates.of([2, 1], [1, 5])
    assert best_combination([block], 5) == Combination((0,), 2.0, 1.0)
    assert best_combination([block], 5.1) == Combination((1,), 1.0, 5.0)
    assert best_combination([block], 1) is None


@pytest.mark.parametrize("shape", ["dna", "opposed"])
def test_six_blocks_of_1296_candidates_take_seconds(shape: str) -> None:
    """With the costs of DNA's own blocks and losses that fall with them; and where no candidate is beaten by another."""
    rng = np.random.default_rng(0)
    if shape == "dna":
        layers = cost_table(load_space("dna")).layers[7:11]
        column = COLUMNS.index("macs")
        block = [[layer.cost_of(gene)[column] for gene in layer.genes] for layer in layers]
        costs = [np.array([sum(row) for row in product(*block)]) for _ in range(6)]
        losses = [0.3 + 0.2 * cost.min() / cost + 0.01 * rng.standard_normal(len(cost)) for cost in costs]
    else:
        costs = [np.sort(rng.random(1296)) for _ in range(6)]
        losses = [-np.sort(rng.random(1296)) for _ in range(6)]
    blocks = [BlockCandidates.of(loss, cost) for loss, cost in zip(losses, costs, strict=True)]
    budget = 0.5 * (sum(cost.min() for cost in costs) + sum(cost.max() for cost in costs))
    started = time.process_time()
    found = best_combination(blocks, budget)
    assert found is not None
    assert found.cost < budget
    if shape == "dna":
        inside = [combination for combination in combination_front(blocks) if combination.cost < budget]
        assert inside[-1] == found
    assert time.process_time() - started < 10
    assert len(blocks[0].losses) == 1296


@pytest.mark.parametrize("most_losses", [4, 1000])
def test_two_limits_at_once_equal_brute_force(most_losses: int) -> None:
    """Up to four blocks of up to five candidates, with many ties or few; both limits bind in most of them."""
    rng, by_both = Random(most_losses), 0
    for _ in range(300):
        sizes = [rng.randint(1, 5) for _ in range(rng.randint(1, 4))]
        losses = [np.array([float(rng.randrange(most_losses)) for _ in range(n)]) for n in sizes]
        costs = [np.array([[float(rng.randrange(8)) for _ in range(2)] for _ in range(n)]) for n in sizes]
        most = np.array([rng.uniform(0.3, 0.8) * sum(cost[:, j].max() for cost in costs) for j in (0, 1)]).round()
        problem = _Problem(tuple(losses), tuple(costs), most)
        every = [choice for choice in product(*map(range, sizes)) if problem.is_within(choice)]
        found = problem.best()
        assert (found is None) == (not every)
        if found is not None:
            assert found in every
            assert problem.loss_of(found) == min(map(problem.loss_of, every))
            by_both += problem._best_by_all() is not None
            assert problem.loss_of(problem._best_by_all() or ()) == problem.loss_of(found)
    assert by_both > 100


def test_what_cannot_be_combined_is_told() -> None:
    with pytest.raises(ValueError, match="one loss and one cost per candidate, found shapes"):
        BlockCandidates.of([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="finite"):
        BlockCandidates.of([float("nan")], [1.0])


def test_a_combination_spells_an_architecture() -> None:
    space = load_space("dna")
    assert [stop - start for start, stop in space.blocks] == [3, 4, 4, 4, 4, 1]
    parts = [next(iter(product(*(layer.genes for layer in space.layers[a:b])))) for a, b in space.blocks]
    assert Architecture(tuple(gene for part in parts for gene in part)) in space
