"""What test_ranks.py lets two processes do: ``torchrun ... -m tests.evo.ranked FILE`` leaves there what came of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evo.cells import Populate
from evo.data import load
from evo.evaluators.oneshot import fair, uniform
from evo.executors import among
from evo.fitness import Breeding
from evo.gates import Gates, Indicators, balanced
from evo.parallel import synchronised
from evo.population import alphabet_of
from evo.ranks import Team, follow, leading, team
from evo.train import Between, Paths, Schedule, train
from spaces.architecture import Architecture
from spaces.cell_modules import CellSupernet
from spaces.cells import covering, reference_cells
from spaces.cost import cost_table
from spaces.library import load as load_space
from spaces.space import SearchSpace
from spaces.supernet import Supernet
from studies.config import CellsSection, DataSection, GatesSection
from studies.records import EvoError

DIGITS = DataSection(name="digits", limit=240)
LOSSES: list[tuple[int, float]] = []


def noted(output: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy, remembered with the number of images that it is the mean of."""
    loss = F.cross_entropy(output, target)
    LOSSES.append((len(target), loss.item()))
    return loss


def told(_: Sequence[int]) -> list[list[tuple[int, float]]]:
    """What this process has noted since it was asked last."""
    losses = LOSSES.copy()
    LOSSES.clear()
    return [losses]


Trained = tuple[list[float], dict[str, Tensor]]
"""The loss of every step over all its images, and the weights (and what else has learned) in the end."""


def trained(
    who: Team, model: nn.Module, paths: Paths, between: Between | None = None, batch: int = 48, epochs: int = 2
) -> Trained:
    schedule = Schedule(epochs, batch, learning_rate=0.1, augment=("crop", "cutout"))
    images = load(DIGITS).train
    train(model, images, schedule, seed=3, loss=noted, paths=paths, between=between, team=who)
    parts = among(who, told, range(who.size)) if who.size > 1 else told([])
    steps = [sum(n * loss for n, loss in step) / sum(n for n, _ in step) for step in zip(*parts, strict=True)]
    learned = {f"between.{name}": tensor for name, tensor in (between.state() if between else {}).items()}
    return steps, model.state_dict() | learned


def supernet(space: SearchSpace) -> Supernet:
    torch.manual_seed(0)
    return Supernet(space)


def by_uniform(who: Team) -> Trained:
    space = load_space("digits")
    return trained(who, supernet(space), uniform(space))


def by_fair(who: Team) -> Trained:
    """Several paths per step, and batches that two processes cannot halve."""
    space = load_space("digits")
    return trained(who, supernet(space), fair(space), batch=45, epochs=1)


def by_gates(who: Team) -> Trained:
    space = load_space("digits")
    gates = Gates(space)
    settings = GatesSection(cost_target=1e5, learning_rate=0.5, drop_below=-1.0)
    learner = Indicators(
        gates, cost_table(space), load(DIGITS).held_out, settings,
        batch_size=16, cost="macs", inherited=[frozenset()] * len(space.layers), seed=1,
    )  # fmt: skip
    return trained(who, supernet(space), balanced(gates), learner)


def by_cells(who: Team) -> Trained:
    settings = CellsSection(
        batch_size=16, steps=2, active=2, alpha_learning_rate=0.1, nodes=3, codes="ip3", expansions=(1, 2)
    )
    alphabet = alphabet_of(settings)
    space = Populate(alphabet, k=2, size=4, references=3)(load_space("digits"), Random(1))
    learner = Breeding(space, cost_table(space), load(DIGITS).held_out, settings, cost="macs", n=1, seed=5)
    torch.manual_seed(0)
    model = CellSupernet(space, [*covering(alphabet), *reference_cells(alphabet)])
    return trained(who, model, learner.paths(), learner, epochs=1)


def idle(who: Team) -> Trained:
    space = load_space("digits")
    only = Architecture(tuple(layer.genes[0] for layer in space.layers))
    return trained(who, supernet(space), partial(always, only), epochs=1)


def always(arch: Architecture, _: object) -> tuple[tuple[Architecture]]:
    return ((arch,),)


TRAININGS: dict[str, Callable[[Team], Trained]] = {
    "uniform": by_uniform, "fair": by_fair, "gates": by_gates, "cells": by_cells, "idle": idle,
}  # fmt: skip


def normalised(who: Team) -> list[Tensor]:
    """Outputs and gradients of a normalisation of far-off numbers: this rank's part of 5 images."""
    x = 1e3 + torch.randn(5, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    x = x[who.part(5)].requires_grad_()
    plain = nn.BatchNorm2d(3)
    norm = synchronised(nn.Sequential(plain), torch.distributed.group.WORLD, x.device) if who.size > 1 else plain
    output = norm(x)
    (output.sin() * x.detach()).sum().backward()
    assert x.grad is not None
    assert plain.running_mean is not None
    assert plain.running_var is not None
    return [output.detach(), x.grad, plain.running_mean, plain.running_var]


def in_pieces(who: Team) -> list[Any]:
    answers: list[list[Any]] = [[]] * who.size
    torch.distributed.gather_object(normalised(who), answers if who.rank == 0 else None)
    return answers


def failing(items: Sequence[int]) -> list[int]:
    if 7 in items:
        raise EvoError("seven is refused")
    return [10 * item for item in items]


def refusal(who: Team) -> str:
    try:
        among(who, failing, range(8))
    except EvoError as error:
        return str(error)
    return "nothing was refused"


def main(path: str) -> None:
    if os.environ["RANK"] != "0":
        sys.exit(follow())
    torch.set_num_threads(1)
    with leading():
        who = team()
        found: dict[str, Any] = {name: work(who) for name, work in TRAININGS.items()}
        found["normalised"] = who.together(in_pieces)
        found["answers"] = among(who, failing, [3, 1, 12, 5, 2])
        found["one answer"] = among(who, failing, [4])
        found["refusal"] = refusal(who)
        torch.save(found, path)


if __name__ == "__main__":
    main(sys.argv[1])
