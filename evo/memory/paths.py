"""Which of the paths that a supernet's training draws takes the most memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import torch
from torch import nn

from evo.evaluators.blockwise.in_step import BlocksInStep
from evo.memory.meter import LiveBytes
from evo.memory.shapes import ShapesOnly
from evo.training.loop import Paths
from spaces.architecture import IDENTITIES, Architecture, operations
from spaces.layer import Shape
from spaces.networks.cell_supernet import CellLayer, CellSupernet
from spaces.networks.network import MixedLayer, VariantLayer
from spaces.networks.supernet import PathNetwork

DRAWS = 1000
"""Steps, at most, among which the dearest is found. That of more would be dearer by a few per cent."""

SHOWN = 2
"""Images by which paths are compared."""

LayerBytes = Callable[[int, str], int]
"""(layer, operation) -> bytes that it keeps for the backward pass."""


def dearest_paths(model: nn.Module, paths: Paths, live: LiveBytes, steps: int) -> Paths:
    """Draws in every step what takes the most of so many steps of ``paths``, of ``DRAWS`` at most.

    Args:
        model: on the device ``meta``; ``live`` counts.
    """
    parts = list(model.supernets.values()) if isinstance(model, BlocksInStep) else [model]
    kept, rng = [layer_bytes(part, live) for part in parts], Random(0)

    def bytes_of(entry: tuple[Any, ...]) -> int:
        drawn = zip(parts, entry, kept, strict=True)
        return sum(kept_of(i, op) for part, path, kept_of in drawn for i, op in _chosen(part, path))

    dearest = max((paths(rng) for _ in range(min(steps, DRAWS))), key=lambda step: max(map(bytes_of, step)))
    return lambda rng: dearest


def layer_bytes(model: nn.Module, live: LiveBytes) -> LayerBytes:
    """What each operation of each layer keeps for the backward pass of ``SHOWN`` images; each is run once, when asked for."""
    known: dict[tuple[int, str], int] = {}
    layers = model.layers
    assert isinstance(layers, nn.ModuleList)

    def kept(i: int, op: str) -> int:
        if (i, op) not in known:
            known[i, op] = _kept_bytes(layers[i], op, live)
        return known[i, op]

    return kept


def _chosen(model: nn.Module, path: Any) -> list[tuple[int, str]]:
    """(layer, operation) of all that runs for what a step draws: an architecture, or cells by layer."""
    if isinstance(model, CellSupernet):
        return [(i, cell) for i, cells in enumerate(path) for cell in cells]
    assert isinstance(path, Architecture)
    assert isinstance(model, PathNetwork)
    chosen = []
    for i, gene in enumerate(model.space.weight_genes(path)):
        row, slash, ops = gene.rpartition("/")
        chosen += [(i, f"{row}{slash}{op}") for op in operations(ops)]
    return chosen


def _kept_bytes(layer: nn.Module, op: str, live: LiveBytes) -> int:
    row, _, own = op.rpartition("/")
    if isinstance(layer, VariantLayer):
        if row not in layer.rows:
            return 0
        layer = layer.rows[row]
    if own in IDENTITIES:
        return 0
    given: str | Mapping[str, float] = {own: 1.0} if isinstance(layer, CellLayer) else own
    assert isinstance(layer, MixedLayer | CellLayer)
    x = _input_of(layer.shape)
    before = live.now
    output = layer(x, given)
    kept = live.now - before
    del output
    return kept


def _input_of(shape: Shape) -> torch.Tensor:
    x, _ = ShapesOnly(SHOWN, shape.c_in, shape.size).batch(SHOWN)
    return x.requires_grad_()
