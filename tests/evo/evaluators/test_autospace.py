"""AutoSpace-style breeding: who competes, what the weights of the sum learn, and that a good cell wins."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from dataclasses import asdict, replace
from pathlib import Path
from random import Random
from statistics import variance

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from analysis.figures.lineage import figures
from analysis.frames import load as load_frames
from analysis.sentences import describe_cells, describe_last_cells
from evo.data.loading import load_dataset
from evo.data.source import ImageSet
from evo.evaluators import FitContext
from evo.evaluators.autospace.breeding import breed_populations, read_populations
from evo.evaluators.autospace.fitness import Breeding
from evo.evaluators.autospace.measuring import Measurement, measure_cells
from evo.evaluators.autospace.population import (
    Population,
    next_iteration,
    tournament,
    with_last_fitness,
    with_measured_fitness,
)
from evo.evaluators.autospace.stability import Stability, stability
from evo.methods.autospace import StartPopulations
from evo.methods.registry import evolution_of
from evo.round.__main__ import main
from evo.seeds import derive_seed
from evo.training.loop import Schedule, train
from spaces.costs.table import cost_table
from spaces.layer import Head, Layer, Shape, Stem
from spaces.library.named_spaces import load_space
from spaces.networks.cell_supernet import CellSupernet
from spaces.operations.cells import Alphabet, covering_cells, parse_cell
from spaces.space import SearchSpace
from studies.config import CellsSection, DataSection, StudyConfig, check_config
from studies.database.lineage import bred_cells
from studies.database.store import open_store
from studies.records import BredCell, EvoError, Fitness, Round
from tests.evo.conftest import interrupted_at

pytestmark = pytest.mark.usefixtures("unpublished")


IMAGES = load_dataset(DataSection(name="digits", max_images=240))
ALPHABET = Alphabet(nodes=3, codes="i3", expansions=(1, 2))
SMALL = {"nodes": 3, "edge_ops": "i3", "expansions": (1, 2), "batch_size": 32, "steps": 3}
NOBODY: frozenset[str] = frozenset()


def settings(**given: object) -> CellsSection:
    return CellsSection(**{**SMALL, **given})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return StartPopulations(ALPHABET, k=2, size=6, references=1)(load_space("digits"), Random(0))


def breeding(space: SearchSpace, **given: object) -> Breeding:
    return Breeding(space, cost_table(space), IMAGES.validation, settings(**given), cost="macs", n=1, seed=3)


def supernet_of(space: SearchSpace) -> CellSupernet:
    torch.manual_seed(0)
    return CellSupernet(space, covering_cells(ALPHABET))


def with_ones(model: CellSupernet) -> CellSupernet:
    """No cell is silent, as it is before the first step where the input is added."""
    for part in model.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            torch.nn.init.ones_(part.weight)
    return model


# -- populations ------------------------------------------------------------------------------------------------------


def population(fitness: dict[str, float], measured_before: bool = True) -> Population:
    history = (Fitness(1, 1, 0.0),) if measured_before else ()
    return Population(fitness, {op: BredCell(0, op, "random", (), 1, 0, history) for op in fitness})


def found(population: Population, values: list[float]) -> dict[str, Measurement]:
    """What was measured of the active cells."""
    return {op: Measurement(value, None) for op, value in zip(population.active, values, strict=True)}


FIVE = {f"cell:e{e}_3": float(e) for e in (1, 2, 3, 4, 5)}


def test_a_tournament_is_won_by_the_fittest_of_those_drawn() -> None:
    rng = Random(0)
    assert all(tournament(FIVE, 5, rng) == "cell:e5_3" for _ in range(20))
    wins = [tournament(FIVE, 2, rng) for _ in range(2000)]
    shares = [wins.count(f"cell:e{e}_3") / 2000 for e in (1, 2, 3, 4, 5)]
    assert shares == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4], abs=0.03)  # (e - 1) of the 10 pairs


def test_all_are_measured_before_any_is_bred() -> None:
    rng, now, seen = Random(0), population(FIVE, measured_before=False), set()
    for iteration in (1, 2):
        now = next_iteration(now, settings(parallel_cells=3), (0, 1, iteration), rng, NOBODY)
        assert len(set(now.active)) == 3
        assert len(now.bred_cells) == 5
        seen |= set(now.active)
        now = with_measured_fitness(now, found(now, [0.0] * 3), 0.5, (1, iteration), size=5)
    assert seen == set(FIVE)
    now = next_iteration(now, settings(parallel_cells=4, children=0.5), (0, 1, 3), rng, NOBODY)
    assert len(now.bred_cells) == 7


def test_children_are_new_know_their_parents_and_replace_the_weakest() -> None:
    taken = frozenset({"cell:e2_3_-3"})
    now = next_iteration(population(FIVE), settings(tournament=5), (4, 2, 7), Random(1), taken)
    assert now.active[:2] == ("cell:e5_3", "cell:e4_3")
    for child in now.active[2:]:
        life = now.bred_cells[child]
        assert child not in FIVE
        assert child not in taken
        assert set(life.parents) <= {"cell:e5_3", "cell:e4_3"}
        assert (life.layer_index, life.round, life.iteration) == (4, 2, 7)
        assert now.fitness[child] == sum(now.fitness[op] for op in life.parents) / len(life.parents)
    after = with_measured_fitness(now, found(now, [5.0, 4.0, 6.0, 0.5]), 1.0, (2, 7), size=5)
    kept = {"cell:e5_3": 5.0, "cell:e4_3": 4.0, "cell:e3_3": 3.0, "cell:e2_3": 2.0, now.active[2]: 6.0}
    assert after.fitness == kept  # the weakest, and the child that was weaker still, have left
    assert after.bred_cells[now.active[3]].fitness == (Fitness(2, 7, 0.5),)  # which is remembered


def test_fitness_is_a_moving_average() -> None:
    now = replace(population({"cell:e1_3": 1.0, "cell:e2_3": 0.0}), active=("cell:e1_3",))
    assert with_measured_fitness(now, found(now, [3.0]), 0.25, (1, 2), size=2).fitness["cell:e1_3"] == 1.5


def test_the_last_fitness_is_what_was_measured_and_replaces_that_of_its_iteration() -> None:
    now = replace(population({"cell:e1_3": 1.0, "cell:e2_3": 0.0}), active=("cell:e1_3",))
    now = with_measured_fitness(
        now, {"cell:e1_3": Measurement(3.0, 0.5), "cell:e2_3": Measurement(1.0, 0.5)}, 0.5, (1, 2), 2
    )
    assert dict(now.fitness) == {"cell:e1_3": 2.0, "cell:e2_3": 0.5}  # all that was measured moves
    ran, rested = (now.bred_cells[op].fitness[-1] for op in now.fitness)
    assert (ran, rested) == (Fitness(1, 2, 2.0, 0.5), Fitness(1, 1, 0.0))
    last = with_last_fitness(now, {"cell:e1_3": Measurement(0.3, 0.1), "cell:e2_3": Measurement(0.7, 0.2)}, (1, 2))
    assert dict(last.fitness) == {"cell:e1_3": 0.3, "cell:e2_3": 0.7}
    histories = [[tuple(one) for one in last.bred_cells[op].fitness] for op in last.fitness]
    assert histories == [[(1, 1, 0.0, None), (1, 2, 0.3, 0.1)], [(1, 1, 0.0, None), (1, 2, 0.7, 0.2)]]


def test_a_share_of_children_of_one_breeds_all_that_run() -> None:
    now = next_iteration(population(FIVE), settings(children=1.0), (0, 1, 2), Random(0), NOBODY)
    assert len(now.active) == 4
    assert not set(now.active) & set(FIVE)


# -- the weights of the sum -------------------------------------------------------------------------------------------


def test_the_gradient_of_alpha_is_that_of_finite_differences(space: SearchSpace) -> None:
    """Cross-entropy and an active hinge, in double precision, every alpha of every layer."""
    learner, model = breeding(space, cost_target=1e4, cost_weight=0.3), with_ones(supernet_of(space).double())
    x, y = IMAGES.validation.x[:12].double(), IMAGES.validation.y[:12]
    torch.manual_seed(1)
    alphas = [torch.randn(len(p.active), dtype=torch.float64, requires_grad=True) for p in learner.layers]
    gradients = torch.autograd.grad(learner.loss(model, alphas, x, y), alphas)

    def at(layer: int, place: int, step: float) -> float:
        moved = [alpha.detach().clone() for alpha in alphas]
        moved[layer][place] += step
        with torch.no_grad():
            return learner.loss(model, moved, x, y).item()

    for layer in (0, 6):
        slopes = [(at(layer, i, 1e-5) - at(layer, i, -1e-5)) / 2e-5 for i in range(len(alphas[layer]))]
        assert gradients[layer].tolist() == pytest.approx(slopes, rel=1e-4, abs=1e-8)


def test_the_cost_term_is_a_hinge_on_the_expected_cost(space: SearchSpace) -> None:
    learner = breeding(space)
    alphas = [torch.zeros(len(p.active)) for p in learner.layers]
    table = cost_table(space)
    means = [
        sum(float(layer.cost_of(op)[0]) for op in p.active) / len(p.active)
        for p, layer in zip(learner.layers, table.layers, strict=True)
    ]
    expected = float(table.fixed[0]) + sum(means)
    assert learner.expected_cost(alphas).item() == pytest.approx(expected)

    def loss(target: float | None) -> Tensor:
        found = breeding(space, cost_target=target, cost_weight=2.0)
        return found.loss(supernet_of(space), alphas, IMAGES.validation.x[:8], IMAGES.validation.y[:8])

    assert loss(expected * 2) == loss(None)
    assert (loss(expected / 2) - loss(None)).item() == pytest.approx(2.0, rel=1e-4)  # twice the target: 1 over


def test_weights_sum_to_one_and_the_references_fade_over_the_run(space: SearchSpace) -> None:
    learner = breeding(space, reference_weight=1.0, reference_half_life=2.0)
    weights = []
    for past in (0, 2, 4, 40):
        learner.past = past
        mixture = learner.mixture([alpha.detach() for alpha in learner.alphas])
        assert [sum(map(float, layer.values())) for layer in mixture] == pytest.approx([1.0] * 7)
        weights.append(float(mixture[0].get("cell:e2_3", 0.0)))
    assert weights == pytest.approx([1 / 2, 0.5 / 1.5, 0.25 / 1.25, 0.0])


def stripes(n: int, seed: int) -> ImageSet:
    """Images of 8 x 8 whose class is the direction of their stripes: one pixel by itself tells nothing of it."""
    rng = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 2, (n,), generator=rng)
    phase = torch.randint(0, 2, (n, 1, 1), generator=rng)
    lines = ((torch.arange(8)[None, :, None] + phase) % 2).float().expand(n, 8, 8) * 2 - 1
    x = torch.where(y[:, None, None] == 0, lines, lines.transpose(1, 2))
    return ImageSet(x[:, None] + 0.3 * torch.randn(n, 1, 8, 8, generator=rng), y)


def test_a_planted_good_cell_wins_the_population() -> None:
    """One layer whose population sees single pixels or averages, but for one cell with a 3x3 convolution.

    What is bred may take the 3x3 over from it, and from nowhere else: the alphabet of mutations has none.
    """
    planted = "cell:e2_i_i3"
    others = ("cell:e1_i", "cell:e2_i", "cell:e1_p", "cell:e2_p", "cell:e1_i_ip", "cell:e2_i_ip", "cell:e2_p_-p")
    layer = Layer(Shape(4, 8, 1, 8), (*others[:3], planted, *others[3:]))
    one = SearchSpace("one", (layer,), Stem(4, 1, 1, "relu", 1, 8), Head(0, 2, "relu"))
    section = CellsSection(
        nodes=3, edge_ops="ip", expansions=(1, 2), batch_size=32, steps=6, alpha_learning_rate=0.1, window=1
    )
    learner = Breeding(one, cost_table(one), stripes(96, 1), section, cost="macs", n=1, seed=0)
    torch.manual_seed(0)
    model = CellSupernet(one, [*covering_cells(Alphabet(3, "ip", (1, 2))), parse_cell(planted)])
    train(
        model, stripes(192, 0), Schedule(epochs=14, batch_size=32, learning_rate=0.1), seed=0,
        paths=learner.paths(), between=learner,
    )  # fmt: skip
    fitness = {op: value for (_, op), value in learner.ratings().items()}
    assert "3" in max(fitness, key=lambda op: fitness[op]).partition("_")[2]
    assert sum("3" in op.partition("_")[2] for op in fitness) > len(fitness) / 2  # its family has taken over
    last = {life.cell: life.fitness[-1].value for life in learner.bred_cells() if life.origin == "random"}
    assert last[planted] > 0.1 + max(value for op, value in last.items() if op != planted)


# -- what networks lose -----------------------------------------------------------------------------------------------


def cells_of(space: SearchSpace) -> list[list[str]]:
    return [[op for op in layer.candidates + layer.pending if op.startswith("cell:")] for layer in space.layers]


def test_a_cell_is_worth_what_whole_networks_lose_without_it(space: SearchSpace) -> None:
    """Beside whole forward passes of a copy in training mode, whose batches are normalised by themselves."""
    model, cells = with_ones(supernet_of(space)), cells_of(space)
    twin = deepcopy(model).train()
    measured = measure_cells(model, cells, IMAGES.validation, networks=3, images=16, seed=5)
    losses: list[list[list[float]]] = []
    for network in range(3):
        rng = Random(derive_seed(5, "network", network))
        x, y = IMAGES.validation.take(torch.tensor(rng.sample(range(len(IMAGES.validation)), 16)))
        around = [{rng.choice(own): 1.0} for own in cells]
        with torch.no_grad():
            losses.append(
                [
                    [cross_entropy(twin(x, [*around[:i], {op: 1.0}, *around[i + 1 :]]), y).item() for op in own]
                    for i, own in enumerate(cells)
                ]
            )
    for i in (0, 3, 6):
        table = torch.tensor([rows[i] for rows in losses], dtype=torch.float64)
        saved = table.mean(1, keepdim=True) - table
        assert [one.value for one in measured[i].values()] == pytest.approx(saved.mean(0).tolist(), abs=1e-5)
        errors = (saved.std(0) / 3**0.5).tolist()
        assert [one.error for one in measured[i].values()] == pytest.approx(errors, abs=1e-5)


def test_measuring_leaves_the_supernet_as_it_was(space: SearchSpace) -> None:
    model = supernet_of(space).eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    first = measure_cells(model, cells_of(space), IMAGES.validation, networks=1, images=999, seed=5)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not model.training
    assert first == measure_cells(model, cells_of(space), IMAGES.validation, networks=1, images=999, seed=5)
    assert first != measure_cells(model, cells_of(space), IMAGES.validation, networks=1, images=999, seed=6)
    assert {one.error for layer in first for one in layer.values()} == {None}


def test_a_diverged_supernet_measures_nothing(space: SearchSpace) -> None:
    model = supernet_of(space)
    torch.nn.init.constant_(next(model.head.parameters()), float("nan"))
    with pytest.raises(EvoError, match=r"loss is no number.*lower evaluator\.cells\.learning_rate"):
        measure_cells(model, cells_of(space), IMAGES.validation, networks=1, images=8, seed=0)


@pytest.mark.parametrize(("target", "price"), [(1e9, 0.0), (1e3, 2.0 / 1e3), (None, 0.0)])
def test_above_the_target_a_dear_cell_is_worth_less(space: SearchSpace, target: float | None, price: float) -> None:
    """By the slope of the hinge: ``cost_weight / target`` for each unit above the layer's mean."""
    model = supernet_of(space)
    plain, priced = (
        breeding(space, score="networks", cost_target=given, cost_weight=2.0)._measured(model, 2)
        for given in (None, target)
    )
    for layer, own, other in zip(cost_table(space).layers, plain, priced, strict=True):
        costs = {op: float(layer.cost_of(op)[0]) for op in own}
        mean = sum(costs.values()) / len(costs)
        for op in own:
            assert own[op].value - other[op].value == pytest.approx(price * (costs[op] - mean), abs=1e-9)
            assert own[op].error == other[op].error


@pytest.mark.parametrize("score", ["networks", "noise"])
def test_where_the_weights_do_not_learn_all_cells_weigh_alike(space: SearchSpace, score: str) -> None:
    learner, model = breeding(space, score=score, parallel_cells=2, networks=1, steps=2), with_ones(supernet_of(space))
    learner(model, 0)
    assert not any(alpha.detach().any() for alpha in learner.alphas)
    learner(model, 1)  # the iteration ends
    moved = [value for layer in learner.layers for value in layer.fitness.values()]
    assert sum(value != 0 for value in moved) > len(moved) / 2
    mixture = learner.mixture([alpha.detach() for alpha in learner.alphas])
    assert all(
        len({float(layer[op]) for op in own.active}) == 1 for layer, own in zip(mixture, learner.layers, strict=True)
    )


def test_where_the_weights_do_not_learn_a_step_trains_one_network(space: SearchSpace) -> None:
    """References are drawn as often as they would weigh; what runs is drawn by the step's generator alone."""
    learner = breeding(space, score="networks", parallel_cells=2, reference_weight=1.0)
    rng, drawn = Random(0), Counter[str]()
    for _ in range(600):
        ((layers,),) = learner.paths()(rng)
        assert [list(layer.values()) for layer in layers] == [[1.0]] * 7
        drawn.update(layers[0].keys())
    assert drawn.keys() == {*learner.layers[0].active, "cell:e2_3"}
    assert drawn["cell:e2_3"] / 600 == pytest.approx(0.5, abs=0.06)


def test_noise_is_a_control_of_its_own_seed(space: SearchSpace) -> None:
    one, again = (breeding(space, score="noise")._measured(supernet_of(space), 4) for _ in range(2))
    assert one == again
    values = [found.value for layer in one for found in layer.values()]
    assert len(set(values)) == len(values)


# -- whether a space has settled --------------------------------------------------------------------------------------


def lived(op: str, value: float, error: float | None = 0.1, layer: int = 0) -> BredCell:
    return BredCell(layer, op, "random", (), 1, 0, (Fitness(1, 1, 9.0), Fitness(2, 3, value, error)))


def one_layer(*candidates: str) -> SearchSpace:
    layer = Layer(Shape(4, 4, 1, 8), candidates, ())
    return SearchSpace("one", (layer,), Stem(4, 1, 1, "relu", 1, 8), Head(0, 2, "relu"), merge="residual")


A, B, C, D = (f"cell:e{e}_3" for e in (1, 2, 3, 4))


def test_candidates_stay_that_are_among_as_many_of_the_best() -> None:
    space = one_layer("cell:e6_3", A, B)  # the first is a reference, which nobody bred
    values = {A: 0.5, B: 0.1, C: 0.3, D: -0.9}
    lives = [lived(op, value) for op, value in values.items()]
    reliability = pytest.approx(1 - 0.01 / variance(values.values()))
    assert stability(space, lives, {(0, op): value for op, value in values.items()}) == Stability(2, 1, reliability)
    doubted = {(0, op): value - 0.28 * (op in (C, D)) for op, value in values.items()}
    assert stability(space, lives, doubted) == Stability(2, 2, reliability)
    unknown = [lived(op, value, None) for op, value in values.items()]
    assert stability(space, unknown, doubted) == Stability(2, 2, None)


def test_a_new_cell_takes_a_place_when_it_is_better_beyond_chance(space: SearchSpace) -> None:
    """Not in the first round, whose candidates were drawn; and none of them is removed before its end."""
    for past in (0, 5):
        learner = Breeding(
            space, cost_table(space), IMAGES.validation, settings(score="networks", networks=2, last_networks=3),
            cost="macs", n=1, seed=3, past=past,
        )  # fmt: skip
        model = with_ones(supernet_of(space))
        for step in range(12):
            learner(model, step)
        learner.finish(model)
        ratings = learner.ratings()
        for i, (layer, population) in enumerate(zip(space.layers, learner.layers, strict=True)):
            candidates = [op for op in layer.candidates if op in population.bred_cells]
            assert set(candidates) <= set(population.fitness)
            for op in population.fitness.keys() & {op for j, op in ratings if j == i}:
                error = population.bred_cells[op].fitness[-1].error or 0.0
                doubt = 1.96 * 2**0.5 * error if past and op not in candidates else 0.0
                assert ratings[i, op] == pytest.approx(population.fitness[op] - doubt)


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (None, []),
        (Stability(0, 0, None), []),
        (Stability(28, 5, None), []),  # earlier versions, and fitness that is a weight
        (
            Stability(28, 28, 0.9),
            ["no new cell is better beyond chance: the space has converged (reliability of fitness 0.90)"],
        ),
        (Stability(28, 21, 0.83), ["21 of 28 bred cells stay candidates (reliability of fitness 0.83)"]),
    ],
)
def test_a_round_says_whether_its_space_has_settled(found: Stability | None, told: list[str]) -> None:
    assert describe_cells(found and asdict(found)) == told


# -- training, rounds -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("score", ["weights", "networks"])
def test_breeding_resumes_exactly(space: SearchSpace, tmp_path: Path, score: str) -> None:
    def bred(checkpoint: Path | None, stop_at: int | None = None) -> tuple[CellSupernet, Breeding]:
        model = supernet_of(space)
        learner = breeding(
            space, steps=2, parallel_cells=3, score=score, networks=1, last_networks=2, measured_images=16
        )
        train(
            model, IMAGES.train, Schedule(epochs=3, batch_size=48, learning_rate=0.1), seed=1,
            paths=learner.paths(), between=learner, checkpoint=checkpoint, track=interrupted_at(stop_at),
        )  # fmt: skip
        learner.finish(model)
        return model, learner

    whole, learned = bred(None)
    with pytest.raises(KeyboardInterrupt):
        bred(tmp_path / "progress", stop_at=9)
    resumed, resumed_learner = bred(tmp_path / "progress")
    assert resumed_learner.bred_cells() == learned.bred_cells()
    assert resumed_learner.ratings() == learned.ratings()
    assert any(life.origin != "random" for life in learned.bred_cells())
    assert all(torch.equal(a, b) for a, b in zip(learned.alphas, resumed_learner.alphas, strict=True))
    theirs = resumed.state_dict()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in whole.state_dict().items())


CONFIG = {
    "space": {"name": "digits"},
    "data": {"name": "digits", "max_images": 240},
    "evaluator": {"kind": "oneshot", "epochs": 1, "cells": {**SMALL, "steps": 2, "epochs": 1}},
    "search": {"evaluations": 6, "population": 4},
    "evolution": {"method": "autospace", "k": 2, "population": 6, "references": 1},
}


def test_a_layers_fittest_and_the_references_are_the_next_space(space: SearchSpace) -> None:
    evolution = evolution_of(check_config(CONFIG, "test"))
    layer = space.layers[1]
    assert layer.candidates[0] == "cell:e2_3"
    assert layer.candidates[-1] == "id"
    a, b = layer.candidates[1:3]
    fitness = {a: 0.1, layer.pending[0]: 0.9, layer.pending[1]: 0.2, "cell:e1_3_i3": 0.5}  # b has died
    ratings = {(i, op): value for i in range(7) for op, value in fitness.items()}
    step = evolution(Round(1, space, (), ratings), Random(0))
    assert step.space.layers[1].candidates == ("cell:e2_3", "id", layer.pending[0], "cell:e1_3_i3")
    assert step.space.layers[1].pending == (layer.pending[1], a)
    assert b not in step.space.layers[1].candidates + step.space.layers[1].pending


def test_the_next_round_breeds_on(space: SearchSpace, tmp_path: Path) -> None:
    """Weights, fitness and lineage go on; what is bred twice with one seed is the same."""
    config: StudyConfig = check_config(CONFIG, "test")
    section = config.evaluator.cells  # type: ignore[union-attr]

    def bench(n: int) -> FitContext:
        return FitContext(n, n, cost_table(space), tmp_path)

    first = breed_populations(section, config, space, bench(1), None, tmp_path / "a")
    bits = (tmp_path / "a").read_bytes()
    (tmp_path / "a").write_bytes(bits[:-1])  # damaged, it is bred again
    assert breed_populations(section, config, space, bench(1), None, tmp_path / "a").bred_cells == first.bred_cells
    assert (tmp_path / "a").read_bytes() == bits
    later = evolution_of(config)(Round(1, space, (), first.ratings), Random(0)).space
    second = breed_populations(section, config, later, bench(2), first, tmp_path / "c")
    assert second.iterations == 2 * first.iterations == 6
    assert len(second.bred_cells) > len(first.bred_cells)
    known = {(life.layer_index, life.cell): life for life in second.bred_cells}
    for life in first.bred_cells:
        assert known[life.layer_index, life.cell].fitness[: len(life.fitness)] == life.fitness
    with pytest.raises(EvoError, match="nowhere is missing"):
        read_populations(tmp_path / "nowhere")


def test_a_population_that_the_alphabet_does_not_hold_is_refused() -> None:
    with pytest.raises(EvoError, match="evolution.population is 50, and only 2 different cells were found"):
        StartPopulations(Alphabet(2, "i35", (1,)), 6, 50, 1)(load_space("digits"), Random(0))


def test_a_space_without_cells_is_told_what_to_do() -> None:
    with pytest.raises(EvoError, match=r"stage1.layer1 of 'digits' has 0: .* set evolution.method = 'autospace'"):
        breeding(load_space("digits"))


def test_two_rounds_leave_a_lineage_and_the_fittest_as_the_next_space(tmp_path: Path) -> None:
    """The command itself: the lineage is in SQL, and the report draws it."""
    lines = [
        'space = { name = "digits" }',
        'data = { name = "digits", max_images = 240 }',
        "search = { evaluations = 6, population = 4 }",
        'evolution = { method = "autospace", k = 2, population = 6, references = 1 }',
        'evaluator.kind = "oneshot"',
        "evaluator.epochs = 1",
        'evaluator.cells = { epochs = 1, steps = 2, batch_size = 32, nodes = 3, edge_ops = "i3", '
        'expansions = [1, 2], score = "networks" }',
    ]
    (tmp_path / "mine.toml").write_text("\n".join(lines))
    storage = f"sqlite:///{tmp_path}/evo.db"
    assert main(["2", "--config", str(tmp_path / "mine.toml"), "--storage", storage, "--quiet"]) == 0
    with open_store(storage) as store:
        run = store.run("mine")
        rounds, lives = store.rounds(run), bred_cells(store, run)
        drawn = figures(load_frames(store, run))
        told = describe_last_cells(load_frames(store, run))
    assert drawn
    assert len(told) == 1
    assert told[0].startswith("In round 2 ")
    assert {life.round for life in lives} == {1, 2}
    final = rounds[1].next_space
    assert final is not None
    last = {(life.layer_index, life.cell): life.fitness[-1] for life in lives if life.fitness}
    for i, layer in enumerate(final.layers):
        best = [last[i, op].value for op in layer.candidates if op not in ("cell:e2_3", "id")]
        waiting = [last[i, op] for op in layer.pending if (i, op) in last]
        assert len(best) == 2
        assert min(best) >= max(one.value - 1.96 * 2**0.5 * (one.error or 0.0) for one in waiting)  # not beyond chance
