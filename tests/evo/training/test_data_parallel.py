"""Ranks that train a supernet exchange the gradients of what a step has run, and nothing else."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from evo.training.data_parallel import ActiveParallel, accumulate_gradients
from spaces.networks.supernet import Supernet
from spaces.space import SearchSpace


def test_one_message_holds_the_active_gradients_alone(space: SearchSpace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one of two ranks has sent ones everywhere: what comes back is the mean of both."""
    messages: list[int] = []

    def add_ones(sent: Tensor, group: Any) -> None:
        messages.append(sent.numel())
        sent += 1 / 2

    monkeypatch.setattr("torch.distributed.all_reduce", add_ones)
    monkeypatch.setattr("torch.distributed.get_world_size", lambda group: 2)
    torch.manual_seed(0)
    mine, theirs = Supernet(space), Supernet(space)
    theirs.load_state_dict(mine.state_dict())
    arch, rng = space.sample(Random(1)), torch.Generator().manual_seed(2)
    x, y = torch.randn(8, 1, 8, 8, generator=rng), torch.arange(8)
    run = ActiveParallel(mine, "the group")
    for last in (False, True):
        with accumulate_gradients(run, last=last):
            F.cross_entropy(run(x, arch), y).backward()
        F.cross_entropy(theirs(x, arch), y).backward()
        assert bool(messages) == last
    for one, other in zip(mine.parameters(), theirs.parameters(), strict=True):
        assert (one.grad is None) == (other.grad is None)
        assert one.grad is None or torch.equal(one.grad, (other.grad / 2) + 1 / 2)
    active = sum(parameter.numel() for parameter in theirs.parameters() if parameter.grad is not None)
    assert messages == [active]
    assert active < sum(parameter.numel() for parameter in theirs.parameters()) / 2
