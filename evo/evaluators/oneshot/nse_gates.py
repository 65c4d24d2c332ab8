"""Gates: how much each branch of each layer is worth, learned by gradient while the supernet trains.

NSE (Ci et al., https://arxiv.org/abs/2011.10904): every candidate of a layer has a score alpha, and is on with probability
``0.999 sigmoid(alpha) + 0.0005``, independently of the others. The scores learn on the validation images, from two on/off
patterns at a time: the layer gives what pattern A gives, and the gradient compares A with B. An operation whose score has
fallen low is dropped while training goes on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from math import ceil, inf, nextafter
from random import Random
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evo.data.source import Source
from evo.evaluators import Request
from evo.seeds import derive_seed
from evo.strategy.nsga2 import CandidateFilter
from evo.training.loop import Paths, pieces
from evo.training.precision import Precision, forward
from evo.transfer import to_device
from spaces.architecture import Architecture, Op, join
from spaces.costs.table import COLUMNS, CostTable
from spaces.layer import Layer
from spaces.networks.supernet import Supernet
from spaces.space import SearchSpace, canonical_arch
from studies.config import GatesSection, MethodSection, NseEvolution
from studies.records import Ratings

Pattern = tuple[bool, ...]
"""Which of a layer's candidates are on."""

MAX_FAILED_DRAWS = 100
"""How many times as many architectures are drawn as are wanted, before a limit is taken to be hard to hit."""

LEAST_GUARD_DRAWS = 20_000
"""Architectures that are drawn, if need be, before the guard band is taken to be empty: it is narrow."""

MAX_ENUMERATED = 5
"""Patterns of up to so many candidates are listed and drawn by weight; of more, drawn gate by gate until they differ."""


class Gates(nn.Module):
    """One score per layer and candidate, and which candidates are still in."""

    def __init__(self, space: SearchSpace) -> None:
        super().__init__()
        self.layers = space.layers
        self.alphas = nn.ParameterList(torch.zeros(len(layer.candidates)) for layer in space.layers)
        self.alive = [torch.ones(len(layer.candidates), dtype=torch.bool) for layer in space.layers]

    def probabilities(self, i: int) -> Tensor:
        """How likely each candidate of layer ``i`` that is still in is on, ``(alive,)``."""
        return 0.999 * torch.sigmoid(self.alphas[i][self.alive[i]]) + 5e-4

    def candidates(self, i: int) -> tuple[Op, ...]:
        """The operations of layer ``i`` that are still in."""
        return tuple(op for op, alive in zip(self.layers[i].candidates, self.alive[i].tolist(), strict=True) if alive)

    def is_gated(self, i: int) -> bool:
        """Whether there is anything to choose at layer ``i``: a lone operation of a layer that needs one is not gated."""
        return len(self.candidates(i)) > (0 if self.layers[i].skippable else 1)

    def drop(self, below: float, inherited: Sequence[frozenset[Op]]) -> None:
        """Take out operations whose score is below a threshold, lowest first.

        Inherited operations stay; so do the last two of a layer that cannot be skipped.
        """
        for i, layer in enumerate(self.layers):
            scores = self.alphas[i].detach()
            for place in scores.argsort().tolist():
                left = int(self.alive[i].sum())
                if scores[place] >= below or (not layer.skippable and left <= 2):
                    break
                if layer.candidates[place] not in inherited[i]:
                    self.alive[i][place] = False

    def narrowed(self, space: SearchSpace) -> SearchSpace:
        """The space with the operations that are still in."""
        return space.replace_layers(
            replace(layer, candidates=self.candidates(i)) for i, layer in enumerate(space.layers)
        )

    def ratings(self) -> dict[tuple[int, Op], float]:
        """(layer, operation) -> probability of being on."""
        return {
            (i, op): float(p)
            for i in range(len(self.layers))
            for op, p in zip(self.candidates(i), self.probabilities(i).detach(), strict=True)
        }


# -- weight steps -----------------------------------------------------------------------------------------------------


def balanced_paths(gates: Gates, share: float = 0.5) -> Paths:
    """Every operation that is still in is on with probability one half, whatever its score; one draw per step."""
    return partial(_draw_paths, gates, share)


def _draw_paths(gates: Gates, share: float, rng: Random) -> tuple[tuple[Architecture]]:
    genes = []
    for i, layer in enumerate(gates.layers):
        ops = gates.candidates(i)
        chosen = [op for op in ops if rng.random() < share]
        while not chosen and not layer.skippable:
            chosen = [op for op in ops if rng.random() < share]
        genes.append(join(chosen))
    return ((Architecture(tuple(genes)),),)


# -- indicator steps --------------------------------------------------------------------------------------------------


def two_patterns(probabilities: Sequence[float], skippable: bool, rng: Random) -> tuple[Pattern, Pattern]:
    """Two different patterns, each likely by its gates; none is empty where the layer cannot be skipped."""
    if len(probabilities) <= MAX_ENUMERATED:
        patterns = [p for p in product((False, True), repeat=len(probabilities)) if any(p) or skippable]
        weights = [_likelihood(pattern, probabilities) for pattern in patterns]
        first = rng.choices(range(len(patterns)), weights)[0]
        weights[first] = 0.0
        return patterns[first], patterns[rng.choices(range(len(patterns)), weights)[0]]
    drawn: list[Pattern] = []
    while len(drawn) < 2:
        pattern = tuple(rng.random() < p for p in probabilities)
        if (any(pattern) or skippable) and pattern not in drawn:
            drawn.append(pattern)
    return drawn[0], drawn[1]


def _likelihood(pattern: Pattern, probabilities: Sequence[float]) -> float:
    return float(np.prod([p if on else 1 - p for on, p in zip(pattern, probabilities, strict=True)]))


def weights_of(patterns: Sequence[Pattern], probabilities: Tensor) -> Tensor:
    """The patterns' probabilities, renormalised to sum to one, ``(patterns,)``; differentiable in the gates'."""
    on = torch.tensor(patterns, dtype=torch.bool)
    return torch.softmax(torch.where(on, probabilities.log(), (1 - probabilities).log()).sum(1), 0)


def straight_through(a: Tensor, b: Tensor, q: Tensor) -> Tensor:
    """``a`` in value; the gradient reaches ``q`` as if it were ``q[0] a + q[1] b`` with ``b`` a constant.

    With sg() for stop-gradient: ``a (qA + 1 - sg(qA)) + sg(b) (qB - sg(qB))``.
    """
    change = q - q.detach()  # zero in value, so that what is given is ``a`` to the bit
    return a * (1 + change[0]) + b.detach() * change[1]


class DrawnLayer(NamedTuple):
    """What runs in a layer while gates learn: patterns A and B as genes, and their weights ``(2,)``; or one gene, and None,
    where there is nothing to choose."""

    genes: tuple[str, ...]
    weights: Tensor | None


class Indicators:
    """Learns the gates between the steps of ``evo.training.loop``: Adam on validation batches, cross-entropy plus a cost term.

    The cost term is ``weight (E[cost] / target - 1)^2`` (the paper's ``lambda (E[cost] - target)^2`` with ``weight =
    lambda target^2``: 0.9 for its 1e-5 at 300 M MACs).

    Args:
        validation: images that no weight is trained on.
        accumulate: pieces into which their batches are cut, one after the other.
        precision: in which the supernet computes; the gates themselves are in fp32.
        inherited: per layer the operations that are never dropped: those that came from the round before.
    """

    def __init__(
        self,
        gates: Gates,
        table: CostTable,
        validation: Source,
        settings: GatesSection,
        *,
        batch_size: int,
        cost: str,
        inherited: Sequence[frozenset[Op]],
        seed: int,
        accumulate: int = 1,
        precision: Precision = "fp32",
    ) -> None:
        self.gates = gates
        self.table = table
        self.column = COLUMNS.index(cost)
        self.validation = validation
        self.settings = settings
        self.batch_size = min(batch_size, len(validation))
        self.inherited = inherited
        self.seed = seed
        self.accumulate = accumulate
        self.precision = precision
        self.optimizer = torch.optim.Adam(gates.parameters(), lr=settings.learning_rate, betas=(0.0, 0.999))

    def __call__(self, model: nn.Module, step: int) -> None:
        """What happens after weight step ``step``: every few steps the gates learn; then the lowest are dropped."""
        assert isinstance(model, Supernet)
        if (step + 1) % self.settings.update_every == 0:
            self._learn(model, step)
        if self.settings.drop_below is not None:
            self.gates.drop(self.settings.drop_below, self.inherited)

    def _learn(self, model: Supernet, step: int) -> None:
        """One step of the gates. These are few numbers and on the CPU, where patterns are drawn: the weights of all patterns go
        to the images' device together, and so does their gradient come back."""
        rng = Random(derive_seed(self.seed, "gates", step))
        chosen = torch.tensor(rng.sample(range(len(self.validation)), self.batch_size))
        x, y = self.validation.take(chosen)
        drawn = self.draw(rng)
        gated = [layer.weights for layer in drawn if layer.weights is not None]
        q = torch.stack(gated) if gated else torch.zeros(0, 2)
        gradient = self._gradient(model, x, y, drawn, to_device(q.detach(), x.device).requires_grad_())
        if gradient is None:
            return
        loss = (q * gradient.cpu()).sum()  # its gradient is that of the cross-entropy
        if self.settings.cost_target:
            cost = self.expected_cost(drawn)
            loss = loss + self.settings.cost_weight * (cost / self.settings.cost_target - 1) ** 2
        self.optimizer.zero_grad()
        alphas = list(self.gates.parameters())
        for alpha, own in zip(alphas, torch.autograd.grad(loss, alphas, allow_unused=True), strict=True):
            alpha.grad = own
        self.optimizer.step()

    def _gradient(self, model: Supernet, x: Tensor, y: Tensor, drawn: Sequence[DrawnLayer], q: Tensor) -> Tensor | None:
        """The gradient of the batch's cross-entropy by the weights of patterns, ``(gated layers, 2)``; None: there are none."""
        total: Tensor | None = None
        for images, labels, share, _ in pieces(x, y, self.accumulate):  # all see the same patterns
            scores = forward(self.precision, partial(self.mixture, model), images, drawn, q)
            lost = share * F.cross_entropy(scores, labels)
            if len(q):
                gradient = torch.autograd.grad(lost, q)[0]
                total = gradient if total is None else total + gradient
        return total

    def draw(self, rng: Random) -> list[DrawnLayer]:
        """What a step of the gates runs, layer by layer."""
        return [self._draw(i, layer, rng) for i, layer in enumerate(self.gates.layers)]

    def _draw(self, i: int, layer: Layer, rng: Random) -> DrawnLayer:
        ops = self.gates.candidates(i)
        if not self.gates.is_gated(i):
            return DrawnLayer((join(ops),), None)
        probabilities = self.gates.probabilities(i)
        patterns = two_patterns(probabilities.tolist(), layer.skippable, rng)
        genes = tuple(join(op for op, on in zip(ops, pattern, strict=True) if on) for pattern in patterns)
        return DrawnLayer(genes, weights_of(patterns, probabilities))

    def mixture(self, supernet: Supernet, x: Tensor, drawn: Sequence[DrawnLayer], q: Tensor) -> Tensor:
        """Class scores of pattern A at every layer.

        Args:
            q: the weights of the two patterns of each gated layer, ``(gated layers, 2)``, on the device of ``x``; they get the
                gradient, see ``straight_through``.
        """
        x, rows = supernet.stem(x), iter(q.unbind())
        for cell, layer in zip(supernet.layers, drawn, strict=True):
            a = cell(x, layer.genes[0])
            if layer.weights is not None:
                with torch.no_grad():
                    b = cell(x, layer.genes[1])
                a = straight_through(a, b, next(rows))
            x = a
        scores: Tensor = supernet.head(x)
        return scores

    def expected_cost(self, drawn: Sequence[DrawnLayer]) -> Tensor:
        """Of the network whose layers have one of their two patterns, by their weights; differentiable in the gates."""
        cost = torch.tensor(float(self.table.fixed[self.column]))
        for i, (genes, weights) in enumerate(drawn):
            costs = [self._cost(i, gene) for gene in genes]
            cost = cost + (costs[0] if weights is None else weights[0] * costs[0] + weights[1] * costs[1])
        return cost

    def _cost(self, i: int, gene: str) -> float:
        return 0.0 if gene == "skip" else float(self.table.layers[i].cost_of(gene)[self.column])

    # -- what a checkpoint keeps --------------------------------------------------------------------------------------

    def state(self) -> dict[str, Tensor]:
        """Everything that the next step depends on, as tensors by name."""
        return dict(self._tensors())

    def load(self, state: dict[str, Tensor]) -> None:
        """Take on what ``state`` gave."""
        for i, alpha in enumerate(self.gates.alphas):
            with torch.no_grad():
                alpha.copy_(state[f"alpha.{i}"])
            self.gates.alive[i] = state[f"alive.{i}"].bool()
            if f"exp_avg_sq.{i}" in state:
                self.optimizer.state[alpha] = {
                    "step": state[f"step.{i}"].clone(),
                    "exp_avg": state[f"exp_avg.{i}"].clone(),
                    "exp_avg_sq": state[f"exp_avg_sq.{i}"].clone(),
                }

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        for i, alpha in enumerate(self.gates.alphas):
            yield f"alpha.{i}", alpha.detach()
            yield f"alive.{i}", self.gates.alive[i].to(torch.uint8)
            for name, value in self.optimizer.state.get(alpha, {}).items():
                yield f"{name}.{i}", value


def sample_architecture(ratings: Mapping[tuple[int, Op], float], space: SearchSpace, rng: Random) -> Architecture:
    """An architecture drawn gate by gate; a layer that cannot be skipped is drawn until it is not empty."""
    genes = []
    for i, layer in enumerate(space.layers):
        chosen: list[Op] = []
        while not chosen:
            chosen = [op for op in layer.candidates if rng.random() < ratings[i, op]]
            if layer.skippable:
                break
        genes.append(join(chosen))
    return Architecture(tuple(genes))


def sample_feasible(
    ratings: Mapping[tuple[int, Op], float],
    space: SearchSpace,
    table: CostTable,
    limits: Mapping[str, tuple[float, float]],
    n: int,
    rng: Random,
    taken: set[Architecture],
    least_draws: int = 0,
) -> list[Architecture]:
    """Up to ``n`` distinct networks drawn by the gates inside all limits; fewer when ``MAX_FAILED_DRAWS`` draws for each, and
    ``least_draws`` in all, find no more.

    Args:
        taken: canonical forms that are not wanted again; those of the result are added.
    """
    candidates = CandidateFilter(space, table, limits)
    drawn: list[Architecture] = []
    for _ in range(max(MAX_FAILED_DRAWS, ceil(least_draws / max(1, n)))):
        if len(drawn) >= n:
            break
        drawn += candidates.unseen([sample_architecture(ratings, space, rng) for _ in range(n)], taken)
    for spare in drawn[n:]:
        taken.discard(canonical_arch(spare, space))
    return drawn[:n]


def suggest_by_gates(
    section: MethodSection, ratings: Ratings, space: SearchSpace, request: Request
) -> list[tuple[Architecture, str]]:
    """NSE's samples: architectures drawn by the learned gates inside the limits, and some in the guard band below them."""
    if not isinstance(section, NseEvolution) or not ratings:
        return []

    def draw(
        limits: Mapping[str, tuple[float, float]], count: int, besides: Sequence[Architecture], least_draws: int = 0
    ) -> list[Architecture]:
        taken = {canonical_arch(arch, space) for arch in (*request.parents, *besides)}
        return sample_feasible(ratings, space, request.costs, limits, count, request.rng, taken, least_draws)

    inside = draw(request.limits, section.samples, ())
    guards: list[Architecture] = []
    if section.draws_guards(request.cost, request.limits):
        least = request.limits[request.cost][0]
        band = (least * (1 - section.guard), nextafter(least, -inf))  # what costs the least allowed is inside
        guards = draw({**request.limits, request.cost: band}, section.guard_samples, inside, LEAST_GUARD_DRAWS)
    return [(arch, "drawn") for arch in inside] + [(arch, "guard") for arch in guards]
