"""Cheap rounds: networks with fewer channels, on smaller images; all that differs from round to round is in names and costs."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch

from evo.alone.charge import round_macs
from evo.data.loading import load_dataset
from evo.data.resized import Resized
from evo.evaluators import FitContext
from evo.evaluators.standalone import ScratchJudge, scratch
from spaces.costs.table import cost_table, count_costs
from spaces.errors import SpaceError
from spaces.export.scaling import resize_space, scale_widths, scaled_size, shrink
from spaces.library.named_spaces import load_space
from spaces.networks.network import Network
from spaces.space import SearchSpace
from studies.config import ConfigError, StudyConfig, check_config


def settings(**evaluator: Any) -> StudyConfig:
    section = {"kind": "scratch", "epochs": 1, "batch_size": 64, **evaluator}
    data = {"name": "digits", "max_images": 320}
    return check_config(
        {"space": {"name": "digits"}, "data": data, "evaluator": section, "evolution": {"method": "fixed"}}, "test"
    )


def judge_of(config: StudyConfig, space: SearchSpace, n: int = 1) -> ScratchJudge:
    judge = scratch(config, space).fit(space, FitContext(n, 0, cost_table(space), Path()))
    assert isinstance(judge, ScratchJudge)
    return judge


def test_images_are_scaled_in_the_same_order() -> None:
    images = load_dataset(settings().data, "cpu").train
    smaller = Resized(images, 4)
    for (x, y), (small, labels) in zip(images.epoch(32, (), 7), smaller.epoch(32, (), 7), strict=True):
        assert torch.equal(y, labels)
        assert small.shape == (32, 1, 4, 4)
        assert torch.allclose(small.mean((2, 3)), x.mean((2, 3)), atol=0.3)
    assert sum(len(y) for _, y in smaller.batches(100)) == len(smaller) == len(images)


@pytest.mark.parametrize(("size", "resolution", "expected"), [(28, 0.5, 14), ((24, 32), 0.25, (6, 8)), (3, 0.1, 1)])
def test_sides_are_scaled_alike(size: Any, resolution: float, expected: Any) -> None:
    assert scaled_size(size, resolution) == expected


@pytest.mark.parametrize("name", ["digits", "digits_rows"])
def test_a_shrunk_network_runs_and_costs_what_is_counted(name: str) -> None:
    space = load_space(name)
    arch, small = shrink(space.sample(Random(0)), space, 0.5, 0.5)
    assert small.stem.size == 4
    assert small.stem.c_out == 8  # half of 8 is rounded up to 8
    assert small.layers[-1].shape.c_out == 16
    network = Network(arch, small)
    assert network(torch.zeros(2, 1, 4, 4)).shape == (2, 10)
    assert sum(weight.numel() for weight in network.parameters()) == count_costs(small, arch).params


def test_a_space_is_resized_layer_by_layer() -> None:
    assert resize_space(load_space("mobile_64"), 224) == load_space("mobile_64", size=224)
    assert shrink(load_space("digits").sample(Random(0)), load_space("digits"), 1, 1)[1] == load_space("digits")


def test_answers_are_those_of_the_shrunk_network() -> None:
    """The same as that of a judge whose images and space are as small from the start: seeds, images and weights alike."""
    space = load_space("digits")
    archs = [space.sample(Random(i)) for i in range(2)]
    slim = [e.nll for e in judge_of(settings(epochs=3, width=0.5), space)(archs)]
    own = scale_widths(space, 0.5)
    assert slim == [e.nll for e in judge_of(settings(epochs=3), own)(archs)]
    small = [e.nll for e in judge_of(settings(epochs=3, resolution=0.5), space)(archs)]
    assert small != [e.nll for e in judge_of(settings(epochs=3), space)(archs)]


def test_names_tell_rounds_apart() -> None:
    space, config = load_space("digits"), settings(resolution=[0.5, 1], width=[0.5, 0.75, 1])
    names = [judge_of(config, space, n).name for n in (1, 2, 3, 4)]
    assert names == ["scratch:1ep:0.5width:0.5px", "scratch:1ep:0.75width", "scratch:1ep", "scratch:1ep"]
    assert not config.evaluator.scores_hold
    assert settings(resolution=0.5).evaluator.scores_hold
    (said,) = config.evaluator.plan(space, 3)
    assert said.endswith("in rounds 1 to 3, at 0.5, 1, 1 of the images' sides, at 0.5, 0.75, 1 of the channels")


def test_what_a_cheap_round_costs_is_counted_by_hand() -> None:
    space, config = load_space("digits"), settings(resolution=[0.5, 1], width=[0.5, 1])
    images = load_dataset(config.data, "cpu")
    measured = judge_of(config, space)([space.sample(Random(0))])
    arch, small = shrink(measured[0].arch, space, 0.5, 0.5)
    macs = count_costs(small, arch).macs
    assert macs < measured[0].macs / 4
    cheap = round_macs(config, space, 1, measured, {}, [], images)
    assert cheap is not None
    assert (cheap.training, cheap.scoring) == (3 * 256 * macs, 64 * macs)
    whole = round_macs(config, space, 2, measured, {}, [], images)
    assert whole is not None
    assert whole.training == 3 * 256 * measured[0].macs


@pytest.mark.parametrize("value", ["0", "1.5", "[0.5, 2]", "[]", "true", '"half"'])
@pytest.mark.parametrize("key", ["resolution", "width"])
def test_factors_lie_above_0_and_up_to_1(key: str, value: str) -> None:
    import tomllib

    with pytest.raises(ConfigError, match="expected a number"):
        settings(**tomllib.loads(f"{key} = {value}"))


def test_a_space_cannot_be_shrunk_to_nothing() -> None:
    with pytest.raises(SpaceError, match="width is 0"):
        scale_widths(load_space("digits"), 0)
