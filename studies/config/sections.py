"""Sections that every configuration has: the first space, images, training, delivery, the search, limits, latency."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from pydantic_core import PydanticCustomError

from studies.records import COSTS

Share = Annotated[float, Field(ge=0, le=1)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
PerRound = tuple[float, ...] | float
Augmentation = Literal["flip", "crop", "cutout", "resized_crop", "colour_jitter"]
Window = tuple[float, float]


class Section(BaseModel):
    """A table of a configuration.

    Class attributes:
        unrelated: keys that change nothing of what is computed, and so are in no file's name.
    """

    unrelated: ClassVar[frozenset[str]] = frozenset()

    model_config = ConfigDict(extra="forbid", frozen=True)


class SpaceSection(Section):
    """Where the search starts: a named space, a file, or the space that a table spells out (``name = "table"``)."""

    name: str
    path: str | None = None
    channels: PositiveInt | None = None
    size: PositiveInt | None = None
    classes: PositiveInt | None = None


class DataSection(Section):
    """Images. The held-out part of the training images scores candidates; test images only judge a delivered network.

    ``in_memory = false`` leaves a folder's images in their files, from which ``workers`` processes read them anew for every
    epoch; where it is not given, they stay there when they would take more than 4 GB.
    """

    unrelated: ClassVar[frozenset[str]] = frozenset({"path", "download", "workers"})

    name: str = "digits"
    path: str = "data"
    size: PositiveInt | None = None
    limit: PositiveInt | None = None
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.2
    download: bool = True
    augment: tuple[Augmentation, ...] = ()
    in_memory: bool | None = None
    workers: NonNegativeInt = 4


class Training(Section):
    """Stochastic gradient descent (Nesterov); per-round settings take a list, whose last entry repeats."""

    epochs: PerRound = 20.0
    batch_size: PositiveInt = 64
    learning_rate: PerRound = 0.1
    momentum: Share = 0.9
    weight_decay: float = 4e-5
    label_smoothing: Share = 0.0
    warmup: Share = 0.05


class DeliverSection(Training):
    """How ``python -m evo.deliver`` trains the chosen network: from scratch, on all training images, held-out ones too.

    ``mixup`` and ``cutmix`` are the parameters of their Beta distributions (0: off; both: one of them per batch), ``drop_path``
    is how often the last layer's operations are left out, earlier ones less, where the input can pass by; delivered is the
    moving average of the weights with the decay ``ema`` (0: the last weights). ``augment`` stands in for ``data.augment``.
    """

    epochs: PerRound = 60.0
    label_smoothing: Share = 0.1
    mixup: NonNegativeFloat = 0.2
    cutmix: NonNegativeFloat = 0.0
    drop_path: BelowOne = 0.0
    ema: BelowOne = 0.99
    augment: tuple[Augmentation, ...] | None = None


class SearchSection(Section):
    """NSGA-II inside one round: maximise ``objective``, minimise ``cost``.

    ``sampler = "random"`` measures networks drawn uniformly instead, the yardstick that every search must beat.
    ``screen`` lets a surrogate choose among many children; it leaves the choice to NSGA-II where it knows no better.
    ``trials`` counts the new measurements of a round, ``seconds`` ends it earlier; ``min_accuracy`` is the floor above
    which hypervolume counts. ``objective = "likelihood"`` ranks by exp(-negative log-likelihood): the better ranker where a
    supernet is trained for a short time.
    """

    population: Annotated[int, Field(ge=2)] = 10
    sampler: Literal["nsga2", "random"] = "nsga2"
    screen: bool = True
    trials: PositiveInt = 64
    seconds: PositiveFloat | None = None
    objective: Literal["accuracy", "likelihood"] = "accuracy"
    cost: Literal["macs", "params", "latency_ms"] = "macs"
    convention: str = "macs"
    min_accuracy: Share = 0.0


class LimitsSection(Section):
    """Windows [least, most] that every architecture must lie in, of the deployed network."""

    macs: Window | None = None
    params: Window | None = None
    latency_ms: Window | None = None


class LatencySection(Section):
    """A latency table: one measured by ``python -m spaces.latency``, or a published one (``device`` picks among several)."""

    path: str
    device: str | None = None


DATA: dict[str, type[DataSection]] = dict.fromkeys(
    ("digits", "fashion_mnist", "cifar10", "images", "arrays"), DataSection
)
"""The settings of every ``data.name``."""


def invalid(message: str) -> PydanticCustomError:
    """An error of settings that do not fit together; the message names keys as the user writes them."""
    return PydanticCustomError("together", "{message}", {"message": message})


def windows(limits: LimitsSection) -> dict[str, Window]:
    """The limits that are set: cost name -> (least, most)."""
    return {name: window for name in COSTS if (window := getattr(limits, name)) is not None}


def of_round(setting: PerRound, n: int) -> float:
    """A per-round setting's value in round ``n`` (from 1): a number for all rounds, or a list whose last entry repeats."""
    return setting[min(n, len(setting)) - 1] if isinstance(setting, tuple) else setting


def in_rounds(epochs: PerRound, rounds: int) -> str:
    """``20, 10, 10 epochs in rounds 1 to 3``."""
    listed = ", ".join(f"{of_round(epochs, n):g}" for n in range(1, rounds + 1))
    return f"{listed} epochs in rounds 1 to {rounds}"
