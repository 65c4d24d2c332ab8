"""Squeeze-excitation and swish are added to a network: by other names, with exact costs."""

from __future__ import annotations

from random import Random
from typing import get_args

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from spaces.architecture import Architecture
from spaces.costs.table import CONVENTIONS, count_costs
from spaces.errors import SpaceError
from spaces.export.additions import (
    ADDITIONS,
    add_to_contender,
    add_to_network,
    add_to_operation,
    unchanged_operations,
)
from spaces.export.baselines import contender
from spaces.layer import Head, Layer, Shape, Stem
from spaces.library.named_spaces import LIBRARY, load_space
from spaces.library.nse import nse_architecture, nse_space
from spaces.networks.modules import SqueezeExcitation
from spaces.networks.network import MixedLayer, Network
from spaces.size import both_sides
from spaces.space import MERGES, SearchSpace, resolve_variants
from spaces.variants import is_variant
from studies.config.values import Added
from tests.spaces.costs.test_table import NSENET_27, WIDTHS

BOTH = ("se", "swish")


def space_of(*ops: str, merge: str = "residual", branches: int = 1) -> SearchSpace:
    """One layer of 8 channels, which may have these operations."""
    layer = Layer(Shape(8, 8, 1, 8), ops, branches=branches)
    return SearchSpace("one", (layer,), Stem(8, stride=1, c_in=1, size=8), Head(0, 10), merge)


@pytest.mark.parametrize(
    ("op", "names", "expected"),
    [
        ("mb_k5_e6", BOTH, "mb_k5_e6_seh25_swish"),
        ("mb_k5_e6", ["se"], "mb_k5_e6_seh25"),
        ("mb_k5_e6", ["swish"], "mb_k5_e6_swish"),
        ("mb_k3_e1_g1x1", BOTH, "mb_k3_e1_g1x1_seh25_swish"),
        ("mb_k3_e1_d2_g2x1", BOTH, "mb_k3_e1_d2_g2x1_seh25_swish"),
        ("rec_k7_e2", BOTH, "rec_k7_e2_seh25_swish"),
        ("conv_k3_e1", ["se"], "conv_k3_e1_seh25"),
        ("dual_k3_e2", ["se"], "dual_k3_e2_seh25"),
        ("fused_k3_e1", BOTH, "fused_k3_e1_seh25_swish"),
        ("basic_k3_h16_sc", BOTH, "basic_k3_h16_seh25_swish_sc"),
        ("mb_k3_e6_se25", BOTH, "mb_k3_e6_se25_swish"),  # one squeeze-excitation is enough
        ("mb_k3_e6_hse8_hswish", BOTH, "mb_k3_e6_hse8_swish"),
        ("mb_k3_e6_relu6", ["se"], "mb_k3_e6_seh25_relu6"),
        ("id", BOTH, "id"),
        ("proj", BOTH, "proj"),
        ("mine_k3", BOTH, "mine_k3"),
    ],
)
def test_an_operation_is_given_the_name_of_the_same_one_with_more(op: str, names: list[str], expected: str) -> None:
    assert add_to_operation(op, names) == expected
    assert add_to_operation(expected, names) == expected


def test_what_a_squeeze_excitation_costs_by_hand() -> None:
    """8 channels, thrice as many inside, a quarter of these squeezed: two 1x1 convolutions with biases. Swish costs nothing."""
    arch, space = Architecture(("mb_k3_e3",)), space_of("mb_k3_e3", "id")
    found, there = add_to_network(arch, space, BOTH)
    hidden, squeezed = 24, 6
    weights = 2 * hidden * squeezed
    assert count_costs(there, found).params - count_costs(space, arch).params == weights + hidden + squeezed
    assert count_costs(there, found).macs == count_costs(space, arch).macs
    assert count_costs(there, found, "torch").macs - count_costs(space, arch, "torch").macs == weights


def test_nses_networks_become_those_of_nses_own_space_with_both() -> None:
    """The library builds them itself: NSENet-27, whose cells are published, in a space of such operations."""
    cells, plan = (
        [[int(i) for i in cell.split(",")] for cell in NSENET_27.split()],
        ("NER", [1, 2, 2, 2, 2, 3], WIDTHS, 1.04),
    )
    own = nse_space("multi_mac", *plan, squeeze_excite=True, activation="swish")
    expected = nse_architecture("multi_mac", cells, squeeze_excite=True, activation="swish")
    found, space = add_to_network(nse_architecture("multi_mac", cells), nse_space("multi_mac", *plan), BOTH)
    assert found == expected
    assert space.stem == own.stem
    assert space.head == own.head
    for convention in CONVENTIONS:
        assert count_costs(space, found, convention) == count_costs(own, expected, convention)


@pytest.mark.parametrize("name", sorted(LIBRARY))
def test_every_space_of_the_library_has_such_networks(name: str) -> None:
    """Built: they have the weights and the multiply-accumulates that are counted, and no other activations."""
    space = load_space(name)
    arch = space.sample(Random(1))
    found, there = add_to_network(arch, space, BOTH)
    assert found in there
    cost = count_costs(there, found, "torch")
    assert cost.counts.macs == count_costs(space, arch).counts.macs
    with torch.device("meta"):
        network = Network(found, there).eval()
        x = torch.empty(1, there.stem.c_in, *both_sides(there.stem.size))
    assert sum(weight.numel() for weight in network.parameters()) == cost.params
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(x)
    assert counter.get_total_flops() == 2 * cost.macs
    kept, layers = set(unchanged_operations(arch)), [layer for layer in network.layers if isinstance(layer, MixedLayer)]
    ops = [op for layer in layers for name, op in layer.ops.items() if name not in kept]
    kinds = [type(part) for op in ops for part in op.modules()]
    assert kinds.count(SqueezeExcitation) == len(ops)
    assert nn.ReLU6 not in kinds
    assert nn.ReLU not in kinds


def test_the_libraries_operations_all_have_such_forms_but_few() -> None:
    spaces = [load_space(name) for name in LIBRARY]
    ops = {op for space in spaces for layer in space.layers for op in (*layer.candidates, *layer.pending)}
    both = {op for op in ops if "_se" in op and op.endswith("_swish")}  # DNA's and EfficientNet's have them already
    without = {op for op in ops - both if add_to_operation(op, BOTH) == op and not is_variant(op)}
    assert {op.partition(":")[0] for op in without} <= {"id", "skip", "proj", "cell"}
    assert {op for op in both if add_to_operation(op, BOTH) != op} == set()


@pytest.mark.parametrize("merge", MERGES)
def test_branches_stay_branches_whatever_merges_them(merge: str) -> None:
    space = space_of("mb_k3_e3", "mb_k5_e1", "id", merge=merge, branches=2)
    for gene, expected in (
        ("mb_k3_e3+mb_k5_e1", "mb_k3_e3_seh25+mb_k5_e1_seh25"),
        ("mb_k5_e1+id", "id+mb_k5_e1_seh25"),
    ):
        found, there = add_to_network(Architecture((gene,)), space, ["se"])
        assert str(found) == expected
        assert there.merge == merge
        assert Network(found, there)(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


def test_a_network_that_chose_the_size_of_its_images_keeps_it() -> None:
    chooser = Layer(Shape(8, 8, 1, 8), ("size_8", "size_6"), block="input")
    space = space_of("mb_k3_e3")
    space = space.replace_layers((chooser, *space.layers))
    found, there = add_to_network(Architecture(("size_6", "mb_k3_e3")), space, BOTH)
    assert str(found) == "size_6|mb_k3_e3_seh25_swish"
    assert resolve_variants(found, there)[1].stem.size == 6


def test_what_stays_is_told_once_and_in_order() -> None:
    arch = Architecture(("row_d2_w24", "proj", "mb_k3_e1+id", "skip", "id", "mb_k3_e3_seh25"))
    assert unchanged_operations(arch) == ("proj", "id", "skip")


def test_nothing_to_add_changes_nothing() -> None:
    arch, space = Architecture(("mb_k3_e3",)), space_of("mb_k3_e3", "id")
    assert add_to_network(arch, space, ()) == (arch, space)
    one = contender("one", arch, space)
    assert add_to_contender(one, (), "macs") is one


def test_a_compared_network_keeps_its_name_and_has_its_new_costs() -> None:
    one = contender("one", Architecture(("mb_k3_e3",)), space_of("mb_k3_e3", "id"), "torch")
    more = add_to_contender(one, BOTH, "torch")
    assert (more.name, str(more.arch)) == ("one", "mb_k3_e3_seh25_swish")
    assert (more.macs - one.macs, more.params - one.params) == (2 * 24 * 6, 2 * 24 * 6 + 24 + 6)
    assert add_to_contender(more, BOTH, "torch") == more


def test_two_branches_that_would_be_one_are_refused() -> None:
    space = space_of("mb_k3_e3", "mb_k3_e3_swish", branches=2)
    with pytest.raises(
        SpaceError, match=r"stage1.layer1 of 'one' is 'mb_k3_e3\+mb_k3_e3_swish', and with swish two of its"
    ):
        add_to_network(Architecture(("mb_k3_e3+mb_k3_e3_swish",)), space, ["swish"])


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(SpaceError, match="'gelu' cannot be added to a network; known: se, swish"):
        add_to_network(Architecture(("id",)), space_of("id"), ["gelu"])


def test_the_setting_knows_the_same_names() -> None:
    assert get_args(Added) == tuple(ADDITIONS)
