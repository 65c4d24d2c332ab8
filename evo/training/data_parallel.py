"""Data-parallel training: each rank of a process group computes its part of every batch, and gradients are averaged.

A model that runs whole is wrapped by torch's own ``DistributedDataParallel``. Of a supernet a step runs a few parts, the same
ones on all ranks: ``ActiveParallel`` averages their gradients, where torch's would send zeros for all others.
With normalisation over the whole batch, a step equals that of a single process up to the order of float additions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from copy import deepcopy
from dataclasses import replace
from functools import cache
from inspect import signature
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from evo.workers.ranks import COLLECTIVE_TIMEOUT, ProcessGroup

_WARNED = "forward_sync_buffers" in signature(DistributedDataParallel).parameters  # its name since torch 2.13
SILENT: dict[str, Any] = {"forward_sync_buffers" if _WARNED else "broadcast_buffers": False}
"""Running statistics of batch normalisation are not broadcast in every step: training does not read them."""


@contextmanager
def replicate(model: nn.Module, group: ProcessGroup, device: torch.device, partial: bool) -> Iterator[nn.Module]:
    """``model`` wrapped for training on all ranks, which start from rank 0's weights; ``model`` itself on a single process.

    Args:
        partial: whether a step may leave parts of the model idle; those have no gradient afterwards, on any rank.
    """
    if group.size == 1:
        yield model
        return
    torch_group = _training_group(dist.group.WORLD, "nccl" if device.type == "cuda" else "gloo")
    run = synchronise_batchnorm(model, torch_group, device) if group.sync else model
    yield (
        ActiveParallel(run, torch_group)
        if partial
        else DistributedDataParallel(run, process_group=torch_group, **SILENT)
    )


@cache
def _training_group(world: Any, backend: str) -> Any:
    """The group that exchanges gradients: one for all trainings of a process.

    A gloo group that is deleted waits for its threads and holds Python's lock meanwhile; where a thread waits for the lock,
    the process hangs (torch 2.13). So none is deleted before the process ends.

    Args:
        world: the group of all processes that it belongs to.
    """
    return dist.new_group(backend=backend, timeout=COLLECTIVE_TIMEOUT)


def accumulate_gradients(run: nn.Module, last: bool) -> AbstractContextManager[None]:
    """Exchange gradients only in the ``last`` of a step's forward and backward passes: it sends the sum over all of them."""
    if isinstance(run, ActiveParallel):
        return run.averaging() if last else nullcontext()
    if last or not isinstance(run, DistributedDataParallel):
        return nullcontext()
    return run.no_sync()


def mean_over_ranks(run: nn.Module, value: Tensor) -> Tensor:
    """The mean of ``value`` over all ranks that train ``run``, on every rank."""
    if not isinstance(run, DistributedDataParallel | ActiveParallel):
        return value
    value = value.clone()
    dist.all_reduce(value, group=run.process_group)
    return value / dist.get_world_size(run.process_group)


class ActiveParallel(nn.Module):
    """A model of which every step runs some parts, on all ranks the same ones.

    Args:
        process_group: the ranks that train it; they begin with the same weights.
    """

    def __init__(self, module: nn.Module, process_group: Any) -> None:
        super().__init__()
        self.module = module
        self.process_group = process_group

    def forward(self, *given: Any) -> Any:
        return self.module(*given)

    @contextmanager
    def averaging(self) -> Iterator[None]:
        """After its body all gradients that there are are the means over all ranks: one message, of them alone."""
        yield
        gradients = [parameter.grad for parameter in self.module.parameters() if parameter.grad is not None]
        sent = torch.cat([gradient.reshape(-1) for gradient in gradients])
        sent /= dist.get_world_size(self.process_group)
        dist.all_reduce(sent, group=self.process_group)
        parts = torch.split(sent, [gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view(gradient.shape))


# -- what is random in a batch ----------------------------------------------------------------------------------------


def mix_over_ranks(
    run: nn.Module, mix: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], x: Tensor, y: Tensor
) -> tuple[Tensor, Tensor]:
    """What ``mix`` makes of this rank's part of a batch: the places that it would make of the whole batch.

    Args:
        mix: blends each image with the one before it, the first with the last; what it draws does not depend on how many there
            are.
    """
    if not isinstance(run, DistributedDataParallel | ActiveParallel):
        return mix(x, y)
    group = run.process_group
    x, y = mix(*(torch.cat((_last_of_rank_before(part, group), part)) for part in (x, y)))
    return x[1:], y[1:]


def _last_of_rank_before(part: Tensor, group: Any) -> Tensor:
    """The last place of the part of the rank before this one; before the first rank stands the last."""
    last = part[-1:].contiguous()
    found = [torch.empty_like(last) for _ in range(dist.get_world_size(group))]
    dist.all_gather(found, last, group=group)
    return found[dist.get_rank(group) - 1]


_SHARE: ContextVar[tuple[int, int] | None] = ContextVar("share of a forward pass", default=None)
"""Of the images of a forward pass over all ranks: how many stand before those of this rank, and how many there are."""


@contextmanager
def share_of_pass(group: ProcessGroup, batch: int, piece: int, pieces: int) -> Iterator[None]:
    """In the body all ranks run piece ``piece`` (from 0) of ``pieces`` of their parts of a batch of ``batch`` images."""
    if group.size == 1:
        yield
        return
    sizes = [replace(group, rank=rank).piece_size(batch, piece, pieces) for rank in range(group.size)]
    token = _SHARE.set((sum(sizes[: group.rank]), sum(sizes)))
    try:
        yield
    finally:
        _SHARE.reset(token)


def rand_per_image(images: int, device: torch.device) -> Tensor:
    """A random number from 0 to 1 for each of ``images`` images that a rank runs at once, ``(n,)``: from torch's generator,
    which draws for the images of all ranks, so that an image has the number that it has in a single process."""
    if (share := _SHARE.get()) is None:
        return torch.rand(images, device=device)
    before, total = share
    return torch.rand(total, device=device)[before : before + images]


# -- normalisation over the whole batch -------------------------------------------------------------------------------


def synchronise_batchnorm(model: nn.Module, group: Any, device: torch.device) -> nn.Module:
    """A copy of ``model`` that shares its tensors and normalises by the batches of all ranks.

    ``model`` itself is unchanged: code that runs between steps calls it on the same whole batch on every rank.
    """
    tensors = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    twin = deepcopy(model, tensors)  # deepcopy keeps what its memo already holds
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(twin, group)  # type: ignore[no-any-return,no-untyped-call]
    for norm in twin.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.__class__ = GlobalBatchNorm
            norm.group = group
    return twin


class GlobalBatchNorm(nn.BatchNorm2d):
    """Batch normalisation by the mean and variance over the images of all ranks; ``nn.SyncBatchNorm`` refuses the CPU.

    Ranks exchange count, sum and sum of squares per channel, in double precision. Each rank computes its sum of squares from
    its mean and its variance about that mean, so a mean much larger than the deviation loses no digits.
    """

    group: Any

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        local = x.numel() // x.shape[1]
        variance, mean = (moment.double() for moment in torch.var_mean(x, (0, 2, 3), correction=0))
        sums = torch.cat((mean.new_full((1,), local), local * mean, local * (variance + mean.square())))
        count, total, squares = _SumOverRanks.apply(sums, self.group).split((1, len(mean), len(mean)))  # type: ignore[no-untyped-call]
        mean = total / count
        variance = (squares / count - mean.square()).clamp(min=0)
        self._count(mean.detach(), (variance * count / (count - 1)).detach())
        scale = self.weight * (variance + self.eps).rsqrt().to(x.dtype)
        shape = (1, -1, 1, 1)
        normal: Tensor = (x - mean.to(x.dtype).view(shape)) * scale.view(shape) + self.bias.view(shape)
        return normal

    def _count(self, mean: Tensor, variance: Tensor) -> None:
        """Update the running statistics as ``nn.BatchNorm2d`` does."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        self.running_var.lerp_(variance.to(self.running_var.dtype), share)


class _SumOverRanks(torch.autograd.Function):
    """The sum over all ranks. Every rank's loss depends on it, so its gradient is the sum of their gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: Any) -> Tensor:
        ctx.group = group
        total = x.clone()
        dist.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        total = gradients[0].clone()
        dist.all_reduce(total, group=ctx.group)
        return total, None
