"""Slimmer spaces: the same choices, fewer channels."""

from __future__ import annotations

from random import Random

import pytest
import torch

from spaces.costs.table import cost_table, count_costs
from spaces.export.scaling import scale_to_macs, scale_widths
from spaces.library.named_spaces import LIBRARY, load_space
from spaces.networks.network import Network
from spaces.space import make_divisible


def test_half_of_nas_bench_macro() -> None:
    half = scale_widths(load_space("nas_bench_macro", size=16), 0.5)
    assert half.stem.c_out == 16
    assert [layer.shape.c_out for layer in half.layers] == [32, 32, 64, 64, 64, 128, 128, 128]
    assert (half.head.features, half.head.classes, half.stem.c_in) == (640, 10, 3)


@pytest.mark.parametrize("name", [name for name in LIBRARY if not load_space(name).variant_blocks])
def test_the_choices_stay(name: str) -> None:
    space, rng = load_space(name), Random(0)
    slim = scale_widths(space, 0.4)
    assert slim.size == space.size
    assert all(space.sample(rng) in slim for _ in range(5))
    assert scale_widths(space, 1.0) == space


def test_a_slim_network_is_built_and_cheaper() -> None:
    space, rng = load_space("nas_bench_macro", size=16), Random(0)
    slim, arch = scale_widths(space, 0.5), space.sample(rng)
    assert Network(arch, slim).eval()(torch.zeros(2, 3, 16, 16)).shape == (2, 10)
    ratio = cost_table(slim).count([arch])[0, 0] / cost_table(space).count([arch])[0, 0]
    assert 0.2 < ratio < 0.35


@pytest.mark.parametrize(
    ("number", "expected"), [(1, 8), (8, 8), (11.9, 16), (12, 16), (19.2, 24), (20, 24), (33.6, 32), (36, 40), (57, 56)]
)
def test_channels_are_divisible_and_lose_at_most_a_tenth(number: float, expected: int) -> None:
    assert make_divisible(number, 8) == expected


def test_no_width_is_an_error() -> None:
    with pytest.raises(ValueError, match="width is 0, expected a positive factor"):
        scale_widths(load_space("digits"), 0)


@pytest.mark.parametrize("seed", range(3))
def test_a_budget_is_met_from_below_by_the_best_common_factor_or_better(seed: int) -> None:
    space = load_space("mobile_cifar")
    arch = space.sample(Random(seed))
    reached = scale_to_macs(space, arch, 50e6)
    common = [count_costs(scale_widths(space, factor / 100), arch).macs for factor in range(20, 500)]  # brute force
    assert max(macs for macs in common if macs <= 50e6) <= reached.macs <= 50e6
    assert reached.macs == count_costs(reached.space, arch).macs
    assert set(reached.widths) == {16, 24, 48, 96}
    assert all(new % 8 == 0 for new in reached.widths.values())
    assert arch in reached.space


@pytest.mark.parametrize(
    ("name", "macs"), [("mobilenet_v2", 150e6), ("efficientnet_b0", 1e9), ("pad_nas_large", 300e6), ("nse_72", 300e6)]
)
def test_the_papers_spaces_reach_a_budget_to_half_a_percent(name: str, macs: float) -> None:
    space = load_space(name)
    reached = scale_to_macs(space, space.sample(Random(0)), macs)
    assert 0.995 * macs < reached.macs <= macs


def test_a_budget_that_no_width_meets_is_answered_with_what_can_be_had() -> None:
    space = load_space("digits")
    arch = space.sample(Random(0))
    with pytest.raises(ValueError, match=r"1,000 MACs are too few: .* needs 117,744 at its narrowest"):
        scale_to_macs(space, arch, 1e3)
    with pytest.raises(ValueError, match=r"1,000,000,000,000 MACs are too many: .* at 16 times its widths"):
        scale_to_macs(space, arch, 1e12)


def test_the_budget_that_a_network_has_already_changes_nothing() -> None:
    space = load_space("efficientnet_b0")
    arch = space.sample(Random(0))
    assert scale_to_macs(space, arch, count_costs(space, arch).macs).space == space
