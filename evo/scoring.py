"""Scoring a generation with a supernet: every shared prefix is computed once.

The candidates of a generation form a trie of genes. Walking it depth first, each node's operations see the same batches
as they would if its candidates were scored one by one, so the numbers are the same, bit for bit. Batch normalisation is
recalibrated layer by layer (SPOS's repository, issues #6 and #8: without it one-shot accuracies mean nothing).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evo.data import Split
from spaces.architecture import Architecture
from spaces.networks import Cell
from spaces.supernet import Supernet

Statistics = tuple[Tensor, Tensor]
"""Mean and variance per channel of one normalisation's input."""


@dataclass
class Node:
    """Architectures that share their genes so far."""

    children: dict[str, Node] = field(default_factory=dict)
    leaves: list[int] = field(default_factory=list)  # places of the architectures that end here
    statistics: list[Statistics] = field(default_factory=list)


@dataclass(frozen=True)
class Score:
    """Fraction right (higher is better) and mean negative log-likelihood (lower is better) on the held-out images."""

    accuracy: float
    nll: float


def score(
    supernet: Supernet, archs: Sequence[Architecture], calibration: Sequence[Tensor], held_out: Split, batch: int
) -> list[Score]:
    """One score per architecture.

    Args:
        calibration: batches of training images whose statistics every normalisation takes on.
        batch: how many held-out images are in memory at once, at every depth.
    """
    walk = _Walk(supernet, _trie(archs), len(archs), held_out.x.device)
    with torch.inference_mode():
        walk.calibrate(list(calibration))
        for start in range(0, len(held_out), batch):
            walk.count(held_out.x[start : start + batch], held_out.y[start : start + batch])
    return [
        Score(right / len(held_out), loss / len(held_out))
        for right, loss in zip(walk.right.tolist(), walk.loss.tolist(), strict=True)
    ]


def _trie(archs: Sequence[Architecture]) -> Node:
    root = Node()
    for place, arch in enumerate(archs):
        node = root
        for gene in arch.genes:
            node = node.children.setdefault(gene, Node())
        node.leaves.append(place)
    return root


class _Walk:
    """The supernet, the trie, and the sums of what was seen; ``calibrate`` once, then ``count`` batch by batch."""

    def __init__(self, supernet: Supernet, root: Node, n: int, device: torch.device) -> None:
        self.stem = _Part(supernet.stem)
        self.layers = [_Part(cell) for cell in supernet.layers]
        self.head = _Part(supernet.head)
        self.root = root
        self.stem_statistics: list[Statistics] = []
        self.head_statistics: dict[int, list[Statistics]] = {}
        self.right = torch.zeros(n, dtype=torch.float64, device=device)
        self.loss = torch.zeros(n, dtype=torch.float64, device=device)

    def calibrate(self, batches: list[Tensor]) -> None:
        outputs, self.stem_statistics = self.stem.calibrate(batches)
        self._calibrate(self.root, 0, outputs)

    def _calibrate(self, node: Node, depth: int, batches: list[Tensor]) -> None:
        for place in node.leaves[:1]:
            _, self.head_statistics[place] = self.head.calibrate(batches)
        for gene, child in node.children.items():
            outputs, child.statistics = self.layers[depth].calibrate(batches, gene)
            self._calibrate(child, depth + 1, outputs)

    def count(self, x: Tensor, y: Tensor) -> None:
        self._count(self.root, 0, self.stem.evaluate(x, self.stem_statistics), y)

    def _count(self, node: Node, depth: int, x: Tensor, y: Tensor) -> None:
        if node.leaves:
            scores = self.head.evaluate(x, self.head_statistics[node.leaves[0]])
            self.right[node.leaves] += (scores.argmax(1) == y).sum().double()
            self.loss[node.leaves] += F.cross_entropy(scores, y, reduction="sum").double()
        for gene, child in node.children.items():
            self._count(child, depth + 1, self.layers[depth].evaluate(x, child.statistics, gene), y)


class _Part:
    """Stem, layer or head, and the normalisations that run in it for a gene."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.norms: dict[tuple[str, ...], list[nn.BatchNorm2d]] = {}

    def calibrate(self, batches: list[Tensor], *gene: str) -> tuple[list[Tensor], list[Statistics]]:
        """Outputs under each batch's own statistics, and the mean of those statistics over the batches."""
        norms = self._norms(gene)
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a cumulative average
            norm.train()
        outputs = [self.module(x, *gene) for x in batches]
        return outputs, [(norm.running_mean.clone(), norm.running_var.clone()) for norm in norms]  # type: ignore[union-attr]

    def evaluate(self, x: Tensor, statistics: list[Statistics], *gene: str) -> Tensor:
        """The output under the given statistics."""
        for norm, (mean, variance) in zip(self._norms(gene), statistics, strict=True):
            norm.running_mean.copy_(mean)  # type: ignore[union-attr]
            norm.running_var.copy_(variance)  # type: ignore[union-attr]
            norm.eval()
        output: Tensor = self.module(x, *gene)
        return output

    def _norms(self, gene: tuple[str, ...]) -> list[nn.BatchNorm2d]:
        if gene not in self.norms:
            roots = self.module.active(*gene) if isinstance(self.module, Cell) else [self.module]
            self.norms[gene] = [m for root in roots for m in root.modules() if isinstance(m, nn.BatchNorm2d)]
        return self.norms[gene]
