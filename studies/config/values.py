"""Kinds of settings, each with its check, and ``Section``, a table of them; no section itself."""

from __future__ import annotations

from math import inf, isfinite
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PlainSerializer,
    PositiveInt,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
)
from pydantic_core import PydanticCustomError

from spaces.size import Size, as_size

Share = Annotated[float, Field(ge=0, le=1)]
SCORES = ("accuracy", "likelihood")
Objective = Literal["accuracy", "likelihood", "macs", "params", "latency_ms", "flash_kb", "memory_kb"]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
Augmentation = Literal["flip", "crop", "cutout", "resized_crop", "colour_jitter"]
Added = Literal["se", "swish"]
Form = Literal["onnx", "pt2", "openvino", "litert", "executorch", "coreml", "int8"]


def _or_say(kind: str, expected: str) -> WrapValidator:
    """A check whose error says what was expected, in place of what each member of a union has to say."""

    def check(given: Any, checked: ValidatorFunctionWrapHandler) -> Any:
        try:
            return checked(given)
        except ValidationError:
            raise PydanticCustomError(kind, expected) from None

    return WrapValidator(check)


PerRound = Annotated[
    Annotated[tuple[NonNegativeFloat, ...], Field(min_length=1)] | NonNegativeFloat,
    _or_say("per_round", "expected a number from 0 on, or a list of them: one per round"),
]
"""A number for all rounds, or one for each, the last of which repeats."""


CountPerRound = Annotated[
    PositiveInt | Annotated[tuple[PositiveInt, ...], Field(min_length=1)],
    _or_say("counts", "expected a whole number from 1 on, or a list of them: one per round"),
]
"""A whole number for all rounds, or one for each, the last of which repeats."""


Factor = Annotated[float, Field(gt=0, le=1)]
FactorPerRound = Annotated[
    Factor | Annotated[tuple[Factor, ...], Field(min_length=1)],
    _or_say("factors", "expected a number above 0, up to 1, or a list of them: one per round"),
]
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


Jitter = Annotated[
    tuple[NonNegativeFloat, NonNegativeFloat, NonNegativeFloat, Annotated[float, Field(ge=0, le=0.5)]],
    _or_say("jitter", "expected four numbers from 0 on: brightness, contrast, saturation, and hue (at most 0.5)"),
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
