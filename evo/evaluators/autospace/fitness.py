"""How fit a cell is, while cells that run side by side in every layer are trained.

AutoSpace (https://arxiv.org/abs/2103.11833): a layer gives the weighted sum of K cells; the weights learn by gradient, and
at the end of an iteration are written back into the population. What the paper leaves open is decided here: the weights
are a softmax of alpha; alpha starts as the cell's fitness, so that fitness goes on from iteration to iteration and is one
scale for cells that never met; it learns on validation images; the cost term is a hinge. Where ``score`` asks for it, fitness
is measured in networks instead (``measuring``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from math import sqrt
from random import Random
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evo.data.source import Source
from evo.evaluators.autospace.measuring import Measurement, measure_cells
from evo.evaluators.autospace.population import (
    Population,
    alphabet_of,
    next_iteration,
    with_last_fitness,
    with_measured_fitness,
)
from evo.seeds import derive_seed
from evo.training.loop import Paths, pieces
from evo.training.precision import Precision, forward
from evo.transfer import to_device
from spaces.architecture import Op
from spaces.costs.table import COLUMNS, CostTable
from spaces.networks.cell_supernet import CellSupernet, Mixture
from spaces.operations.cells import reference_cells
from spaces.space import SearchSpace
from studies.config import CellsSection
from studies.records import BredCell, EvoError, Fitness

BEYOND_CHANCE = 1.96
"""Standard errors of a difference between two cells, of which one is then better."""

NEGLIGIBLE_WEIGHT = 0.01
"""Reference cells no longer run when their weight, to 1 of all others, has fallen below this."""


def reference_ops(settings: CellsSection) -> frozenset[Op]:
    """The names of the reference cells."""
    return frozenset(map(str, reference_cells(alphabet_of(settings))))


def first_populations(space: SearchSpace, settings: CellsSection, known: Sequence[BredCell] = ()) -> list[Population]:
    """Each layer's population: all its cells, candidates and pending, but the reference cells.

    Args:
        known: all cells of earlier rounds, those that died too; a cell's fitness is what was measured last.

    Raises:
        EvoError: a layer has fewer than two cells.
    """
    own = reference_ops(settings)
    bred_cells: list[dict[Op, BredCell]] = [{} for _ in space.layers]
    for life in known:
        bred_cells[life.layer_index][life.cell] = life
    populations = []
    for i, (name, layer) in enumerate(zip(space.names, space.layers, strict=True)):
        cells = [op for op in layer.candidates + layer.pending if op.startswith("cell:") and op not in own]
        if len(cells) < 2:
            raise EvoError(
                f"evaluator.cells breeds cells, and {name} of {space.name!r} has {len(cells)}: "
                "expected two or more; set evolution.method = 'autospace'"
            )
        bred_cells[i] |= {op: BredCell(i, op, "random", (), 1, 0) for op in cells if op not in bred_cells[i]}
        fitness = {op: bred_cells[i][op].fitness[-1].value if bred_cells[i][op].fitness else 0.0 for op in cells}
        populations.append(Population(fitness, bred_cells[i]))
    return populations


class Breeding:
    """Breeds every layer's population between the steps of ``evo.training.loop``.

    Args:
        known: all cells of earlier rounds.
        past: iterations of earlier rounds.
        validation: images that no weight is trained on.
        precision: in which networks compute; alphas are in fp32.
    """

    def __init__(
        self,
        space: SearchSpace,
        table: CostTable,
        validation: Source,
        settings: CellsSection,
        *,
        cost: str,
        n: int,
        seed: int,
        known: Sequence[BredCell] = (),
        past: int = 0,
        precision: Precision = "fp32",
    ) -> None:
        own = reference_ops(settings)
        self.layers = first_populations(space, settings, known)
        self.sizes = [population.size for population in self.layers]
        measures = settings.score == "networks"
        self.stay = [frozenset(layer.candidates) if measures else frozenset() for layer in space.layers]
        self.references = [[op for op in layer.candidates if op in own] for layer in space.layers]
        self.table = table
        self.column = COLUMNS.index(cost)
        self.validation = validation
        self.settings = settings
        self.batch_size = min(settings.batch_size, len(validation))
        self.n = n
        self.seed = seed
        self.past = past
        self.precision = precision
        self.iteration = 0
        self._begin_iteration()

    def _begin_iteration(self) -> None:
        """The next iteration: its cells, their weights, and a fresh learner."""
        self.iteration += 1
        self.layers = [self.next_population(i, population) for i, population in enumerate(self.layers)]
        learns = self.settings.score == "weights"
        self._reset_learner([[layer.fitness[op] if learns else 0.0 for op in layer.active] for layer in self.layers])

    def next_population(self, layer: int, population: Population) -> Population:
        """A layer's population as the iteration that begins has it: which cells run, and what is bred."""
        rng = Random(derive_seed(self.seed, "breed", self.iteration, layer))
        place = layer, self.n, self.iteration
        return next_iteration(population, self.settings, place, rng, reference_ops(self.settings))

    def _reset_learner(self, alphas: Sequence[Sequence[float]]) -> None:
        """A fresh learner that begins with ``alphas``, and all that its steps need on the device: what is sent up in a step,
        or is read there, all the work waits for."""
        costs = [
            [table.cost_of(op)[self.column] for op in population.active]
            for population, table in zip(self.layers, self.table.layers, strict=True)
        ]
        self.alphas = [alpha.requires_grad_() for alpha in self._on_device(alphas)]
        self.active_costs = self._on_device(costs)
        self.drawn_by = [] if self.settings.score == "weights" else self._fixed_weights()
        # an iteration has few steps: a longer memory of gradients would outlast it
        self.optimizer = torch.optim.Adam(self.alphas, lr=self.settings.alpha_learning_rate, betas=(0.5, 0.999))

    def _on_device(self, layers: Sequence[Sequence[float]]) -> list[Tensor]:
        """A tensor per layer, sent together."""
        sent = to_device(torch.tensor([value for layer in layers for value in layer]), self.validation.device)
        return [part.clone() for part in torch.split(sent, [len(layer) for layer in layers])]

    def _fixed_weights(self) -> list[dict[Op, float]]:
        """What the mixture weighs cells by, as long as alphas do not learn; read from the device together."""
        mixture = self.mixture([alpha.detach() for alpha in self.alphas])
        weights = [weight for layer in mixture for weight in layer.values() if isinstance(weight, Tensor)]
        read = iter(torch.stack(weights).cpu().tolist())
        return [{op: next(read) if isinstance(w, Tensor) else w for op, w in layer.items()} for layer in mixture]

    @property
    def iterations(self) -> int:
        """How many the run has finished."""
        return self.past + self.iteration - 1

    @property
    def reference_weight(self) -> float:
        """Of the reference cells, to 1 of all others; it decays over the run."""
        weight = self.settings.reference_weight * 0.5 ** (self.iterations / self.settings.reference_half_life)
        return weight if weight > NEGLIGIBLE_WEIGHT else 0.0

    def mixture(self, alphas: Sequence[Tensor]) -> Mixture:
        """What runs: the active cells with the softmax of their alphas, and the reference cells; weights sum to one."""
        layers = []
        for population, names, alpha in zip(self.layers, self.references, alphas, strict=True):
            beside = self.reference_weight if names else 0.0
            weights = torch.softmax(alpha, 0) / (1 + beside)
            mixed: dict[Op, Tensor | float] = dict(zip(population.active, weights, strict=True))
            if beside:
                mixed |= {op: beside / (1 + beside) / len(names) for op in names}
            layers.append(mixed)
        return layers

    def paths(self) -> Paths:
        """What a training step runs: the mixture, its weights held fixed; where fitness is no weight a network drawn by them"""
        return self._draw_mixture if self.settings.score == "weights" else self._draw_network

    def _draw_mixture(self, rng: Random) -> tuple[tuple[Mixture]]:
        return ((self.mixture([alpha.detach() for alpha in self.alphas]),),)

    def _draw_network(self, rng: Random) -> tuple[tuple[Mixture]]:
        drawn = (rng.choices(list(layer), list(layer.values()))[0] for layer in self.drawn_by)
        return (([{op: 1.0} for op in drawn],),)

    def expected_cost(self, alphas: Sequence[Tensor]) -> Tensor:
        """Of the network that has one active cell in every layer, drawn by its weight."""
        cost = alphas[0].new_full((), self.table.fixed[self.column])
        for costs, alpha in zip(self.active_costs, alphas, strict=True):
            cost = cost + torch.softmax(alpha, 0) @ costs.to(alpha.dtype)
        return cost

    def loss(self, model: nn.Module, alphas: Sequence[Tensor], x: Tensor, y: Tensor) -> Tensor:
        """Cross-entropy of the mixture, and the hinge on the expected cost."""
        loss = F.cross_entropy(forward(self.precision, model, x, self.mixture(alphas)), y)
        if self.settings.cost_target:
            over = self.expected_cost(alphas) / self.settings.cost_target - 1
            loss = loss + self.settings.cost_weight * torch.relu(over)
        return loss

    def __call__(self, model: nn.Module, step: int) -> None:
        """What happens after weight step ``step``: alphas learn every few steps; the iteration ends after its last."""
        if self.settings.score == "weights" and (step + 1) % self.settings.update_every == 0:
            self._learn(model, step)
        if (step + 1) % self.settings.steps == 0:
            place, momentum = (self.n, self.iteration), self.settings.fitness_momentum
            found = zip(self.layers, self._measured(model, self.settings.networks), self.sizes, self.stay, strict=True)
            self.layers = [
                with_measured_fitness(layer, own, momentum, place, size, stay) for layer, own, size, stay in found
            ]
            self._begin_iteration()

    def _learn(self, model: nn.Module, step: int) -> None:
        """One step of the alphas."""
        rng = Random(derive_seed(self.seed, "alpha", step))
        x, y = self.validation.take(torch.tensor(rng.sample(range(len(self.validation)), self.batch_size)))
        self.optimizer.zero_grad()
        for images, labels, share, _ in pieces(x, y, self.settings.accumulate):
            loss = share * self.loss(model, self.alphas, images, labels)
            for alpha, gradient in zip(self.alphas, torch.autograd.grad(loss, self.alphas), strict=True):
                alpha.grad = gradient if alpha.grad is None else alpha.grad + gradient
        self.optimizer.step()

    # -- what is measured ---------------------------------------------------------------------------------------------

    def finish(self, model: nn.Module) -> None:
        """After the last step: what lives is measured once more, in more networks; nothing where fitness is a weight."""
        if self.settings.score == "networks":
            found = zip(self.layers, self._measured(model, self.settings.last_networks), strict=True)
            place = (self.n, self.iteration - 1)
            self.layers = [with_last_fitness(layer, _of_bred(own, layer), place) for layer, own in found]

    def _measured(self, model: nn.Module, networks: int) -> list[dict[Op, Measurement]]:
        """Per layer what this iteration says of its cells."""
        if self.settings.score == "weights":
            learned = iter(torch.cat([alpha.detach() for alpha in self.alphas]).tolist())
            return [{op: Measurement(next(learned), None) for op in layer.active} for layer in self.layers]
        seed = derive_seed(self.seed, "measure", self.iteration, networks)
        if self.settings.score == "noise":
            rng = Random(seed)
            return [{op: Measurement(rng.gauss(0, 1), None) for op in layer.fitness} for layer in self.layers]
        assert isinstance(model, CellSupernet)
        cells, images = [list(layer.fitness) for layer in self.layers], self.settings.measured_images
        found = measure_cells(
            model, cells, self.validation, networks=networks, images=images, seed=seed, precision=self.precision
        )
        return self._less_what_is_too_dear(found)

    def _less_what_is_too_dear(self, found: list[dict[Op, Measurement]]) -> list[dict[Op, Measurement]]:
        """The same, less the slope of the hinge on the expected cost, where that is above its target."""
        costs = [
            {op: table.cost_of(op)[self.column] for op in own}
            for table, own in zip(self.table.layers, found, strict=True)
        ]
        means = [fmean(own.values()) for own in costs]
        target = self.settings.cost_target
        if target is None or self.table.fixed[self.column] + sum(means) <= target:
            return found
        price = self.settings.cost_weight / target
        return [
            {op: Measurement(value - price * (own[op] - mean), error) for op, (value, error) in layer.items()}
            for layer, own, mean in zip(found, costs, means, strict=True)
        ]

    # -- what was learned ---------------------------------------------------------------------------------------------

    def ratings(self) -> dict[tuple[int, Op], float]:
        """(layer, cell) -> fitness, of the cells that live. What was bred and not measured any more is left out.

        Where networks measure, a new cell is rated lower than it was measured, so that it takes a candidate's place when it is
        better beyond chance. In the first round all are alike: its candidates were drawn.
        """
        return {
            (i, op): value - (self._doubt(population.bred_cells[op]) if self.past and op not in self.stay[i] else 0.0)
            for i, population in enumerate(self.layers)
            for op, value in population.fitness.items()
            if _counts_as_bred(population.bred_cells[op])
        }

    def _doubt(self, life: BredCell) -> float:
        """By how much a cell's fitness may be above that of an equal cell by chance; 0 where no standard error is known."""
        error = life.fitness[-1].error if life.fitness and self.settings.score == "networks" else None
        return BEYOND_CHANCE * sqrt(2) * (error or 0.0)

    def bred_cells(self) -> list[BredCell]:
        """All cells that ever lived."""
        return [life for population in self.layers for life in population.bred_cells.values() if _counts_as_bred(life)]

    # -- what a checkpoint keeps --------------------------------------------------------------------------------------

    def state(self) -> dict[str, Tensor]:
        """Everything that the next step depends on, as tensors by name."""
        return dict(self._tensors())

    def load(self, state: dict[str, Tensor]) -> None:
        """Take on what ``state`` gave."""
        saved = json.loads(bytes(state["told"].tolist()))
        self.iteration = saved["iteration"]
        self.layers = [
            Population(
                layer["fitness"],
                {life["cell"]: bred_cell_from_json(life) for life in layer["lives"]},
                tuple(layer["active"]),
            )
            for layer in saved["layers"]
        ]
        self._reset_learner([state[f"alpha.{i}"].tolist() for i in range(len(self.layers))])
        for i, alpha in enumerate(self.alphas):
            if f"exp_avg_sq.{i}" in state:
                moments = {name: state[f"{name}.{i}"].to(alpha.device) for name in ("exp_avg", "exp_avg_sq")}
                self.optimizer.state[alpha] = {"step": state[f"step.{i}"].clone(), **moments}

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        layers = [
            {"fitness": dict(p.fitness), "lives": [asdict(life) for life in p.bred_cells.values()], "active": p.active}
            for p in self.layers
        ]
        text = json.dumps({"iteration": self.iteration, "layers": layers})
        yield "told", torch.tensor(list(text.encode()), dtype=torch.uint8)
        for i, alpha in enumerate(self.alphas):
            yield f"alpha.{i}", alpha.detach()
            for name, value in self.optimizer.state.get(alpha, {}).items():
                yield f"{name}.{i}", value


def _of_bred(measured: Mapping[Op, Measurement], population: Population) -> dict[Op, Measurement]:
    """What was measured of cells that count."""
    return {op: found for op, found in measured.items() if _counts_as_bred(population.bred_cells[op])}


def _counts_as_bred(life: BredCell) -> bool:
    """Whether the cell belongs to the first population or was measured."""
    return bool(life.fitness) or life.origin == "random"


def bred_cell_from_json(data: Mapping[str, Any]) -> BredCell:
    """The life that ``asdict`` wrote, read from JSON."""
    fitness = tuple(Fitness(*found) for found in data["fitness"])
    return BredCell(**{**data, "parents": tuple(data["parents"]), "fitness": fitness})
