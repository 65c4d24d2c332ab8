"""What a cut loses is made up for, as far as it can be without training: its last convolution is fitted again.

An operation with hidden channels ends with a 1x1 convolution that reads them. When some are cut away, the weights of the others
are those with which its output comes closest to the whole operation's, in least squares over images (He, Zhang & Sun, ICCV
2017, https://arxiv.org/abs/1707.06168, section 3.1). All that is needed are the hidden channels' means and covariances.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial

import torch
from torch import Tensor, nn

from spaces.networks.network import MixedLayer, Network
from spaces.operations.primitives import Conv, Step
from spaces.pretrained.cut_space import steps_of

MEAN, COVARIANCE = "hidden_mean", "hidden_covariance"
"""The last part of the names of what ``hidden_moments`` gives."""

RIDGE = 0.01
"""What is added to the covariance's diagonal, as a share of its mean: few images make it nearly singular."""


def hidden_moments(network: Network, batches: Iterable[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """Means ``(h,)`` and covariances ``(h, h)`` of the hidden channels that the last convolution of each operation reads, over
    all pixels of all images, by the operation's name and the convolution's place in it.

    Args:
        network: it is left in evaluation mode.
        batches: images, and anything.
    """
    sums: dict[str, tuple[Tensor, Tensor, list[int]]] = {}
    hooks = []
    for name, module in _readers(network.eval()):
        channels = module.in_channels
        device = module.weight.device
        sums[name] = (
            torch.zeros(channels, dtype=torch.float64, device=device),
            torch.zeros(channels, channels, dtype=torch.float64, device=device),
            [0],
        )
        hooks.append(module.register_forward_pre_hook(partial(_add, sums[name])))
    with torch.no_grad():
        for x, _ in batches:
            network(x)
    for hook in hooks:
        hook.remove()
    found = {}
    for name, (total, squares, (number,)) in sums.items():
        mean = total / number
        found[f"{name}.{MEAN}"] = mean.float()
        found[f"{name}.{COVARIANCE}"] = (squares / number - torch.outer(mean, mean)).float()
    return found


def _add(sums: tuple[Tensor, Tensor, list[int]], module: nn.Module, given: tuple[Tensor, ...]) -> None:
    pixels = given[0].movedim(1, -1).flatten(0, -2)
    sums[0].add_(pixels.sum(0, dtype=torch.float64))
    sums[1].add_((pixels.T @ pixels).double())
    sums[2][0] += len(pixels)


def _readers(network: Network) -> Iterator[tuple[str, nn.Conv2d]]:
    """The last convolution of every operation that has hidden channels before it, and its name without ``.0``."""
    for i, layer in enumerate(network.layers):
        assert isinstance(layer, MixedLayer)
        for op, inside in layer.ops.items():
            steps = steps_of(op, layer.shape)
            if reads_hidden(steps):
                branch = "branch." if hasattr(inside, "branch") else ""
                name = f"layers.{i}.ops.{op}.{branch}{len(steps) - 1}"
                module = network.get_submodule(f"{name}.0")
                assert isinstance(module, nn.Conv2d)
                yield name, module


def reads_hidden(steps: tuple[Step, ...]) -> bool:
    """Whether an operation ends with a 1x1 convolution over all channels that others make."""
    last = steps[-1] if len(steps) > 1 else None
    return isinstance(last, Conv) and last.kernel == (1, 1) and last.groups == 1


def refit(weights: Mapping[str, Tensor], cut: Mapping[str, Tensor], place: int, kept: Tensor) -> dict[str, Tensor]:
    """The convolution at ``place``, which is the last, fitted again for the hidden channels ``kept``: what replaces tensors of
    ``cut``. Nothing where the moments are not known.

    Args:
        weights: of the whole operation, with its moments.
        cut: what it begins with so far.
    """
    if f"{place}.{COVARIANCE}" not in weights:
        return {}
    covariance, mean = weights[f"{place}.{COVARIANCE}"].double(), weights[f"{place}.{MEAN}"].double()
    whole = weights[f"{place}.0.weight"].double().flatten(1)
    inside = covariance[kept][:, kept]
    ridge = (
        RIDGE
        * inside.diagonal().mean().clamp(min=1e-12)
        * torch.eye(len(kept), dtype=torch.float64, device=inside.device)
    )
    fitted = torch.linalg.solve(inside + ridge, covariance[kept] @ whole.T).T
    shift = whole @ mean - fitted @ mean[kept]
    before = cut[f"{place}.0.weight"]
    return {
        f"{place}.0.weight": fitted.to(before.dtype).reshape(before.shape),
        f"{place}.1.running_mean": (cut[f"{place}.1.running_mean"].double() - shift).to(before.dtype),
    }
