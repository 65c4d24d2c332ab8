"""A cut's last convolution is fitted again: its output comes as close to the whole operation's as it can."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from spaces.architecture import Architecture
from spaces.layer import Head, Layer, Shape, Stem
from spaces.networks.build import build_operation
from spaces.networks.network import Network
from spaces.operations.grammar import hidden_channels, parse_op
from spaces.pretrained import refit as fitting
from spaces.pretrained.cut_space import steps_of
from spaces.pretrained.refit import hidden_moments, reads_hidden
from spaces.pretrained.slices import cut_weights
from spaces.space import SearchSpace
from tests.spaces.pretrained.test_slices import filled_operation

SHAPE = Shape(8, 12, 2, 8)
CASES = [
    ("mb_k3_e6", "mb_k3_h24"),
    ("mb_k5_e6_se25_swish", "mb_k5_h16_se25_swish"),
    ("conv_k3_h32_sc", "conv_k3_h16_sc"),
    ("fused_k3_e4_swish", "fused_k3_h16_swish"),
]


def measured(op: str, images: Tensor) -> tuple[nn.Module, dict[str, Tensor], dict[str, Tensor]]:
    """An operation with drawn weights, these, and its moments on images, named inside the operation."""
    space = SearchSpace("one", (Layer(SHAPE, (op,)),), Stem(8, 1, c_in=8, size=8), Head(0, 2))
    network = Network(Architecture((op,)), space)
    network.stem = nn.Identity()
    whole = filled_operation(op, SHAPE)
    network.layers[0].ops[op] = whole  # type: ignore[union-attr, index, operator]
    found = hidden_moments(network, [(images[:20], images), (images[20:], images)])
    prefix = f"layers.0.ops.{op}."
    return whole, dict(whole.state_dict()), {name.removeprefix(prefix): tensor for name, tensor in found.items()}


def hidden_of(module: nn.Module, images: Tensor, op: str) -> Tensor:
    """What the last convolution of an operation reads, a row per pixel."""
    inside = getattr(module, "branch", module)
    with torch.no_grad():
        given = inside[: len(steps_of(op, SHAPE)) - 1](images)
    return given.permute(0, 2, 3, 1).reshape(-1, given.shape[1]).double()


@pytest.mark.parametrize(("op", "cut"), CASES)
def test_the_fit_is_that_of_least_squares(op: str, cut: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside numpy's, on the features themselves, with a column of ones."""
    monkeypatch.setattr(fitting, "RIDGE", 1e-7)  # some channels are 0 everywhere
    images = torch.rand(60, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    whole, weights, moments = measured(op, images)
    last = len(steps_of(op, SHAPE)) - 1
    branch = "branch." if hasattr(whole, "branch") else ""
    fitted = cut_weights(op, cut, SHAPE, weights | moments)
    plain = cut_weights(op, cut, SHAPE, weights)
    rows = hidden_of(whole, images, op)
    kernel = weights[f"{branch}{last}.0.weight"].double().flatten(1)
    columns = plain[f"{branch}{last}.0.weight"].double().flatten(1)
    stay = [int((kernel - columns[:, [j]]).abs().sum(0).argmin()) for j in range(hidden_channels(parse_op(cut), SHAPE))]
    kept = np.column_stack([rows[:, stay].numpy(), np.ones(len(rows))])
    expected, *_ = np.linalg.lstsq(kept, (rows @ kernel.T).numpy(), rcond=None)
    shift = plain[f"{branch}{last}.1.running_mean"] - fitted[f"{branch}{last}.1.running_mean"]
    found = kept @ np.vstack([fitted[f"{branch}{last}.0.weight"].flatten(1).numpy().T, shift.numpy()])
    best = kept @ expected
    whole_output = (rows @ kernel.T).numpy()
    residual = [((one - whole_output) ** 2).mean() for one in (found, best)]
    assert residual[0] == pytest.approx(residual[1], rel=0.02)  # coefficients differ where channels are nearly alike


@pytest.mark.parametrize(("op", "cut"), CASES)
def test_a_cut_comes_closer_to_the_whole(op: str, cut: str) -> None:
    """On other images than those of the fit."""
    images = torch.rand(60, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    others = torch.rand(40, 8, 8, 8, generator=torch.Generator().manual_seed(1))
    whole, weights, moments = measured(op, images)
    errors = []
    for known in (weights, weights | moments):
        part = build_operation(cut, SHAPE).eval()
        part.load_state_dict(cut_weights(op, cut, SHAPE, known))
        with torch.no_grad():
            errors.append(float((part(others) - whole(others)).square().mean()))
    assert errors[1] < 0.7 * errors[0]


def test_what_loses_no_channel_stays_as_it_is() -> None:
    images = torch.rand(40, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    _, weights, moments = measured("mb_k5_e3", images)
    cut = cut_weights("mb_k5_e3", "mb_k3_e3", SHAPE, weights | moments)
    assert torch.equal(cut["2.0.weight"], weights["2.0.weight"])
    assert cut.keys() == weights.keys()


def test_moments_are_those_of_all_pixels() -> None:
    images = torch.rand(50, 8, 8, 8, generator=torch.Generator().manual_seed(3))
    whole, _, moments = measured("mb_k3_e2", images)
    rows = hidden_of(whole, images, "mb_k3_e2").numpy()
    assert moments["2.hidden_mean"].numpy() == pytest.approx(rows.mean(0), rel=1e-4, abs=1e-5)
    assert moments["2.hidden_covariance"].numpy() == pytest.approx(np.cov(rows.T, bias=True), rel=1e-3, abs=1e-4)


def test_an_operation_that_ends_otherwise_is_left_alone() -> None:
    assert not reads_hidden(steps_of("basic_k3_h16_sc", SHAPE))
    assert reads_hidden(steps_of("mb_k3_e1", SHAPE))
