"""Scoring many architectures with shared weights: every shared prefix is computed once.

The candidates of a generation form a trie of genes. Walking it depth first, each node's operations see the same batches
as they would if its candidates were scored one by one, so the numbers are the same, bit for bit. Batch normalisation is
recalibrated layer by layer (SPOS's repository, issues #6 and #8: without it one-shot accuracies mean nothing).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evo.data.source import InOrder
from evo.evaluators import with_costs
from spaces.architecture import Architecture
from spaces.costs.table import CostTable
from spaces.networks.network import MixedLayer, VariantLayer
from spaces.networks.supernet import BlockSupernet, SizedStem, Supernet
from studies.records import Evaluation

Statistics = tuple[Tensor, Tensor]
"""Mean and variance per channel of one normalisation's input."""


CALIBRATION = -1
"""The stream of calibration batches; validation images come in streams 0, 1, ... of one batch each."""


@dataclass
class PrefixNode:
    """A prefix of genes: its last layer's statistics, and its outputs per stream while they are kept."""

    depth: int
    children: dict[str, PrefixNode] = field(default_factory=dict)
    statistics: list[Statistics] = field(default_factory=list)
    head: list[Statistics] | None = None
    outputs: dict[int, list[Tensor]] = field(default_factory=dict)
    used: int = 0  # the last call that came by


@dataclass
class ArchTrie:
    """The architectures of one call as a trie: ``places`` of those that end at this node, and ``children`` by gene."""

    children: dict[str, ArchTrie] = field(default_factory=dict)
    places: list[int] = field(default_factory=list)


Report = Callable[[Tensor, Tensor, list[int]], None]
"""Called with the outputs of a batch, the labels, and the indices of the architectures that gave these outputs."""


@dataclass(frozen=True)
class Score:
    """Fraction right (higher is better) and mean negative log-likelihood (lower is better) on the validation images."""

    accuracy: float
    nll: float


class PrefixRunner:
    """Runs architectures of one supernet, call after call, sharing the work.

    Args:
        calibration: batches of training images whose statistics every normalisation takes on.
        batch: how many validation images are in memory at once, at every depth.
        memory: how many bytes of outputs of shared prefixes are kept, from layer to layer and from call to call.

    Attributes:
        computed, naive: layers run so far over one stream each, and how many scoring one by one would have run.
    """

    def __init__(
        self,
        supernet: Supernet | BlockSupernet,
        calibration: Sequence[Tensor],
        validation: InOrder,
        batch: int,
        memory: int = 1 << 29,
    ) -> None:
        self.space = supernet.space
        self.stem = _Part(supernet.stem)
        self.layers = [_Part(cell) for cell in supernet.layers]
        if self.space.input_sizes:  # the first gene decides what the stem is given
            self.stem, self.layers[0] = _Part(nn.Identity()), _Part(SizedStem(supernet.stem))
        self.head = _Part(supernet.head)
        self.calibration = list(calibration)
        self.validation = validation
        self.batch = batch
        self.memory = memory
        self.held = 0
        self.root = PrefixNode(0)
        self.calls = self.computed = self.naive = 0

    def run(self, archs: Sequence[Architecture], report: Report) -> None:
        """Report the outputs of every architecture for every validation batch."""
        self.calls += 1
        self._free_memory()
        wanted, stream = _trie_of(map(self.space.weight_genes, archs)), CALIBRATION
        with torch.inference_mode():
            self._walk(wanted, self.root, stream, lambda: self.calibration, None, report, torch.empty(0))
            for stream, (x, y) in enumerate(self.validation.batches(self.batch)):
                self._walk(wanted, self.root, stream, lambda x=x: [x], None, report, y)  # type: ignore[misc]
        self.naive += len(archs) * len(self.layers) * (stream + 2)

    def _walk(
        self,
        wanted: ArchTrie,
        node: PrefixNode,
        stream: int,
        above: Outputs,
        gene: str | None,
        report: Report,
        y: Tensor,
    ) -> None:
        """Depth first. What a layer gives is computed when it is asked for, and not twice while it is kept."""
        node.used = self.calls

        def outputs() -> list[Tensor]:
            if stream not in node.outputs:
                node.outputs[stream] = self._run_node(node, stream, above(), gene)
                self.held += _byte_size(node.outputs[stream])
            return node.outputs[stream]

        if stream == CALIBRATION:
            if not node.statistics:
                outputs()
            if wanted.places and node.head is None:
                _, node.head = self.head.calibrate(outputs())
        elif wanted.places:
            assert node.head is not None
            report(self.head.evaluate(outputs()[0], node.head), y, wanted.places)
        for name, child in wanted.children.items():
            below = node.children.setdefault(name, PrefixNode(node.depth + 1))
            self._walk(child, below, stream, outputs, name, report, y)
        if self.held > self.memory or node.depth == len(self.layers):  # nothing goes on from a whole architecture
            self._drop(node, stream)

    def _run_node(self, node: PrefixNode, stream: int, inputs: list[Tensor], gene: str | None) -> list[Tensor]:
        """The outputs of a node's last layer (the root's is the stem); the calibration stream gives its statistics."""
        part, genes = (self.stem, ()) if gene is None else (self.layers[node.depth - 1], (gene,))
        self.computed += gene is not None
        if stream == CALIBRATION:
            outputs, node.statistics = part.calibrate(inputs, *genes)
            return outputs
        return [part.evaluate(x, node.statistics, *genes) for x in inputs]

    def _drop(self, node: PrefixNode, stream: int) -> None:
        self.held -= _byte_size(node.outputs.pop(stream, []))

    def _free_memory(self) -> None:
        """When half of the memory is full, let go of what the last call did not come by; the deepest first, for fewest
        architectures share it."""
        stack, idle = [self.root] if self.held > self.memory // 2 else [], []
        while stack:
            node = stack.pop()
            stack += node.children.values()
            if node.used < self.calls - 1 and node.outputs:
                idle.append(node)
        for node in sorted(idle, key=lambda node: -node.depth):
            if self.held <= self.memory // 2:
                break
            for stream in list(node.outputs):
                self._drop(node, stream)


def add_at(sums: Tensor, places: Sequence[int], value: Tensor) -> None:
    """Add a number to ``sums`` ``(n,)``, in their precision, at the given places: one by one, for a list of them would be sent
    to the device, which everything would wait for."""
    for place in places:
        sums[place].add_(value.to(sums.dtype))


class Scorer(PrefixRunner):
    """Scores architectures with a supernet by the images' labels."""

    def __call__(self, archs: Sequence[Architecture]) -> list[Score]:
        """One score per architecture."""
        right, loss = torch.zeros((2, len(archs)), dtype=torch.float64, device=self.validation.device)

        def count(scores: Tensor, labels: Tensor, places: list[int]) -> None:
            add_at(right, places, (scores.argmax(1) == labels).sum())
            add_at(loss, places, F.cross_entropy(scores, labels, reduction="sum"))

        self.run(archs, count)
        images = len(self.validation)
        return [Score(hits / images, lost / images) for hits, lost in zip(right.tolist(), loss.tolist(), strict=True)]


FindScorer = Callable[[], Callable[[Sequence[Architecture]], list[Score]]]
"""Gives what scores architectures, one score for each."""


def evaluations_by(
    find_scorer: FindScorer, archs: Sequence[Architecture], judge: str, table: CostTable
) -> list[Evaluation]:
    """One evaluation by ``judge`` per architecture, with its share of the seconds that finding the scorer and scoring took."""
    started = time.perf_counter()
    scores = find_scorer()(archs)
    seconds = (time.perf_counter() - started) / max(1, len(archs))
    evaluations = [
        Evaluation(arch, judge, score.accuracy, macs=0, params=0, nll=score.nll, seconds=seconds)
        for arch, score in zip(archs, scores, strict=True)
    ]
    return with_costs(evaluations, table)


def relative_l1(difference: float, deviation: float) -> float:
    """What a block loses: the mean of ``|output - target|`` in standard deviations of the target.

    0 where the teacher is imitated perfectly; the same whatever the target's scale. It adds up over blocks.
    """
    return difference / (deviation + 1e-9)


class BlockScorer(PrefixRunner):
    """What candidates of a block lose that is to imitate another, over all validation batches together."""

    def __call__(self, archs: Sequence[Architecture]) -> list[float]:
        """One relative L1 distance per architecture of the block's layers; lower is better."""
        lost = torch.zeros(len(archs), dtype=torch.float64, device=self.validation.device)

        def add(outputs: Tensor, targets: Tensor, places: list[int]) -> None:
            add_at(lost, places, (outputs - targets).abs().sum(dtype=torch.float64))

        self.run(archs, add)
        numbers, deviation = self._targets
        return [relative_l1(total / numbers, deviation) for total in lost.tolist()]

    @cached_property
    def _targets(self) -> tuple[int, float]:
        """How many numbers the targets have, and their standard deviation."""
        numbers, sums = 0, torch.zeros(2, dtype=torch.float64, device=self.validation.device)
        for _, y in self.validation.batches(self.batch):
            values = y.double()
            numbers += y.numel()
            sums += torch.stack([values.sum(), values.square().sum()])
        mean, square = (sums / numbers).tolist()
        return numbers, math.sqrt(max(0.0, square - mean**2))


Outputs = Callable[[], list[Tensor]]
"""What lies above a layer, computed when it is asked for."""


def _trie_of(archs: Iterable[Sequence[str]]) -> ArchTrie:
    root = ArchTrie()
    for place, genes in enumerate(archs):
        node = root
        for gene in genes:
            node = node.children.setdefault(gene, ArchTrie())
        node.places.append(place)
    return root


def _byte_size(tensors: list[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


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
            norm.train()
        outputs = []
        for seen, x in enumerate(batches, start=1):
            for norm in norms:
                norm.momentum = 1 / seen  # a cumulative average; left to torch (None) it would wait for the device
            outputs.append(self.module(x, *gene))
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
            roots = (
                self.module.active_modules(*gene)
                if isinstance(self.module, MixedLayer | VariantLayer)
                else [self.module]
            )
            self.norms[gene] = [m for root in roots for m in root.modules() if isinstance(m, nn.BatchNorm2d)]
        return self.norms[gene]
