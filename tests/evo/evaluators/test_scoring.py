"""Scoring by the trie gives the numbers of scoring one by one with torch's own train and eval modes, bit for bit."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evo.data.loading import load_dataset
from evo.evaluators.oneshot.paths import uniform_paths
from evo.evaluators.oneshot.scoring import Score, Scorer
from evo.training.loop import Schedule, train
from spaces.architecture import Architecture
from spaces.networks.supernet import Supernet
from spaces.space import SearchSpace
from studies.config import DataSection
from tests.evo.memory.measured import measured_peak

IMAGES = load_dataset(DataSection(name="digits", max_images=700))
CALIBRATION = [IMAGES.train.x[:128], IMAGES.train.x[128:256]]
VALIDATION = IMAGES.validation.first(40)


@pytest.fixture(scope="module")
def supernet(space: SearchSpace) -> Supernet:
    torch.manual_seed(0)
    net = Supernet(space)
    train(net, IMAGES.train, Schedule(epochs=6, batch_size=64, learning_rate=0.1), seed=0, paths=uniform_paths(space))
    return net


def naive(supernet: Supernet, arch: Architecture, batch: int, bf16: bool = False) -> Score:
    """Reset all statistics, run the calibration batches through the whole network in train mode, then evaluate; where it is
    asked for, all of it under torch's autocast."""
    for module in supernet.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None
    right, loss = 0.0, 0.0
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        supernet.train()
        for x in CALIBRATION:
            supernet(x, arch)
        supernet.eval()
        for x, y in zip(IMAGES.validation.x.split(batch), IMAGES.validation.y.split(batch), strict=True):
            scores = supernet(x, arch).float()
            right += float((scores.argmax(1) == y).sum())
            loss += float(F.cross_entropy(scores, y, reduction="sum").double())
    return Score(right / len(IMAGES.validation), loss / len(IMAGES.validation))


@pytest.mark.parametrize("batch", [100, 1000])
def test_the_trie_is_bit_identical_to_one_by_one(supernet: Supernet, space: SearchSpace, batch: int) -> None:
    rng = Random(1)
    archs = [space.sample(rng) for _ in range(8)]
    archs += [replace(arch, genes=(*arch.genes[:-1], space.layers[-1].genes[0])) for arch in archs[:3]]
    assert Scorer(supernet, CALIBRATION, IMAGES.validation, batch)(archs) == [naive(supernet, a, batch) for a in archs]


def test_in_bf16_too_and_what_is_kept_takes_half_the_memory(supernet: Supernet, space: SearchSpace) -> None:
    """Normalisations are calibrated under the autocast that scores; scores are reported in 32 bits."""
    rng = Random(1)
    archs = [space.sample(rng) for _ in range(6)]
    full, low = (Scorer(supernet, CALIBRATION, IMAGES.validation, 100, precision=p) for p in ("fp32", "bf16"))
    found = low(archs)
    assert found == [naive(supernet, arch, 100, bf16=True) for arch in archs]
    assert found != full(archs)
    kept = [
        {x.dtype for child in runner.root.children.values() for x in child.outputs.values()} for runner in (full, low)
    ]
    assert kept == [{torch.float32}, {torch.bfloat16}]
    reported: list[torch.dtype] = []
    low.run(archs[:1], lambda scores, labels, places: reported.append(scores.dtype))
    assert set(reported) == {torch.float32}


def test_a_score_does_not_depend_on_the_company(supernet: Supernet, space: SearchSpace) -> None:
    rng = Random(2)
    archs = [space.sample(rng) for _ in range(8)]
    together = Scorer(supernet, CALIBRATION, IMAGES.validation, 200)(archs)
    backwards = Scorer(supernet, CALIBRATION, IMAGES.validation, 200)(archs[::-1])
    assert together == backwards[::-1]
    assert together[3] == Scorer(supernet, CALIBRATION, IMAGES.validation, 200)(archs[3:4])[0]


def test_equal_architectures_are_scored_alike(supernet: Supernet, space: SearchSpace) -> None:
    arch = space.sample(Random(3))
    first, second = Scorer(supernet, CALIBRATION, IMAGES.validation, 200)([arch, arch])
    assert first == second
    assert first.accuracy > 0.3


@pytest.mark.parametrize("memory", [0, 200_000, 1 << 29])
def test_what_is_kept_between_generations_changes_no_number(
    supernet: Supernet, space: SearchSpace, memory: int
) -> None:
    rng = Random(4)
    scorer = Scorer(supernet, CALIBRATION, IMAGES.validation, 200, memory)
    for _ in range(3):
        archs = [space.sample(rng) for _ in range(4)]
        assert scorer(archs) == [naive(supernet, arch, 200) for arch in archs]
        assert scorer.held <= memory


def test_a_prefix_that_is_kept_is_not_computed_again(supernet: Supernet, space: SearchSpace) -> None:
    arch = space.sample(Random(5))
    scorer = Scorer(supernet, CALIBRATION, IMAGES.validation, 1000)
    scorer([arch])
    assert scorer.computed == scorer.naive == 2 * len(space.layers)  # calibration, and one batch of validation images
    last = replace(arch, genes=(*arch.genes[:-1], next(g for g in space.layers[-1].genes if g != arch.genes[-1])))
    scorer([last])
    assert scorer.computed == 2 * len(space.layers) + 2


def test_a_generation_that_has_converged_saves_most_of_the_work(supernet: Supernet, space: SearchSpace) -> None:
    """Fifty mutants of one network, one gene each."""
    rng = Random(6)
    parent = space.sample(rng)
    mutants = []
    for _ in range(50):
        i = rng.randrange(len(space.layers))
        mutants.append(
            replace(parent, genes=(*parent.genes[:i], rng.choice(space.layers[i].genes), *parent.genes[i + 1 :]))
        )
    scorer = Scorer(supernet, CALIBRATION, IMAGES.validation, 1000)
    scorer(mutants)
    assert scorer.naive / scorer.computed > 1.8


def test_memory_is_bounded_whatever_the_number_of_calibration_batches(supernet: Supernet, space: SearchSpace) -> None:
    """Beside what may be kept, a walk takes what one layer does for one batch: that of a walk that keeps nothing."""
    rng = Random(7)
    archs = [space.sample(rng) for _ in range(3)]
    calibration = [IMAGES.train.x[i * 20 : i * 20 + 20] for i in range(12)]

    def peak(memory: int, batches: list[Tensor], scored: list[Architecture]) -> int:
        return measured_peak(lambda: Scorer(supernet, batches, VALIDATION, 20, memory)(scored)).tensors

    one_layer = max(peak(0, calibration[:1], [arch]) for arch in archs)
    for memory in (0, 300_000):
        assert peak(memory, calibration, archs) < memory + 1.2 * one_layer


def test_little_memory_costs_no_more_than_scoring_one_by_one(supernet: Supernet, space: SearchSpace) -> None:
    rng = Random(8)
    scorer = Scorer(supernet, CALIBRATION, IMAGES.validation, 200, memory=0)
    scorer([space.sample(rng) for _ in range(12)])
    assert scorer.computed <= scorer.naive


def test_a_walk_that_was_interrupted_goes_on_with_the_same_numbers(
    supernet: Supernet, space: SearchSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of calibration: statistics of two batches are not taken for those of all."""
    rng = Random(9)
    archs = [space.sample(rng) for _ in range(4)]
    scorer, calls = Scorer(supernet, CALIBRATION, IMAGES.validation, 200), 0
    whole = scorer._run_node

    def interrupted(*given: Any) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == 40:
            raise KeyboardInterrupt
        return whole(*given)

    monkeypatch.setattr(scorer, "_run_node", interrupted)
    with pytest.raises(KeyboardInterrupt):
        scorer(archs)
    assert scorer(archs) == [naive(supernet, arch, 200) for arch in archs]


def test_what_scoring_leaves_behind_does_not_depend_on_memory(supernet: Supernet, space: SearchSpace) -> None:
    """A block's file holds the state of its supernet after its candidates were scored."""
    rng = Random(10)
    archs = [space.sample(rng) for _ in range(4)]
    states = []
    for memory in (0, 1 << 29):
        scorer = Scorer(supernet, CALIBRATION, IMAGES.validation, 200, memory)
        for start in (0, 2):
            scorer(archs[start : start + 2])
        states.append({name: tensor.clone() for name, tensor in supernet.state_dict().items()})
    tracked = [name for name in states[0] if name.endswith("num_batches_tracked")]
    assert tracked
    assert all(torch.equal(states[0][name], states[1][name]) for name in tracked)
