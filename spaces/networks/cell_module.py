"""One cell as a torch module."""

from __future__ import annotations

from torch import Tensor, nn

from spaces.networks.modules import build_convolution, build_sequence
from spaces.operations.cell_graph import CellGraph, Place
from spaces.operations.cells import NOTHING, Genome


class CellModule(nn.Module):
    """The parts of a cell, and how they are put together: (n, c_in, height, width) -> (n, c_out, height_out, width_out).

    Args:
        wiring: what is built. It may hold more edges than ``cell`` has.
        cell: what ``forward`` runs; None: cells are only told to ``graph``.
    """

    def __init__(self, wiring: CellGraph, cell: Genome | None = None) -> None:
        super().__init__()
        self.cell = cell
        self.expand = build_convolution(wiring.expand)
        self.edges = nn.ModuleDict({edge_name(place): build_sequence(steps) for place, steps in wiring.edges.items()})
        self.project = build_convolution(wiring.project)

    def forward(self, x: Tensor) -> Tensor:
        assert self.cell is not None
        return self.graph(self.expand(x), self.cell)

    def graph(self, expanded: Tensor, cell: Genome) -> Tensor:
        """From node 0 to the output: a cell all of whose edges are here."""
        nodes = [expanded]
        for target, (row, gate) in enumerate(zip(cell.node_inputs, cell.gates, strict=True), start=1):
            taken = [
                self.edges[edge_name((source, target, code))](nodes[source])
                for source, code in enumerate(row)
                if code != NOTHING
            ]
            node = sum(taken[1:], start=taken[0])
            nodes.append(node * node.mean((2, 3), keepdim=True).sigmoid() if gate else node)
        output: Tensor = self.project(nodes[-1])
        return output


def edge_name(place: Place) -> str:
    """``01_3``: a 3x3 from node 0 to node 1."""
    source, target, code = place
    return f"{source}{target}_{code}"
