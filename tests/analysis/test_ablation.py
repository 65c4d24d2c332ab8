"""What an operation is worth: hypervolume lost, against numbers worked out by hand (see ``example_run``)."""

from __future__ import annotations

from random import Random

import pandas as pd
import pytest

from analysis.ablation import ablate
from analysis.frames import Frames
from spaces.architecture import operations
from spaces.library.named_spaces import load_space
from studies.pareto import hypervolume


def test_what_goes_with_an_operation_dearest_first(frames: Frames) -> None:
    """The last judge's front: id|k3 (.3 at 5), k3|k3 (.6 at 10), k5|k5 (.9 at 40); .735 of the box 100 x [0, 1]."""
    columns = ["layer", "op", "seen", "on_front", "lost"]
    assert frames.whatif[columns].values.tolist() == [
        ["stage2.layer1", "mb_k3_e1", 2, 2, pytest.approx(0.195)],
        ["stage1.layer1", "mb_k5_e3", 1, 1, pytest.approx(0.18)],
        ["stage2.layer1", "mb_k5_e3", 1, 1, pytest.approx(0.18)],
        ["stage1.layer1", "mb_k3_e1", 1, 1, pytest.approx(0.09)],
        ["stage1.layer1", "id", 1, 1, pytest.approx(0.015)],
    ]
    assert frames.whatif["hypervolume"].iloc[0] == pytest.approx(0.54)
    assert frames.whatif["lost_share"].iloc[0] == pytest.approx(0.195 / 0.735)


def test_every_loss_is_that_of_the_networks_without_the_operation() -> None:
    space, rng = load_space("digits"), Random(0)
    archs = [space.sample(rng) for _ in range(60)]
    told = {"arch": map(str, archs), "score": [rng.random() for _ in archs], "macs": [rng.random() for _ in archs]}
    seen = pd.DataFrame(told)
    lost = ablate(seen, space, ["macs"], max_cost=1.0, min_accuracy=0.1)
    assert len(lost) == sum(len(layer.candidates) for layer in space.layers)
    for row in lost.to_dict("records"):
        others = seen[[row["op"] not in operations(arch.genes[row["layer_index"]]) for arch in archs]]
        left = hypervolume(others["macs"], others["score"], max_cost=1.0, min_accuracy=0.1)
        assert row["hypervolume"] == pytest.approx(left)
        assert row["seen"] == 60 - len(others)
    assert lost["lost"].is_monotonic_decreasing


def test_the_only_operation_of_a_layer_cannot_go() -> None:
    space = load_space("mobilenet_v2")
    seen = pd.DataFrame({"arch": [str(space.sample(Random(0)))], "score": [0.5], "macs": [1.0]})
    assert ablate(seen, space, ["macs"], max_cost=2.0, min_accuracy=0.0).empty
