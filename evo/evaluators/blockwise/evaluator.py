"""Blocks that imitate a teacher judge every architecture: what it loses is what its blocks lose, added up.

DNA, https://arxiv.org/abs/1911.13053. Nothing is trained as a whole and no accuracy is measured: the score, higher is
better, is ``exp(-loss)``, which orders architectures as minus the sum of their blocks' losses does, and is 1 for one that
imitates the teacher perfectly.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from evo.console import untracked
from evo.data.paths import file_hash
from evo.evaluators import FitContext, Judge, Request, with_costs
from evo.evaluators.blockwise import combination
from evo.evaluators.blockwise.block_files import file_kind, read_block_losses
from evo.evaluators.blockwise.combination import BlockCandidates
from evo.evaluators.blockwise.distillation import Distillation
from evo.evaluators.blockwise.in_step import train_in_step
from evo.evaluators.blockwise.teacher import prepare_teacher, teacher_stages
from evo.evaluators.oneshot.scoring import BlockScorer
from evo.training.precision import name_suffix, precision_of
from evo.workers.executors import map_inline
from spaces.architecture import Architecture, Op, operations
from spaces.costs.table import COLUMNS, CostTable
from spaces.space import SearchSpace
from studies.config import StudyConfig
from studies.records import Evaluation, EvoError, Ratings


@dataclass(frozen=True)
class Blockwise:
    """Trains and scores every block of the round's space; ``origin`` is the run's first space, which chooses the teacher."""

    config: StudyConfig
    origin: SearchSpace

    def fit(self, space: SearchSpace, context: FitContext) -> Judge:
        teacher = prepare_teacher(self.config, self.origin, context)
        track = (
            context.track if context.evaluate is map_inline else untracked
        )  # workers do not write over each other's lines
        work = Distillation(
            self.config, space, context.table, teacher, context.open_library(), context.folder, track, context.sources,
            context.legacy,
        )  # fmt: skip
        if work.section.in_step:
            train_in_step(work, context.group, context.track)
        blocks = range(len(space.blocks))
        context.evaluate(work, blocks)
        files = tuple((path, file_hash(path)) for path in map(work.block_path, blocks))
        return BlockwiseJudge(
            work, context.table, files, ratings_of_blocks(space, [read_block_losses(path) for path, _ in files])
        )


@dataclass(frozen=True)
class BlockwiseJudge(Judge):
    """Adds up what blocks lose. An answer holds as long as the blocks do, in any round.

    Attributes:
        work: what finished the blocks, and scores the candidates of a block that was too large to score all of.
        block_files: per block its file, and that file's sha256.
        ratings: see ``ratings_of_blocks``.
    """

    distillation: Distillation
    table: CostTable = field(repr=False)
    block_files: tuple[tuple[Path, str], ...]
    ratings: Ratings = field(default_factory=dict, repr=False)

    @property
    def space(self) -> SearchSpace:
        return self.distillation.space

    @property
    def name(self) -> str:
        digest = sha256("".join(digest for _, digest in self.block_files).encode()).hexdigest()[:12]
        return f"blockwise:{digest}{name_suffix(precision_of(self.distillation.config))}"

    def __call__(self, archs: Sequence[Architecture]) -> list[Evaluation]:
        started = time.perf_counter()
        losses = self.losses(archs)
        seconds = (time.perf_counter() - started) / max(1, len(archs))
        evaluations = [
            Evaluation(arch, self.name, math.exp(-loss), macs=0, params=0, seconds=seconds)
            for arch, loss in zip(archs, losses, strict=True)
        ]
        return with_costs(evaluations, self.table)

    def files(self) -> Mapping[str, tuple[Path, str]]:
        return {file_kind(block): file for block, file in enumerate(self.block_files, start=1)}

    def suggest(self, request: Request) -> list[tuple[Architecture, str]]:
        """DNA's combination: the exact Pareto front of summed block losses and cost."""
        return request.choose(self.front(request.cost, request.limits), "combined")

    def losses(self, archs: Sequence[Architecture]) -> list[float]:
        """The sum of the blocks' losses of each architecture, lower is better."""
        totals = [0.0] * len(archs)
        for block, (start, stop) in enumerate(self.space.blocks):
            parts = [Architecture(arch.genes[start:stop]) for arch in archs]
            known = self.block_losses(block)
            if missing := list(dict.fromkeys(part for part in parts if part not in known)):
                known = known | dict(
                    zip(missing, _scorer(self.distillation, block, self.block_files[block][0])(missing), strict=True)
                )
            totals = [total + known[part] for total, part in zip(totals, parts, strict=True)]
        return totals

    def block_losses(self, block: int) -> dict[Architecture, float]:
        """What the scored candidates of a block lose.

        Raises:
            EvoError: the block's file is no longer the one that was written.
        """
        return _block_losses(*self.block_files[block])

    def front(self, cost: str, limits: combination.Limits = combination.NO_LIMITS) -> list[Architecture]:
        """The Pareto front of summed losses and ``cost`` over all combinations of scored candidates, exact, cheapest first.

        Args:
            limits: that of memory, a peak, is kept; others are not looked at.
        """
        column = COLUMNS.index(cost)
        parts, blocks = [], []
        for block, (start, stop) in enumerate(self.space.blocks):
            part = self.table.slice(start, stop)
            known = combination.within_memory(self.block_losses(block), part, limits)
            if not known:
                return []
            costs = part.count(known)[:, column]
            parts.append(list(known))
            blocks.append(BlockCandidates.of(list(known.values()), costs))
        return [
            Architecture(tuple(gene for i, part in enumerate(combination.choice) for gene in parts[i][part].genes))
            for combination in combination.combination_front(blocks)
        ]


def ratings_of_blocks(space: SearchSpace, blocks: Sequence[Mapping[Architecture, float]]) -> Ratings:
    """Minus the loss of the best candidate of its block that has an operation at a layer; of the worst one where none has."""
    ratings: dict[tuple[int, Op], float] = {}
    for (start, stop), losses in zip(space.blocks, blocks, strict=True):
        worst = -max(losses.values())
        ratings |= {(i, op): worst for i in range(start, stop) for op in space.layers[i].candidates}
        for part, loss in losses.items():
            for i, gene in enumerate(part.genes, start):
                for op in operations(gene):
                    if (i, op) in ratings:
                        ratings[i, op] = max(ratings[i, op], -loss)
    return ratings


@lru_cache(maxsize=32)
def _block_losses(path: Path, digest: str) -> dict[Architecture, float]:
    if file_hash(path) != digest:
        raise EvoError(f"{path} is not the file that was written (its sha256 has changed); delete it to train it again")
    return read_block_losses(path)


@lru_cache(maxsize=8)
def _scorer(work: Distillation, block: int, path: Path) -> BlockScorer:
    """A finished block's scorer: it keeps prefixes from one generation to the next."""
    return work.load_scorer(block, path)


def blockwise(config: StudyConfig, space: SearchSpace) -> Blockwise:
    """The evaluator of a configuration whose ``evaluator.kind`` is ``blockwise``.

    Raises:
        EvoError: the teacher is missing, or its stages do not fit the space's blocks.
    """
    teacher_stages(config, space)
    return Blockwise(config, space)
