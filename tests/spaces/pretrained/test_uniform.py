"""Without a search: the same share of every layer, or smaller images, as many MACs as are allowed."""

from __future__ import annotations

import pytest

from spaces.architecture import Architecture
from spaces.costs.table import count_costs
from spaces.errors import SpaceError
from spaces.operations.grammar import hidden_channels, parse_op
from spaces.pretrained.cut_space import whole_alone
from spaces.pretrained.efficientnet_lite import efficientnet_lite
from spaces.pretrained.uniform import Cut, smaller_images, uniform_cut

READ = efficientnet_lite("efficientnet_lite0", 96)
WHOLE: Cut = (READ.arch, READ.space)
MACS = count_costs(READ.space, READ.arch).macs


def hidden(cut: Cut) -> list[int]:
    return [hidden_channels(parse_op(op), layer.shape) for op, layer in zip(cut[0].genes, cut[1].layers, strict=True)]


@pytest.mark.parametrize("share", [0.6, 0.4, 0.25])
def test_every_layer_keeps_the_same_share_and_the_next_larger_one_costs_too_much(share: float) -> None:
    arch, space = uniform_cut(WHOLE, share * MACS)
    macs = count_costs(space, arch).macs
    assert 0.9 * share * MACS < macs <= share * MACS
    assert [parse_op(op).kernel for op in arch.genes] == [parse_op(op).kernel for op in WHOLE[0].genes]
    kept = [mine / whole for mine, whole in zip(hidden((arch, space)), hidden(WHOLE), strict=True)][
        1:
    ]  # the first has e1
    least = [(mine - 8) / whole for mine, whole in zip(hidden((arch, space)), hidden(WHOLE), strict=True)][1:]
    assert max(least) < min(kept) * 1.12  # all are one share, rounded to multiples of 8, at least nine tenths of it
    wider, there = uniform_cut(WHOLE, min(MACS, 1.1 * macs))
    assert count_costs(there, wider).macs > macs


@pytest.mark.parametrize("share", [0.6, 0.4, 0.25])
def test_stages_may_give_the_same_share_too(share: float) -> None:
    arch, space = uniform_cut(WHOLE, share * MACS, stages=True)
    macs = count_costs(space, arch).macs
    assert 0.88 * share * MACS < macs <= share * MACS
    kept = [mine / whole for mine, whole in zip(hidden((arch, space)), hidden(WHOLE), strict=True)][1:]
    given = [mine.shape.c_out / whole.shape.c_out for mine, whole in zip(space.layers, WHOLE[1].layers, strict=True)]
    wide = [i for i, layer in enumerate(WHOLE[1].layers) if layer.shape.c_out >= 80]  # elsewhere 8 channels are much
    assert max(given[i] for i in wide) - min(given[i] for i in wide) < 0.11
    assert abs(given[-1] - kept[-1]) < 0.03
    assert [layer.shape.is_residual for layer in space.layers] == [layer.shape.is_residual for layer in WHOLE[1].layers]


@pytest.mark.parametrize("share", [0.6, 0.4, 0.25])
def test_images_are_as_large_as_the_macs_allow(share: float) -> None:
    arch, space = smaller_images(WHOLE, share * MACS)
    side = space.stem.size
    assert arch == WHOLE[0]
    assert isinstance(side, int)
    larger = efficientnet_lite("efficientnet_lite0", side + 1)
    assert count_costs(space, arch).macs <= share * MACS < count_costs(larger.space, larger.arch).macs


def test_too_few_macs_are_told() -> None:
    with pytest.raises(SpaceError, match="are too few for a share of the channels of every layer: they begin at"):
        uniform_cut(WHOLE, 1e5)
    with pytest.raises(SpaceError, match="are too few for images of any size: they begin at"):
        smaller_images(WHOLE, 1e5)


def test_the_whole_network_is_that_of_the_first_candidates() -> None:
    assert whole_alone(READ.space) == (READ.arch, READ.space.restrict_to(READ.arch))
    assert isinstance(whole_alone(READ.space)[0], Architecture)
