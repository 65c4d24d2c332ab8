"""Sections that every configuration has: the first space, images, training, the device, latency."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, field_validator
from pydantic_core import PydanticCustomError

from spaces.errors import SpaceError
from spaces.latency.command import DeviceCommand
from studies.config.values import Augmentation, Jitter, PerRound, Pixels, Section, Share


class SpaceSection(Section):
    """Where the search starts: a named space, a space in a file, or the space that a table spells out."""

    name: str
    """One of the library's spaces, e.g. `digits` or `mobile_64` (an unknown name raises an error that lists all), or
    `table`: the space is read off the table of `evaluator.kind = "tabular"`."""

    path: str | None = None
    """A JSON file that holds the space, used instead of a named one; `name` is then only a label."""

    channels: PositiveInt | None = None
    """Channels of the input images. Not given: those of the data, or of the space's own data set."""

    size: Pixels | None = None
    """Pixels of the input images: one number for square ones, or `[height, width]`. Not given: those of the data, or of
    the space's own data set."""

    classes: PositiveInt | None = None
    """Number of classes. Not given: those of the data, or of the space's own data set."""

    add_operations: tuple[str, ...] = ()
    """Further candidates of every layer whose shape allows them, e.g. `["mb_k7_e6"]` or operations of your own."""


class DataSection(Section):
    """Images. A part of the training images scores candidates (the validation images); test images only judge a
    delivered network."""

    unrelated: ClassVar[frozenset[str]] = frozenset({"path", "download", "workers", "cache"})

    name: str = "digits"
    """The data set: `digits` (scikit-learn's, 8 x 8 pixels), `fashion_mnist`, `cifar10`, `images` (a folder with one
    folder per class, or `train/`, and perhaps `val/` and `test/`, with these in each; a .csv list; WebDataset .tar files;
    parquet files; or .npy files), or `arrays` (an .npz file)."""

    path: str = "data"
    """The folder of the data, to which downloads go; for `arrays` the .npz file with x_train, y_train, x_test,
    y_test; and x_val, y_val and classes (the names of the classes), if there are some."""

    size: Pixels | None = None
    """Pixels to which images are resized: one number for square ones, or `[height, width]`. Not given: as they are; for
    `images`: 32."""

    max_images: PositiveInt | None = None
    """How many training images are used, with all classes represented alike. Not given: all."""

    validation_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Fraction of the training images that never trains a candidate and scores it instead, between 0 and 1. Unused where the
    data have validation images of their own: a folder `val/`, or `x_val` and `y_val`."""

    labels: bool | None = None
    """Whether images of a folder (`images`) have labels: the names of class folders. `false`: they have none, and all images
    below the folder are taken; needs `evaluator.kind = "cuts"`, or `"blockwise"` with a trained `evaluator.teacher`. Not given:
    they have, but for these where no image lies in a class folder."""

    download: bool = True
    """Download a data set of torchvision that is not in `path`."""

    channels: Literal[1, 3] | None = None
    """Channels in which images in files (`images`) are seen: 1 (grey) or 3. Not given: 3; a new run whose images are all grey
    begins with 1, unless a trained network is to see them."""

    augment: tuple[Augmentation, ...] = ()
    """Random changes of training images, from: `flip`, `crop`, `cutout`, `resized_crop`, `colour_jitter`."""

    jitter: Jitter = (0.4, 0.4, 0.4, 0.0)
    """How far `colour_jitter` changes brightness, contrast, saturation and hue, each both ways: shares, and of hue turns of the
    colour circle, up to 0.5. Hue is changed in images of three channels only."""

    short_side: PositiveInt | None = None
    """Pixels of the shorter side to which images in files are scaled once, when they are decoded, and from which all crops are
    taken then: several times as fast as decoding anew. At least `data.size`, e.g. 256 for 224. Not given: crops are taken from
    the whole images."""

    cache: bool = True
    """Keep on disk what was decoded of images that do not fit into memory, for all processes and runs, in the folder that the
    environment variable `EVO_CACHE` names, or `~/.cache/evo-nas`: all images of `short_side`, otherwise those that measure. It
    changes no result."""

    in_memory: bool | None = None
    """Whether images in files, or items of a data set of torch, are read into memory once (`true`) or anew in every epoch
    (`false`). Not given: into memory where they take less than 4 GB as floats. A run on images in files that begins looks at
    the memory that there is, a container's limit included. It sets `true` where more fit into a quarter of it and no parts are
    cut out at random (`resized_crop`), `false` where not so many do, and keeps to it: results depend on it."""

    workers: NonNegativeInt = 4
    """Processes that read images from files."""


class Training(Section):
    """Stochastic gradient descent (Nesterov) with warm-up and a cosine."""

    epochs: PerRound = 20.0
    """Passes over the training images: a number for every round, or a list whose last entry repeats."""

    batch_size: PositiveInt = 64
    """Images per step."""

    accumulate: PositiveInt = 1
    """Pieces into which a batch is cut, whose gradients add up to a step: a step takes as much less memory. Batch normalisation
    then takes the statistics of each piece, as if the batch were smaller."""

    learning_rate: PerRound = 0.1
    """Highest learning rate: it is reached linearly during warm-up, then falls to 0 along a cosine. A number for every
    round, or a list whose last entry repeats."""

    momentum: Share = 0.9
    """Nesterov momentum of SGD, from 0 to 1."""

    weight_decay: NonNegativeFloat = 4e-5
    """L2 penalty of the weights in every step."""

    label_smoothing: Share = 0.0
    """Part of each label that is spread over all classes, from 0 (off) to 1 (arXiv 1512.00567)."""

    warmup_fraction: Share = 0.05
    """Fraction of all steps in which the learning rate rises to its highest value."""

    warmup_start: Share = 0.0
    """Share of the highest learning rate from which it rises, from 0 to 1."""

    annealing: Literal["cosine", "linear"] = "cosine"
    """How the learning rate falls to zero then: along half a cosine, or along a line."""


class TargetSection(Section):
    """The device that networks are for, as far as their size on it is concerned: `flash_kb` and `memory_kb` are counted for it.
    How they are counted: `spaces/costs/memory.py`."""

    precision: Literal["int8", "float32"]
    """How the device keeps numbers. `int8`: a byte for a weight or an activation, four for a bias and for the scale of a
    convolution's output channel. `float32`: four bytes for each weight, bias and activation."""


class LatencySection(Section):
    """A latency table: one measured by `python -m spaces.latency`, or a published one."""

    path: str
    """The csv file of the table."""

    device: str | None = None
    """Which of the table's devices counts. Not given: the table has one only."""

    command: str | None = None
    """Time every network that is measured, too, by this command, with `{onnx}` where the name of its ONNX file belongs, as
    `python -m spaces.latency --command` does: what it says is the network's latency, the table's sums are corrected by it,
    and what is outside `limits.latency_ms` is not trained. Not given: latency is the table's sum."""

    runs: PositiveInt = 3
    """How often `command` is run for a network; the median counts."""

    timeout: PositiveFloat = 600.0
    """Seconds that a run of `command` may take."""

    @field_validator("command")
    @classmethod
    def _has_a_place_for_the_file(cls, command: str | None) -> str | None:
        if command is not None:
            try:
                DeviceCommand(command)
            except SpaceError as error:
                raise PydanticCustomError("command", "{message}", {"message": str(error)}) from None
        return command


DATA: dict[str, type[DataSection]] = dict.fromkeys(
    ("digits", "fashion_mnist", "cifar10", "images", "arrays"), DataSection
)
"""The settings of every ``data.name``."""
