"""Stages of a trained network give fewer channels, with its weights: exact costs, the best basis, one part of another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from spaces.architecture import Architecture
from spaces.costs.table import cost_table
from spaces.errors import SpaceError
from spaces.layer import Head, Layer, Shape, Stem
from spaces.networks.network import Network
from spaces.networks.supernet import Supernet
from spaces.pretrained.cut_space import space_of, stages_to_narrow, whole_alone, whole_network
from spaces.pretrained.importance import channel_importance
from spaces.pretrained.nested import NestedNetwork
from spaces.pretrained.networks import Pretrained
from spaces.pretrained.refit import hidden_moments
from spaces.pretrained.slices import first_weights, load_first_weights
from spaces.pretrained.streams import Basis, narrow_giver, narrow_reader, stream_bases
from spaces.space import SearchSpace, resolve_variants
from studies.config import CutsSection

NET = SearchSpace(
    "net",
    (
        Layer(Shape(8, 16, 1, 12), ("mb_k3_e1_relu6",)),
        Layer(Shape(16, 24, 2, 12), ("mb_k3_e3_se50_swish",), block="stage2"),
        Layer(Shape(24, 24, 1, 6), ("mb_k5_e2_relu6",), block="stage2"),
        Layer(Shape(24, 24, 1, 6), ("conv_k3_h32",), block="stage2"),
        Layer(Shape(24, 40, 1, 6), ("fused_k3_e2_swish",), block="stage3"),
    ),
    Stem(8, 1, c_in=3, size=12),
    Head(48, 10),
)
IMAGES = torch.randn(24, 3, 12, 12, generator=torch.Generator().manual_seed(0))
BATCHES = [(IMAGES[:12], torch.arange(12) % 10), (IMAGES[12:], torch.arange(12) % 10)]


def trained(space: SearchSpace = NET) -> Network:
    """A network whose normalisations know its images, with scales that are not all alike."""
    torch.manual_seed(1)
    network = Network(whole_network(space), space)
    for norm in (part for part in network.modules() if isinstance(part, nn.BatchNorm2d)):
        nn.init.uniform_(norm.weight, 0.3, 1.5)
        nn.init.normal_(norm.bias, std=0.3)
        norm.momentum = None
    with torch.no_grad():
        network(IMAGES)
    return network.eval()


def read(network: Network, space: SearchSpace = NET, refit: bool = True) -> Pretrained:
    measured = stream_bases(network, space, BATCHES) | channel_importance(network, BATCHES)
    measured |= hidden_moments(network, BATCHES) if refit else {}
    return Pretrained(
        "net", space, whole_network(space), network.state_dict(), (0.0,) * 3, (1.0,) * 3, measured=measured
    )


@pytest.fixture(scope="module")
def found() -> Pretrained:
    return read(trained())


@pytest.fixture(scope="module")
def space(found: Pretrained) -> SearchSpace:
    return space_of(found, size=12, classes=10, smaller=[8], widths=[0.7, 0.34])


def test_a_choice_in_front_says_how_many_channels_each_stage_gives(space: SearchSpace) -> None:
    profiles = ["", "_c16-16-32", "_c16-8-16"]  # a first stage of 8 would add what the stem gives
    assert space.layers[0].candidates == tuple(f"size_{pixels}{profile}" for pixels in (12, 8) for profile in profiles)
    assert space.names[0] == "input.size"
    assert space.layers_in_words == "5 layers, the size of images and the channels of stages"
    assert SearchSpace.from_json(space.to_json()) == space


def test_hidden_channels_are_named_by_their_number_which_widths_do_not_change(space: SearchSpace) -> None:
    assert space.layers[1].candidates[0] == "mb_k3_e1_relu6"  # it has none, and reads the stem
    assert [layer.candidates[0] for layer in space.layers[2:]] == [
        "mb_k3_h48_se50_swish", "mb_k5_h48_relu6", "conv_k3_h32", "fused_k3_h48_swish",
    ]  # fmt: skip


def test_costs_are_those_of_the_networks_built(space: SearchSpace) -> None:
    table = cost_table(space, "torch")
    whole = whole_network(space).genes[1:]
    for size in space.layers[0].candidates:
        for genes in (whole, tuple(layer.candidates[-1] for layer in space.layers[1:])):
            arch = Architecture((size, *genes))
            network, pixels = Network(arch, space).eval(), resolve_variants(arch, space)[1].stem.size
            with torch.no_grad(), FlopCounterMode(display=False) as counter:
                network(torch.zeros(1, 3, pixels, pixels))  # type: ignore[arg-type]
            macs, params, _ = table.count([arch])[0]
            assert macs == counter.get_total_flops() / 2
            assert params == sum(each.numel() for each in network.parameters())


def test_all_channels_in_another_basis_are_the_same_network() -> None:
    """Each stage's basis with all of its channels, put into the whole network's weights by hand."""
    network = trained()
    with torch.no_grad():
        before = network(IMAGES)
    measured = stream_bases(network, NET, BATCHES)
    weights = dict(network.state_dict())
    names = [f"layers.{i}.ops.{layer.candidates[0]}" for i, layer in enumerate(NET.layers)]
    givers = {0: [f"{names[0]}.1"], 1: [f"{names[1]}.3", f"{names[2]}.2", f"{names[3]}.2"], 2: [f"{names[4]}.1"]}
    readers = {0: [f"{names[1]}.0"], 1: [f"{names[2]}.0", f"{names[3]}.0", f"{names[4]}.0"], 2: ["head.0.0"]}
    for stage, channels in enumerate((16, 24, 40)):
        basis = Basis.of(stage, measured, channels)
        assert torch.allclose(basis.back @ basis.into, torch.eye(channels).double(), atol=1e-4)
        for name in givers[stage]:
            weights |= dict(narrow_giver(weights, name, basis))
        for name in readers[stage]:
            weights |= dict(narrow_reader(weights, name, basis))
    network.load_state_dict(weights)
    with torch.no_grad():
        assert torch.allclose(network.eval()(IMAGES), before, atol=2e-4)


def given_in_second_stage(network: Network) -> list[np.ndarray]:
    """What each of its layers gives, ``(pixels of all images, channels)``."""
    given: list[Tensor] = []
    hooks = [layer.register_forward_hook(lambda m, x, y: given.append(y)) for layer in list(network.layers)[1:4]]
    with torch.no_grad():
        network(IMAGES)
    for hook in hooks:
        hook.remove()
    return [each.permute(0, 2, 3, 1).reshape(-1, each.shape[1]).double().numpy() for each in given]


def what_readers_lose(network: Network, into: np.ndarray, back: np.ndarray) -> float:
    """What the readers of the second stage give less what they gave, from numbers alone: the mean square over images."""
    lost = 0.0
    for layer, rows in zip(list(network.layers)[2:5], given_in_second_stage(network), strict=True):
        part = next(each for each in layer.modules() if isinstance(each, nn.Conv2d))
        norm = next(each for each in layer.modules() if isinstance(each, nn.BatchNorm2d))
        assert norm.running_var is not None
        scale = (norm.weight / (norm.running_var + norm.eps).sqrt()).detach().double().numpy()
        rows = rows - rows.mean(0)
        weights = part.weight.detach().double().numpy() * scale[:, None, None, None]
        reads = weights.transpose(0, 2, 3, 1).reshape(-1, rows.shape[1])
        lost += float((((rows - rows @ into.T @ back.T) @ reads.T) ** 2).sum() / len(rows))
    return lost


@pytest.mark.parametrize("channels", [8, 16])
def test_no_other_basis_of_as_many_channels_tells_readers_more(channels: int) -> None:
    """Beside principal components, single channels with the best map back, and random turns of the basis itself."""
    network, rng = trained(), np.random.default_rng(0)
    basis = Basis.of(1, stream_bases(network, NET, BATCHES), channels)
    into, back = basis.into.numpy(), basis.back.numpy()
    ours = what_readers_lose(network, into, back)
    covariance = sum(np.cov(each.T, bias=True) for each in given_in_second_stage(network)) / 3
    components = np.linalg.eigh(covariance)[1][:, ::-1][:, :channels]
    others = [(components.T, components)]
    for _ in range(5):
        kept = rng.permutation(24)[:channels]
        others.append((np.eye(24)[kept], covariance[:, kept] @ np.linalg.inv(covariance[kept][:, kept])))
        turned = into + 0.05 * rng.normal(size=into.shape)
        others.append((turned, covariance @ turned.T @ np.linalg.inv(turned @ covariance @ turned.T)))
    assert all(ours < 1.001 * what_readers_lose(network, *other) for other in others)
    assert ours < 0.9 * min(what_readers_lose(network, *other) for other in others[1::2])


def test_fewer_channels_are_a_part_of_more() -> None:
    measured = stream_bases(trained(), NET, BATCHES)
    wide, narrow = Basis.of(1, measured, 16), Basis.of(1, measured, 8)
    assert torch.equal(wide.into[:8], narrow.into)
    assert torch.equal(wide.back[:, :8], narrow.back)


def test_a_path_through_the_supernet_is_the_network_alone(found: Pretrained, space: SearchSpace) -> None:
    supernet = Supernet(space, zero_init=False)
    load_first_weights(supernet, space, first_weights(found, space, (0.0,) * 3, (1.0,) * 3, "taylor"))
    for arch in (
        Architecture(
            ("size_12_c16-16-32", "mb_k3_e1_relu6", "mb_k3_h24_se50_swish", "id", "conv_k3_h16", "fused_k3_h48_swish")
        ),
        Architecture(("size_8_c16-8-16", *whole_network(space).genes[1:])),
        Architecture(("size_12", *whole_network(space).genes[1:])),
    ):
        genes, alone = resolve_variants(space.check(arch), space)
        network = Network(genes, alone)
        load_first_weights(
            network, alone, first_weights(found, alone.restrict_to(genes), (0.0,) * 3, (1.0,) * 3, "taylor")
        )
        x = (
            IMAGES
            if alone.stem.size == 12
            else nn.functional.interpolate(IMAGES, (8, 8), mode="bilinear", antialias=True)
        )
        with torch.no_grad():
            assert torch.allclose(supernet.eval()(IMAGES, arch), network.eval()(x), atol=1e-5)


def test_the_whole_network_is_what_it_was(found: Pretrained, space: SearchSpace) -> None:
    arch, alone = whole_alone(space)
    network = Network(arch, alone)
    load_first_weights(network, alone, first_weights(found, alone, (0.0,) * 3, (1.0,) * 3, "taylor"))
    with torch.no_grad():
        assert torch.allclose(network.eval()(IMAGES), trained()(IMAGES), atol=1e-5)


@pytest.mark.parametrize("refit", [True, False])
def test_what_normalisations_expect_is_what_they_are_given(refit: bool) -> None:
    """A stage that gives fewer channels gives what its basis makes of what it gave, whether or not normalisations take their
    statistics anew from images."""
    network = trained()
    found = read(network, refit=refit)
    space = space_of(found, size=12, classes=10, widths=[0.7])
    genes, alone = resolve_variants(Architecture(("size_12_c16-16-32", *whole_network(space).genes[1:])), space)
    narrow = Network(genes, alone)
    load_first_weights(narrow, alone, first_weights(found, alone, (0.0,) * 3, (1.0,) * 3, "taylor"))
    given: dict[str, Tensor] = {}
    network.layers[1].register_forward_hook(lambda m, x, y: given.update(whole=y))
    narrow.layers[1].register_forward_hook(lambda m, x, y: given.update(narrow=y))
    basis = Basis.of(1, found.measured, 16)
    with torch.no_grad():
        network(IMAGES)
        narrow.eval()(IMAGES)
        expected = torch.einsum("kc,ncij->nkij", basis.into.float(), given["whole"])
        assert torch.allclose(given["narrow"], expected, atol=1e-4)
        if refit:
            narrow.train()(IMAGES)
            assert torch.allclose(given["narrow"], expected, atol=0.02)


def test_cuts_that_are_trained_together_have_the_same_weights(found: Pretrained, space: SearchSpace) -> None:
    arch, alone = whole_alone(space)
    whole = Network(arch, alone)
    load_first_weights(whole, alone, first_weights(found, alone, (0.0,) * 3, (1.0,) * 3, "taylor"))
    numbered = Pretrained("net", alone, arch, whole.state_dict(), (0.0,) * 3, (1.0,) * 3, measured=found.measured)
    model = NestedNetwork(whole, space, dict(found.measured))
    cut = Architecture(
        ("size_12_c16-8-16", "mb_k3_e1_relu6", "mb_k3_h48_se50_swish", "id", "conv_k3_h32", "fused_k3_h48_swish")
    )
    genes, narrow = resolve_variants(cut, space)
    network = Network(genes, narrow)
    known = replace(
        numbered, measured={name: each for name, each in found.measured.items() if name.startswith("stages")}
    )
    load_first_weights(network, narrow, first_weights(known, narrow.restrict_to(genes), (0.0,) * 3, (1.0,) * 3))
    with torch.no_grad():
        assert torch.allclose(model.eval()(IMAGES, cut)[0], network.eval()(IMAGES), atol=1e-5)
    model.train()(IMAGES, cut)[0].sum().backward()  # type: ignore[no-untyped-call]
    assert whole.get_parameter("layers.3.ops.conv_k3_h32.0.0.weight").grad is not None


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, (True, True, True)),
        ({"merge": "residual_relu"}, (False, False, False)),
        ({"head": Head(0, 10)}, (True, True, False)),
        ({1: ("mb_k3_e1_relu6",)}, (False, True, True)),  # it sees the channels of the first stage one by one
        ({4: ("fused_k3_e1_swish",)}, (True, True, False)),  # an activation is behind what it gives
        ({3: ("mb_k3_e1_relu6",)}, (True, False, True)),
        ({0: ("proj",)}, (True, True, True)),
    ],
)  # fmt: skip
def test_a_stage_has_fewer_channels_only_where_any_basis_will_do(change: dict, expected: tuple[bool, ...]) -> None:
    layers = tuple(replace(layer, candidates=change.get(i, layer.candidates)) for i, layer in enumerate(NET.layers))
    others = {name: value for name, value in change.items() if isinstance(name, str)}
    assert stages_to_narrow(replace(NET, layers=layers, **others)) == expected


def test_a_first_stage_that_adds_what_the_stem_gives_keeps_its_channels() -> None:
    first = replace(NET.layers[0], shape=Shape(8, 8, 1, 12))
    second = replace(NET.layers[1], shape=replace(NET.layers[1].shape, c_in=8))
    assert stages_to_narrow(replace(NET, layers=(first, second, *NET.layers[2:]))) == (False, True, True)


def test_widths_change_nothing_where_no_stage_can_be_narrowed() -> None:
    space = replace(NET, merge="residual_relu")
    found = Pretrained("net", space, whole_network(space), {}, (0.0,) * 3, (1.0,) * 3)
    assert space_of(found, size=12, widths=[0.5]) == space_of(found, size=12)
    assert CutsSection.model_fields["widths"].default == ()
    (said,) = [line for line in CutsSection(kind="cuts", widths=(0.5,)).plan(space, 1) if "fewer channels" in line]
    assert "evaluator.widths changes nothing" in said


@pytest.mark.parametrize(
    ("op", "said"),
    [
        ("size_12_c8-8", "channels for 2 stages, and there are 3"),
        ("size_12_c8-0-16", "expected size_<pixels>"),
        ("size_12_c08-8-16", "expected size_<pixels>"),
        ("size_12_c", "expected size_<pixels>"),
        ("size_12_c16-24-24", "would turn 24 into 24 channels, and add its input"),
    ],
)
def test_channels_that_cannot_be_are_told(op: str, said: str, space: SearchSpace) -> None:
    with pytest.raises(SpaceError, match=said):
        space.replace_layers((replace(space.layers[0], candidates=(op,)), *space.layers[1:]))


def test_stages_do_not_come_to_give_what_they_are_given() -> None:
    """24 and 32 channels at 0.6: both would have 16 or so, and the layer between would begin to add its input."""
    layers = (*NET.layers[:4], replace(NET.layers[4], shape=Shape(24, 32, 1, 6)))
    space = replace(NET, layers=layers)
    found = Pretrained("net", space, whole_network(space), {}, (0.0,) * 3, (1.0,) * 3)
    for share in np.linspace(0.2, 0.95, 16):
        made = space_of(found, size=12, classes=10, widths=[float(share)])  # it checks its own channels
        assert made.input_sizes is None or made.layers[0].candidates[0] == "size_12"
