"""Networks that need no search: what they are, and what they cost."""

from __future__ import annotations

import math
from random import Random

import pytest

from spaces.architecture import IDENTITIES
from spaces.costs.table import count_costs
from spaces.errors import SpaceError
from spaces.export.baselines import (
    PUBLISHED,
    Contender,
    published_network,
    random_network,
    uniform_arch,
    uniform_networks,
    uniform_operations,
    without_early_strides,
)
from spaces.export.scaling import scale_to_macs, scale_widths
from spaces.library.named_spaces import LIBRARY, load_space, rows_space
from spaces.size import both_sides
from spaces.space import SearchSpace, resolve_variants


def check_budget(network: Contender, space: SearchSpace, macs: float) -> None:
    """It holds one network, whose cost another function counts; no common factor for all widths comes nearer."""
    assert network.space.size == 1
    assert network.arch in network.space
    arch, space = resolve_variants(network.arch, space) if network.arch in space else (network.arch, space)
    common = [count_costs(scale_widths(space, 0.1 + step / 20), arch).macs for step in range(30)]
    best = max((cost for cost in common if cost <= macs), default=0)
    assert best <= network.macs == count_costs(network.space, network.arch).macs <= macs


def test_a_uniform_network_has_one_operation_everywhere() -> None:
    space = load_space("digits")
    networks = uniform_networks(space, 400e3)
    ops = [op for op in space.layers[0].candidates if op not in IDENTITIES]
    assert [network.name for network in networks] == [f"{op} everywhere" for op in ops]
    for network, op in zip(networks, ops, strict=True):
        assert set(network.arch.genes) == {op}
        check_budget(network, space, 400e3)


def test_what_few_layers_have_makes_no_uniform_network() -> None:
    """By hand: of NAS-Bench-Macro's 8 layers, 3 have the projection, 5 the identity, all 8 two bottlenecks."""
    assert uniform_operations(load_space("nas_bench_macro")) == ["mb_k3_e3_relu6", "mb_k5_e6_relu6"]


def test_a_layer_that_lacks_the_operation_takes_what_is_nearest() -> None:
    """PAD-NAS's first layer has expansion 1 only; DNA's is fixed."""
    pad_nas, dna = load_space("pad_nas_basic"), load_space("dna")
    assert len(uniform_operations(pad_nas)) == 6
    assert uniform_arch(pad_nas, "mb_k5_e6").genes == ("mb_k5_e1", *["mb_k5_e6"] * 21)
    assert uniform_arch(dna, "mb_k3_e6_se25_swish").genes == ("mb_k3_e1_se25_swish", *["mb_k3_e6_se25_swish"] * 19)


def test_rows_are_the_deepest_and_widest() -> None:
    space = load_space("digits_rows")
    network = uniform_networks(space, 150e3)[0]
    assert network.arch.genes == ("mb_k3_e1",) * (2 + 3 + 2)
    plain = resolve_variants(uniform_arch(space, "mb_k3_e1"), space)
    assert [layer.shape.stride for layer in network.space.layers] == [layer.shape.stride for layer in plain[1].layers]
    assert 0.9 * 150e3 < network.macs == count_costs(network.space, network.arch).macs <= 150e3


def test_in_spaces_of_branches_there_is_one_branch() -> None:
    space = load_space("nse_27", size=32)
    for op in uniform_operations(space):
        assert set(uniform_arch(space, op).genes) == {op}


def test_a_budget_that_no_uniform_network_meets_is_refused() -> None:
    with pytest.raises(
        SpaceError, match=r"'digits' has no uniform network of 900 MACs: 900 MACs are too few: .* needs"
    ):
        uniform_networks(load_space("digits"), 900)


@pytest.mark.parametrize("name", ["digits", "digits_rows"])
def test_a_random_network_is_filled_up_to_the_budget(name: str) -> None:
    space = load_space(name)
    budget = count_costs(space, space.sample(Random(1))).macs
    for seed in range(3):
        network = random_network(space, budget, Random(seed))
        assert network == random_network(space, budget, Random(seed))
        assert 0.9 * budget < network.macs == count_costs(network.space, network.arch).macs <= budget


def test_a_random_network_was_just_below_the_budget_before() -> None:
    """Its widths are hardly changed: the channels that its own space would have, but for what fills the gap."""
    space = load_space("digits")
    for seed in range(5):
        network = random_network(space, 250e3, Random(seed))
        unscaled = next(arch for arch in [network.arch] if arch in space)
        assert 0.9 * 250e3 <= count_costs(space, unscaled).macs <= 250e3
        assert network.macs == scale_to_macs(space, unscaled, 250e3).macs


def test_random_networks_are_uniform_among_those_near_the_budget() -> None:
    """Against a count of all: every one of the few networks in the window is drawn about equally often."""
    space = load_space("digits")
    slim = space.replace_layers(
        [layer.__class__(layer.shape, layer.candidates[:2], block=layer.block) for layer in space.layers]
    )
    budget = 70e3
    near = {a for a in slim.enumerate() if 0.9 * budget <= count_costs(slim, a).macs <= budget}
    drawn = [random_network(slim, budget, Random(seed)).arch for seed in range(12)]
    assert set(drawn) <= near
    assert len(set(drawn)) > 0.6 * min(12, len(near))


def test_a_space_without_networks_near_the_budget_is_scaled_to_it() -> None:
    space = load_space("digits")
    for budget in (20e3, 5e6):
        assert random_network(space, budget, Random(0)).macs <= budget


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize(
    ("size", "halved", "last"), [(224, 5, 7), (64, 4, 4), (32, 3, 4), (28, 3, 4), (10, 1, 5), (3, 0, 3)]
)
def test_strides_suit_the_size_of_the_images(name: str, size: int, halved: int, last: int) -> None:
    """By hand: 28 pixels halved three times are 14, 7, 4. The late strides stay."""
    network = published_network(name, 50e6, channels=1, size=size, classes=10)
    strides = [network.space.stem.stride, *(layer.shape.stride for layer in network.space.layers)]
    assert (strides.count(2), network.space.layers[-1].shape.size_out) == (halved, last)
    kept = [place for place, stride in enumerate(strides) if stride == 2]
    whole = load_space(name)
    all_strides = [0, *(i for i, layer in enumerate(whole.layers, start=1) if layer.shape.stride == 2)]
    assert kept == all_strides[5 - halved :]


def test_strides_suit_the_shorter_side() -> None:
    space = without_early_strides(load_space("mobilenet_v2", size=(16, 64)))
    assert both_sides(space.layers[-1].shape.size_out) == (4, 16)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_network_meets_the_budget_at_its_own_operations(name: str) -> None:
    network = published_network(name, 6e6, channels=1, size=28, classes=10)
    assert network.arch.genes == tuple(layer.candidates[0] for layer in load_space(name).layers)
    assert (network.space.stem.c_in, network.space.head.classes) == (1, 10)
    check_budget(network, without_early_strides(load_space(name, channels=1, size=28, classes=10)), 6e6)


@pytest.mark.parametrize(("macs", "divisor"), [(1.7e6, 8), (1.6e6, 4), (500e3, 2), (100e3, 1)])
def test_where_multiples_of_8_are_too_wide_smaller_ones_are_taken(macs: float, divisor: int) -> None:
    """MobileNetV2 for 10 pixels has 1,611,280 MACs with 8 channels everywhere, 546,840 with 4, 208,720 with 2."""
    network = published_network("mobilenet_v2", macs, channels=1, size=10, classes=10)
    assert network.macs <= macs
    widths = {network.space.stem.c_out, *(layer.shape.c_out for layer in network.space.layers)}
    assert math.gcd(*widths) == divisor


def test_at_its_own_size_and_cost_a_published_network_is_itself() -> None:
    """MobileNetV2 at 224 pixels has 300,774,272 MACs."""
    network = published_network("mobilenet_v2", 300_774_272)
    assert network.macs == 300_774_272 == count_costs(load_space("mobilenet_v2"), network.arch).macs
    assert network.space.layers == load_space("mobilenet_v2").layers


def test_an_unknown_network_is_answered_with_those_there_are() -> None:
    with pytest.raises(SpaceError, match="unknown published network 'resnet'; known: mobilenet_v2, efficientnet_b0"):
        published_network("resnet", 1e6)


def test_named_networks_of_the_library_are_all_there() -> None:
    assert [name for name in LIBRARY if load_space(name).size == 1] == list(PUBLISHED)


def test_a_random_network_of_a_space_with_rows_has_any_row() -> None:
    """Nearly all strings have the deepest rows; networks of all depths are drawn."""
    space = load_space("digits_rows")
    networks = [random_network(space, 120e3, Random(seed)) for seed in range(24)]
    depths = {len(network.arch.genes) for network in networks}
    assert min(depths) <= 5
    assert max(depths) >= 7
    assert all(0.8 * 120e3 < network.macs <= 120e3 for network in networks)


def test_a_narrow_network_is_scaled_by_finer_steps_where_multiples_of_eight_are_too_wide() -> None:
    """Rows of 4 channels inside: what fits as it is need not fit in multiples of 8."""
    space = rows_space("narrow", 1, 20, 10, plan=((8, 3, 1), (16, 5, 2), (32, 3, 2)), stem=(8, 2))
    networks = [random_network(space, 90e3, Random(seed)) for seed in range(24)]
    assert all(0.5 * 90e3 < network.macs <= 90e3 for network in networks)
