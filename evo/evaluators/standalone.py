"""Every architecture is trained by itself: slow, and the truth that all other evaluators are measured against."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from evo.data.fingerprint import hash_images
from evo.data.loading import load_dataset
from evo.data.resized import Resized
from evo.data.source import Batches, Source
from evo.evaluators import Ask, FitContext, Judge, with_costs
from evo.evaluators.early_stopping import epochs_saved, train_in_rungs
from evo.seeds import derive_seed
from evo.training.identity import identity
from evo.training.legacy_names import legacy_digest
from evo.training.loop import Schedule, schedule_of, train
from evo.training.precision import Precision, forward, name_suffix, precision_of
from spaces.architecture import Architecture
from spaces.costs.table import CostTable
from spaces.export.scaling import scaled_size, shrink
from spaces.networks.network import Network
from spaces.space import SearchSpace, canonical_arch
from studies.config import DataSection, ScratchSection, StudyConfig, Training, value_in_round
from studies.records import Evaluation


def images_in_round(training: Training, n: int) -> int | None:
    """How many images are trained on in round ``n``, from 1; None: all."""
    images = getattr(training, "images", None)
    return None if images is None else int(value_in_round(images, n))


def shrunk_in_round(training: Training, n: int) -> tuple[float, float]:
    """By what factors the channels and the sides of images are smaller in round ``n``, from 1."""
    width, resolution = (float(value_in_round(getattr(training, name, 1.0), n)) for name in ("width", "resolution"))
    return width, resolution


def measure_network(network: Network, images: Labelled, precision: Precision = "fp32") -> tuple[float, float]:
    """Accuracy (higher is better) and mean negative log-likelihood (lower is better) of a trained network on ``images``, which
    computes in ``precision``."""
    network.eval()
    with torch.inference_mode():
        scores = torch.cat([forward(precision, network, x) for x, _ in images.batches(512)])
    accuracy = float((scores.argmax(1) == images.y).double().mean())
    return accuracy, float(torch.nn.functional.cross_entropy(scores, images.y))


class Labelled(Batches, Protocol):
    """Batches whose labels are known beforehand."""

    @property
    def y(self) -> Tensor: ...


@dataclass(frozen=True)
class Scratch:
    """Stand-alone training from fresh weights; nothing is fitted beforehand.

    Attributes:
        rungs: shares of the epochs after which a generation pauses; empty: it never does.
        by_round: whether every round trains as its own entries of ``training`` say; else all as the first.
        threads: of torch in the processes that train.
    """

    training: Training
    data: DataSection
    device: str
    seed: int
    rungs: Sequence[float] = ()
    by_round: bool = False
    precision: Precision = "fp32"
    threads: int = 1

    def fit(self, space: SearchSpace, context: FitContext) -> Judge:
        load_dataset(self.data, self.device)  # a missing folder is told before anything runs
        number = context.n if self.by_round else 1
        whole = schedule_of(self.training, self.data, number).epochs
        rungs = sorted({max(1, round(share * whole)) for share in self.rungs} - {whole})
        folder = context.folder / "rungs" if rungs else None
        return ScratchJudge(
            self.training, self.data, self.device, self.seed, space, context.table, tuple(rungs), folder,
            sources=context.sources, legacy=context.legacy, round=number, most_images=images_in_round(self.training, number),
            precision=self.precision, threads=self.threads,
        )  # fmt: skip


@dataclass(frozen=True)
class ScratchJudge(Judge):
    """Trains on the training part and measures on the validation part. Its answers hold in all rounds that train as this one.

    Attributes:
        round: whose entries of ``training`` count.
        rungs: epochs after which training may pause, ascending; ``folder`` keeps the weights meanwhile.
        until: the epochs after which this judge answers: one of ``rungs``, or all; None: all, without a pause.
        most_images: how many training images it trains on; None: all.
    """

    training: Training
    data: DataSection
    device: str
    seed: int
    space: SearchSpace = field(repr=False)
    table: CostTable = field(repr=False)
    rungs: tuple[int, ...] = ()
    folder: Path | None = None
    until: int | None = None
    sources: Mapping[str, str] = field(default_factory=dict, repr=False)
    legacy: bool = field(default=False, repr=False)
    round: int = field(default=1, repr=False)
    most_images: int | None = None
    precision: Precision = "fp32"
    threads: int = field(default=1, repr=False)

    @property
    def name(self) -> str:
        rate = self.schedule.learning_rate
        other_rate = f":lr{rate:g}" if rate != self._first.learning_rate else ""
        fewer = f":{self.most_images}images" if self.most_images else ""
        width, resolution = shrunk_in_round(self.training, self.round)
        slimmer = f":{width:g}width" if width != 1 else ""
        smaller = f":{resolution:g}px" if resolution != 1 else ""
        return f"scratch:{self.epochs}ep{other_rate}{fewer}{slimmer}{smaller}{name_suffix(self.precision)}"

    @property
    def schedule(self) -> Schedule:
        """Of a whole training."""
        return schedule_of(self.training, self.data, self.round)

    @property
    def _first(self) -> Schedule:
        return schedule_of(self.training, self.data, 1)

    @property
    def _as_in_first_round(self) -> bool:
        images, factors = images_in_round(self.training, 1), shrunk_in_round(self.training, 1)
        alike = self.most_images == images and shrunk_in_round(self.training, self.round) == factors
        return self.schedule == self._first and alike

    @property
    def epochs(self) -> int:
        """Of a whole training."""
        return self.schedule.epochs

    @property
    def images(self) -> int:
        """How many validation images an accuracy is measured on."""
        return len(load_dataset(self.data, self.device).validation)

    def __call__(self, archs: Sequence[Architecture]) -> list[Evaluation]:
        load_dataset(self.data, self.device)  # before the first is measured, whose time may be limited
        return self.priced([self._measure(arch) for arch in archs])

    def priced(self, evaluations: Sequence[Evaluation]) -> list[Evaluation]:
        return with_costs(evaluations, self.table)

    def answers_sha256(self) -> str | None:
        """None where there are rungs: which network goes on depends on the others of its generation."""
        if self.rungs:
            return None
        return identity(
            "scratch", 1,
            schedule=self.schedule, data=self.data, images=hash_images(self.data), most_images=self.most_images,
            shrunk=shrunk_in_round(self.training, self.round), seed=self.seed, threads=self.threads,
            device=load_dataset(self.data, self.device).train.device.type, precision=self.precision,
            plugins={name: digest for name, digest in self.sources.items() if name != "data"}, torch=torch.__version__,
        )  # fmt: skip

    def measure(
        self, archs: Sequence[Architecture], ask: Ask, earlier: Callable[[], Sequence[Evaluation]], costs: Sequence[str]
    ) -> list[Evaluation]:
        """As for every judge; where there are rungs, a generation trains from one to the next."""
        return train_in_rungs(self, archs, ask, earlier(), costs) if self.rungs else ask(self, archs)

    def stats(self, evaluations: Sequence[Evaluation]) -> Mapping[str, Any]:
        return {"epochs_saved": epochs_saved(self, evaluations)}

    def until_rung(self, epochs: int) -> ScratchJudge:
        """The same judge, answering after so many epochs."""
        return replace(self, until=epochs)

    def discard_progress(self, archs: Sequence[Architecture]) -> None:
        """Remove the weights of these architectures that waited at rungs: their generation is finished. Those of generations in
        flight stay."""
        if self.folder is None or not self.folder.is_dir():
            return
        finished = {self._progress_path(arch, 0).name.rpartition("-")[0] for arch in archs}
        for path in self.folder.iterdir():
            if any(name in path.name for name in finished):  # drafts and damaged ones too
                path.unlink(missing_ok=True)
        with suppress(OSError):  # others are left
            self.folder.rmdir()

    def _measure(self, arch: Architecture) -> Evaluation:
        started = time.perf_counter()
        images = load_dataset(self.data, self.device)
        seed = derive_seed(self.seed, "scratch", str(canonical_arch(arch, self.space)))
        torch.manual_seed(seed)
        width, resolution = shrunk_in_round(self.training, self.round)
        network = Network(*shrink(arch, self.space, width, resolution))
        training: Source = images.train.first(self.most_images) if self.most_images else images.train
        size = scaled_size(images.size, resolution)
        kept = [
            self._progress_path(arch, epochs) for epochs in (*self.rungs, self.epochs) if epochs <= (self.until or 0)
        ]
        train(
            network,
            Resized(training, size) if resolution != 1 else training,
            self.schedule,
            seed=seed,
            checkpoint=kept[-1] if kept else None,
            start=kept[-2] if kept[1:] else None,
            until=self.until,
            precision=self.precision,
        )
        validation = Resized(images.validation, size) if resolution != 1 else images.validation
        accuracy, nll = measure_network(network, validation, self.precision)
        return Evaluation(
            arch,
            self.name,
            accuracy=accuracy,
            nll=nll,
            macs=0,
            params=0,
            seconds=time.perf_counter() - started,
        )

    def _progress_path(self, arch: Architecture, epochs: int) -> Path:
        """Where weights wait at a rung. A file each: training that was interrupted behind a rung can answer at it again.

        Its name tells all that the weights depend on: what another run left behind is not taken for ours.
        """
        assert self.folder is not None
        form = str(canonical_arch(arch, self.space))
        facts = form, self.space.to_json(), self.training, self.data, self.device, self.seed
        before = legacy_digest(*facts, digits=16) if self.legacy else None
        if before and (path := self.folder / f"{before}-{epochs:04d}.progress").exists():
            return path
        digest = identity(
            "standalone", 1,
            arch=form, space=self.space, training=self.training, data=self.data, device=self.device, seed=self.seed,
            sources=self.sources, precision=self.precision,
            **({} if self._as_in_first_round else {"round": self.round}),
        )  # fmt: skip
        return self.folder / f"v1-{digest[:16]}-{epochs:04d}.progress"


def scratch(config: StudyConfig, space: SearchSpace) -> Scratch:
    assert isinstance(config.evaluator, ScratchSection)
    section = config.evaluator
    return Scratch(
        section, config.data, config.device, config.seed, section.rungs, by_round=True, precision=precision_of(config),
        threads=config.threads,
    )  # fmt: skip
