"""Scores what is cut out of a network. No training is needed for it, so the scores hold in all rounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, TypeVar

import torch

from evo.data.loading import load_dataset
from evo.data.paths import file_hash
from evo.data.source import Batch, Images, ImageSet, InOrder, Source
from evo.evaluators import Judge, Request
from evo.evaluators.blockwise.combination import front_of_ratings, without_gains
from evo.evaluators.cuts.agreement import AgreementScorer, Imitated, say
from evo.evaluators.cuts.network import cut_out, later_cuts, section_of
from evo.evaluators.oneshot.first_batches import first_batches
from evo.evaluators.oneshot.scoring import PrefixRunner, Scorer, evaluations_by
from evo.training.identity import identity
from evo.training.precision import name_suffix, precision_of
from spaces.architecture import Architecture
from spaces.costs.table import CostTable, cost_table
from spaces.networks.supernet import Supernet
from spaces.pretrained.cut_space import whole_network
from spaces.pretrained.single_cuts import macs_of_single_cuts
from spaces.pretrained.slices import load_first_weights
from spaces.space import SearchSpace
from studies.config import StudyConfig
from studies.records import Evaluation, EvoError, Ratings

WEIGHTS, POOL = "weights", "pool"
"""What the fine-tuned network's file is called in the database, and that of operations that were made beside its cuts."""


JUDGED = ("importance", "refit", "channel_images", "calibration_batches", "eval_batch_size", "pool")
"""The settings that scores depend on, beside those of the fine-tuning; at their defaults they are in no name."""

Files = tuple[tuple[Path, str], ...]
"""The file of the whole network, then that of the pool, if there is one; with their sha256."""


@dataclass(frozen=True)
class CutsJudge(Judge):
    """Scores what is cut out of the fine-tuned network. Its answers hold in all rounds.

    Attributes:
        origin: the space of the whole network.
        losses: what each candidate loses by itself, lower is better.
        imitates: whether scores tell how well cuts agree with the whole network, as they always do without labels; else, how
            right they are.
        images: how many images it looks at, see ``images_to_look_at``; None: all validation images.
        pool: a file of the operations that cannot be cut out of the network; None: there are none.
        made: how many of them are new to the round; ``pool_macs``: what making them takes.
    """

    config: StudyConfig
    origin: SearchSpace = field(repr=False)
    space: SearchSpace
    table: CostTable = field(repr=False)
    checkpoint: Path
    sha256: str
    pool: Path | None = None
    pool_sha256: str = ""
    pool_macs: float = 0.0
    made: int = 0
    losses: Ratings = field(default_factory=dict, repr=False)
    imitates: bool = False
    images: int | None = None

    @property
    def name(self) -> str:
        settings = section_of(self.config)
        other = {
            key: value for key, value in settings if key in JUDGED and value != type(settings).model_fields[key].default
        }
        digest = identity("cuts judge", 1, whole=self.sha256, **other) if other else self.sha256
        rounded = ":int8" if self.config.search.int8 else ""
        return f"cuts:{digest[:12]}{name_suffix(precision_of(self.config))}{rounded}"

    @property
    def ratings(self) -> Ratings:
        return {choice: -loss for choice, loss in self.losses.items()}

    def __call__(self, archs: Sequence[Architecture]) -> list[Evaluation]:
        files = ((self.checkpoint, self.sha256), *([(self.pool, self.pool_sha256)] if self.pool else []))
        imitates = self.imitates or self.config.data.labels is False
        scorer = partial(_scorer, self.config, self.origin, self.space, files, imitates, self.images)
        return evaluations_by(scorer, archs, self.name, self.table)

    def files(self) -> Mapping[str, tuple[Path, str]]:
        pool = {POOL: (self.pool, self.pool_sha256)} if self.pool else {}
        return {WEIGHTS: (self.checkpoint, self.sha256), **pool}

    def stats(self, evaluations: Sequence[Evaluation]) -> Mapping[str, Any]:
        later, made = later_cuts(self.origin, self.space), dict[str, Any]()
        if later is not None:
            measured = macs_of_single_cuts(cost_table(later, self.table.convention))
            made = {"made": {"operations": self.made, "macs": self.pool_macs, "measured_macs": measured}}
        return {"losses": [[i, op, loss] for (i, op), loss in self.losses.items()], **made}

    def suggest(self, request: Request) -> list[tuple[Architecture, str]]:
        """The exact front of summed losses and cost; and the network itself, as its dearest end."""
        front = front_of_ratings(without_gains(self.ratings), self.table, request.cost, request.limits)
        whole = whole_network(self.origin)
        return request.choose([*front, whole] if whole in self.space else front, "combined")


@lru_cache(maxsize=1)
def _scorer(
    config: StudyConfig, origin: SearchSpace, space: SearchSpace, files: Files, imitates: bool, number: int | None
) -> Scorer | AgreementScorer:
    """The scorer of a space: it keeps prefixes from one generation to the next."""
    validation = images_to_look_at(load_dataset(config.data, config.device), number, imitates)
    int8 = config.search.int8
    if not imitates:
        return _runner(Scorer, config, origin, space, files, validation, int8)
    whole = whole_network(origin)
    said = say(_runner(PrefixRunner, config, origin, origin.restrict_to(whole), files, validation), whole)
    return _runner(AgreementScorer, config, origin, space, files, Imitated(validation, said), int8)


def images_to_look_at(images: Images, number: int | None, imitates: bool) -> InOrder:
    """``number`` of the validation images, evenly spaced; where there are fewer and labels do not count, training images, too.

    None: all validation images.
    """
    if number is None:
        return images.validation
    chosen = [evenly_spaced_images(images.validation, number)]
    if imitates and (missing := number - len(images.validation)) > 0:
        chosen.append(evenly_spaced_images(images.train, missing))
    x, y = (torch.cat(parts) for parts in zip(*chosen, strict=True))
    return ImageSet(x.contiguous(memory_format=torch.channels_last), y)


def evenly_spaced_images(images: Source, number: int) -> Batch:
    """``number`` of the images, or all there are, in their order."""
    number = min(number, len(images))
    return images.take(torch.arange(number) * len(images) // number)


R = TypeVar("R", bound=PrefixRunner)


def _runner(
    kind: type[R],
    config: StudyConfig,
    origin: SearchSpace,
    space: SearchSpace,
    files: Files,
    validation: InOrder,
    int8: bool = False,
) -> R:
    """What runs networks of ``space`` that are cut out of the network in a file, on ``validation``; ``int8``: in 8 bits."""
    section = section_of(config)
    for path, digest in files:
        if file_hash(path) != digest:
            raise EvoError(
                f"{path} is not the file that was written (its sha256 has changed); delete it to train it again"
            )
    (whole, _), *pools = files
    images = load_dataset(config.data, config.device)
    supernet = Supernet(space, zero_init=False)
    weights = cut_out(config, origin, space, whole, images, [path for path, _ in pools])
    load_first_weights(supernet, space, weights)
    supernet.to(images.validation.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    size = min(section.eval_batch_size, len(images.train))
    count = min(section.calibration_batches, len(images.train) // size)
    calibration = first_batches(images.train, size, count)
    memory, precision = section.prefix_memory_mb << 20, precision_of(config)
    return kind(supernet, calibration, validation, size, memory, precision, int8)
