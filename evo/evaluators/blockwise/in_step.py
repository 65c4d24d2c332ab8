"""Blocks that are trained in step: a batch passes the teacher once, and all blocks learn from what it gives on the way.

A block by itself takes a pass of the teacher up to its own end, so a batch passes the teacher's first stages as often as there
are blocks. What a block learns depends on the teacher alone here, too, and on no other block: they share no weights, each draws
its paths from a generator of its own, and a sum of losses gives each the gradient of its own. So which blocks learn at the same
time changes nothing, only the order of the images is another than where each has its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evo.console import Track
from evo.evaluators.blockwise.distillation import Distillation
from evo.evaluators.blockwise.stages import blocks_needed
from evo.evaluators.oneshot.paths import uniform_paths
from evo.seeds import derive_seed
from evo.training.checkpoints import delete_progress, first_intact, is_intact
from evo.training.identity import identity
from evo.training.loop import Paths, train, write_trained
from evo.training.precision import precision_of
from evo.workers.ranks import ProcessGroup
from spaces.architecture import Architecture
from spaces.networks.supernet import BlockSupernet

Features = Callable[[Tensor], Sequence[Tensor]]
"""Images -> what the teacher gives, of the blocks that were asked for, in order."""


class BlocksInStep(nn.Module):
    """Images ``(n, channels, height, width)``, and an architecture for each block -> for each block what it gives, and what it
    should.

    Args:
        supernets: block's number (from 0) -> its supernet.
        features: what the teacher gives, of ``blocks_needed``.
    """

    def __init__(self, supernets: Mapping[int, BlockSupernet], features: Features) -> None:
        super().__init__()
        self.supernets = nn.ModuleDict({str(block): supernet for block, supernet in supernets.items()})
        self.features = features

    def forward(self, images: Tensor, *archs: Architecture) -> list[tuple[Tensor, Tensor]]:
        blocks = [int(name) for name in self.supernets]
        with torch.no_grad():
            given = dict(zip(blocks_needed(blocks), self.features(images), strict=True))
        return [
            (supernet(given[block - 1] if block else images, arch), given[block])
            for block, supernet, arch in zip(blocks, self.supernets.values(), archs, strict=True)
        ]


def sum_of_losses(pairs: Sequence[tuple[Tensor, Tensor]], labels: Tensor) -> Tensor:
    """Mean squared errors of all blocks; labels are not looked at."""
    return torch.stack([F.mse_loss(given, target) for given, target in pairs]).sum()


def paths_in_step(each: Mapping[int, Paths]) -> Paths:
    """A path of every block per step, each drawn as if it were alone."""
    return partial(_draw_for_each, each)


def _draw_for_each(each: Mapping[int, Paths], rng: Random) -> Sequence[tuple[Any, ...]]:
    step = rng.getrandbits(64)
    drawn = [paths(Random(derive_seed(step, "block", block))) for block, paths in each.items()]
    return [tuple(part for path in paths for part in path) for paths in zip(*drawn, strict=True)]


def train_in_step(work: Distillation, group: ProcessGroup, track: Track) -> None:
    """Train what has not been trained of the blocks of ``work``, those of as many epochs at the same time. Each is then kept as
    its own progress, which ``Distillation.finish_block`` goes on from."""
    missing = [
        block
        for block in range(len(work.space.blocks))
        if first_intact(*work.finished_paths(block)) is None and not is_intact(work.progress_path(block))
    ]
    for epochs in dict.fromkeys(work.schedule(block).epochs for block in missing):
        same = tuple(block for block in missing if work.schedule(block).epochs == epochs)
        _Group(work, same).train(group, track)


@dataclass(frozen=True)
class _Group:
    """Blocks of as many epochs."""

    work: Distillation
    blocks: tuple[int, ...]

    def train(self, group: ProcessGroup, track: Track) -> None:
        work, first = self.work, self.blocks[0]
        model = BlocksInStep({block: work.fresh(block) for block in self.blocks}, self._features())
        progress = self._progress()
        numbers = ", ".join(str(block + 1) for block in self.blocks)
        train(
            model,
            work.images.train,
            schedule := work.schedule(first),
            seed=derive_seed(work.config.seed, "blocks in step"),
            loss=sum_of_losses,
            paths=paths_in_step({block: uniform_paths(work.block_space(block)) for block in self.blocks}),
            checkpoint=progress,
            track=track,
            label=f"training block {numbers} of {len(work.space.blocks)}",
            rates={f"supernets.{block}.": work.schedule(block).learning_rate for block in self.blocks},
            group=group,
            precision=precision_of(work.config),
        )
        for block in self.blocks:
            supernet = model.supernets[str(block)]
            write_trained(supernet, work.progress_path(block), schedule.epochs)
        delete_progress(progress)

    def _features(self) -> Features:
        return partial(self.work.teacher_features, blocks_needed(self.blocks))

    def _progress(self) -> Path:
        """Where whole epochs are kept: its name tells which blocks, and all that they depend on."""
        digest = identity("blocks in step", 1, names=[self.work.progress_path(block).name for block in self.blocks])
        return self.work.folder / f"blocks-v1-{digest[:12]}.progress"
