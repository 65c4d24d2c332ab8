"""What each preset trains and scores, as ``benchmarks.accelerator`` runs it: on images of noise, from fresh weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from evo.data.source import Batches, ImageSet
from evo.evaluators.blockwise.distillation import TeacherGuided
from evo.evaluators.blockwise.stages import extract_features
from evo.evaluators.blockwise.teacher import largest_architecture, meta_network, teacher_stages
from evo.evaluators.oneshot.nse_gates import Gates, balanced_paths
from evo.evaluators.oneshot.paths import SAMPLING, uniform_paths
from evo.evaluators.oneshot.scoring import BlockScorer, Scorer
from evo.evaluators.standalone import measure_network
from evo.methods.registry import evolution_of
from evo.round.own_operations import with_operations
from evo.training.loop import Loss, Paths, Schedule, schedule_of, whole_network_path
from spaces.architecture import Architecture
from spaces.library.named_spaces import load_space
from spaces.networks.network import Network
from spaces.networks.supernet import BlockSupernet, Supernet
from spaces.pretrained.efficientnet_lite import efficientnet_lite
from spaces.size import Size
from spaces.space import SearchSpace, resolve_variants
from studies.config import BlockwiseSection, CutsSection, DataSection, OneShotSection, ScratchSection, StudyConfig
from studies.config.loading import load_config

ARCHITECTURES = 2
"""How many are scored together."""


@dataclass(frozen=True)
class Workload:
    """A preset's steps.

    Attributes:
        what: is trained, in words.
        build: makes the model.
        guided: from images to what the model is trained on.
        score: from the model and images; ``archs``: how many architectures it scores.
    """

    what: str
    build: Callable[[], nn.Module]
    schedule: Schedule
    channels: int
    size: Size
    classes: int
    score: Callable[[Any, ImageSet], object]
    archs: int = ARCHITECTURES
    paths: Paths = whole_network_path
    loss: Loss | None = None
    guided: Callable[[ImageSet], Batches] = lambda images: images


def workload_of(preset: str, pixels: int | None, device: torch.device) -> Workload | None:
    """The steps of a preset, on images of at most so many ``pixels`` along a side; None: it trains nothing."""
    config = load_config(preset)
    section = config.evaluator
    if not section.uses_images:
        return None
    channels, size, classes = images_of(config.data)
    size = size if pixels is None else min(size, pixels)
    if isinstance(section, CutsSection):
        network = efficientnet_lite(section.network, size)
        return _of(
            config, network.space, "the whole network", partial(Network, network.arch, network.space), _alone, archs=1
        )
    named = load_space(config.space.name, channels=channels, size=size, classes=classes)
    space = evolution_of(config).prepare(with_operations(named, config.space.add_operations), Random(0))
    if isinstance(section, BlockwiseSection):
        return _blocks(config, section, space, device)
    if isinstance(section, OneShotSection):
        paths = balanced_paths(Gates(space)) if section.gates else SAMPLING[section.sampling](space)
        what = "a supernet, " + ("its gates' branches" if section.gates else f"{section.sampling} paths")
        return _of(config, space, what, partial(Supernet, space), _by_shared_weights(space), paths=paths)
    assert isinstance(section, ScratchSection)
    arch, there = resolve_variants(largest_architecture(space), space)
    return _of(config, there, "the largest network alone", partial(Network, arch, there), _alone, archs=1)


def images_of(section: DataSection) -> tuple[int, int, int]:
    """Channels, pixels along a side and classes of a preset's images; of folders that are not here as the preset means them."""
    known = {"digits": (1, 8, 10), "fashion_mnist": (1, 28, 10), "cifar10": (3, 32, 10)}
    if section.name in known:
        return known[section.name]
    assert isinstance(section.size, int)
    return 3, section.size, 1000 if section.path == "imagenet" else 10


def _of(
    config: StudyConfig, space: SearchSpace, what: str, build: Callable[[], nn.Module], score: Callable[..., object],
    **more: Any,
) -> Workload:  # fmt: skip
    schedule = schedule_of(config.evaluator, config.data, 1)  # type: ignore[arg-type]
    plain = Schedule(1, schedule.batch_size, schedule.learning_rate / 100, accumulate=schedule.accumulate)
    return Workload(what, build, plain, space.stem.c_in, space.stem.size, space.head.classes, score, **more)


def _some(space: SearchSpace) -> list[Architecture]:
    rng = Random(0)
    return [space.sample(rng) for _ in range(ARCHITECTURES)]


def _by_shared_weights(space: SearchSpace) -> Callable[[Supernet, ImageSet], object]:
    def score(model: Supernet, images: ImageSet) -> object:
        half = len(images) // 2
        return Scorer(model, [images.x[:half]], images, half)(_some(space))

    return score


def _alone(model: Network, images: ImageSet) -> object:
    return measure_network(model, images)


# -- blocks -----------------------------------------------------------------------------------------------------------


def _blocks(config: StudyConfig, section: BlockwiseSection, space: SearchSpace, device: torch.device) -> Workload:
    """The block in the middle, behind a teacher of random weights."""
    stages, teacher = teacher_stages(config, space), with_numbers(meta_network(config, space), device)
    block = len(space.blocks) // 2
    names = list(stages)[max(0, block - 1) : block + 1]
    shown, (start, stop) = extract_features(teacher, names), space.blocks[block]
    shapes = [stages[name] for name in names]
    build = partial(BlockSupernet, space, start, stop, shapes[0][0] if block else space.stem.c_in, shapes[-1][0])
    own = space.slice(start, stop)

    def score(model: BlockSupernet, images: ImageSet) -> object:
        half = len(images) // 2
        guided = TeacherGuided(images, shown)
        return BlockScorer(model, [x for x, _ in guided.batches(half)][:1], guided, half)(_some(own))

    schedule = Schedule(1, section.batch_size, 0.001, decay=section.decay, accumulate=section.accumulate)
    return Workload(
        f"block {block + 1} of {len(space.blocks)} behind its teacher", build, schedule, space.stem.c_in, space.stem.size,
        space.head.classes, score, paths=uniform_paths(own), loss=F.mse_loss,
        guided=lambda images: TeacherGuided(images, shown),
    )  # fmt: skip


def with_numbers(network: nn.Module, device: torch.device) -> nn.Module:
    """A network of device ``meta`` with random weights, and normalisations that do nothing."""
    network = network.to_empty(device=device)
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        if tensor.is_floating_point():
            tensor.data.normal_(std=0.05) if tensor.ndim > 1 else tensor.data.fill_(
                float("bias" not in name and "mean" not in name)
            )
        else:
            tensor.data.zero_()
    return network.eval().requires_grad_(False)
