"""A supernet holds every candidate of every layer once; an architecture is a path through it.

One-shot search (SPOS, https://arxiv.org/abs/1904.00420): weights are shared by all architectures that use an operation
at a layer. A parameter's name says (layer, operation), which is all that inheriting weights needs.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from spaces.architecture import Architecture
from spaces.modules import initialise
from spaces.networks import Cell, build_head, build_stem
from spaces.space import SearchSpace


class Supernet(nn.Module):
    """All networks of ``space`` in one: images ``(n, c, size, size)`` and an architecture -> scores ``(n, classes)``.

    Args:
        zero_init: start every layer as the identity where shapes allow it; on a short budget this lifts the one-shot
            accuracies a lot (https://arxiv.org/abs/1706.02677, section 5.1).
    """

    def __init__(self, space: SearchSpace, *, zero_init: bool = True) -> None:
        super().__init__()
        self.stem = build_stem(space)
        self.layers = nn.ModuleList(Cell(layer.shape, layer.candidates, space.merge) for layer in space.layers)
        self.head = build_head(space)
        initialise(self)
        if zero_init:
            for cell in self.layers:
                assert isinstance(cell, Cell)
                cell.silence()

    def forward(self, x: Tensor, arch: Architecture) -> Tensor:
        x = self.stem(x)
        for cell, gene in zip(self.layers, arch.genes, strict=True):
            x = cell(x, gene)
        scores: Tensor = self.head(x)
        return scores


def inherit(child: nn.Module, weights: Mapping[str, Tensor]) -> list[str]:
    """Copy every tensor of ``weights`` that ``child`` has too; gives the names of those that ``child`` keeps fresh."""
    fresh = []
    with torch.no_grad():
        for name, tensor in child.state_dict().items():
            if name in weights and weights[name].shape == tensor.shape:
                tensor.copy_(weights[name])
            else:
                fresh.append(name)
    return fresh
