"""What a network needs on a device: memory for its activations, and flash for its weights. Exact, and nothing is built.

**Memory** is the most that is live at one time, batch 1: a peak, and no sum over layers. Steps run in the order in which the
network's exports have them: layer by layer; in a layer branch by branch, in the order of their names, then the additions. While
a step runs, what it reads and what it gives are there, and all that a later step still reads: the input of a layer that will be
added, finished branches, nodes of a cell. Three things take the place of an input that nothing reads afterwards: activations,
additions (and the mean of branches), and products. Swish is the product of a tensor and its sigmoid, and so has two of them at
one time. No convolution works in place, a depthwise one neither. The input image and the class scores are counted. Batch
normalisations are folded into convolutions, and padding is a part of these. What kernels need for themselves (im2col,
accumulators) and how a runtime aligns or scatters tensors are not counted.

**Flash** is the weights, and no program code: weights and biases, batch normalisations folded into them. At int8 a bias has
four bytes, and every output channel of a convolution a scale of four bytes; the one scale of a linear layer or of an
activation is not counted.

KB are 1024 bytes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import astuple, dataclass, field
from itertools import pairwise

from spaces.architecture import IDENTITIES, Op, operations
from spaces.errors import SpaceError
from spaces.layer import Head, Shape, Stem
from spaces.operations.cell_graph import CellGraph, graph_of_cell
from spaces.operations.cells import NOTHING, Genome, parse_cell
from spaces.operations.grammar import OPERATIONS, entry_of, shortcut_steps
from spaces.operations.primitives import (
    AveragePool,
    Conv,
    MaxPool,
    Pixels,
    SqueezeExcite,
    Step,
    head_steps,
    stem_steps,
)
from spaces.size import both_sides, pixel_count

KB = 1024
"""Bytes."""

AnyStep = Step | AveragePool | MaxPool


@dataclass(frozen=True, slots=True)
class Precision:
    """How a device keeps numbers, in bytes.

    Attributes:
        activation, weight, bias: of each of them.
        scale: of one output channel of a convolution.
    """

    activation: int
    weight: int
    bias: int
    scale: int


PRECISIONS: dict[str, Precision] = {"int8": Precision(1, 1, 4, 4), "float32": Precision(4, 4, 4, 0)}


def precision_named(name: str) -> Precision:
    """The precision of this name.

    Raises:
        SpaceError: there is none; the message lists those there are.
    """
    if name not in PRECISIONS:
        raise SpaceError(f"unknown precision {name!r} of the device; known: {', '.join(PRECISIONS)}")
    return PRECISIONS[name]


@dataclass(frozen=True, slots=True)
class Weights:
    """How many weights, biases and scales there are; those of batch normalisations are folded in. They add up."""

    weights: int = 0
    biases: int = 0
    scales: int = 0

    def __add__(self, other: Weights) -> Weights:
        return Weights(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def size(self, precision: Precision) -> int:
        """Bytes."""
        return self.weights * precision.weight + self.biases * precision.bias + self.scales * precision.scale


def operation_weights(op: Op, shape: Shape) -> Weights:
    """The weights of an operation in a layer of ``shape``.

    Raises:
        SpaceError: it is no chain of steps, and nobody knows.
    """
    if entry_of(op) == "cell:":
        graph = graph_of_cell(parse_cell(op), shape)
        return step_weights((graph.expand, *(step for steps in graph.edges.values() for step in steps), graph.project))
    return step_weights((*_steps(op, shape), *shortcut_steps(op, shape)))


def stem_weights(stem: Stem) -> Weights:
    """The weights in front of all layers."""
    return step_weights(stem_steps(stem))


def head_weights(head: Head, c_in: int) -> Weights:
    """The weights behind all layers, of which the last gives ``c_in`` channels."""
    linear = (Weights(before * behind, behind) for before, behind in pairwise(_head_widths(head, c_in)))
    return sum(linear, start=step_weights(head_steps(head, c_in)))


def step_weights(steps: Iterable[AnyStep]) -> Weights:
    """The weights of a chain."""
    return sum((_weights_of(step) for step in steps), start=Weights())


def _weights_of(step: AnyStep) -> Weights:
    match step:
        case Conv():
            weights = step.c_out * (step.c_in // step.groups) * step.kernel[0] * step.kernel[1]
            return Weights(weights, step.norm * step.c_out, step.c_out)
        case SqueezeExcite():
            outputs = step.channels + step.reduced
            return Weights(2 * step.channels * step.reduced, outputs, outputs)
        case _:
            return Weights()


@dataclass
class Schedule:
    """Steps in the order in which they run, and the tensors between them; sizes are numbers of elements."""

    sizes: list[int] = field(default_factory=list)
    steps: list[tuple[tuple[int, ...], int, bool]] = field(default_factory=list)

    def given(self, size: int) -> int:
        """A tensor that is there at the beginning."""
        self.sizes.append(size)
        return len(self.sizes) - 1

    def step(self, inputs: Sequence[int], size: int, in_place: bool = False) -> int:
        """What a step makes of tensors.

        Args:
            in_place: whether the output may take the place of an input of its size that nothing reads afterwards.
        """
        output = self.given(size)
        self.steps.append((tuple(inputs), output, in_place))
        return output

    def peak(self, kept: Collection[int]) -> int:
        """Elements that are live at the most crowded step; ``kept`` are needed when all is done."""
        last = {tensor: place for place, (inputs, _, _) in enumerate(self.steps) for tensor in inputs}
        last |= dict.fromkeys(kept, len(self.steps))
        made = {output for _, output, _ in self.steps}
        live = {tensor for tensor in range(len(self.sizes)) if tensor not in made}
        peak = sum(self.sizes[tensor] for tensor in live)
        for place, (inputs, output, in_place) in enumerate(self.steps):
            freed = {tensor for tensor in inputs if last[tensor] == place}
            reused = in_place and any(self.sizes[tensor] == self.sizes[output] for tensor in freed)
            peak = max(peak, sum(self.sizes[tensor] for tensor in live) + (0 if reused else self.sizes[output]))
            live = (live - freed) | ({output} if output in last else set())
        return peak


def layer_peak(gene: str, shape: Shape) -> int:
    """Elements that are live at most while a layer runs: its input, and all that its operations make of it.

    Raises:
        SpaceError: an operation is no chain of steps, and nobody knows.
    """
    ops = sorted(set(operations(gene)) - IDENTITIES)  # in the order in which a layer runs them
    output = shape.c_out * pixel_count(shape.size_out)
    peaks = [
        done * output + operation_peak(op, shape, shape.is_residual or done < len(ops) - 1)
        for done, op in enumerate(ops)
    ]
    return max(peaks, default=shape.c_in * pixel_count(shape.size))


def operation_peak(op: Op, shape: Shape, kept: bool) -> int:
    """Elements that are live at most while an operation runs in a layer of ``shape``, its input among them.

    Args:
        kept: whether the input is read again afterwards.
    """
    schedule = Schedule()
    x = schedule.given(shape.c_in * pixel_count(shape.size))
    if entry_of(op) == "cell:":
        cell = parse_cell(op)
        output = _add_cell(schedule, x, cell, graph_of_cell(cell, shape), shape)
    else:
        output = _add_chain(schedule, x, _steps(op, shape), shape.c_in, both_sides(shape.size))
        if shortcut := shortcut_steps(op, shape):
            other = _add_chain(schedule, x, shortcut, shape.c_in, both_sides(shape.size))
            output = schedule.step((output, other), schedule.sizes[output], in_place=True)
    return schedule.peak((x, output) if kept else (output,))


def stem_peak(stem: Stem) -> int:
    """Elements that are live at most in front of all layers, the image among them."""
    schedule = Schedule()
    image = schedule.given(stem.c_in * pixel_count(stem.size))
    return schedule.peak((_add_chain(schedule, image, stem_steps(stem), stem.c_in, both_sides(stem.size)),))


def head_peak(head: Head, last: Shape) -> int:
    """Elements that are live at most behind all layers; ``last``: the shape of the last of them."""
    schedule = Schedule()
    given = schedule.given(last.c_out * pixel_count(last.size_out))
    x = _add_chain(schedule, given, head_steps(head, last.c_out), last.c_out, both_sides(last.size_out))
    for width in _head_widths(head, last.c_out):  # the pool first, then the linear layers
        x = schedule.step((x,), width)
    return schedule.peak((x,))


def _head_widths(head: Head, c_in: int) -> tuple[int, ...]:
    """The numbers that leave the average pool, and each linear layer behind it."""
    features = head.features or c_in
    return (features, head.hidden, head.classes) if head.hidden else (features, head.classes)


def _steps(op: Op, shape: Shape) -> tuple[Step, ...]:
    steps = OPERATIONS[entry_of(op)].steps
    if steps is None:
        raise SpaceError(
            f"the memory of {op!r} is not known, which is a module and no chain of steps: make it of Conv and SqueezeExcite, "
            "or leave memory_kb, flash_kb and [target] out"
        )
    return steps(op, shape)


def _add_chain(schedule: Schedule, x: int, steps: Iterable[AnyStep], channels: int, pixels: Pixels) -> int:
    """The steps one after another; gives the last tensor."""
    for step in steps:
        pixels = step.out(pixels)
        if isinstance(step, SqueezeExcite):
            gate = schedule.step((x,), step.channels)
            for width in (step.reduced, step.channels):
                gate = schedule.step((gate,), width)
            x = schedule.step((x, gate), schedule.sizes[x], in_place=True)
        else:
            channels = step.c_out if isinstance(step, Conv) else channels
            x = schedule.step((x,), channels * pixels[0] * pixels[1])
            if isinstance(step, Conv) and step.activation == "swish":
                sigmoid = schedule.step((x,), schedule.sizes[x])
                x = schedule.step((x, sigmoid), schedule.sizes[x], in_place=True)
    return x


def _add_cell(schedule: Schedule, x: int, cell: Genome, graph: CellGraph, shape: Shape) -> int:
    """A cell, node by node: the edges that lead to it, their sum, its gate."""
    hidden, pixels = graph.expand.c_out, both_sides(shape.size)
    nodes = [_add_chain(schedule, x, (graph.expand,), shape.c_in, pixels)]
    for target, (row, gated) in enumerate(zip(cell.node_inputs, cell.gates, strict=True), start=1):
        taken = [
            _add_chain(
                schedule,
                nodes[source],
                graph.edges[source, target, code],
                hidden,
                both_sides(shape.size_out) if source else pixels,
            )
            for source, code in enumerate(row)
            if code != NOTHING
        ]
        node = taken[0]
        for other in taken[1:]:
            node = schedule.step((node, other), schedule.sizes[node], in_place=True)
        if gated:
            node = schedule.step((node, schedule.step((node,), hidden)), schedule.sizes[node], in_place=True)
        nodes.append(node)
    return _add_chain(schedule, nodes[-1], (graph.project,), hidden, both_sides(shape.size_out))
