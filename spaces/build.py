"""From the name of an operation to its torch module: the only bridge between the grammar and torch."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from spaces.architecture import Op
from spaces.cell_module import CellModule
from spaces.cells import parse_cell
from spaces.modules import sequence
from spaces.operations import OPERATIONS, entry_of
from spaces.space import Shape
from spaces.wiring import wiring


def build(op: Op, shape: Shape) -> nn.Module:
    """A fresh module for ``op`` in a layer of ``shape``: (n, c_in, size, size) -> (n, c_out, size_out, size_out).

    Raises:
        ValueError: there is no such operation, or nothing that builds it.
    """
    entry = entry_of(op)
    steps = OPERATIONS[entry].steps
    if steps is not None:
        return sequence(steps(op, shape))
    if entry not in BUILDERS:
        raise ValueError(
            f"operation {op!r} is no chain of steps: enter what builds it in spaces.build.BUILDERS[{entry!r}]"
        )
    return BUILDERS[entry](op, shape)


def build_cell(op: Op, shape: Shape) -> nn.Module:
    """The module of a ``cell:...``."""
    cell = parse_cell(op)
    return CellModule(wiring(cell, shape), cell)


BUILDERS: dict[str, Callable[[Op, Shape], nn.Module]] = {"cell:": build_cell}
"""What builds the operations that are no chains of steps, by their entry in ``spaces.operations.OPERATIONS``."""
