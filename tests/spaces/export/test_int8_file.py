"""A network in 8 bits as a file: few images are decided otherwise, and the layers that would cost more stay in 32 bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from spaces.architecture import Architecture
from spaces.export.formats import export_program, write_onnx
from spaces.export.int8 import Int8File, divergence, layers_of, scores_of, write_int8
from spaces.layer import Head, Layer, Shape, Stem
from spaces.networks.network import Network
from spaces.space import SearchSpace

SPACE = SearchSpace(
    "small",
    tuple(Layer(Shape(8, 8, 1, 8), ("mb_k3_e3",)) for _ in range(3)),
    Stem(8, stride=1, size=8, c_in=1),
    Head(0, 4),
)


def blobs(count: int) -> Tensor:
    """One of random size at a random place in each image."""
    rng = torch.Generator().manual_seed(0)
    rows = torch.arange(8).float()
    y, x, width = (torch.rand(count, 1, 1, generator=rng) * scale + least for scale, least in ((8, 0), (8, 0), (3, 1)))
    return torch.exp(-((rows[:, None] - y) ** 2 + (rows[None, :] - x) ** 2) / width**2)[:, None]


IMAGES = blobs(160)
LAYERS = ["stem", "layers.0", "layers.1", "layers.2", "head"]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network with random weights, of which one channel inside of its second layer is a thousand times as large, and counts
    for nothing: with one range for all channels nothing is left of the others."""
    torch.manual_seed(0)
    network = Network(Architecture(("mb_k3_e3",) * 3), SPACE)
    with torch.no_grad():
        for _ in range(3):
            network.train()(IMAGES)
        nn.init.normal_(network.head[-1].weight, 0, 1)  # type: ignore[index, arg-type]
        block = network.layers[1].ops["mb_k3_e3"]  # type: ignore[union-attr, index]
        block[1][1].weight[5] *= 1000  # type: ignore[index]
        block[1][2] = nn.Hardtanh(-1e6, 1e6)  # type: ignore[index, operator]
        block[2][0].weight[:, 5] = 0  # type: ignore[index]
        block[2][1].weight *= 3  # type: ignore[index]
    path = tmp_path_factory.mktemp("int8") / "model.onnx"
    write_onnx(export_program(network.eval(), IMAGES[:3]), network, IMAGES[:3], path, ())
    return path


def made(file: Path, folder: Path, most: float) -> tuple[Int8File, Path]:
    path = folder / "model.int8.onnx"
    return write_int8(file, path, [IMAGES[:32], IMAGES[32:64]], [IMAGES[64:112], IMAGES[112:]], most), path


def kinds(path: Path) -> set[str]:
    return {node.op_type for node in onnx.load(path).graph.node}


def test_nodes_belong_to_their_layers(file: Path) -> None:
    assert list(layers_of(onnx.load(file))) == LAYERS


def test_the_layer_that_costs_most_stays_in_32_bits_and_no_other(file: Path, tmp_path: Path) -> None:
    whole, path = made(file, tmp_path, most=1)
    assert (whole.layers, whole.in_float) == (5, ())
    assert whole.at_first == whole.changed > 0.05
    scores = scores_of(path, [IMAGES[64:]]).argmax(1) != scores_of(file, [IMAGES[64:]]).argmax(1)
    assert whole.changed == scores.mean()
    found, path = made(file, tmp_path, most=whole.changed / 2)
    assert found.in_float == ("layers.1",)
    assert found.changed <= whole.changed / 2
    assert found.at_first == whole.at_first
    assert "QuantizeLinear" in kinds(path)


def test_where_no_image_may_change_all_layers_may_be_left(file: Path, tmp_path: Path) -> None:
    found, path = made(file, tmp_path, most=0)
    assert found.changed == 0
    assert set(found.in_float) <= set(LAYERS)
    if len(found.in_float) == 5:
        assert kinds(path) == kinds(file)


def test_divergence_is_that_of_torch() -> None:
    one, other = (torch.randn(7, 4, generator=torch.Generator().manual_seed(seed)).double() for seed in (1, 2))

    def log(x: Tensor) -> Tensor:
        return x.log_softmax(1)

    expected = nn.functional.kl_div(log(other), log(one), log_target=True, reduction="batchmean")
    assert divergence(one.numpy(), other.numpy()) == pytest.approx(float(expected))
    assert divergence(np.ones((2, 3)), np.ones((2, 3))) == 0
