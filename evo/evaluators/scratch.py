"""Every architecture is trained by itself: slow, and the truth that all other evaluators are measured against."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from evo.data import load
from evo.evaluators import Bench, Judge, with_costs
from evo.seeds import derive
from evo.train import schedule, train
from spaces.architecture import Architecture
from spaces.cost import CostTable
from spaces.networks import Network
from spaces.space import SearchSpace, canonical
from studies.config import DataSection, StudyConfig, Training
from studies.records import Evaluation, Ratings


@dataclass(frozen=True)
class Scratch:
    """Stand-alone training from fresh weights; nothing is fitted beforehand."""

    training: Training
    data: DataSection
    device: str
    seed: int

    def fit(self, space: SearchSpace, bench: Bench) -> Judge:
        load(self.data, self.device)  # a missing folder is told before anything runs
        return ScratchJudge(self.training, self.data, self.device, self.seed, space, bench.table)


@dataclass(frozen=True)
class ScratchJudge:
    """Trains on the training part and measures on the held-out part. Its answers hold in all rounds."""

    training: Training
    data: DataSection
    device: str
    seed: int
    space: SearchSpace = field(repr=False)
    table: CostTable = field(repr=False)
    ratings: Ratings = field(default_factory=dict)
    checkpoint: Path | None = None

    @property
    def name(self) -> str:
        return f"scratch:{schedule(self.training, self.data, 1).epochs}ep"

    def __call__(self, archs: Sequence[Architecture]) -> list[Evaluation]:
        return with_costs([self._measure(arch) for arch in archs], self.table)

    def _measure(self, arch: Architecture) -> Evaluation:
        started = time.perf_counter()
        images = load(self.data, self.device)
        seed = derive(self.seed, "scratch", str(canonical(arch, self.space)))
        torch.manual_seed(seed)
        network = Network(arch, self.space)
        train(network, images.train, schedule(self.training, self.data, 1), seed=seed)
        network.eval()
        with torch.inference_mode():
            scores = torch.cat([network(x) for x, _ in images.held_out.batches(512)])
        labels = images.held_out.y
        return Evaluation(
            arch,
            self.name,
            accuracy=float((scores.argmax(1) == labels).double().mean()),
            nll=float(torch.nn.functional.cross_entropy(scores, labels)),
            macs=0,
            params=0,
            seconds=time.perf_counter() - started,
        )


def scratch(config: StudyConfig, space: SearchSpace) -> Scratch:
    assert isinstance(config.evaluator, Training)
    return Scratch(config.evaluator, config.data, config.device, config.seed)
