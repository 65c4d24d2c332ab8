"""What a proxy is, how it is written, and what it makes of networks."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from evo.proxies.proxy import GRID, Proxy, parse_proxy
from evo.proxies.reduced import Reduced, in_full, reduce_all, reduced
from spaces.architecture import Architecture
from spaces.costs.table import count_costs
from spaces.library.named_spaces import load_space
from spaces.operations.grammar import parse_op
from spaces.space import SearchSpace
from studies.records import EvoError


@pytest.fixture(scope="module")
def wide() -> SearchSpace:
    """Channels that can be halved twice, and images that can be, too."""
    return load_space("mobile_cifar")


def sampled(space: SearchSpace, number: int = 3) -> tuple[Architecture, ...]:
    return tuple(space.sample(Random(i)) for i in range(number))


def full(space: SearchSpace, epochs: int = 8, images: int = 640) -> Reduced:
    return in_full(sampled(space), space, epochs, images, "macs")


def test_a_proxy_is_written_as_shares_by_letters_or_names() -> None:
    assert parse_proxy("e=0.25,i=0.5") == Proxy(epochs=0.25, images=0.5)
    assert parse_proxy("pixels=1/2, channels=1/4") == Proxy(pixels=0.5, channels=0.25)
    assert parse_proxy("c=0.3").name == "channels 0.3"
    assert Proxy(epochs=0.5, channels=0.25).name == "epochs 1/2, channels 1/4"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x=0.5", r"'x=0.5' is no share; known parts: e \(epochs\), i \(images\), p \(pixels\), c \(channels\)"),
        ("0.5", "'0.5' is no share"),
        ("e=half", "'half' is no number; expected shares"),
        ("e=1/0", "'1/0' is no number"),
        ("e=1e400", "'1e400' is no number"),
        ("e=0.5,epochs=0.25", "epochs is given twice"),
        ("e=0", "share of epochs is 0.0: expected shares"),
        ("i=1.5", "share of images is 1.5"),
        ("e=1,c=1", "is the full training itself"),
    ],
)
def test_what_is_no_proxy_is_explained(text: str, message: str) -> None:
    with pytest.raises(EvoError, match=message):
        parse_proxy(text)


def test_the_grid_has_every_factor_alone_and_pairs() -> None:
    parts = [proxy.name for proxy in GRID]
    assert len(set(parts)) == len(parts)
    assert {name.split()[0] for name in parts if "," not in name} == {"epochs", "images", "pixels", "channels"}
    assert any("," in name for name in parts)


def test_shares_of_epochs_and_images_are_whole_numbers_of_them(wide: SearchSpace) -> None:
    whole = full(wide)
    made = reduced(Proxy(epochs=0.5, images=0.25), sampled(wide), wide, whole, "macs")
    assert (made.epochs, made.images) == (4, 160)
    assert [n.macs for n in made.networks] == [n.macs for n in whole.networks]
    assert reduced(Proxy(epochs=0.01), sampled(wide), wide, whole, "macs").epochs == 1


def test_half_the_sides_cost_about_a_quarter_and_half_the_channels_less_than_half(wide: SearchSpace) -> None:
    whole = full(wide)
    small = reduced(Proxy(pixels=0.5), sampled(wide), wide, whole, "macs")
    slim = reduced(Proxy(channels=0.5), sampled(wide), wide, whole, "macs")
    for there, one, other in zip(whole.networks, small.networks, slim.networks, strict=True):
        assert one.space.stem.size == 16
        assert 0.2 < one.macs / there.macs < 0.3
        assert 0.2 < other.macs / there.macs < 0.5
        assert count_costs(other.space, other.arch).macs == other.macs
        assert all(layer.shape.c_out % 8 == 0 for layer in other.space.layers)


def test_images_that_would_vanish_under_the_strides_are_left_out_or_refused_where_they_were_asked_for(
    space: SearchSpace,
) -> None:
    archs, whole = sampled(space), full(space)
    kept, left_out = reduce_all(GRID, archs, space, whole, "macs", asked=False)
    assert "pixels 1/2" not in {made.name for made in kept}
    assert left_out[0].startswith("pixels 1/2: images of 4 x 4 pixels, in place of 8 x 8, would leave 1 pixel")
    with pytest.raises(EvoError, match="expected at least 2; take a larger share of pixels"):
        reduce_all([Proxy(pixels=0.5)], archs, space, whole, "macs", asked=True)
    assert reduced(Proxy(pixels=0.75), archs, space, whole, "macs").networks[0].space.stem.size == 6


def test_what_changes_nothing_or_comes_to_the_same_is_measured_once(space: SearchSpace) -> None:
    proxies = [Proxy(channels=0.5), Proxy(channels=0.51), Proxy(images=0.9999), Proxy(epochs=0.5)]
    kept, left_out = reduce_all(proxies, sampled(space), space, full(space), "macs", asked=True)
    assert [made.name for made in kept] == ["channels 1/2", "epochs 1/2"]
    assert left_out[0].startswith("channels 0.51: comes to the same as channels 1/2")
    assert left_out[1].startswith("images 0.9999: changes nothing of the full training")
    with pytest.raises(EvoError, match="no proxy is left to measure: .*changes nothing"):
        reduce_all(proxies[2:3], sampled(space), space, full(space), "macs", asked=True)


def test_channels_that_stand_in_an_operations_name_are_left_out_of_the_grid() -> None:
    assert parse_op("mb_k3_h24").hidden
    space = load_space("digits")
    fixed = space.replace_layers(replace(layer, candidates=("mb_k3_h24",), pending=()) for layer in space.layers)
    arch = Architecture(("mb_k3_h24",) * len(fixed.layers))
    whole = in_full([arch], fixed, 4, 100, "macs")
    kept, left_out = reduce_all(GRID, [arch], fixed, whole, "macs", asked=False)
    assert all("channels" not in made.name for made in kept)
    assert any("channels 1/2: " in line and "cannot be scaled" in line for line in left_out)
