"""Networks are trained alone by the recipe of a delivery, and measured on held-out images, so that they can be compared.

They are trained on the training images without the validation images, by which they are measured. Test images play no part.
A result is recorded at once and found again by all that it depends on, so a command that was killed goes on where it was.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from evo.alone.features import feature_loss, find_hints, require_hints
from evo.alone.recipe import train_by_recipe
from evo.alone.start import Start
from evo.alone.teacher import Teacher, find_teacher
from evo.console import Advance, Track
from evo.data.fingerprint import hash_images
from evo.data.source import Images, Source
from evo.evaluators.cuts.agreement import measure_agreement
from evo.evaluators.standalone import measure_network
from evo.plugins import plugin_sources
from evo.seeds import derive_seed
from evo.training.checkpoints import delete_progress
from evo.training.identity import identity
from evo.training.loop import DivergedError, schedule_of
from evo.training.precision import forward, precision_facts, precision_of
from evo.workers.ranks import SINGLE_PROCESS, ProcessGroup, current_group
from spaces import torchvision_shim
from spaces.export.additions import add_to_contender
from spaces.export.baselines import Contender
from spaces.networks.modules import Resize
from spaces.networks.network import Network
from spaces.networks.supernet import inherit_weights
from spaces.space import SearchSpace
from studies.config import WHOLE, StudyConfig
from studies.database.rows import StoredRun
from studies.database.store import Store
from studies.database.trainings import Trained, find_training, record_training
from studies.database.urls import files_folder
from studies.records import EvoError
from studies.run_names import run_folder

PASSES = 3
"""What an image costs in training, in forward passes: forward, backward to activations, backward to weights."""


@dataclass(frozen=True)
class Trainer:
    """Trains networks alone for one run, each of them once.

    Attributes:
        config: the run's settings, perhaps with others to train by; its section ``deliver`` is the recipe.
        folder: keeps the progress of a training that is not finished.
        start: the weights that networks begin with; None: fresh ones.
        teacher: what teaches them beside the labels; None: nothing.
        most_images: how many of the training images it trains on, all classes alike; None: all.
        group: the processes that train each network together.
    """

    store: Store
    run: StoredRun
    config: StudyConfig
    images: Images
    folder: Path
    start: Start | None = None
    teacher: Teacher | None = None
    most_images: int | None = None
    group: ProcessGroup = SINGLE_PROCESS

    @classmethod
    def of(
        cls, store: Store, run: StoredRun, config: StudyConfig, images: Images, *, from_scratch: bool = False
    ) -> Trainer:
        """The trainer that keeps its progress beside the run's other files.

        Args:
            from_scratch: begin with fresh weights, although the run may have trained some.

        Raises:
            EvoError: networks would begin with trained weights, and ``deliver.add`` changes them; or blocks are to be drawn
                towards a teacher's by several processes.
            EvoError, SpaceError: as ``Start.of`` and ``find_teacher``.
        """
        folder, group = run_folder(files_folder(store.url), run.name) / "trainings", group_of(config)
        needed = not from_scratch or config.deliver.teacher == WHOLE
        start = Start.of(store, run, images) if needed else None
        if start is not None and not from_scratch:
            require_unchanged(run, config)
        teacher = find_teacher(config, start, images)
        if teacher is not None and teacher.network is None:
            group.run_on_all_ranks(_know_torchvision)
        return cls(store, run, config, images, folder, None if from_scratch else start, teacher, group=group)

    @property
    def steps(self) -> int:
        """Steps of one training."""
        return max(1, len(self._training_images) // self.config.deliver.batch_size) * self._epochs

    @property
    def images_seen(self) -> int:
        """Images that one training sees, each as often as it does."""
        return self.steps * self._batch_size

    def training_macs(self, macs: float) -> float:
        """What one training of a network of ``macs`` costs: with a forward pass of the teacher for every image."""
        return float((PASSES * macs + (self.teacher.macs if self.teacher else 0)) * self.images_seen)

    def seed(self, number: int) -> int:
        """The seed of the first, second, ... training (from 0) of every network: the same for all, so that they pair."""
        return derive_seed(self.config.seed, "alone", number)

    def check_features(self, contenders: Iterable[Contender]) -> None:
        """Networks can be trained as ``deliver.teacher_features`` asks.

        Raises:
            EvoError: no block of one of them fits the teacher's.
        """
        for contender in contenders:
            require_hints(contender, self.teacher, self.config.deliver)

    def as_trained(self, contender: Contender) -> Contender:
        """The network with what ``deliver.add`` gives it: it is trained so, and has these costs."""
        return add_to_contender(contender, self.config.deliver.add, self.config.search.macs_convention)

    def train(self, contender: Contender, number: int, advance: Advance) -> Trained:
        """The result of training ``number`` (from 0) of a network: found, or made and recorded."""
        contender = self.as_trained(contender)
        digest = self.identity(contender, number)
        trained = find_training(self.store, digest)
        if trained is None:
            trained = self._train(contender, number, digest, advance)
        else:
            advance(self.steps)
        record_training(self.store, self.run, trained)
        return trained

    def identity(self, contender: Contender, number: int) -> str:
        """sha256 of all that a result depends on."""
        return identity(
            "alone", 1,
            arch=str(contender.arch), space=_unnamed(contender.space), training=self.config.deliver,
            data=self.config.data, images=self._images_sha256, device=self.images.train.device.type,
            seed=self.seed(number), sources=plugin_sources(self.config, contender.space), precision=self.config.precision,
            **({"start": self.start.sha256} if self.start and self._given(contender) else {}),
            **({"teacher": _taught_by(self.teacher)} if self.teacher else {}),
            **({"features": self._blocks_shown(contender)} if self.config.deliver.teacher_features else {}),
            **({"most_images": self.most_images} if self.most_images else {}),
        )  # fmt: skip

    def _given(self, contender: Contender) -> Mapping[str, Tensor] | None:
        """The weights that a network begins with; None: fresh ones."""
        return self.start.weights(contender.arch, contender.space) if self.start else None

    def _blocks_shown(self, contender: Contender) -> list[list[int]]:
        """The layers between which features are compared: their places in the network and in the teacher."""
        there = self.teacher.network if self.teacher else None
        hints = find_hints(contender.space, there.space) if there else ()
        return [[hint.student, hint.teacher] for hint in hints]

    @cached_property
    def _training_images(self) -> Source:
        return self.images.train.first(self.most_images) if self.most_images else self.images.train

    @cached_property
    def _images_sha256(self) -> str:
        return hash_images(self.config.data, self.run)

    @property
    def _epochs(self) -> int:
        return schedule_of(self.config.deliver, self.config.data, 1).epochs

    def _train(self, contender: Contender, number: int, digest: str, advance: Advance) -> Trained:
        started, seed = time.perf_counter(), self.seed(number)
        accuracy, nll = self._accuracy(contender, seed, self.folder / f"v1-{digest[:16]}.progress", advance)
        return Trained(
            sha256=digest,
            name=contender.name,
            arch=str(contender.arch),
            space_json=contender.space.to_json(),
            seed=seed,
            accuracy=accuracy,
            nll=nll,
            images=len(self.images.validation),
            macs=contender.macs,
            params=contender.params,
            training_macs=self.training_macs(contender.macs),
            seconds=time.perf_counter() - started,
            settings=self._settings,
        )

    def _accuracy(
        self, contender: Contender, seed: int, progress: Path, advance: Advance
    ) -> tuple[float, float | None]:
        """Accuracy and loss on the held-out images; 0 and None where the training diverged, which is its result, too."""
        torch.manual_seed(seed)
        network = Network(contender.arch, contender.space, Resize(contender.space.stem.size))
        inherit_weights(network, self._given(contender) or {})
        images, track = self.images, within(advance)
        found: tuple[float, float | None] = (0.0, None)
        with suppress(DivergedError):
            train_by_recipe(
                network,
                self.config,
                self._training_images,
                images.classes,
                seed,
                teacher=self.teacher,
                features=feature_loss(network, contender, self.teacher, self.config.deliver),
                checkpoint=progress,
                track=track,
                group=self.group,
            )
            found = self._measure(network)
        delete_progress(progress)
        return found

    def _measure(self, network: Network) -> tuple[float, float]:
        """Accuracy and loss on the held-out images; without labels agreement with the teacher, and divergence from it."""
        images = self.images.validation
        if self.config.data.labels is not False:
            return measure_network(network, images, precision_of(self.config))
        assert self.teacher is not None
        network.eval()
        same, divergence = measure_agreement(partial(forward, precision_of(self.config), network), self.teacher, images)
        return same / len(images), divergence

    @property
    def _batch_size(self) -> int:
        return min(self.config.deliver.batch_size, len(self._training_images))

    @property
    def _settings(self) -> dict[str, Any]:
        return {
            "settings": self.config.deliver.recipe(),
            "data": self.config.data.model_dump(mode="json"),
            "images": len(self._training_images),
            "threads": self.config.threads,
            "device": self.images.train.device.type,
            **precision_facts(self.config),
        }


def _know_torchvision(_: ProcessGroup) -> None:
    """Import torchvision, whose classes the teacher is of that a rank is sent."""
    torchvision_shim.torchvision  # noqa: B018


def group_of(config: StudyConfig) -> ProcessGroup:
    """The processes that train a network together: those that torchrun has started, or this one.

    Raises:
        EvoError: there are several, and blocks are compared over whole batches, of which each has a part.
    """
    group = replace(current_group(), sync=config.sync_batchnorm)
    if group.size > 1 and config.deliver.teacher_features:
        raise EvoError(
            f"deliver.teacher_features is {config.deliver.teacher_features:g}: blocks are compared over whole batches, and "
            f"torchrun has started {group.size} processes, each of which has a part: start one process, or leave "
            "deliver.teacher_features out"
        )
    return group


def require_unchanged(run: StoredRun, config: StudyConfig) -> None:
    """Nothing is added to networks that begin with the weights that a run has trained.

    Raises:
        EvoError: something is to be.
    """
    if config.deliver.add:
        raise EvoError(
            f"deliver.add is {list(config.deliver.add)}, and networks of run {run.name!r} begin with the weights that it has "
            "trained, without that: expected nothing to add; leave out --add (deliver.add), or begin with fresh weights: "
            "--from-scratch"
        )


def _unnamed(space: SearchSpace) -> SearchSpace:
    """``space`` without the names of itself and its blocks: nothing depends on them but ``_blocks_shown``."""
    data = json.loads(space.to_json())
    return SearchSpace.from_json(
        json.dumps(data | {"name": "", "layers": [layer | {"block": "stage1"} for layer in data["layers"]]})
    )


def _taught_by(teacher: Teacher) -> list[object]:
    """All of a teacher that its probabilities depend on."""
    if teacher.network is None:
        return [teacher.sha256]
    return [teacher.sha256, str(teacher.network.arch), _unnamed(teacher.network.space)]


def within(advance: Advance) -> Track:
    """A ``Track`` whose steps are steps of a larger piece of work, which is shown already."""

    @contextmanager
    def track(label: str, total: int) -> Iterator[Callable[[int], None]]:
        yield advance

    return track
