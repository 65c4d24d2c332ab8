"""Sections that every configuration has: the first space, images, training, delivery, the search, limits, latency."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, isfinite
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PlainSerializer,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from spaces.costs.table import PEAKS
from spaces.errors import SpaceError
from spaces.latency.command import DeviceCommand
from spaces.size import Size, as_size
from studies.records import COSTS

Share = Annotated[float, Field(ge=0, le=1)]
SCORES = ("accuracy", "likelihood")
Objective = Literal["accuracy", "likelihood", "macs", "params", "latency_ms", "flash_kb", "memory_kb"]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
Augmentation = Literal["flip", "crop", "cutout", "resized_crop", "colour_jitter"]
Added = Literal["se", "swish"]
Form = Literal["onnx", "pt2", "openvino", "litert", "executorch", "coreml", "int8"]


def _per_round(given: Any, checked: ValidatorFunctionWrapHandler) -> tuple[float, ...] | float:
    try:
        value: tuple[float, ...] | float = checked(given)
    except ValidationError:
        raise PydanticCustomError(
            "per_round", "expected a number from 0 on, or a list of them: one per round"
        ) from None
    return value


PerRound = Annotated[
    Annotated[tuple[NonNegativeFloat, ...], Field(min_length=1)] | NonNegativeFloat, WrapValidator(_per_round)
]
"""A number for all rounds, or one for each, the last of which repeats."""


def _counts(given: Any, checked: ValidatorFunctionWrapHandler) -> tuple[int, ...] | int:
    try:
        value: tuple[int, ...] | int = checked(given)
    except ValidationError:
        raise PydanticCustomError(
            "counts", "expected a whole number from 1 on, or a list of them: one per round"
        ) from None
    return value


CountPerRound = Annotated[PositiveInt | Annotated[tuple[PositiveInt, ...], Field(min_length=1)], WrapValidator(_counts)]
"""A whole number for all rounds, or one for each, the last of which repeats."""


def _factors(given: Any, checked: ValidatorFunctionWrapHandler) -> tuple[float, ...] | float:
    try:
        value: tuple[float, ...] | float = checked(given)
    except ValidationError:
        raise PydanticCustomError(
            "factors", "expected a number above 0, up to 1, or a list of them: one per round"
        ) from None
    return value


Factor = Annotated[float, Field(gt=0, le=1)]
FactorPerRound = Annotated[Factor | Annotated[tuple[Factor, ...], Field(min_length=1)], WrapValidator(_factors)]
"""A factor up to 1 for all rounds, or one for each, the last of which repeats."""


def _limit(given: Any, checked: ValidatorFunctionWrapHandler) -> tuple[float, float]:
    ends = list(given) if isinstance(given, (list, tuple)) and len(given) == 2 else None
    is_open = ends is not None and ends[1] in (None, inf)
    if ends and ends[0] in (None, -inf):
        ends[0] = 0
    try:
        least, most = checked((ends[0], ends[0]) if ends and is_open else ends or given)
    except ValidationError:
        raise PydanticCustomError("limit", "expected two numbers, [least, most]; inf is no limit") from None
    if least < 0 or most < 0:
        raise PydanticCustomError("limit", "expected costs, which are numbers from 0 on; -inf or 0 is no limit")
    if least > most:
        raise PydanticCustomError("limit", "expected the least first, then the most")
    return least, inf if is_open else most


def _finite(limit: tuple[float, float]) -> list[float | None]:
    return [end if isfinite(end) else None for end in limit]


Limit = Annotated[tuple[float, float], WrapValidator(_limit), PlainSerializer(_finite, when_used="json")]
"""``(least, most)``, both allowed. ``most`` may be ``inf``, which JSON has as ``null``; an open lower end is 0."""


def _pixels(given: Any, checked: ValidatorFunctionWrapHandler) -> Size:
    try:
        return as_size(checked(given))
    except ValidationError:
        raise PydanticCustomError("pixels", "expected pixels from 1 on: one number, or [height, width]") from None


def _strengths(given: Any, checked: ValidatorFunctionWrapHandler) -> tuple[float, float, float, float]:
    try:
        found: tuple[float, float, float, float] = checked(given)
    except ValidationError:
        raise PydanticCustomError(
            "jitter", "expected four numbers from 0 on: brightness, contrast, saturation, and hue (at most 0.5)"
        ) from None
    return found


Jitter = Annotated[
    tuple[NonNegativeFloat, NonNegativeFloat, NonNegativeFloat, Annotated[float, Field(ge=0, le=0.5)]],
    WrapValidator(_strengths),
]
"""How far brightness, contrast, saturation and hue are changed."""


Pixels = Annotated[PositiveInt | tuple[PositiveInt, PositiveInt], WrapValidator(_pixels)]
"""One number for square images, or height and width."""


def _kinds(annotation: Any) -> list[Any]:
    """An annotation, and all that it speaks of, in any depth."""
    return [annotation, *(kind for part in get_args(annotation) for kind in _kinds(part))]


class Section(BaseModel):
    """A table of a configuration. The text under a key is its help, and its description in the JSON schema.

    Class attributes:
        unrelated: keys that change nothing of what is computed, and so are in no file's name.
    """

    unrelated: ClassVar[frozenset[str]] = frozenset()

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_is_a_number(cls, given: Any, field: ValidationInfo) -> Any:
        values = given if isinstance(given, (list, tuple)) else [given]
        if any(isinstance(value, bool) for value in values):
            kinds = _kinds(cls.model_fields[str(field.field_name)].annotation)
            if (int in kinds or float in kinds) and not (bool in kinds or Any in kinds):
                raise PydanticCustomError("number", "expected a number, not true or false")
        return given


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


class DeliverSection(Training):
    """How `python -m evo.deliver` trains the chosen network: from scratch (cuts: from their weights), on all training images,
    validation images too."""

    unrelated: ClassVar[frozenset[str]] = frozenset(
        {"teacher", "formats", "int8_changed"}
    )  # of a teacher its sha256 counts

    epochs: PerRound = 60.0
    """Passes over the training images."""

    label_smoothing: Share = 0.1
    """Part of each label that is spread over all classes, from 0 (off) to 1 (arXiv 1512.00567)."""

    mixup: NonNegativeFloat = 0.2
    """Parameter of MixUp's Beta distribution (arXiv 1710.09412); 0: off. With `cutmix`, one of the two per batch."""

    cutmix: NonNegativeFloat = 0.0
    """Parameter of CutMix's Beta distribution (arXiv 1905.04899); 0: off. With `mixup`, one of the two per batch."""

    drop_path: BelowOne = 0.0
    """How often the last layer's operations are left out where the input can pass by them, earlier ones less often;
    from 0 (off) to below 1 (stochastic depth, arXiv 1603.09382)."""

    ema: BelowOne = 0.99
    """Decay of the moving average of the weights, which is what is delivered; 0: the last weights are delivered."""

    augment: tuple[Augmentation, ...] | None = None
    """Random changes of training images, in place of `data.augment`. Not given: those."""

    jitter: Jitter | None = None
    """How far `colour_jitter` changes colours here, in place of `data.jitter`. Not given: as there."""

    add: tuple[Added, ...] = ()
    """What the network is given beside what was searched, as NSE (arXiv 2011.10904) does: `se`, a squeeze-excitation of a
    quarter of the hidden channels in operations that have none, and `swish`, in the place of all activations of operations,
    stem and head. Operations that have no such form stay. Not for weights that a run has trained."""

    teacher: str | None = None
    """Teaches the network beside the labels (distillation at temperature 1, arXiv 1503.02531): `whole`, the network that a run
    of `cuts` has fine-tuned; `imitated`, the `evaluator.teacher` that a run of `blockwise` names; or a folder that
    `evo.deliver` made, with the same channels and classes, for which images are resized. Not given: labels alone; where there
    are none, `whole` or `imitated`, whichever the run has."""

    teacher_share: Share = 0.5
    """Part of each target that is the teacher's probabilities of the classes, from 0 to 1 (labels are not used)."""

    teacher_features: NonNegativeFloat = 0.0
    """Weight in the loss of how far the outputs of blocks are from the teacher's: the mean squared difference as a share of the
    teacher's variance, averaged over the blocks that both have by name, with the same channels (in the manner of FitNets,
    arXiv 1412.6550); 0: off. Needs `teacher`."""

    formats: tuple[Form, ...] = ("onnx", "pt2")
    """Forms of the network that are written beside its weights and `model.py`: `onnx`; `pt2` (torch.export); `openvino`;
    `litert` (TFLite); `executorch`; `coreml`; `int8` (ONNX in 8 bits). One whose package is not installed is left out, with a
    reason."""

    int8_changed: Share = 0.01
    """Share of training images that the form `int8` may decide otherwise than the network in 32 bits. Where there are more,
    the layers that cost most stay in 32 bits."""

    @field_validator("add")
    @classmethod
    def _in_one_order(cls, names: tuple[Added, ...]) -> tuple[Added, ...]:
        return tuple(sorted(set(names)))

    @field_validator("formats")
    @classmethod
    def _each_once(cls, names: tuple[Form, ...]) -> tuple[Form, ...]:
        return tuple(name for name in get_args(Form) if name in names)

    def recipe(self) -> dict[str, Any]:
        """All of it that a training is described by."""
        return self.model_dump(mode="json", exclude={"formats", "int8_changed"})


class SearchSection(Section):
    """NSGA-II inside one round: maximise `objective`, minimise `cost`; or all of `objectives`."""

    population: Annotated[int, Field(ge=2)] = 10
    """Architectures per generation. It may stay small with many workers: see `in_flight`."""

    in_flight: Annotated[int, Field(ge=1)] | None = None
    """Generations that may be in flight at the same time: a generation is proposed when the one so many before it is
    recorded, and what is in flight is believed to come out as predicted. Results depend on it, and not on workers. Not
    given: what keeps the workers busy with which the run begins; 1 where they are at most half of `population`."""

    sampler: Literal["nsga2", "random"] = "nsga2"
    """`nsga2`, or `random`: measure networks drawn uniformly, the yardstick that every search must beat."""

    surrogate: bool = True
    """Let a surrogate model choose among many children of NSGA-II. Where it predicts no better than chance, NSGA-II
    chooses alone."""

    evaluations: CountPerRound = 64
    """New measurements per round: a number for every round, or a list whose last entry repeats, e.g. many in cheap first
    rounds. A proposal whose score is known already costs nothing."""

    time_limit_seconds: PositiveFloat | None = None
    """Seconds after which the search of a round ends, even if `evaluations` is not reached; results then depend on the
    machine's speed. Not given: no limit."""

    objective: Literal["accuracy", "likelihood"] = "accuracy"
    """What is maximised: `accuracy`, or `likelihood`, which is exp(-negative log-likelihood) and ranks better where a
    supernet was trained for a short time only."""

    cost: Literal["macs", "params", "latency_ms", "flash_kb"] = "macs"
    """What is minimised: `macs` (multiply-accumulates), `params` (parameters), `latency_ms` (milliseconds, by the
    table in `[latency]`), or `flash_kb` (KB of weights on the device of `[target]`)."""

    objectives: tuple[Objective, ...] | None = None
    """All objectives in place of `objective` and `cost`: one that is maximised and any number of costs, e.g. `["accuracy",
    "macs", "memory_kb"]`. The first cost is the one that tables and axes show, and by which networks are spread; `memory_kb`
    (KB of live activations on the device of `[target]`) is a peak and no sum over layers, and so is never the first. Not given:
    `objective` and `cost`."""

    macs_convention: str = "macs"
    """How multiply-accumulates are counted: `macs`, `macs+se`, `torch`, `nse`, `nse+se` or `dna` (definitions:
    `spaces/costs/table.py`)."""

    min_accuracy: Share = 0.0
    """Accuracy above which hypervolume counts, from 0 to 1."""

    int8: bool = False
    """Whether architectures are judged as they are after quantisation to 8 bits. `objective = "accuracy_int8"` (or
    `"likelihood_int8"`), or one of these among `objectives`, says the same."""

    reuse: bool = True
    """Take what another run of the database has measured with the same settings, data, seed and device, of the same network,
    in place of measuring it again (tables, and networks that are trained alone). Without, results are the same, and cost
    more."""

    learn_from: tuple[str, ...] = ()
    """Runs of the same database whose measurements teach the surrogate, whatever they were measured on: the same layers, and
    operations that both have. They are copied when the run begins. A run that does not help, by what is predicted of networks
    that are left out, is ignored."""

    @property
    def flights(self) -> int:
        """Generations that may be in flight, once the run has begun."""
        return self.in_flight or 1

    @property
    def costs(self) -> tuple[str, ...]:
        """All that is minimised; the first is `cost`."""
        return (self.cost, *(name for name in self.objectives or () if name in COSTS and name != self.cost))

    @model_validator(mode="before")
    @classmethod
    def _by_objectives(cls, given: Any) -> Any:
        """`objective` and `cost` of `objectives`; two are nothing but these. A score in 8 bits is a score, and `int8`."""
        given = _without_int8(given)
        asked = given.get("objectives") if isinstance(given, Mapping) else None
        if not isinstance(asked, (list, tuple)) or not set(map(str, asked)) <= {*SCORES, *COSTS}:
            return given
        scores, costs = [name for name in asked if name in SCORES], [name for name in asked if name in COSTS]
        if len(scores) != 1 or not costs or len(set(costs)) < len(costs):
            raise invalid(
                f"search.objectives is {list(asked)}: expected one of {' and '.join(SCORES)}, and one or more of "
                f"{', '.join(COSTS)}, each once"
            )
        if costs[0] in PEAKS:
            others = f'["{scores[0]}", "macs", ' + ", ".join(f'"{name}"' for name in costs if name != "macs") + "]"
            raise invalid(
                f"search.objectives is {list(asked)}: {costs[0]} is a peak and no sum over layers, so networks cannot be "
                f"spread over it; name a cost first that adds up, e.g. {others}"
            )
        for key, value in {"objective": scores[0], "cost": costs[0]}.items():
            if given.get(key, value) != value:
                raise invalid(
                    f"search.{key} is {given[key]!r}, and search.objectives begins with {value!r}: leave search.{key} out"
                )
        rest = {key: value for key, value in given.items() if key != "objectives"}
        several = {"objectives": tuple(asked)} if len(costs) > 1 else {}
        return {**rest, "objective": scores[0], "cost": costs[0], **several}

    def measurements(self, n: int) -> int:
        """New measurements in round ``n``, from 1."""
        return int(value_in_round(self.evaluations, n))


def _without_int8(given: Any) -> Any:
    """Settings of a search whose scores are called as they are in 32 bits; `int8` says that they are in 8."""
    if not isinstance(given, Mapping):
        return given
    names = {f"{score}_int8": score for score in SCORES}
    asked, several = given.get("objective"), given.get("objectives")
    listed = list(map(str, several)) if isinstance(several, (list, tuple)) else []
    if asked not in names and not names.keys() & set(listed):
        return given
    changed = {**given, "int8": True}
    if asked in names:
        changed["objective"] = names[asked]
    if listed:
        changed["objectives"] = [names.get(name, name) for name in listed]
    return changed


class LimitsSection(Section):
    """Limits [least, most] between which the costs of every architecture must lie, as deployed. An end may be open:
    `[2e7, inf]`."""

    macs: Limit | None = None
    """Multiply-accumulates of one image, counted by `search.macs_convention`. Not given: no limit."""

    params: Limit | None = None
    """Parameters. Not given: no limit."""

    latency_ms: Limit | None = None
    """Milliseconds for one image, by the table in `[latency]`. Not given: no limit."""

    flash_kb: Limit | None = None
    """KB (1024 bytes) of weights on the device of `[target]`. Not given: no limit."""

    memory_kb: Limit | None = None
    """KB (1024 bytes) of activations that are live at one time on the device of `[target]`, e.g. `[0, 256]`; a limit from above
    only. Not given: no limit."""

    def given(self) -> dict[str, Limit]:
        """The limits that are set: cost name -> (least, most)."""
        return {name: limit for name in COSTS if (limit := getattr(self, name)) is not None}

    @field_validator("memory_kb")
    @classmethod
    def _from_above(cls, limit: Limit | None) -> Limit | None:
        if limit and limit[0] > 0:
            raise PydanticCustomError("peak", "expected a limit from above, e.g. [0, 256]: memory is a peak")
        return limit


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


WHOLE = "whole"
"""``deliver.teacher``: the network that the run has fine-tuned."""

IMITATED = "imitated"
"""``deliver.teacher``: the network that the run names for its blocks to imitate."""


DATA: dict[str, type[DataSection]] = dict.fromkeys(
    ("digits", "fashion_mnist", "cifar10", "images", "arrays"), DataSection
)
"""The settings of every ``data.name``."""


def invalid(message: str) -> PydanticCustomError:
    """An error of settings that do not fit together; the message names keys as the user writes them."""
    return PydanticCustomError("together", "{message}", {"message": message})


def value_in_round(setting: PerRound | CountPerRound | FactorPerRound, n: int) -> float:
    """A per-round setting's value in round ``n`` (from 1): a number for all rounds, or a list whose last entry repeats."""
    return setting[min(n, len(setting)) - 1] if isinstance(setting, tuple) else setting


def epochs_sentence(epochs: PerRound, rounds: int) -> str:
    """``20, 10, 10 epochs in rounds 1 to 3``."""
    return f"{values_by_round(epochs, rounds)} epochs in rounds 1 to {rounds}"


def values_by_round(setting: PerRound | CountPerRound | FactorPerRound, rounds: int) -> str:
    """``20, 10, 10``."""
    return ", ".join(format(value_in_round(setting, n), ",.12g") for n in range(1, rounds + 1))
