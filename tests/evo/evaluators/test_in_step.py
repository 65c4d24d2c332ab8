"""Blocks that are trained at the same time learn what each would learn by itself from the same batches and paths."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random

import pytest
import torch
from torch.nn import functional as F

from evo.console import untracked
from evo.evaluators.blockwise.distillation import Distillation
from evo.evaluators.blockwise.evaluator import BlockwiseJudge
from evo.evaluators.blockwise.in_step import paths_in_step, train_in_step
from evo.evaluators.oneshot.paths import uniform_paths
from evo.seeds import derive_seed
from evo.training.checkpoints import read_checkpoint
from evo.training.loop import train
from evo.workers.ranks import SINGLE_PROCESS
from tests.evo.evaluators.test_blockwise import fitted, killed_in, no_training, study

pytestmark = pytest.mark.usefixtures("unpublished")

EPOCHS, RATES = [2, 1, 2], [0.002, 0.005]
"""Of the three blocks: the first and the third are trained at the same time, the second by itself."""


class Told:
    """Keeps what is said of trainings."""

    def __init__(self) -> None:
        self.labels: list[str] = []

    def __call__(self, label: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        self.labels.append(label)
        return untracked(label, total)


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> BlockwiseJudge:
    return fitted(tmp_path_factory.mktemp("run"), study(in_step=True, epochs=EPOCHS, learning_rate=RATES))


def in_another_folder(judge: BlockwiseJudge, folder: Path) -> Distillation:
    return replace(judge.distillation, folder=folder / "run", library=folder / "library")


def contents(judge: BlockwiseJudge) -> list[str]:
    return [digest for _, digest in judge.block_files]


def test_every_block_has_the_weights_that_it_gets_by_itself(judge: BlockwiseJudge) -> None:
    work = judge.distillation
    for block, (path, _) in enumerate(judge.block_files):
        alone = work.fresh(block)
        train(
            alone,
            work.guided_images(block, work.images.train),
            work.schedule(block),
            seed=derive_seed(work.config.seed, "blocks in step"),
            loss=F.mse_loss,
            paths=paths_in_step({block: uniform_paths(work.block_space(block))}),
        )
        kept = read_checkpoint(path)[0]
        assert all(torch.equal(kept[f"weights.{name}"], tensor) for name, tensor in alone.named_parameters())


def test_paths_of_blocks_do_not_depend_on_each_other(judge: BlockwiseJudge) -> None:
    each = {block: uniform_paths(judge.distillation.block_space(block)) for block in range(3)}
    ((first, second, third),) = paths_in_step(each)(Random(5))
    assert paths_in_step({1: each[1]})(Random(5)) == [(second,)]
    assert paths_in_step({0: each[0], 2: each[2]})(Random(5)) == [(first, third)]
    assert len({paths_in_step({2: each[2]})(Random(i))[0] for i in range(60)}) > 4


def test_blocks_of_as_many_epochs_take_one_training(tmp_path: Path) -> None:
    told = Told()
    fitted(tmp_path, study(in_step=True, epochs=EPOCHS), track=told)
    said = [label for label in told.labels if label.startswith("training block")]
    assert said[:2] == ["training block 1, 3 of 3", "training block 2 of 3"]


@pytest.mark.parametrize(("label", "steps"), [("training block 1, 3 of 3", 4), ("training block 2 of 3", 1)])
def test_killed_it_ends_with_the_same_bits(judge: BlockwiseJudge, tmp_path: Path, label: str, steps: int) -> None:
    config = study(in_step=True, epochs=EPOCHS, learning_rate=RATES)
    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path, config, track=killed_in(label, steps))
    assert contents(fitted(tmp_path, config)) == contents(judge)
    assert not list(tmp_path.glob("*.progress"))


def test_a_block_that_is_finished_is_not_trained_again(judge: BlockwiseJudge, tmp_path: Path) -> None:
    work = in_another_folder(judge, tmp_path)
    work.library.mkdir(parents=True)
    shutil.copyfile(judge.block_files[0][0], work.finished_paths(0)[1])
    told = Told()
    train_in_step(work, SINGLE_PROCESS, told)
    assert told.labels == ["training block 2 of 3", "training block 3 of 3"]
    train_in_step(work, SINGLE_PROCESS, no_training)
    assert [path.read_bytes() for path in work([0, 1, 2])] == [path.read_bytes() for path, _ in judge.block_files]


def test_blocks_by_themselves_are_others(judge: BlockwiseJudge) -> None:
    work = judge.distillation
    apart = replace(work, config=study(epochs=EPOCHS, learning_rate=RATES))
    assert {work.block_path(i) for i in range(3)}.isdisjoint(map(partial(Distillation.block_path, apart), range(3)))
