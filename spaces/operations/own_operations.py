"""Operations of a user's own: ``@operation("sep_k<kernel>")`` gives a name, its options, what it builds and what it costs.

    @operation("sep_k<kernel>")
    def separable(shape: Shape, kernel: int) -> tuple[Step, ...]:
        return (
            Conv(shape.c_in, shape.c_in, (kernel, kernel), (shape.stride, shape.stride), groups=shape.c_in),
            Conv(shape.c_in, shape.c_out, activation="relu"),
        )

``sep_k3`` may then stand in any space. An operation made of steps is counted exactly, built, trained and exported in every
format. One that is a module of torch is counted by a function of its own, which is checked against the module.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spaces.architecture import Op
from spaces.errors import SpaceError
from spaces.layer import Shape
from spaces.operations.grammar import Operation, chain_of_steps, register
from spaces.operations.primitives import Conv, OpCounts, SqueezeExcite, Step
from spaces.size import both_sides

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class OperationForm:
    """How an operation is spelled: a name and integer options, ``sep_k<kernel>_d<dilation>``.

    Attributes:
        name: what stands in front of the first option.
        options: letters of an option -> the argument that it fills.
        defaults: argument -> the value at which its option is left out, so that one network has one spelling.
    """

    name: str
    options: Mapping[str, str]
    defaults: Mapping[str, int]

    @classmethod
    def of(cls, text: str, function: Callable[..., Any]) -> OperationForm:
        """The form that ``text`` spells for a function ``(shape, **options)``.

        Raises:
            SpaceError: it is no form, or the function's arguments are others.
        """
        name, *parts = text.split("_")
        matches = [re.fullmatch(r"([a-z]+)<([a-z]\w*)>", part) for part in parts]
        if not re.fullmatch("[a-z][a-z0-9]*", name) or None in matches:
            raise SpaceError(
                f"operation {text!r}: expected a name of small letters and digits, then options such as k<kernel>, joined by _"
            )
        options = {match[1]: match[2] for match in matches if match}
        arguments = dict(list(inspect.signature(function).parameters.items())[1:])
        if len(options) != len(parts) or set(options.values()) != arguments.keys():
            raise SpaceError(
                f"operation {text!r} has the options {', '.join(options.values()) or 'none'}, and {function.__name__} takes "
                f"(shape{''.join(f', {argument}' for argument in arguments)}): each option is one argument"
            )
        defaults = {key: value.default for key, value in arguments.items() if value.default is not value.empty}
        return cls(name, options, defaults)

    def __str__(self) -> str:
        return "_".join([self.name, *(f"{letters}<{argument}>" for letters, argument in self.options.items())])

    def parse(self, op: Op) -> dict[str, int]:
        """The arguments that ``op`` spells.

        Raises:
            SpaceError: an option is missing, unknown, no number or at its default.
        """
        pattern = self.name + "".join(
            f"(_{letters}(?P<{argument}>\\d+))" + ("?" if argument in self.defaults else "")
            for letters, argument in self.options.items()
        )
        match = re.fullmatch(pattern, op)
        if match is None:
            optional = f"; may be left out: {', '.join(self.defaults)}" if self.defaults else ""
            raise SpaceError(f"operation {op!r}: expected {self}, each option a whole number{optional}")
        values = {name: int(text) for name, text in match.groupdict().items() if text is not None}
        if default := [name for name, value in values.items() if self.defaults.get(name) == value]:
            raise SpaceError(
                f"operation {op!r}: {default[0]} is at its default, which is left out: write {self._spelled(values)}"
            )
        return values

    def _spelled(self, values: Mapping[str, int]) -> Op:
        """The one spelling of these arguments."""
        told = {letters: argument for letters, argument in self.options.items() if argument in values}
        parts = [
            f"{letters}{values[argument]}"
            for letters, argument in told.items()
            if values[argument] != self.defaults.get(argument)
        ]
        return "_".join([self.name, *parts])


def operation(
    form: str, counts: Callable[..., OpCounts] | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the decorated function as an operation.

    Args:
        form: the name, and an option for each of the function's arguments after ``shape``. An argument with a default is an
            option that may be left out.
        counts: for a function that gives a module of torch: ``(shape, **options) -> OpCounts``, its exact costs for one image.
            Without it, the function gives steps, ``tuple[Step, ...]``, from which costs and module follow.

    Raises:
        SpaceError: the form is none, or the name is taken.
    """

    def registered(function: Callable[..., Any]) -> Callable[..., Any]:
        spelled = OperationForm.of(form, function)
        key = f"{spelled.name}_" if spelled.options else spelled.name
        made = (
            _operation_of_steps(spelled, function)
            if counts is None
            else _operation_of_module(spelled, function, counts)
        )
        register(key, made, function)
        return function

    return registered


def _operation_of_steps(form: OperationForm, function: Callable[..., Any]) -> Operation:
    def steps(op: Op, shape: Shape) -> tuple[Step, ...]:
        chain = function(shape, **form.parse(op))
        _check_steps(op, shape, chain)
        return tuple(chain)

    return chain_of_steps(steps)


def _check_steps(op: Op, shape: Shape, steps: Any) -> None:
    """Raises SpaceError where the steps do not turn the layer's input into its output."""
    if not isinstance(steps, (tuple, list)) or not all(isinstance(step, (Conv, SqueezeExcite)) for step in steps):
        raise SpaceError(f"operation {op!r}: its function gives {steps!r}; expected a tuple of Conv and SqueezeExcite")
    channels, pixels = shape.c_in, both_sides(shape.size)
    for step in steps:
        needs = step.c_in if isinstance(step, Conv) else step.channels
        if needs != channels:
            raise SpaceError(f"operation {op!r}: {step} follows {channels} channels")
        channels, pixels = step.c_out if isinstance(step, Conv) else channels, step.out(pixels)
    check_output(op, shape, channels, pixels)


def check_output(op: Op, shape: Shape, channels: int, pixels: tuple[int, int]) -> None:
    """Raises SpaceError where an operation gives something else than its layer needs."""
    expected = both_sides(shape.size_out)
    if channels != shape.c_out or pixels != expected:
        raise SpaceError(
            f"operation {op!r} gives {channels} channels at {pixels[0]} x {pixels[1]} pixels; "
            f"the layer needs {shape.c_out} at {expected[0]} x {expected[1]}"
        )


def _operation_of_module(
    form: OperationForm, function: Callable[..., Any], counts: Callable[..., OpCounts]
) -> Operation:
    def build(op: Op, shape: Shape) -> nn.Module:
        module: nn.Module = function(shape, **form.parse(op))
        return module

    def count(op: Op, shape: Shape) -> OpCounts:
        return counts(shape, **form.parse(op))

    return Operation(count, module=build)
