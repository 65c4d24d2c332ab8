"""Normalisations of supernets are torch's own to the bit, their state included; only the count of batches is kept in Python."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from copy import deepcopy
from random import Random

import pytest
import torch
from torch import nn

from spaces.library.named_spaces import load_space
from spaces.networks.counted_norm import HostCountedNorm, count_on_host, set_batch_count
from spaces.networks.network import Network
from spaces.networks.supernet import Supernet


def pair() -> tuple[nn.BatchNorm2d, nn.BatchNorm2d]:
    torchs, ours = nn.BatchNorm2d(3), nn.Sequential(nn.BatchNorm2d(3))
    count_on_host(ours)
    assert isinstance(ours[0], HostCountedNorm)
    return torchs, ours[0]


def equal(one: nn.Module, other: nn.Module) -> bool:
    theirs = other.state_dict()
    return all(torch.equal(tensor, theirs[name]) for name, tensor in one.state_dict().items())


def runs(norm: nn.BatchNorm2d) -> list[torch.Tensor]:
    torch.manual_seed(0)
    given = []
    for training, times in ((True, 3), (False, 2), (True, 1)):
        norm.train(training)
        given += [norm(torch.randn(4, 3, 5, 5)) for _ in range(times)]
    return given


def without_statistics(norm: nn.BatchNorm2d) -> None:
    norm.train().track_running_stats = False
    norm(torch.randn(4, 3, 5, 5))
    norm.track_running_stats = True


def cumulative(norm: nn.BatchNorm2d) -> None:
    norm.momentum = None
    runs(norm)


@pytest.mark.parametrize(
    "work",
    [
        runs,
        without_statistics,
        cumulative,
        lambda norm: (runs(norm), norm.reset_running_stats(), runs(norm)),
        lambda norm: (runs(norm), set_batch_count(norm, 7), runs(norm)),
        lambda norm: (runs(norm), norm.load_state_dict({k: v + 1 for k, v in norm.state_dict().items()}), runs(norm)),
    ],
)
def test_it_is_torchs_own(work: Callable[[nn.BatchNorm2d], object]) -> None:
    torchs, ours = pair()
    for norm in (torchs, ours):
        torch.manual_seed(1)
        work(norm)
    assert all(map(torch.equal, runs(torchs), runs(ours)))
    assert equal(torchs, ours)


@pytest.mark.parametrize("copied", [deepcopy, lambda norm: pickle.loads(pickle.dumps(norm))])
def test_a_copy_has_counted_as_much(copied: Callable[[nn.Module], nn.Module]) -> None:
    torchs, ours = pair()
    runs(torchs), runs(ours)
    assert equal(torchs, copied(ours))


def test_a_step_leaves_the_tensor_alone() -> None:
    torchs, ours = pair()
    for norm, touched in ((torchs, 1), (ours, 0)):
        before = norm.num_batches_tracked._version  # type: ignore[union-attr]
        norm.train()(torch.randn(4, 3, 5, 5))
        assert norm.num_batches_tracked._version - before == touched  # type: ignore[union-attr]


def test_supernets_have_it_and_networks_that_are_exported_have_torchs() -> None:
    space = load_space("digits")
    for model, kind in ((Supernet(space), HostCountedNorm), (Network(space.sample(Random(0)), space), nn.BatchNorm2d)):
        assert {type(m) for m in model.modules() if isinstance(m, nn.BatchNorm2d)} == {kind}
