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
from functools import cached_property, partial
from itertools import starmap

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evo.data.source import InOrder
from evo.evaluators import with_costs
from evo.evaluators.oneshot.first_batches import Reread
from evo.training.precision import Precision, autocast, in_full
from spaces.architecture import Architecture
from spaces.costs.table import CostTable
from spaces.networks.counted_norm import set_batch_count
from spaces.networks.fake_int8 import observing, range_of, round_activations, rounding, wider
from spaces.networks.network import MixedLayer, VariantLayer
from spaces.networks.supernet import BlockSupernet, SizedStem, Supernet
from studies.records import Evaluation

Statistics = tuple[Tensor, Tensor]
"""Mean and variance per channel of one normalisation's input; or the range of what is rounded to 8 bits."""


@dataclass(eq=False)
class PrefixNode:
    """A prefix of genes: its last layer's statistics, and its outputs per stream while they are kept.

    A stream is one batch: validation images come in streams 0, 1, ..., calibration batches in -1, -2, ...

    Attributes:
        seen: calibration batches whose statistics are in ``statistics``; ``head_seen``: in those of a head behind it.
        used: the last call that came by.
    """

    depth: int
    children: dict[str, PrefixNode] = field(default_factory=dict)
    statistics: list[Statistics] = field(default_factory=list)
    seen: int = 0
    head: list[Statistics] = field(default_factory=list)
    head_seen: int = 0
    outputs: dict[int, Tensor] = field(default_factory=dict)
    used: int = 0


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
        calibration: batches of training images whose statistics every normalisation takes on; gone through in every call.
        batch: how many validation images are in memory at once.
        memory: how many bytes of outputs of shared prefixes are kept, from layer to layer and from call to call; but one output
            at least. What is not kept is computed again where it is needed.
        precision: in which layers compute, and in which their outputs are kept; what is reported is in fp32.
        int8: whether architectures are run as they are after quantisation to 8 bits, with ranges from ``calibration``.

    Attributes:
        computed, naive: layers run so far over one stream each (calibration counts as one), and how many scoring one by one
            would have run.
        held: bytes of outputs that are kept; ``largest``: of the largest output so far.
    """

    def __init__(
        self,
        supernet: Supernet | BlockSupernet,
        calibration: Reread,
        validation: InOrder,
        batch: int,
        memory: int = 1 << 29,
        precision: Precision = "fp32",
        int8: bool = False,
    ) -> None:
        self.space = supernet.space
        part = partial(_Int8Part if int8 else _Part, precision)
        self.stem = part(supernet.stem)
        self.layers = [part(cell) for cell in supernet.layers]
        if self.space.input_sizes:  # the first gene decides what the stem is given
            self.stem, self.layers[0] = part(nn.Identity()), part(SizedStem(supernet.stem))
        self.head = part(supernet.head)
        self.calibration = calibration
        self.validation = validation
        self.batch = batch
        self.memory = memory
        self.held = self.largest = 0
        self.root = PrefixNode(0)
        self.path: list[PrefixNode] = []
        self.idle: list[dict[tuple[int, int], PrefixNode]] = [{} for _ in range(len(self.layers) + 1)]
        self.calls = self.computed = self.naive = 0

    def run(self, archs: Sequence[Architecture], report: Report) -> None:
        """Report the outputs of every architecture for every validation batch."""
        self.calls += 1
        self._free_memory()
        wanted, streams = _trie_of(map(self.space.weight_genes, archs)), 1
        with torch.inference_mode():
            for number, x in enumerate(self.calibration, start=1):
                self._walk(wanted, self.root, -number, lambda x=x: x, None, report, x)  # type: ignore[misc]
            for stream, (x, y) in enumerate(self.validation.batches(self.batch)):
                self._walk(wanted, self.root, stream, lambda x=x: x, None, report, y)  # type: ignore[misc]
                streams += 1
        self.naive += len(archs) * len(self.layers) * streams

    def _walk(
        self,
        wanted: ArchTrie,
        node: PrefixNode,
        stream: int,
        above: Output,
        gene: str | None,
        report: Report,
        y: Tensor,
    ) -> None:
        """Depth first. What a layer gives is computed when it is asked for, and not twice while it is kept."""
        node.used = self.calls
        self.idle[node.depth].pop((id(node), stream), None)
        self.path.append(node)

        def output() -> Tensor:
            if stream not in node.outputs:
                node.outputs[stream] = self._run_node(node, stream, above(), gene)
                self._make_room(node, stream)
            return node.outputs[stream]

        try:
            if stream >= 0:
                if wanted.places:
                    report(in_full(self.head.evaluate(output(), node.head)), y, wanted.places)
            else:
                self._calibrate(node, -stream, output, behind=bool(wanted.places))
            for name, child in wanted.children.items():
                below = node.children.setdefault(name, PrefixNode(node.depth + 1))
                self._walk(child, below, stream, output, name, report, y)
        finally:
            self.path.pop()
            self._retire(node, stream)

    def _calibrate(self, node: PrefixNode, number: int, output: Output, behind: bool) -> None:
        """Let a node, and a head ``behind`` it, take in calibration batch ``number`` (from 1)."""
        if node.seen < number:
            output()
        if behind and node.head_seen < number:
            _, node.head = self.head.calibrate(output(), node.head, node.head_seen, len(self.calibration))
            node.head_seen = number

    def _run_node(self, node: PrefixNode, stream: int, x: Tensor, gene: str | None) -> Tensor:
        """The output of a node's last layer (the root's is the stem); a calibration batch that is new gives its statistics."""
        part, genes = (self.stem, ()) if gene is None else (self.layers[node.depth - 1], (gene,))
        self.computed += gene is not None and stream >= -1
        if stream >= 0:
            return part.evaluate(x, node.statistics, *genes)
        output, statistics = part.calibrate(x, node.statistics, -stream - 1, len(self.calibration), *genes)
        if node.seen < -stream:
            node.statistics, node.seen = statistics, -stream
        return output

    def _make_room(self, node: PrefixNode, stream: int) -> None:
        """Count what was computed just now. Where that is too much in all, let go of something else: first of what walks have
        left behind, deepest first, for fewest architectures share it; then of what lies above, which is needed last and is
        computed again soonest."""
        size = _byte_size(node.outputs[stream])
        self.held += size
        self.largest = max(self.largest, size)
        left = (last for last in reversed(self.idle) if last)
        above = (other for other in self.path if other is not node and stream in other.outputs)
        while self.held > self.memory:
            if places := next(left, None):
                while places and self.held > self.memory:
                    (key, other) = next(iter(places.items()))
                    self._drop(other, key[1])
            elif other := next(above, None):  # type: ignore[assignment]
                self._drop(other, stream)
            else:
                return

    def _retire(self, node: PrefixNode, stream: int) -> None:
        """What a walk leaves behind waits for the next call, but for whole architectures, from which nothing goes on."""
        if self.held > self.memory or node.depth == len(self.layers):
            self._drop(node, stream)
        elif stream in node.outputs:
            self.idle[node.depth][id(node), stream] = node

    def _drop(self, node: PrefixNode, stream: int) -> None:
        self.idle[node.depth].pop((id(node), stream), None)
        if stream in node.outputs:
            self.held -= _byte_size(node.outputs.pop(stream))

    def _free_memory(self) -> None:
        """When half of the memory is full, let go of what the last call did not come by; the deepest first, for fewest
        architectures share it."""
        for places in reversed(self.idle):
            for (_, stream), node in list(places.items()):
                if self.held <= self.memory // 2:
                    return
                if node.used < self.calls - 1:
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


Output = Callable[[], Tensor]
"""What lies above a layer, computed when it is asked for."""


def _trie_of(archs: Iterable[Sequence[str]]) -> ArchTrie:
    root = ArchTrie()
    for place, genes in enumerate(archs):
        node = root
        for gene in genes:
            node = node.children.setdefault(gene, ArchTrie())
        node.places.append(place)
    return root


def _byte_size(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


class _Part:
    """Stem, layer or head, and the normalisations that run in it for a gene."""

    def __init__(self, precision: Precision, module: nn.Module) -> None:
        self.precision = precision
        self.module = module
        self.found: dict[tuple[str, ...], tuple[list[nn.Module], list[nn.BatchNorm2d]]] = {}

    def calibrate(
        self, x: Tensor, before: list[Statistics], seen: int, count: int, *gene: str
    ) -> tuple[Tensor, list[Statistics]]:
        """The output under the batch's own statistics; and the mean of those statistics over this batch and the ``seen`` before
        it, whose mean is ``before``. ``count``: of all batches."""
        norms = self._norms(gene)
        for place, norm in enumerate(norms):
            if seen == 0:
                norm.reset_running_stats()
            else:
                _take_on(norm, before[place])
            norm.momentum = 1 / (seen + 1)  # a cumulative average; left to torch (None) it would wait for the device
            norm.train()
        output = self._run(x, gene)
        for norm in norms:
            set_batch_count(norm, count)
        return output, [(norm.running_mean.clone(), norm.running_var.clone()) for norm in norms]  # type: ignore[union-attr]

    def evaluate(self, x: Tensor, statistics: list[Statistics], *gene: str) -> Tensor:
        """The output under the given statistics."""
        for norm, kept in zip(self._norms(gene), statistics, strict=True):
            _take_on(norm, kept)
            norm.eval()
        return self._run(x, gene)

    def _run(self, x: Tensor, gene: tuple[str, ...]) -> Tensor:
        with autocast(self.precision, x.device):
            output: Tensor = self.module(x, *gene)
        return output

    def _norms(self, gene: tuple[str, ...]) -> list[nn.BatchNorm2d]:
        return self._active(gene)[1]

    def _active(self, gene: tuple[str, ...]) -> tuple[list[nn.Module], list[nn.BatchNorm2d]]:
        """The modules that run for a gene, and the normalisations in them."""
        if gene not in self.found:
            layer = isinstance(self.module, MixedLayer | VariantLayer)
            roots = self.module.active_modules(*gene) if layer else [self.module]  # type: ignore[operator]
            norms = [m for root in roots for m in root.modules() if isinstance(m, nn.BatchNorm2d)]
            self.found[gene] = roots, norms
        return self.found[gene]


class _Int8Part(_Part):
    """The same in 8 bits: behind the statistics of normalisations stand the ranges of what is rounded, the output's last."""

    def __init__(self, precision: Precision, module: nn.Module) -> None:
        super().__init__(precision, module)
        self.rounded: dict[nn.Module, Tensor] = {}

    def calibrate(
        self, x: Tensor, before: list[Statistics], seen: int, count: int, *gene: str
    ) -> tuple[Tensor, list[Statistics]]:
        roots, norms = self._active(gene)
        with observing(roots) as ranges:
            output, statistics = super().calibrate(x, before[: len(norms)], seen, count, *gene)
        ranges.append(range_of(output))
        if seen:
            ranges = list(starmap(wider, zip(ranges, before[len(norms) :], strict=True)))
        return output, [*statistics, *ranges]

    def evaluate(self, x: Tensor, statistics: list[Statistics], *gene: str) -> Tensor:
        roots, norms = self._active(gene)
        ranges = statistics[len(norms) :]
        with rounding(roots, ranges[:-1], self.rounded):
            output = super().evaluate(x, statistics[: len(norms)], *gene)
        return round_activations(output, ranges[-1])


def _take_on(norm: nn.BatchNorm2d, statistics: Statistics) -> None:
    mean, variance = statistics
    norm.running_mean.copy_(mean)  # type: ignore[union-attr]
    norm.running_var.copy_(variance)  # type: ignore[union-attr]
