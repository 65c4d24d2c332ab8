"""Networks: the costs of the formula, torchvision's outputs for torchvision's weights, and how layers merge."""

from __future__ import annotations

from random import Random

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from spaces import torchvision_shim
from spaces.architecture import Architecture
from spaces.costs.table import count_costs
from spaces.layer import Head, Layer, Shape, Stem
from spaces.library.named_spaces import LIBRARY, load_space
from spaces.library.nse import nse_space
from spaces.networks.network import MixedLayer, Network, merge_outputs
from spaces.size import as_text, both_sides
from spaces.space import SearchSpace

NSE = nse_space("multi_branch", "NR", [1, 1, 1, 1, 1], [8, 8, 16, 16, 24], k=3, size=32, classes=10)
SAME = Shape(8, 8, 1, 6)
WIDER = Shape(8, 12, 2, 6)


def by_name(space: SearchSpace) -> str:
    return f"{space.name}-{as_text(space.stem.size)}"


@pytest.mark.parametrize(
    "space", [*(load_space(name, size=size) for name in LIBRARY for size in (32, (24, 40))), NSE], ids=by_name
)
def test_a_network_has_the_costs_of_the_formula(space: SearchSpace) -> None:
    arch = space.sample(Random(1))
    network = Network(arch, space).eval()
    images = torch.randn(1, space.stem.c_in, *both_sides(space.stem.size))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        scores = network(images)
    assert scores.shape == (1, space.head.classes)
    assert count_costs(space, arch, "torch").macs == counter.get_total_flops() / 2
    assert count_costs(space, arch).params == sum(weight.numel() for weight in network.parameters())


@pytest.mark.parametrize(
    ("name", "params"), [("mobilenet_v2", 3_504_872), ("efficientnet_b0", 5_288_548)], ids=lambda value: str(value)
)
def test_torchvisions_weights_give_torchvisions_output(name: str, params: int) -> None:
    space = load_space(name)
    ours = Network(Architecture(tuple(layer.candidates[0] for layer in space.layers)), space).eval()
    theirs = getattr(torchvision_shim.torchvision.models, name)().eval()
    generator = torch.Generator().manual_seed(0)
    for part in theirs.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.get_buffer("running_mean"), 0.0, 0.1, generator)
            nn.init.uniform_(part.get_buffer("running_var"), 0.5, 1.5, generator)
    weights = theirs.state_dict()
    assert [tensor.shape for tensor in ours.state_dict().values()] == [tensor.shape for tensor in weights.values()]
    ours.load_state_dict(dict(zip(ours.state_dict(), weights.values(), strict=True)))
    images = torch.randn(2, 3, 64, 64, generator=generator)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images))
    assert sum(weight.numel() for weight in ours.parameters()) == params
    assert sum(weight.numel() for weight in theirs.parameters()) == params


def test_a_residual_layer_adds_its_input_where_shapes_allow_it() -> None:
    x = torch.randn(2, 8, 6, 6)
    a, b = torch.randn(2, 8, 6, 6), torch.randn(2, 8, 6, 6)
    assert torch.equal(merge_outputs("residual", SAME, x, [a]), a + x)
    assert torch.equal(merge_outputs("residual", SAME, x, [a, b]), a + b + x)
    assert torch.equal(merge_outputs("residual", WIDER, x, [a, b]), a + b)


def test_nse_averages_the_branches_with_the_input_as_one_of_them() -> None:
    x = torch.randn(2, 8, 6, 6)
    a, b = torch.randn(2, 8, 6, 6), torch.randn(2, 8, 6, 6)
    torch.testing.assert_close(merge_outputs("mean", SAME, x, [a, b]), (a + b + x) / 3)
    torch.testing.assert_close(merge_outputs("mean", SAME, x, [a]), (a + x) / 2)
    torch.testing.assert_close(merge_outputs("mean", WIDER, x, [a, b]), (a + b) / 2)
    assert torch.equal(merge_outputs("mean", WIDER, x, [a]), a)


@pytest.mark.parametrize("rule", ["residual", "mean"])
def test_an_empty_layer_passes_its_input_on(rule: str) -> None:
    x = torch.randn(2, 8, 6, 6)
    for gene in ("id", "skip"):
        assert torch.equal(MixedLayer(SAME, [gene], rule)(x), x)
        with pytest.raises(ValueError, match=f"'{gene}' cannot turn 8 into 12 channels at stride 2"):
            MixedLayer(WIDER, [gene], rule)


@pytest.mark.parametrize("rule", ["residual", "mean"])
def test_a_cell_runs_the_operations_of_the_gene_in_any_order(rule: str) -> None:
    x = torch.randn(2, 8, 6, 6)
    cell = MixedLayer(SAME, ["mb_k5_e3", "mb_k3_e1", "rec_k5_e1", "id"], rule).eval()
    pair = [cell.ops["mb_k3_e1"](x), cell.ops["rec_k5_e1"](x)]
    assert torch.equal(cell(x, "rec_k5_e1+mb_k3_e1"), merge_outputs(rule, SAME, x, pair))
    assert torch.equal(cell(x, "mb_k3_e1+rec_k5_e1"), merge_outputs(rule, SAME, x, pair))
    assert torch.equal(cell(x, "id"), x)
    assert torch.equal(cell(x), merge_outputs(rule, SAME, x, [op(x) for op in cell.ops.values()]))


def test_the_order_in_which_branches_are_written_does_not_matter() -> None:
    layers = (Layer(Shape(8, 8, 1, 6), ("mb_k3_e1", "mb_k5_e3", "conv_k3_e1"), branches=3),)
    space = SearchSpace("one", layers, Stem(8, 1, size=6), Head(0, 4), merge="mean")
    names = ["mb_k3_e1+mb_k5_e3+conv_k3_e1", "conv_k3_e1+mb_k5_e3+mb_k3_e1"]
    outputs: list[Tensor] = []
    for name in names:
        torch.manual_seed(0)
        outputs.append(Network(Architecture((name,)), space).eval()(torch.ones(1, 3, 6, 6)))
    assert torch.equal(*outputs)


def test_a_silenced_layer_begins_as_the_identity() -> None:
    x = torch.randn(4, 8, 6, 6)
    cell = MixedLayer(SAME, ["mb_k3_e6_se25"], "residual")
    assert not torch.equal(cell(x), x)
    cell.zero_init()
    assert torch.equal(cell(x), x)
    wider = MixedLayer(WIDER, ["mb_k3_e6"], "residual")
    wider.zero_init()
    assert wider(x).abs().sum() > 0


def test_parameters_are_named_by_layer_and_operation() -> None:
    space = load_space("nas_bench_macro")
    names = Network(Architecture.parse("proj|" + "|".join(["mb_k3_e3_relu6"] * 7)), space).state_dict()
    assert {".".join(name.split(".")[:4]) for name in names if name.startswith("layers.0.")} == {"layers.0.ops.proj"}
    assert all(name.startswith(f"layers.{name.split('.')[1]}.ops.") for name in names if name.startswith("layers."))


def test_weights_begin_as_torchs_seed_says_and_keep_the_scale_of_activations() -> None:
    space = load_space("mobile_cifar")
    arch = space.sample(Random(0))
    images = torch.randn(8, 3, 32, 32)
    scores = []
    for _ in range(2):
        torch.manual_seed(3)
        scores.append(Network(arch, space)(images))
    assert torch.equal(*scores)
    assert 0.001 < scores[0].std() < 1


def test_a_wrong_architecture_is_explained() -> None:
    space = load_space("digits")
    with pytest.raises(ValueError, match=r"'digits' has 7 layers, and 'id\|id' has 2 genes"):
        Network(Architecture(("id", "id")), space)
    with pytest.raises(ValueError, match="unknown operation 'magic'; known: id, skip"):
        Network(Architecture(("magic",) * 7), space)
