"""Batch normalisation that counts its batches in Python: a step launches nothing for a number that training never reads.

A step of a supernet runs dozens of normalisations, each of which torch's own would have add one to a tensor.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F


class HostCountedNorm(nn.BatchNorm2d):
    """``nn.BatchNorm2d``, whose ``num_batches_tracked`` is brought up to date when the module's state is asked for.

    Attributes:
        uncounted: batches that the tensor does not count yet.
    """

    uncounted = 0

    def forward(self, x: Tensor) -> Tensor:
        if self.momentum is None:  # a cumulative average goes by the tensor itself
            return super().forward(x)
        tracks = self.track_running_stats or not self.training
        self.uncounted += self.training and self.track_running_stats
        mean, variance = (self.running_mean, self.running_var) if tracks else (None, None)
        return F.batch_norm(x, mean, variance, self.weight, self.bias, self.training, self.momentum, self.eps)

    def set_count(self, count: int) -> None:
        """Let it have seen so many batches."""
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.fill_(count)
        self.uncounted = 0

    def reset_running_stats(self) -> None:
        super().reset_running_stats()
        self.uncounted = 0

    def _save_to_state_dict(self, *given: Any) -> None:
        if self.uncounted:
            assert self.num_batches_tracked is not None
            self.num_batches_tracked.add_(self.uncounted)
            self.uncounted = 0
        super()._save_to_state_dict(*given)

    def _load_from_state_dict(self, *given: Any) -> None:
        self.uncounted = 0
        super()._load_from_state_dict(*given)


def count_on_host(model: nn.Module) -> None:
    """Let all of torch's own normalisations in ``model`` count their batches in Python."""
    for norm in model.modules():
        if type(norm) is nn.BatchNorm2d:
            norm.__class__ = HostCountedNorm


def set_batch_count(norm: nn.BatchNorm2d, count: int) -> None:
    """Let a normalisation have seen so many batches."""
    if isinstance(norm, HostCountedNorm):
        norm.set_count(count)
    else:
        assert norm.num_batches_tracked is not None
        norm.num_batches_tracked.fill_(count)
