"""From the name of an operation to its torch module: the only bridge between the grammar and torch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from spaces.architecture import Op
from spaces.errors import SpaceError
from spaces.layer import Shape
from spaces.networks.cell_module import CellModule
from spaces.networks.modules import WithShortcut, build_sequence
from spaces.operations.cell_graph import graph_of_cell
from spaces.operations.cells import parse_cell
from spaces.operations.grammar import OPERATIONS, count_operation, entry_of, shortcut_steps
from spaces.operations.own_operations import check_output
from spaces.size import both_sides


def build_operation(op: Op, shape: Shape) -> nn.Module:
    """A fresh module for ``op`` in a layer of ``shape``: (n, c_in, height, width) -> (n, c_out, height_out, width_out).

    Raises:
        SpaceError: there is no such operation, or nothing that builds it.
    """
    entry = entry_of(op)
    _, steps, module = OPERATIONS[entry]
    if steps is not None:
        branch, shortcut = build_sequence(steps(op, shape)), shortcut_steps(op, shape)
        return WithShortcut(branch, build_sequence(shortcut)) if shortcut else branch
    if module is not None:
        return module(op, shape)
    if entry not in BUILDERS:
        raise SpaceError(
            f"operation {op!r} is no chain of steps: enter what builds it in spaces.networks.build.BUILDERS"
        )
    return BUILDERS[entry](op, shape)


def build_cell(op: Op, shape: Shape) -> nn.Module:
    """The module of a ``cell:...``."""
    cell = parse_cell(op)
    return CellModule(graph_of_cell(cell, shape), cell)


def check_module(op: Op, shape: Shape) -> None:
    """Build an operation without numbers, and compare it with what it is said to be.

    Raises:
        SpaceError: its output has another shape than the layer's, or it has other parameters than were counted.
    """
    with torch.device("meta"):
        module = build_operation(op, shape).eval()
        output = module(torch.empty(1, shape.c_in, *both_sides(shape.size)))
    check_output(op, shape, int(output.shape[1]), (int(output.shape[2]), int(output.shape[3])))
    counted, there = count_operation(op, shape).params, sum(parameter.numel() for parameter in module.parameters())
    if counted != there:
        raise SpaceError(f"operation {op!r} counts {counted} parameters, and its module has {there}")


BUILDERS: dict[str, Callable[[Op, Shape], nn.Module]] = {"cell:": build_cell}
"""What builds the project's operations that are no chains of steps, by their entry in
``spaces.operations.grammar.OPERATIONS``."""
