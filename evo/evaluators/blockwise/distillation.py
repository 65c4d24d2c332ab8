"""Blocks learn to imitate a teacher's, each by itself (DNA, https://arxiv.org/abs/1911.13053, section 3).

A block's supernet is given what the teacher's block before gives, and learns to give what the teacher's own block gives.
So blocks depend on the teacher alone: they are trained in any order, on any number of workers, and what a candidate loses
in its block does not depend on the others. A finished block is one file: its weights, its candidates and what they lose.

Finished blocks lie in a folder that all runs share, under names that tell all they depend on. Limits are no part of that, so
another budget or another run trains nothing. A block is made in the run's folder and then moved. Earlier versions kept them in
the run's folder, where they are found and stay.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import optuna
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evo.console import Track, untracked
from evo.data.augmentation import spelled
from evo.data.loading import load_dataset
from evo.data.source import WHOLE_BATCH, Batch, Images, Source
from evo.evaluators.blockwise.stages import blocks_needed
from evo.evaluators.blockwise.teacher import Teacher
from evo.evaluators.oneshot.paths import uniform_paths
from evo.evaluators.oneshot.scoring import BlockScorer
from evo.seeds import derive_seed
from evo.strategy.generations import SearchTask, search_round
from evo.training.checkpoints import delete_progress, first_intact, read_checkpoint, share_checkpoint, write_checkpoint
from evo.training.identity import earlier_identity, identity, library_path, weights_path
from evo.training.legacy_names import legacy_digest
from evo.training.loop import Schedule, train
from evo.training.precision import Precision, forward, precision_of
from spaces.architecture import Architecture
from spaces.costs.table import CostTable
from spaces.networks.supernet import BlockSupernet
from spaces.space import SearchSpace
from studies.config import BlockwiseSection, LimitsSection, SearchSection, StudyConfig, value_in_round
from studies.records import Evaluation

WEIGHTS_PREFIX = "weights."


@dataclass(frozen=True)
class TeacherGuided:
    """Images as a block sees them: what it is given (the teacher's block before; images to the first), what it should give.

    Args:
        stages: images -> what the teacher gives, of the block before (if there is one) and of this one.
        most: so many batches at most, of those in order.
        precision: in which the teacher computes.
    """

    images: Source
    stages: nn.Module
    most: int | None = None
    precision: Precision = "fp32"

    @property
    def device(self) -> torch.device:
        return self.images.device

    def __len__(self) -> int:
        return len(self.images)

    def batches(self, size: int) -> Iterator[Batch]:
        return map(self._with_targets, islice(self.images.batches(size), self.most))

    def epoch(self, size: int, augment: Sequence[str], seed: int, part: slice = WHOLE_BATCH) -> Iterator[Batch]:
        return map(self._with_targets, self.images.epoch(size, augment, seed, part))

    def _with_targets(self, batch: Batch) -> Batch:
        with torch.no_grad():
            *before, target = forward(self.precision, self.stages, batch[0])
        return (before[0] if before else batch[0]), target


@dataclass(frozen=True)
class Distillation:
    """All that the blocks of a round depend on; called with blocks' numbers (from 0), it finishes them.

    Attributes:
        table: exact costs of the space's architectures; a block with too many candidates is searched by them.
        library: where finished blocks lie. A block's name tells all that it depends on, so one that an evolution left alone
            is not trained again. ``folder``: the run's own, in which blocks are made; those of earlier versions lie there.
    """

    config: StudyConfig
    space: SearchSpace
    table: CostTable = field(repr=False, compare=False)
    teacher: Teacher
    library: Path
    folder: Path = field(compare=False)
    track: Track = field(default=untracked, compare=False)
    sources: Mapping[str, str] = field(default_factory=dict, repr=False, hash=False)
    legacy: bool = False

    def __call__(self, blocks: Sequence[int]) -> list[Path]:
        """The blocks' files."""
        return [self.finish_block(block) for block in blocks]

    @property
    def section(self) -> BlockwiseSection:
        assert isinstance(self.config.evaluator, BlockwiseSection)
        return self.config.evaluator

    @property
    def images(self) -> Images:
        return load_dataset(self.config.data, self.config.device)

    def finish_block(self, block: int) -> Path:
        """The block's file, after training and scoring what it still lacks."""
        if (found := first_intact(*self.finished_paths(block))) is not None:
            return found
        path, progress = self._library_path(block), self.progress_path(block)
        draft = self.folder / path.name
        supernet = self.train_block(block, progress)
        scorer = self.block_scorer(block, supernet)
        losses = (
            self._score_searched(block, scorer)
            if self.candidate_count(block) > self.section.candidates
            else self._score_all(block, scorer)
        )
        tensors = {WEIGHTS_PREFIX + name: tensor for name, tensor in supernet.state_dict().items()}
        tensors["losses"] = torch.tensor(list(losses.values()), dtype=torch.float64)
        facts = {"candidates": list(map(str, losses)), "computed": scorer.computed, "naive": scorer.naive}
        write_checkpoint(tensors, draft, facts)
        share_checkpoint(draft, path)
        delete_progress(progress)
        return path

    def finished_paths(self, block: int) -> tuple[Path, Path]:
        """Where the finished block may lie."""
        return self._own_path(block), self._library_path(block)

    def progress_path(self, block: int) -> Path:
        """Where its training is kept while it has not been scored."""
        return self._own_path(block).with_suffix(".progress")

    def block_path(self, block: int) -> Path:
        """Where the finished block lies: in the library, or where an earlier version has left it."""
        own = self._own_path(block)
        return own if own.exists() else self._library_path(block)

    def _library_path(self, block: int) -> Path:
        """Where this version keeps the finished block. What costs are only matters where candidates are searched by them."""
        searched = self.candidate_count(block) > self.section.candidates
        costs = {"cost": self.config.search.cost, "convention": self.config.search.macs_convention} if searched else {}
        named = {"place": block, **self._facts(block), **costs}
        digest, earlier = identity("block", 2, **named), earlier_identity("block", 2, **named)
        return library_path(self.library, f"block-{block + 1}-v2-{{}}.safetensors", digest, earlier)

    def _own_path(self, block: int) -> Path:
        """Where earlier versions kept the finished block: in the run's folder. Its progress still lies beside it."""
        search, facts = self.config.search, self._facts(block)
        costs = {"cost": search.cost, "convention": search.macs_convention}
        digest, earlier = identity("block", 1, **facts, **costs), earlier_identity("block", 1, **facts, **costs)
        named = [value for name, value in facts.items() if name not in ("sources", "precision")]
        before = legacy_digest(*named, search.cost, search.macs_convention) if self.legacy else None
        return weights_path(self.folder, f"block-{block + 1}.{{}}.safetensors", digest, before, earlier=earlier)

    def _facts(self, block: int) -> dict[str, Any]:
        """What a trained block depends on, in the order that release 0.1 named it by."""
        start, stop = self.space.blocks[block]
        section = self.section.model_copy(
            update={
                "teacher": self.teacher.identity,
                **dict(zip(("epochs", "learning_rate"), self._schedule_of_block(block), strict=True)),
            }
        )
        layers = [
            (layer.shape, layer.candidates, layer.branches, layer.skippable) for layer in self.space.layers[start:stop]
        ]
        stem = None if start else self.space.stem
        splits = self.teacher.splits[max(0, block - 1) : block + 1]
        return {
            "layers": layers,
            "merge": self.space.merge,
            "stem": stem,
            "splits": splits,
            "settings": section,
            "data": self.config.data,
            "device": self.config.device,
            "seed": self.config.seed,
            "sources": self.sources,
            "precision": self.config.precision,
        }

    def train_block(self, block: int, progress: Path) -> BlockSupernet:
        """The block's supernet, from where ``progress`` has kept it."""
        supernet = self.fresh(block)
        train(
            supernet,
            self.guided_images(block, self.images.train),
            self.schedule(block),
            seed=self._seed(block),
            loss=F.mse_loss,
            paths=uniform_paths(self.block_space(block)),
            checkpoint=progress,
            track=self.track,
            label=f"training block {block + 1} of {len(self.space.blocks)}",
            precision=precision_of(self.config),
        )
        return supernet

    def schedule(self, block: int) -> Schedule:
        """How long and how fast the block is trained."""
        epochs, learning_rate = self._schedule_of_block(block)
        return Schedule(
            epochs=round(epochs),
            batch_size=self.section.batch_size,
            learning_rate=learning_rate,
            weight_decay=self.section.weight_decay,
            augment=spelled(self.config.data.augment, self.config.data.jitter),
            decay=self.section.decay,
            accumulate=self.section.accumulate,
        )

    def fresh(self, block: int) -> BlockSupernet:
        """With the weights that its training begins with."""
        torch.manual_seed(self._seed(block))
        return self.fresh_supernet(block)

    def _seed(self, block: int) -> int:
        return derive_seed(self.config.seed, "block", block)

    def fresh_supernet(self, block: int) -> BlockSupernet:
        """With fresh weights, drawn from torch's generator."""
        start, stop = self.space.blocks[block]
        given = self.teacher.shapes[block - 1][0] if block else self.space.stem.c_in
        return BlockSupernet(
            self.space, start, stop, given, self.teacher.shapes[block][0], zero_init=self.section.zero_init
        )

    def block_scorer(self, block: int, supernet: BlockSupernet) -> BlockScorer:
        """Calibrated on the first training images, measuring on validation ones."""
        size = min(self.section.eval_batch_size, len(self.images.train))
        count = min(self.section.calibration_batches, len(self.images.train) // size)
        calibration = [x for x, _ in islice(self.guided_images(block, self.images.train).batches(size), count)]
        validation = self.guided_images(block, self.images.validation, self.section.validation_batches)
        supernet.to(validation.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        memory, precision = self.section.prefix_memory_mb << 20, precision_of(self.config)
        return BlockScorer(supernet, calibration, validation, self.section.eval_batch_size, memory, precision)

    def load_scorer(self, block: int, path: Path) -> BlockScorer:
        """The scorer of the finished block that lies at ``path``."""
        supernet = self.fresh_supernet(block)
        kept, _ = read_checkpoint(path)
        supernet.load_state_dict({name: kept[WEIGHTS_PREFIX + name] for name in supernet.state_dict()})
        return self.block_scorer(block, supernet)

    def guided_images(self, block: int, images: Source, most: int | None = None) -> TeacherGuided:
        """Images as this block sees them."""
        stages = _teacher_stages(self.teacher, blocks_needed([block]), images.device)
        return TeacherGuided(images, stages, most, precision_of(self.config))

    def teacher_features(self, blocks: tuple[int, ...], images: Tensor) -> Sequence[Tensor]:
        """What the teacher's ``blocks`` give for ``images``, in order."""
        given: Sequence[Tensor] = _teacher_stages(self.teacher, blocks, images.device)(images)
        return given

    def candidate_count(self, block: int) -> int:
        """How many candidates the block has."""
        return self.block_space(block).size

    def block_space(self, block: int) -> SearchSpace:
        """The block's layers as a space of their own."""
        return self.space.slice(*self.space.blocks[block])

    def _schedule_of_block(self, block: int) -> tuple[float, float]:
        """Epochs and learning rate."""
        return value_in_round(self.section.epochs, block + 1), value_in_round(self.section.learning_rate, block + 1)

    def _score_all(self, block: int, scorer: BlockScorer) -> dict[Architecture, float]:
        """What every candidate loses, in the order of their genes."""
        archs = list(self.block_space(block).enumerate())
        return dict(zip(archs, scorer(archs), strict=True))

    def _score_searched(self, block: int, scorer: BlockScorer) -> dict[Architecture, float]:
        """What the candidates lose that NSGA-II finds, between loss and cost."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # not set in a worker process
        table = self.table.slice(*self.space.blocks[block])
        known: dict[Architecture, float] = {}

        def measure(archs: Sequence[Architecture]) -> list[Evaluation]:
            losses = scorer(archs)
            known.update(zip(archs, losses, strict=True))
            costs = zip(archs, losses, table.count(archs).tolist(), strict=True)
            return [Evaluation(arch, "block", math.exp(-loss), *cost) for arch, loss, cost in costs]

        settings = SearchSection(
            population=min(50, self.section.candidates), surrogate=False, evaluations=self.section.candidates,
            cost=self.config.search.cost,
        )  # fmt: skip
        seed = derive_seed(self.config.seed, "block", block, "search")
        label = f"searching block {block + 1} of {len(self.space.blocks)}"
        search_round(
            SearchTask(table.space, table, settings, LimitsSection(), seed),
            measure,
            lambda generation: None,
            (),
            self.track,
            label,
        )
        return known


@lru_cache(maxsize=1)
def _teacher_stages(teacher: Teacher, blocks: tuple[int, ...], device: torch.device) -> nn.Module:
    """What the teacher's ``blocks`` give."""
    stages = teacher.stages(*blocks)
    return stages.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
