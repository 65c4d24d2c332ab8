"""One seed: the teacher is trained, then the blocks, by the evaluator ``blockwise``; every candidate is scored."""

from __future__ import annotations

import time
from pathlib import Path

import torch

from benchmarks.macro_blocks.results import Result
from benchmarks.macro_blocks.settings import Settings
from evo.console import bar
from evo.data.loading import load_dataset
from evo.data.source import Images
from evo.evaluators import FitContext
from evo.evaluators.blockwise.evaluator import BlockwiseJudge, blockwise
from spaces.costs.table import cost_table
from spaces.export.scaling import scale_widths
from spaces.library.named_spaces import load_space
from studies.config import StudyConfig, check_config


def study(settings: Settings, images: Path, seed: int, device: str) -> StudyConfig:
    """The settings of a run of this size."""
    batch = {"batch_size": settings.batch_size}
    taught = {"epochs": settings.teacher_epochs, "width": settings.teacher_width, **batch}
    return check_config(
        {
            "seed": seed,
            "device": device,
            "space": {"name": "nas_bench_macro"},
            "data": {
                "name": "arrays",
                "path": str(images),
                "size": settings.pixels,
                "max_images": settings.max_images,
                "validation_fraction": 0.1,
                "augment": ("flip", "crop"),
            },
            "evaluator": {"kind": "blockwise", "epochs": settings.epochs, "teacher": taught, **batch},
            "evolution": {"method": "dna"},
        },
        "benchmarks.macro_blocks",
    )


def train_blocks(settings: Settings, images: Path, seed: int, folder: Path, threads: int, device: str) -> Result:
    """Whatever ``folder`` lacks of a seed's teacher and blocks is trained."""
    torch.set_num_threads(threads)
    started, config = time.process_time(), study(settings, images, seed, device)
    space = scale_widths(load_space("nas_bench_macro", size=settings.pixels), settings.width)
    files = folder / f"seed-{seed}"
    files.mkdir(exist_ok=True)
    before = set(files.iterdir())
    judge = blockwise(config, space).fit(space, FitContext(1, seed, cost_table(space), files, track=bar))
    assert isinstance(judge, BlockwiseJudge)
    data = load_dataset(config.data, config.device)
    return Result(
        settings,
        seed,
        teacher_accuracy(judge, data),
        tuple(
            {str(part): loss for part, loss in judge.block_losses(block).items()} for block in range(len(space.blocks))
        ),
        len(data.train),
        time.process_time() - started if is_all_new(before, set(files.iterdir()), 1 + len(space.blocks)) else None,
    )


def is_all_new(before: set[Path], after: set[Path], made: int) -> bool:
    """Whether ``made`` files are new, the teacher's and the blocks', and no training had been begun."""
    return len(after - before) == made and not any(".progress" in path.name for path in before)


def teacher_accuracy(judge: BlockwiseJudge, images: Images) -> float:
    """How right the teacher is on the validation images, by which candidates are scored."""
    classifier, right = judge.distillation.teacher.classifier().to(images.validation.device), 0
    with torch.inference_mode():
        for x, y in images.validation.batches(512):
            right += int((classifier(x).argmax(1) == y).sum())
    return right / len(images.validation)
