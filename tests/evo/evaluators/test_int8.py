"""Architectures judged in 8 bits: beside ONNX Runtime's own quantisation, and what becomes of it in a run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from evo.data.source import ImageSet
from evo.evaluators.oneshot.scoring import Scorer
from evo.round.algorithm import run_round
from evo.round.context import run_context
from evo.round.new_run import begin_run
from evo.workers.executors import map_inline
from spaces.architecture import Architecture
from spaces.export.formats import export_program, write_onnx
from spaces.export.int8 import divergence, scores_of, write_int8
from spaces.layer import Head, Layer, Shape, Stem
from spaces.networks.fake_int8 import range_of, round_activations, round_weights, wider
from spaces.networks.network import Network
from spaces.networks.supernet import Supernet
from spaces.space import SearchSpace
from studies.config import load_config
from studies.database.store import open_store
from studies.records import EvoError

OPS = ("mb_k3_e3_relu6", "mb_k5_e3_se25_swish", "mb_k3_e6_hswish", "id")


def small() -> SearchSpace:
    layers = [Layer(Shape(8, 8, 1, 8), OPS), Layer(Shape(8, 16, 2, 8), OPS[:3]), Layer(Shape(16, 16, 1, 4), OPS)]
    return SearchSpace("small", tuple(layers), Stem(8, stride=1, size=8, c_in=1), Head(0, 10))


SPACE = small()
ARCHS = [
    Architecture(genes)
    for genes in (
        (OPS[0], OPS[0], OPS[0]),
        (OPS[1], OPS[1], OPS[1]),
        ("id", OPS[2], OPS[2]),
    )
]


@dataclass(frozen=True)
class Example:
    """A network in its forms: scores in 32 bits, by ONNX Runtime in 8 bits, and as the scorer computes them."""

    plain: np.ndarray
    real: np.ndarray
    ours: np.ndarray


def images(count: int, seed: int) -> Tensor:
    """Blobs of random size at random places."""
    rng = torch.Generator().manual_seed(seed)
    rows = torch.arange(8).float()
    y, x, width = (torch.rand(count, 1, 1, generator=rng) * scale + least for scale, least in ((8, 0), (8, 0), (3, 1)))
    blobs = torch.exp(-((rows[:, None] - y) ** 2 + (rows[None, :] - x) ** 2) / width**2)
    return blobs[:, None].contiguous(memory_format=torch.channels_last)


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    folder = tmp_path_factory.mktemp("int8")
    torch.manual_seed(0)
    supernet = Supernet(SPACE, zero_init=False)
    for module in supernet.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    shown, looked_at = images(64, 1), images(96, 2)

    @cache
    def of(place: int) -> Example:
        arch = ARCHS[place]
        network = Network(arch, SPACE)
        network.load_state_dict({name: supernet.state_dict()[name] for name in network.state_dict()})
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None
                module.reset_running_stats()
        with torch.no_grad():
            network.train()(shown)
            plain = network.eval()(looked_at).double().numpy()
        path = folder / f"{place}.onnx"
        write_onnx(export_program(network, looked_at[:2]), network, looked_at[:2], path, ())
        write_int8(path, folder / f"{place}.int8.onnx", [shown], [looked_at], most=1)
        found: list[Tensor] = []
        scorer = Scorer(supernet, [shown], ImageSet(looked_at, torch.zeros(96).long()), 96, int8=True)  # type: ignore[arg-type]
        scorer.run([arch], lambda scores, _, places: found.append(scores.clone()))
        return Example(plain, scores_of(folder / f"{place}.int8.onnx", [looked_at]), torch.cat(found).double().numpy())

    return of


@pytest.mark.parametrize("place", range(len(ARCHS)))
def test_the_scores_are_nearly_those_of_the_quantised_file(example, place: int) -> None:  # type: ignore[no-untyped-def]
    found = example(place)
    rounding = np.abs(found.plain - found.real).mean()
    assert rounding > 0
    assert np.abs(found.ours - found.real).mean() < 0.6 * rounding
    assert np.corrcoef((found.ours - found.plain).ravel(), (found.real - found.plain).ravel())[0, 1] > 0.8


def test_probabilities_are_nearer_to_the_file_than_those_in_32_bits(example) -> None:  # type: ignore[no-untyped-def]
    for found in map(example, range(len(ARCHS))):
        assert divergence(found.real, found.ours) < divergence(found.real, found.plain)


def test_scoring_in_8_bits_leaves_the_weights_as_they_are() -> None:
    torch.manual_seed(1)
    supernet = Supernet(SPACE)
    before = {name: tensor.clone() for name, tensor in supernet.named_parameters()}
    shown, looked_at = images(32, 1), ImageSet(images(32, 2), torch.arange(32) % 10)
    once = Scorer(supernet, [shown], looked_at, 16, int8=True)(ARCHS)  # type: ignore[arg-type]
    assert all(torch.equal(before[name], tensor) for name, tensor in supernet.named_parameters())
    again = [Scorer(supernet, [shown], looked_at, 16, int8=True)([arch])[0] for arch in ARCHS]  # type: ignore[arg-type]
    assert again == once


def test_ranges_are_those_of_all_calibration_batches_and_have_zero_among_their_steps() -> None:
    one, other = range_of(torch.tensor([-1.0, 3.0, 0.5])), range_of(torch.tensor([0.5, 4.0]))
    assert wider(one, other) == (torch.tensor(-1.0), torch.tensor(4.0))
    assert other[0] == 0
    rounded = round_activations(torch.tensor([-9.0, 0.0, 0.01, 9.0]), wider(one, other))
    assert rounded[1] == 0
    assert rounded.tolist() == pytest.approx([-1, 0, 0.0196, 4], abs=0.011)


def test_every_output_channel_has_a_scale_of_its_own() -> None:
    weights = torch.tensor([[1.0, -0.5], [0.01, 0.0]])
    assert (round_weights(weights) - weights).abs().max() < 1 / 250
    assert round_weights(weights)[1, 0] == pytest.approx(0.01)


@pytest.mark.parametrize(
    "change", ["search.objective=accuracy_int8", "search.int8=true", 'search.objectives=["accuracy_int8", "macs"]']
)
def test_a_run_asks_for_it_by_its_objective(change: str) -> None:
    config = load_config("digits", [change])
    assert (config.search.objective, config.search.cost, config.search.int8) == ("accuracy", "macs", True)
    assert (config.measured, config.score) == ("int8 accuracy", "int8 accuracy")
    assert config == load_config("digits", ["search.int8=true"])


def test_likelihood_in_8_bits() -> None:
    likely = load_config("digits", ["search.objective=likelihood_int8"])
    assert (likely.search.objective, likely.score) == ("likelihood", "int8 likelihood")


def test_judges_that_cannot_are_refused() -> None:
    with pytest.raises(EvoError, match="evaluator.kind is 'blockwise': oneshot and cuts judge in 8 bits"):
        load_config("dna_digits", ["search.int8=true"])


def test_a_judge_in_8_bits_has_a_name_of_its_own(tmp_path: Path) -> None:
    names, scores = [], []
    for int8 in ("false", "true"):
        changes = ["evaluator.epochs=1", "data.max_images=200", "search.evaluations=6", f"search.int8={int8}"]
        with open_store(f"sqlite:///{tmp_path}/{int8}.db") as store:
            run = begin_run(store, "digits", load_config("digits", ["ground_truth.sample=0", *changes]))
            run_round(run_context(run, store, tmp_path / "files", map_inline), 1)
            (row,) = store.rounds(run)
            names.append({proposal.evaluation.judge for proposal in store.proposals(row)})
            scores.append([proposal.evaluation.nll for proposal in store.proposals(row)])
    ((plain,), (rounded,)) = names
    assert rounded == f"{plain}:int8"  # of the same weights, which were trained once
    assert scores[0][0] != scores[1][0]
