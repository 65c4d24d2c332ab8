"""AutoSpace-style breeding: who competes, what the weights of the sum learn, and that a good cell wins."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
import torch
from torch import Tensor

from analysis.frames import load as load_frames
from analysis.lineage import figures
from evo.data.loading import load_dataset
from evo.data.source import ImageSet
from evo.evaluators import FitContext
from evo.evaluators.autospace.breeding import breed_populations, read_populations
from evo.evaluators.autospace.fitness import Breeding
from evo.evaluators.autospace.population import Population, next_iteration, tournament, with_measured_fitness
from evo.methods.autospace import StartPopulations
from evo.methods.registry import evolution_of
from evo.round.__main__ import main
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
from studies.records import BredCell, EvoError, Round
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


# -- populations ------------------------------------------------------------------------------------------------------


def population(fitness: dict[str, float], measured_before: bool = True) -> Population:
    history = ((1, 1, 0.0),) if measured_before else ()
    return Population(fitness, {op: BredCell(0, op, "random", (), 1, 0, history) for op in fitness})


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
        now = with_measured_fitness(now, [0.0] * 3, settings(), 1, iteration, size=5)
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
    after = with_measured_fitness(now, [5.0, 4.0, 6.0, 0.5], settings(fitness_momentum=1.0), 2, 7, size=5)
    kept = {"cell:e5_3": 5.0, "cell:e4_3": 4.0, "cell:e3_3": 3.0, "cell:e2_3": 2.0, now.active[2]: 6.0}
    assert after.fitness == kept  # the weakest, and the child that was weaker still, have left
    assert after.bred_cells[now.active[3]].fitness == ((2, 7, 0.5),)  # which is remembered


def test_fitness_is_a_moving_average() -> None:
    now = replace(population({"cell:e1_3": 1.0, "cell:e2_3": 0.0}), active=("cell:e1_3",))
    assert with_measured_fitness(now, [3.0], settings(fitness_momentum=0.25), 1, 2, size=2).fitness["cell:e1_3"] == 1.5


def test_a_share_of_children_of_one_breeds_all_that_run() -> None:
    now = next_iteration(population(FIVE), settings(children=1.0), (0, 1, 2), Random(0), NOBODY)
    assert len(now.active) == 4
    assert not set(now.active) & set(FIVE)


# -- the weights of the sum -------------------------------------------------------------------------------------------


def test_the_gradient_of_alpha_is_that_of_finite_differences(space: SearchSpace) -> None:
    """Cross-entropy and an active hinge, in double precision, every alpha of every layer."""
    learner, model = breeding(space, cost_target=1e4, cost_weight=0.3), supernet_of(space).double()
    for part in model.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            torch.nn.init.ones_(part.weight)  # nothing is silent
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
    last = {life.cell: life.fitness[-1][2] for life in learner.bred_cells() if life.origin == "random"}
    assert last[planted] > 0.1 + max(value for op, value in last.items() if op != planted)


# -- training, rounds -------------------------------------------------------------------------------------------------


def test_breeding_resumes_exactly(space: SearchSpace, tmp_path: Path) -> None:
    def bred(checkpoint: Path | None, stop_at: int | None = None) -> tuple[CellSupernet, Breeding]:
        model, learner = supernet_of(space), breeding(space, steps=2, parallel_cells=3)
        train(
            model, IMAGES.train, Schedule(epochs=3, batch_size=48, learning_rate=0.1), seed=1,
            paths=learner.paths(), between=learner, checkpoint=checkpoint, track=interrupted_at(stop_at),
        )  # fmt: skip
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
        'evaluator.cells = { epochs = 1, steps = 2, batch_size = 32, nodes = 3, edge_ops = "i3", expansions = [1, 2] }',
    ]
    (tmp_path / "mine.toml").write_text("\n".join(lines))
    storage = f"sqlite:///{tmp_path}/evo.db"
    assert main(["2", "--config", str(tmp_path / "mine.toml"), "--storage", storage, "--quiet"]) == 0
    with open_store(storage) as store:
        run = store.run("mine")
        rounds, lives = store.rounds(run), bred_cells(store, run)
        drawn = figures(load_frames(store, run))
    assert drawn
    assert {life.round for life in lives} == {1, 2}
    final = rounds[1].next_space
    assert final is not None
    last = {(life.layer_index, life.cell): life.fitness[-1][2] for life in lives if life.fitness}
    for i, layer in enumerate(final.layers):
        best = [last[i, op] for op in layer.candidates if op not in ("cell:e2_3", "id")]
        assert len(best) == 2
        assert min(best) >= max(last.get((i, op), 0.0) for op in layer.pending)
