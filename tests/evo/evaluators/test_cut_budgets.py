"""A budget is answered by the exact combination of what cuts lose, not by what happened to be measured below it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
import torch

from evo.alone.selection import Criteria, select_finalists, select_network
from evo.data.loading import load_dataset
from evo.evaluators.cuts.judge import images_to_look_at
from evo.round.algorithm import run_round
from evo.round.context import RunContext, run_context
from evo.round.new_run import begin_run
from evo.workers.executors import map_inline
from spaces.architecture import Architecture
from spaces.costs.table import count_costs
from spaces.pretrained.cut_space import whole_network
from studies.database.store import open_store
from tests.evo.evaluators.cut_examples import judge_of, network_folder, settings

network = pytest.fixture(scope="module")(network_folder)


@pytest.fixture(scope="module")
def searched(network: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunContext]:
    """One finished round of few measurements; the network is large enough for its parameters to matter."""
    folder = tmp_path_factory.mktemp("budgets")
    config = settings(network, evaluator={"loss": "divergence", "resolutions": [0.5]}, search={"evaluations": 6})
    with open_store(f"sqlite:///{folder}/evo.db") as store:
        shared = run_context(begin_run(store, "cuts", config), store, folder / "files", map_inline)
        run_round(shared, 1)
        yield shared


def costs_and_losses(searched: RunContext) -> list[tuple[int, int, float, Architecture]]:
    """Every network of the space: MACs, parameters, what its genes lose in sum."""
    space, losses = searched.run.space, judge_of(searched).losses
    archs = [Architecture(genes) for genes in product(*(layer.candidates for layer in space.layers))]
    costs = [count_costs(space, arch) for arch in archs]
    summed = [sum(max(0.0, losses[choice]) for choice in enumerate(arch.genes)) for arch in archs]
    return [(cost.macs, cost.params, lost, arch) for cost, lost, arch in zip(costs, summed, archs, strict=True)]


@pytest.mark.parametrize("share", [0.9, 0.7, 0.5, 0.3])
def test_the_pick_is_the_best_of_all_networks_within_the_budget(searched: RunContext, share: float) -> None:
    every = costs_and_losses(searched)
    budget = share * max(macs for macs, *_ in every)
    selected = select_network(searched.store, searched.run, Criteria({"macs": budget}))
    found = selected.arch
    best = min((lost, macs) for macs, _, lost, _ in every if macs <= budget)
    assert [(lost, macs) for macs, _, lost, arch in every if arch == found] == [(pytest.approx(best[0]), best[1])]
    assert selected.summed_loss == pytest.approx(best[0])


def test_all_limits_are_kept(searched: RunContext) -> None:
    every = costs_and_losses(searched)
    macs, params = (0.8 * max(row[column] for row in every) for column in (0, 1))
    found = select_network(searched.store, searched.run, Criteria({"macs": macs, "params": params})).arch
    ((its_macs, its_params, *_),) = [row for row in every if row[3] == found]
    assert its_macs <= macs
    assert its_params <= params


def test_parameters_are_a_budget_too(searched: RunContext) -> None:
    """Whatever was measured: also below the least of it."""
    every = costs_and_losses(searched)
    least, most = (side(params for _, params, *_ in every) for side in (min, max))
    for budget in (least, least + 0.05 * (most - least), 0.5 * most):
        selected = select_network(searched.store, searched.run, Criteria({"params": budget}))
        assert selected.summed_loss == pytest.approx(min(lost for _, params, lost, _ in every if params <= budget))


def test_finalists_are_joined_by_what_was_measured(searched: RunContext) -> None:
    first, *others = select_finalists(searched.store, searched.run, Criteria({"macs": 1e9}, finalists=3))
    assert first.arch == whole_network(searched.run.space)  # it loses nothing
    assert others[0].evaluation is not None


def test_without_a_budget_it_is_the_best_that_was_measured(searched: RunContext) -> None:
    assert select_network(searched.store, searched.run, Criteria({})).evaluation is not None


@pytest.mark.parametrize(
    ("number", "imitates", "expected"), [(None, True, 120), (50, False, 50), (200, False, 120), (200, True, 200)]
)
def test_training_images_help_out_where_labels_do_not_count(
    network: Path, number: int | None, imitates: bool, expected: int
) -> None:
    images = load_dataset(settings(network).data, "cpu")  # 280 training images, 120 validation images
    ((x, y),) = images_to_look_at(images, number, imitates).batches(1000)
    assert len(x) == len(y) == expected
    assert len(torch.unique(x.flatten(1), dim=0)) == expected
    assert all((images.validation.x == image).flatten(1).all(1).any() for image in x[:120])
