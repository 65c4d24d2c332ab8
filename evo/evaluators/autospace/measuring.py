"""How good a cell is, measured: the loss of networks that have it, beside the same networks with each other cell in its place.

The weight of a cell in a sum, learned in a few steps, is no property of the cell: trained three times, the same cells are
ordered in three ways (docs/benchmarks.md). What whole networks lose with it is one. All cells of a layer are measured in
the same networks and on the same images, so that what differs is the cell; networks differ in the cells of all other
layers, whose choice matters more than the images'.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from math import isfinite, sqrt
from random import Random
from statistics import fmean, stdev
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evo.data.source import Source
from evo.seeds import derive_seed
from evo.training.precision import Precision, autocast, in_full
from spaces.architecture import Op
from spaces.networks.cell_supernet import CellSupernet
from studies.records import EvoError


class Measurement(NamedTuple):
    """What a cell saves.

    Attributes:
        value: cross-entropy that networks with the layer's cells have on average, less that with this one, in nats; higher
            is better.
        error: its standard error over the networks; None where there was one network.
    """

    value: float
    error: float | None


def measure_cells(
    model: CellSupernet,
    cells: Sequence[Sequence[Op]],
    validation: Source,
    *,
    networks: int,
    images: int,
    seed: int,
    precision: Precision = "fp32",
) -> list[dict[Op, Measurement]]:
    """Per layer what each of its cells saves.

    Args:
        cells: of each layer those that are compared, and of which the other layers' are drawn.
        networks: in how many networks each cell is measured.
        images: how many of ``validation`` each network sees; all of them where there are fewer.
        seed: of the networks and the images.
        precision: in which networks compute; losses are in fp32.

    Raises:
        EvoError: a loss is no number.
    """
    count = min(images, len(validation))
    measured, found = [], list[Tensor]()
    with batch_statistics(model), torch.no_grad():
        for number in range(networks):
            rng = Random(derive_seed(seed, "network", number))
            x, y = validation.take(torch.tensor(rng.sample(range(len(validation)), count)))
            around = [rng.choice(own) for own in cells]
            with autocast(precision, x.device):
                found.append(_losses(model, cells, around, x, y))
    for row in torch.stack(found).tolist():  # read when all is computed: nothing before waits for the device
        losses = iter(row)
        measured.append([list(islice(losses, len(own))) for own in cells])
    layers = [_compare([losses[i] for losses in measured]) for i in range(len(cells))]
    return [dict(zip(own, layer, strict=True)) for own, layer in zip(cells, layers, strict=True)]


def _losses(model: CellSupernet, cells: Sequence[Sequence[Op]], around: Sequence[Op], x: Tensor, y: Tensor) -> Tensor:
    """The loss of the network ``around`` with each cell of each layer in the layer's place, layer by layer."""
    losses, x = [], model.stem(x)
    for i, own in enumerate(cells):
        outputs = {op: model.layers[i](x, {op: 1.0}) for op in own}
        losses += [F.cross_entropy(in_full(_finish(model, output, around, i + 1)), y) for output in outputs.values()]
        x = outputs[around[i]]
        outputs.clear()  # the next layer's come beside them else
    return torch.stack(losses)


def _finish(model: CellSupernet, x: Tensor, around: Sequence[Op], begin: int) -> Tensor:
    """Class scores from what layer ``begin`` is given."""
    for layer, op in zip(list(model.layers)[begin:], around[begin:], strict=True):
        x = layer(x, {op: 1.0})
    scores: Tensor = model.head(x)
    return scores


def _compare(losses: Sequence[Sequence[float]]) -> list[Measurement]:
    """What each of a layer's cells saves, from its loss in each network.

    Raises:
        EvoError: one is no number.
    """
    saved = [[fmean(row) - loss for loss in row] for row in losses]
    if not all(isfinite(value) for row in saved for value in row):
        raise EvoError(
            "a cell could not be measured: its network's loss is no number. Training has diverged: lower "
            "evaluator.cells.learning_rate"
        )
    columns = list(zip(*saved, strict=True))
    return [Measurement(fmean(own), stdev(own) / sqrt(len(own)) if len(own) > 1 else None) for own in columns]


@contextmanager
def batch_statistics(model: nn.Module) -> Iterator[None]:
    """Let batch normalisation go by each batch, and remember nothing of it."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d) and module.track_running_stats]
    training = model.training
    model.train()
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
        model.train(training)
