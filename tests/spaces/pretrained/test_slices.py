"""What is cut out of a trained network is that network without some channels, the rims of kernels, or whole layers."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor, nn

from spaces.architecture import Architecture
from spaces.errors import SpaceError
from spaces.layer import Head, Layer, Shape, Stem
from spaces.networks.build import build_operation
from spaces.networks.network import Network
from spaces.networks.supernet import Supernet, inherit_weights
from spaces.operations.grammar import hidden_channels, parse_op
from spaces.pretrained.cut_space import space_of
from spaces.pretrained.importance import channel_importance
from spaces.pretrained.module_reader import read_module
from spaces.pretrained.networks import Pretrained, take_weights, torchvision_network
from spaces.pretrained.slices import cut_weights, first_weights, load_first_weights
from spaces.space import SearchSpace

SHAPE = Shape(16, 24, 2, 9)
SAME = Shape(16, 16, 1, 9)


def filled_operation(op: str, shape: Shape) -> nn.Module:
    """A module whose weights and statistics are all drawn."""
    torch.manual_seed(0)
    module = build_operation(op, shape).eval()
    for tensor in module.state_dict().values():
        if tensor.is_floating_point():
            tensor.uniform_(0.2, 1.0).mul_(torch.randint(0, 2, tensor.shape) * 2 - 1 if tensor.ndim > 1 else 1)
    return module


CUTS = [
    ("mb_k5_e6_relu6", "mb_k3_h40_relu6", SHAPE),
    ("mb_k3_e6_se25_swish", "mb_k3_h24_se25_swish", SAME),
    ("mb_k5_h72_hse24_hswish", "mb_k5_h40_hse24_hswish", SHAPE),
    ("fused_k3_e4_swish", "fused_k3_h24_swish", SHAPE),
    ("conv_k3_h32_sc", "conv_k3_h16_sc", SHAPE),
    ("conv_k3_h32", "conv_k3_h16", SAME),
    ("basic_k3_h32_sc", "basic_k3_h8_sc", SHAPE),
    ("mb_k7_e1", "mb_k3_e1", SHAPE),
]


@pytest.mark.parametrize(("op", "cut", "shape"), CUTS)
def test_a_cut_is_the_whole_with_the_rest_at_zero(op: str, cut: str, shape: Shape) -> None:
    whole, part = filled_operation(op, shape), build_operation(cut, shape).eval()
    weights = dict(whole.state_dict())
    part.load_state_dict(cut_weights(op, cut, shape, weights))
    smaller = dict(part.state_dict())
    with torch.no_grad():
        for name, tensor in weights.items():
            if tensor.ndim == 4 and tensor.shape[-1] > smaller[name].shape[-1]:
                rim = (tensor.shape[-1] - smaller[name].shape[-1]) // 2
                inner = tensor[:, :, rim:-rim, rim:-rim].clone()
                tensor.zero_()[:, :, rim:-rim, rim:-rim] = inner
        for name, tensor in weights.items():  # a channel whose normalisation gives zero is not there
            if name.endswith("1.running_mean") and len(tensor) > len(smaller[name]):
                gone = ~torch.isin(tensor, smaller[name])
                weights[name.replace("running_mean", "weight")][gone] = 0
                weights[name.replace("running_mean", "bias")][gone] = 0
        images = torch.rand(2, shape.c_in, 9, 9, generator=torch.Generator().manual_seed(1))
        assert torch.allclose(part(images), whole(images), rtol=1e-4, atol=1e-4)


def test_fewer_channels_are_a_part_of_more_and_the_most_important_stay() -> None:
    weights = dict(filled_operation("mb_k3_e6", SAME).state_dict())
    weights["1.1.weight"] = torch.arange(96.0)  # the later a channel, the more it is scaled
    weights["0.1.weight"] = torch.ones(96)
    weights["2.0.weight"] = torch.ones_like(weights["2.0.weight"])
    for hidden in (24, 72):
        cut = cut_weights("mb_k3_e6", f"mb_k3_h{hidden}", SAME, weights)
        assert cut["1.1.weight"].tolist() == list(range(96 - hidden, 96))


@pytest.mark.parametrize(
    ("op", "cut", "said"),
    [
        ("mb_k3_e4", "mb_k5_e4", "it is larger"),
        ("mb_k3_e4", "mb_k3_e5", "it is larger"),
        ("mb_k3_e4_g2x2", "mb_k3_e2_g2x2", "its channels are grouped"),
        ("conv_k3_e4_g1x2", "conv_k3_e2_g1x2", "its channels are grouped"),
    ],
)
def test_what_cannot_be_cut_out(op: str, cut: str, said: str) -> None:
    with pytest.raises(SpaceError, match=f"'{cut}' cannot be cut out of '{op}': {said}"):
        cut_weights(op, cut, SAME, dict(filled_operation(op, SAME).state_dict()))


def test_grouped_operations_keep_their_channels() -> None:
    layer = Layer(SAME, ("mb_k5_e4_g2x2",))
    made = SearchSpace("made", (layer,), Stem(16, 1, c_in=3, size=9), Head(0, 5))
    arch = Architecture(layer.candidates)
    found = Pretrained("made", made, arch, Network(arch, made).state_dict(), (0.5,) * 3, (0.2,) * 3)
    space = space_of(found, size=9, classes=5)
    assert space.layers[0].candidates == ("mb_k5_e4_g2x2", "mb_k3_e4_g2x2", "id")
    supernet = Supernet(space, zero_init=False)
    assert inherit_weights(supernet, first_weights(found, space, found.mean, found.std)) == []


def test_images_of_other_channels_are_refused(found: Pretrained) -> None:
    with pytest.raises(
        SpaceError, match="sees images of 3 channels, and these have 4: expected as many, or grey images"
    ):
        space_of(found, channels=4)


def test_networks_with_branches_are_refused() -> None:
    layer = Layer(SAME, ("mb_k3_e1", "mb_k3_e3"), branches=2)
    made = SearchSpace("made", (layer,), Stem(16, 1, c_in=3, size=9), Head(0, 5))
    with pytest.raises(SpaceError, match="has operations side by side in a layer of stage1"):
        space_of(Pretrained("made", made, Architecture(("mb_k3_e1+mb_k3_e3",)), {}, (), ()))


def test_nothing_begins_with_chance_in_silence(found: Pretrained) -> None:
    space = space_of(found, size=33)
    weights = first_weights(found, space, found.mean, found.std)
    name = next(name for name in weights if name.startswith("layers.0."))
    del weights[name]
    with pytest.raises(SpaceError, match=f"there are no weights for {re.escape(name)}"):
        load_first_weights(Supernet(space), space, weights)


def test_an_operation_of_other_steps_cannot_be_cut_out() -> None:
    with pytest.raises(SpaceError, match="'mb_k3_e1' cannot be cut out of 'mb_k3_e6': they have other steps"):
        cut_weights("mb_k3_e6", "mb_k3_e1", SAME, dict(filled_operation("mb_k3_e6", SAME).state_dict()))


@pytest.fixture(scope="module", params=["mobilenet_v3_small", "mnasnet0_5", "resnet18"])
def found(request: pytest.FixtureRequest) -> Pretrained:
    """A network of torchvision with weights by chance."""
    torch.manual_seed(0)
    module = torchvision_network(request.param)
    read = read_module(module, request.param, 33)
    weights = take_weights(read, module.state_dict(), "module")
    return Pretrained(request.param, read.space, read.arch, weights, (0.5, 0.4, 0.3), (0.2, 0.25, 0.3))


def test_a_space_has_the_network_its_cuts_and_identities(found: Pretrained) -> None:
    space = space_of(found, size=40, classes=7)
    assert found.arch in space
    assert (space.stem.size, space.head.classes) == (40, 7)
    for layer in space.layers:
        whole, *cuts = layer.candidates
        assert ("id" in cuts) == layer.shape.is_residual
        ops = [parse_op(op) for op in cuts if op != "id"]
        most = parse_op(whole)
        assert all(op.kernel in range(3, most.kernel + 1, 2) for op in ops)
        assert all(hidden_channels(op, layer.shape) <= hidden_channels(most, layer.shape) for op in ops)
        assert all(op.hidden % 8 == 0 for op in ops if op.hidden != most.hidden)


def test_a_supernet_begins_with_the_network_itself(found: Pretrained) -> None:
    """Images that were brought to another mean and deviation give the same scores, but for what the margins change."""
    space = space_of(found, size=33)
    mean, std = (0.45, 0.42, 0.31), (0.22, 0.24, 0.31)
    supernet = Supernet(space, zero_init=False).eval()
    classifier = {name: tensor for name, tensor in found.weights.items() if name not in supernet_names(found)}
    fresh = inherit_weights(supernet, first_weights(found, space, mean, std) | classifier)
    assert fresh == []
    images = torch.rand(2, 3, 33, 33, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        scores = supernet(normalised(images, mean, std), found.arch)
        expected = found.build()(images)
    assert float((scores - expected).abs().max()) < 0.1 * float(expected.abs().max())


def supernet_names(found: Pretrained) -> set[str]:
    """Names of all tensors but those of the last linear layer."""
    last = max(int(name.split(".")[1]) for name in found.weights if name.startswith("head."))
    return {name for name in found.weights if not name.startswith(f"head.{last}.")}


def normalised(images: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    return (images - torch.tensor(mean).view(-1, 1, 1)) / torch.tensor(std).view(-1, 1, 1)


def test_every_architecture_of_the_space_begins_with_weights(found: Pretrained) -> None:
    space = space_of(found, size=33, classes=5)
    weights = first_weights(found, space, found.mean, found.std)
    least = Architecture(tuple(layer.candidates[-1] for layer in space.layers))
    network = Network(least, space)
    fresh = inherit_weights(network, weights)
    assert all(name.startswith("head.") for name in fresh)
    assert {name.rpartition(".")[2] for name in fresh} == {"weight", "bias"}


def test_grey_images_are_seen_as_colours_that_are_alike(found: Pretrained) -> None:
    space = space_of(found, channels=1, size=33)
    weights = first_weights(found, space, (0.5,), (0.25,))
    whole = first_weights(found, space_of(found, size=33), (0.5,) * 3, (0.25,) * 3)
    grey, colour = Network(found.arch, space).stem.eval(), Network(found.arch, space_of(found, size=33)).stem.eval()
    for stem, tensors in (grey, weights), (colour, whole):
        stem.load_state_dict(
            {name.removeprefix("stem."): tensor for name, tensor in tensors.items() if name.startswith("stem.")}
        )
    images = torch.rand(2, 1, 33, 33, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(grey(images), colour(images.expand(-1, 3, -1, -1)), atol=1e-5)


# -- which channels stay ----------------------------------------------------------------------------------------------


def test_the_weights_that_make_and_read_a_channel_tell_its_importance() -> None:
    weights = dict(filled_operation("mb_k3_e6", SAME).state_dict())
    norms = torch.zeros(96, dtype=torch.float64)
    for name, axis in (("0.0.weight", 0), ("1.0.weight", 0), ("2.0.weight", 1)):
        rows = weights[name].double().transpose(0, axis).reshape(96, -1)
        norms += (rows * rows).sum(1)
    cut = cut_weights("mb_k3_e6", "mb_k3_h24", SAME, weights, "weight")
    stay = sorted(sorted(range(96), key=lambda i: -float(norms[i]))[:24])
    assert torch.equal(cut["1.0.weight"], weights["1.0.weight"][stay])


def test_a_gates_first_order_change_is_that_of_a_difference_quotient() -> None:
    """Scaling what leaves a normalisation by 1 - h changes the loss by h times the gate's gradient."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(96, 3)).double()
    nn.init.uniform_(network[1].weight)
    nn.init.uniform_(network[1].bias)
    batches = [(torch.randn(5, 1, 6, 6, dtype=torch.float64), torch.arange(5) % 3) for _ in range(2)]
    found = channel_importance(network, batches)["1.importance"]
    h = 1e-5
    for channel in range(6):
        expected = 0.0
        for x, y in batches:
            losses = []
            for factor in (1 - h, 1 + h):
                gate = torch.ones(6, 1, 1, dtype=torch.float64)
                gate[channel] = factor
                scores = network[2:](network[:2].eval()(x) * gate)
                losses.append(float(nn.functional.cross_entropy(scores, y).detach()))
            expected += ((losses[1] - losses[0]) / (2 * h)) ** 2
        assert float(found[channel]) == pytest.approx(expected, rel=1e-4)


def test_the_measured_importance_decides_and_is_no_weight() -> None:
    weights = dict(filled_operation("mb_k3_e6", SAME).state_dict())
    measured = {
        "0.1.importance": torch.zeros(96),
        "1.1.importance": torch.arange(96.0),
        "2.1.importance": torch.ones(16),
    }
    cut = cut_weights("mb_k3_e6", "mb_k3_h24", SAME, weights | measured, "taylor")
    assert torch.equal(cut["1.0.weight"], weights["1.0.weight"][-24:])
    assert cut.keys() == cut_weights("mb_k3_e6", "mb_k3_h24", SAME, weights).keys()
    assert cut_weights("mb_k3_e6", "mb_k3_e6", SAME, weights | measured, "taylor").keys() == weights.keys()
