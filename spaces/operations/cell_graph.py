"""What a cell is in a layer of some shape: two 1x1 convolutions, and steps on each edge between them.

One description for both: a cell's module is built from it (``spaces.networks.cell_supernet``) and its cost is read off it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from spaces.layer import Shape
from spaces.operations.cells import IDENTITY, Edge, Genome
from spaces.operations.primitives import AveragePool, Conv, OpCounts, total_counts

Place = tuple[int, int, str]
"""Source node, target node, code: what identifies the weights of an edge in a layer, at one expansion."""


@dataclass(frozen=True)
class CellGraph:
    """Attributes:
    expand: 1x1 to node 0.
    edges: what happens on each edge; no step at all passes the source on as it is.
    project: 1x1 from the last node; linear.
    """

    expand: Conv
    edges: Mapping[Place, tuple[Conv | AveragePool, ...]]
    project: Conv

    def counts(self, shape: Shape) -> OpCounts:
        """Counts for one image: node 0 has the input's size, all others the output's."""
        counts = total_counts((self.expand,), shape.size) + total_counts((self.project,), shape.size_out)
        for (source, _, _), steps in self.edges.items():
            counts += total_counts(steps, shape.size_out if source else shape.size)
        return counts


def graph_of_cell(cell: Genome, shape: Shape) -> CellGraph:
    """What ``cell`` is in a layer of ``shape``."""
    return graph_of_edges(shape, cell.expansion, cell.edges.items(), cell.activation)


def graph_of_edges(shape: Shape, expansion: int, edges: Iterable[tuple[Edge, str]], activation: str) -> CellGraph:
    """The wiring of these edges: those of a cell, or of all cells of one expansion."""
    hidden = shape.c_in * expansion
    return CellGraph(
        expand=Conv(shape.c_in, hidden, activation=activation),
        edges={
            (source, target, code): _edge_steps(code, hidden, 1 if source else shape.stride, activation)
            for (source, target), code in edges
        },
        project=Conv(hidden, shape.c_out),
    )


def _edge_steps(code: str, hidden: int, stride: int, activation: str) -> tuple[Conv | AveragePool, ...]:
    """What one of ``spaces.operations.cells.CODES`` does on an edge."""
    if code == IDENTITY:
        return () if stride == 1 else (AveragePool(1, stride),)
    if code == "p":
        return (AveragePool(3, stride),)
    return (Conv(hidden, hidden, (int(code), int(code)), (stride, stride), groups=hidden, activation=activation),)
