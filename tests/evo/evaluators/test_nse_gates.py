"""NSE's gates: two patterns, a straight-through gradient that a hand can check, dropping with its guards, exact resume."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from torch import nn

from evo.data.loading import load_dataset
from evo.evaluators import Request
from evo.evaluators.oneshot.nse_gates import (
    Gates,
    Indicators,
    balanced_paths,
    sample_architecture,
    sample_feasible,
    straight_through,
    suggest_by_gates,
    two_patterns,
    weights_of,
)
from evo.methods.nse import RandomSubset
from evo.seeds import derive_seed
from evo.training.loop import Schedule, train
from spaces.architecture import Architecture, operations
from spaces.costs.table import cost_table
from spaces.networks.network import MixedLayer
from spaces.networks.supernet import Supernet
from spaces.space import SearchSpace, canonical_arch
from studies.config import DataSection, GatesSection, NseEvolution
from tests.evo.conftest import interrupted_at

IMAGES = load_dataset(DataSection(name="digits", max_images=240))
NONE: frozenset[str] = frozenset()
Drawn = tuple[Architecture, str]


@pytest.fixture
def cells(space: SearchSpace) -> SearchSpace:
    return RandomSubset(3)(space, Random(0))


def indicators(cells: SearchSpace, gates: Gates, **settings: object) -> Indicators:
    return Indicators(
        gates,
        cost_table(cells),
        IMAGES.validation,
        GatesSection(**settings),  # type: ignore[arg-type]
        batch_size=32,
        cost="macs",
        inherited=[NONE] * len(cells.layers),
        seed=5,
    )


def test_a_gate_starts_at_one_half_and_never_closes(cells: SearchSpace) -> None:
    gates = Gates(cells)
    assert gates.probabilities(0).tolist() == pytest.approx([0.5] * 3)
    with torch.no_grad():
        gates.alphas[0].fill_(-100.0)
    assert gates.probabilities(0).tolist() == pytest.approx([5e-4] * 3)


def test_two_patterns_differ_and_come_by_their_likelihood() -> None:
    rng, counts = Random(0), Counter[tuple[bool, ...]]()
    for _ in range(4000):
        a, b = two_patterns([0.9, 0.2], skippable=True, rng=rng)
        assert a != b
        counts[a] += 1
    expected = {(True, False): 0.72, (True, True): 0.18, (False, False): 0.08, (False, True): 0.02}
    assert {p: n / 4000 for p, n in counts.items()} == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize("n", [2, 5, 7])
def test_a_layer_that_needs_an_operation_never_gets_an_empty_pattern(n: int) -> None:
    rng = Random(1)
    for _ in range(200):
        patterns = two_patterns([0.1] * n, skippable=False, rng=rng)
        assert all(any(pattern) for pattern in patterns)


def test_the_forward_value_is_pattern_as() -> None:
    a, b, q = torch.randn(4, 3), torch.randn(4, 3), torch.tensor([0.3, 0.7])
    assert torch.equal(straight_through(a, b, q), a)


def test_the_gates_gradient_is_the_hand_formula() -> None:
    """L = <w, y>: dL/dq = (<w, a>, <w, b>), q = softmax of log-likelihoods, p = .999 sigmoid(alpha) + .0005."""
    torch.manual_seed(0)
    a, b, w = (torch.randn(5, dtype=torch.float64) for _ in range(3))
    alpha = torch.tensor([0.3, -0.8, 1.2], dtype=torch.float64, requires_grad=True)
    patterns = [(True, False, True), (False, False, True)]
    p = 0.999 * torch.sigmoid(alpha) + 5e-4
    (w * straight_through(a, b, weights_of(patterns, p))).sum().backward()

    likelihoods, slopes = [], []
    for pattern in patterns:
        values = list(zip(p.tolist(), torch.sigmoid(alpha).tolist(), strict=True))
        likelihoods.append(math.prod(pj if on else 1 - pj for on, (pj, _) in zip(pattern, values, strict=True)))
        slopes.append(
            [
                0.999 * s * (1 - s) * (1 / pj if on else -1 / (1 - pj))
                for on, (pj, s) in zip(pattern, values, strict=True)
            ]
        )
    q = [likelihood / sum(likelihoods) for likelihood in likelihoods]
    gain = float(w @ a) - float(w @ b)
    expected = [q[0] * q[1] * gain * (slopes[0][j] - slopes[1][j]) for j in range(3)]
    assert alpha.grad is not None
    assert alpha.grad.tolist() == pytest.approx(expected)


def test_the_gradient_through_pattern_a_reaches_what_lies_before() -> None:
    x = torch.ones(3, requires_grad=True)
    straight_through(2 * x, 5 * x, torch.tensor([0.5, 0.5])).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [2.0] * 3  # of A; B is a constant


def test_the_mixture_equals_the_network_of_its_patterns(cells: SearchSpace, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the first pattern fixed everywhere, the mixture's class scores are those of that architecture."""
    import evo.evaluators.oneshot.nse_gates

    monkeypatch.setattr(
        evo.evaluators.oneshot.nse_gates,
        "two_patterns",
        lambda p, skippable, rng: ((True,) * len(p), (True,) + (False,) * (len(p) - 1)),
    )
    torch.manual_seed(0)
    supernet, gates = Supernet(cells), Gates(cells)
    from spaces.architecture import join

    everything = Architecture(tuple(join(layer.candidates) for layer in cells.layers))
    supernet.eval()
    learner = indicators(cells, gates)
    drawn = learner.draw(Random(0))
    q = torch.stack([layer.weights for layer in drawn if layer.weights is not None]).detach()
    scores, cost = learner.mixture(supernet, IMAGES.validation.x[:8], drawn, q), learner.expected_cost(drawn)
    assert torch.allclose(scores, supernet(IMAGES.validation.x[:8], everything), atol=1e-6)
    # of two patterns with three gates at one half each is as likely as the other
    table = cost_table(cells)
    halves = sum(
        (float(c.cost_of(join(layer.candidates))[0]) + float(c.cost_of(layer.candidates[0])[0])) / 2
        for c, layer in zip(table.layers, cells.layers, strict=True)
    )
    assert cost.item() == pytest.approx(float(table.fixed[0]) + halves)


def test_a_cell_is_the_mean_with_its_input_counted_and_empty_is_the_identity(cells: SearchSpace) -> None:
    torch.manual_seed(0)
    layer = cells.layers[0]
    cell = MixedLayer(layer.shape, layer.candidates, "mean").eval()
    x = torch.randn(2, layer.shape.c_in, 8, 8)
    a, b = (cell.ops[op](x) for op in sorted(layer.candidates[:2]))
    assert torch.allclose(cell(x, "+".join(layer.candidates[:2])), (a + b + x) / 3, atol=1e-6)
    assert torch.equal(cell(x, "skip"), x)


def test_balanced_sampling_ignores_the_scores_and_leaves_out_no_needed_layer(cells: SearchSpace) -> None:
    gates = Gates(cells)
    with torch.no_grad():
        gates.alphas[1][0] = 50.0
    rng, on = Random(0), 0
    for _ in range(1000):
        ((arch,),) = balanced_paths(gates)(rng)
        assert arch in cells
        on += cells.layers[1].candidates[0] in operations(arch.genes[1])
    assert 450 < on < 550


def test_low_scores_are_dropped_but_for_the_last_two_and_the_inherited(cells: SearchSpace) -> None:
    gates = Gates(cells)
    needed = next(i for i, layer in enumerate(cells.layers) if not layer.skippable)
    optional = next(i for i, layer in enumerate(cells.layers) if layer.skippable)
    inherited = [NONE] * len(cells.layers)
    inherited[optional] = frozenset({cells.layers[optional].candidates[1]})
    with torch.no_grad():
        gates.alphas[needed].copy_(torch.tensor([-3.0, -5.0, -4.0]))
        gates.alphas[optional].copy_(torch.tensor([-3.0, -5.0, -1.9]))
    gates.drop(-2.0, inherited)
    a, _, c = cells.layers[needed].candidates
    assert gates.candidates(needed) == (a, c)  # the lowest went; two are left of a layer that needs one
    assert gates.candidates(optional) == cells.layers[optional].candidates[1:]
    assert gates.narrowed(cells).layers[needed].candidates == (a, c)
    assert set(gates.ratings()) == {
        (i, op) for i, layer in enumerate(gates.narrowed(cells).layers) for op in layer.candidates
    }


def test_a_step_of_the_gates_has_the_gradient_of_the_whole_loss(cells: SearchSpace) -> None:
    """What autograd gives in one piece, from the loss to the scores, although the images' device computes only a part."""
    torch.manual_seed(0)
    supernet, gates, target, weight = Supernet(cells).train(), Gates(cells), 2e5, 0.7
    learner = indicators(cells, gates, cost_target=target, cost_weight=weight, update_every=1)
    twin, step = deepcopy(supernet), 3
    learner(supernet, step)

    fresh = Gates(cells)
    other = indicators(cells, fresh)
    rng = Random(derive_seed(5, "gates", step))
    x, y = IMAGES.validation.take(torch.tensor(rng.sample(range(len(IMAGES.validation)), 32)))
    drawn = other.draw(rng)
    q = torch.stack([layer.weights for layer in drawn if layer.weights is not None])
    loss = nn.functional.cross_entropy(other.mixture(twin, x, drawn, q), y)
    loss = loss + weight * (other.expected_cost(drawn) / target - 1) ** 2
    expected = torch.autograd.grad(loss, list(fresh.parameters()))
    for alpha, gradient in zip(gates.parameters(), expected, strict=True):
        assert alpha.grad is not None
        assert torch.equal(alpha.grad, gradient)
    assert all(torch.equal(one, two) for one, two in zip(supernet.buffers(), twin.buffers(), strict=True))


def test_a_lone_needed_operation_is_not_gated(cells: SearchSpace) -> None:
    lone = cells.replace_layers(replace(layer, candidates=layer.candidates[:1]) for layer in cells.layers)
    gates = Gates(lone)
    assert [gates.is_gated(i) for i in range(len(lone.layers))] == [layer.skippable for layer in lone.layers]


def test_the_cost_term_closes_gates(cells: SearchSpace) -> None:
    """Drawn to a target far below, the architectures that the gates draw become cheap; drawn to none, they do not."""

    def expected_macs(target: float | None) -> float:
        torch.manual_seed(0)
        supernet, gates = Supernet(cells), Gates(cells)
        learner = indicators(
            cells, gates, update_every=1, learning_rate=0.1, cost_target=target, cost_weight=50.0, drop_below=None
        )
        for step in range(25):
            learner(supernet, step)
        rng = Random(0)
        archs = [sample_architecture(gates.ratings(), cells, rng) for _ in range(200)]
        return float(cost_table(cells).count(archs)[:, 0].mean())

    assert expected_macs(1e5) < 0.7 * expected_macs(None)


def test_training_with_gates_resumes_exactly(cells: SearchSpace, tmp_path: Path) -> None:
    schedule = Schedule(epochs=3, batch_size=48, learning_rate=0.1)

    def trained(checkpoint: Path | None, stop_at: int | None = None) -> tuple[Supernet, Gates]:
        torch.manual_seed(0)
        supernet, gates = Supernet(cells), Gates(cells)
        learner = indicators(cells, gates, learning_rate=0.5, drop_below=-0.2)
        train(
            supernet, IMAGES.train, schedule, seed=1, paths=balanced_paths(gates), between=learner,
            checkpoint=checkpoint, track=interrupted_at(stop_at),
        )  # fmt: skip
        return supernet, gates

    whole, whole_gates = trained(None)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "progress", stop_at=9)
    resumed, resumed_gates = trained(tmp_path / "progress")
    assert all(torch.equal(a, b) for a, b in zip(whole_gates.alphas, resumed_gates.alphas, strict=True))
    assert [alive.tolist() for alive in whole_gates.alive] == [alive.tolist() for alive in resumed_gates.alive]
    assert not all(alive.all() for alive in whole_gates.alive)  # something was dropped on the way
    theirs = resumed.state_dict()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in whole.state_dict().items())


def test_drawn_architectures_are_distinct_inside_the_window_and_follow_the_gates(cells: SearchSpace) -> None:
    table, gates = cost_table(cells), Gates(cells)
    with torch.no_grad():
        gates.alphas[1].copy_(torch.tensor([4.0, -4.0, 0.0]))
    least, most = table.bounds()[:, 0]
    limit = (least + 0.2 * (most - least), least + 0.6 * (most - least))
    found = sample_feasible(gates.ratings(), cells, table, {"macs": limit}, 40, Random(0), set())
    assert len(found) == len({canonical_arch(arch, cells) for arch in found}) == 40
    macs = table.count(found)[:, 0]
    assert ((limit[0] <= macs) & (macs <= limit[1])).all()
    first, second, _ = cells.layers[1].candidates
    uses = [operations(arch.genes[1]) for arch in found]
    assert sum(first in use for use in uses) > 35
    assert sum(second in use for use in uses) < 5


def test_a_window_that_is_hard_to_hit_gives_fewer(cells: SearchSpace) -> None:
    table = cost_table(cells)
    most = float(table.bounds()[1, 0])
    assert (
        sample_feasible(Gates(cells).ratings(), cells, table, {"macs": (2 * most, 3 * most)}, 3, Random(0), set()) == []
    )
    assert sample_architecture(Gates(cells).ratings(), cells, Random(0)) in cells


def guarded(cells: SearchSpace, least: float, samples: int = 40, parents: Sequence[Architecture] = ()) -> list[Drawn]:
    """What the gates suggest where the least cost allowed is ``least``, with 5 guard samples in a band of 5 % of it."""
    table = cost_table(cells)
    section = NseEvolution(method="nse", samples=samples, guard_samples=5)
    limits = {"macs": (least, float(table.bounds()[1, 0]))}
    request = Request(table, "macs", limits, 100, Random(0), parents)
    return suggest_by_gates(section, Gates(cells).ratings(), cells, request)


def test_guard_samples_are_looked_for_longer(cells: SearchSpace) -> None:
    """In a band that one network of a thousand lies in: a hundred draws for each that is wanted find none."""
    table, rng = cost_table(cells), Random(1)
    macs = np.sort(table.count([sample_architecture(Gates(cells).ratings(), cells, rng) for _ in range(20_000)])[:, 0])
    least = float(macs[60])
    drawn = guarded(cells, least)
    guards = [arch for arch, origin in drawn if origin == "guard"]
    assert len(guards) == len({canonical_arch(arch, cells) for arch in guards}) == 5
    costs = table.count(guards)[:, 0]
    assert ((0.95 * least <= costs) & (costs < least)).all()


def test_what_was_drawn_for_the_limits_and_lies_below_them_may_be_a_guard_sample(cells: SearchSpace) -> None:
    """In a space of few networks, which the draws inside the limits have all met."""
    few = cells.replace_layers(
        replace(layer, candidates=layer.candidates[: 2 if i < 2 else 1]) for i, layer in enumerate(cells.layers)
    )
    table = cost_table(few)
    macs = sorted(float(table.count([arch])[0, 0]) for arch in few.enumerate())
    least = macs[len(macs) * 3 // 4]
    there = {canonical_arch(a, few) for a in few.enumerate() if 0.95 * least <= table.count([a])[0, 0] < least}
    assert there
    drawn = guarded(few, least)
    assert sum(origin == "guard" for _, origin in drawn) == min(5, len(there))


def test_gates_that_learn_in_pieces_draw_once_and_learn_from_all_images(cells: SearchSpace) -> None:
    """All pieces see the same patterns, and their gradients add up."""
    torch.manual_seed(0)
    model, drawn = Supernet(cells), dict[int, list[list[str]]]()
    for accumulate in (1, 4):
        gates = Gates(cells)
        learner = indicators(cells, gates, update_every=1, drop_below=None)
        learner.accumulate = accumulate
        genes: list[str] = []
        hooks = [
            layer.register_forward_hook(
                lambda module, given, output, genes=genes: genes.append(f"{len(given[0])} {given[1]}")
            )
            for layer in model.layers
        ]
        learner(model, 0)
        for hook in hooks:
            hook.remove()
        size = len(genes) // accumulate
        drawn[accumulate] = [
            [gene.split(" ", 1)[1] for gene in genes[i * size : (i + 1) * size]] for i in range(accumulate)
        ]
        assert sum(alpha.detach().abs().sum() for alpha in gates.alphas) > 0
    assert drawn[4] == drawn[1] * 4
