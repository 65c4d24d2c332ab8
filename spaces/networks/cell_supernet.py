"""All cells of a space over shared weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from torch import Tensor, nn

from spaces.architecture import Op
from spaces.layer import Shape
from spaces.networks.cell_module import CellModule
from spaces.networks.counted_norm import count_on_host
from spaces.networks.modules import initialise, zero_init_last_norm
from spaces.networks.network import build_head, build_stem, merge_outputs
from spaces.networks.supernet import Supernet, inherit_weights
from spaces.operations.cell_graph import graph_of_edges
from spaces.operations.cells import Genome, parse_cell
from spaces.space import SearchSpace

Mixture = Sequence[Mapping[Op, Tensor | float]]
"""Per layer: the cells that run side by side, and the weight of each in their sum."""


class CellSupernet(nn.Module):
    """All cells of a space at once: images and a mixture -> class scores ``(n, classes)``.

    Weights are shared by (layer, expansion, edge, operation), so that a cell which was bred a moment ago has what its
    parents learned; the two 1x1 convolutions by (layer, expansion).

    Args:
        cells: whatever may run in any layer: its edges are built at every expansion.
    """

    def __init__(self, space: SearchSpace, cells: Iterable[Genome], *, zero_init: bool = True) -> None:
        super().__init__()
        cells = list(cells)
        self.stem = build_stem(space)
        self.layers = nn.ModuleList(CellLayer(layer.shape, cells, space.merge) for layer in space.layers)
        self.head = build_head(space)
        initialise(self)
        count_on_host(self)
        if zero_init:
            for layer in self.layers:
                assert isinstance(layer, CellLayer)
                layer.zero_init()

    def forward(self, x: Tensor, mixture: Mixture) -> Tensor:
        x = self.stem(x)
        for layer, weights in zip(self.layers, mixture, strict=True):
            x = layer(x, weights)
        scores: Tensor = self.head(x)
        return scores


class CellLayer(nn.Module):
    """One layer's shared weights, expansion by expansion."""

    def __init__(self, shape: Shape, cells: Sequence[Genome], rule: str) -> None:
        super().__init__()
        self.shape = shape
        self.rule = rule
        edges = sorted({edge for cell in cells for edge in cell.edges.items()})
        (activation,) = {cell.activation for cell in cells}
        self.parts = nn.ModuleDict(
            {
                f"e{e}": CellModule(graph_of_edges(shape, e, edges, activation))
                for e in sorted({c.expansion for c in cells})
            }
        )

    def forward(self, x: Tensor, weights: Mapping[Op, Tensor | float]) -> Tensor:
        """The weighted sum of the cells' outputs, and the input where the shape allows it."""
        cells = [parse_cell(op) for op in weights]
        parts: dict[int, CellModule] = {cell.expansion: self.parts[f"e{cell.expansion}"] for cell in cells}  # type: ignore[misc]
        expanded = {e: part.expand(x) for e, part in parts.items()}  # once for all cells of one expansion
        outputs = [
            weight * parts[cell.expansion].graph(expanded[cell.expansion], cell)
            for cell, weight in zip(cells, weights.values(), strict=True)
        ]
        return merge_outputs(self.rule, self.shape, x, [sum(outputs[1:], start=outputs[0])])

    def zero_init(self) -> None:
        """Let every cell begin by giving zero, where the layer's input is added to it."""
        if self.shape.is_residual:
            for part in self.parts.values():
                zero_init_last_norm(part)


def copy_cell_weights(weights: Mapping[str, Tensor], supernet: Supernet) -> None:
    """Give the cells of ``supernet`` the weights that they had in a ``CellSupernet`` of the same layers."""
    named = {name: tensor for name, tensor in weights.items() if not name.startswith("layers.")}
    for i, layer in enumerate(supernet.layers):
        ops: nn.ModuleDict = layer.ops  # type: ignore[assignment]
        for op, module in ops.items():
            if op.startswith("cell:"):
                shared = f"layers.{i}.parts.e{parse_cell(op).expansion}"
                named |= {f"layers.{i}.ops.{op}.{own}": weights[f"{shared}.{own}"] for own in module.state_dict()}
    inherit_weights(supernet, named)
