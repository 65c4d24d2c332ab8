"""Several processes do what one does: they train one model, share out what is to be measured, and none waits for the dead."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Literal

import psutil
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from evo.alone.recipe import ModelEMA, add_drop_path, blend_targets, mix_images
from evo.data.loading import load_dataset
from evo.data.source import ImageSet, Source
from evo.evaluators.autospace.fitness import Breeding
from evo.evaluators.autospace.population import alphabet_of
from evo.evaluators.oneshot.nse_gates import Gates, Indicators, balanced_paths
from evo.evaluators.oneshot.paths import fair_paths, uniform_paths
from evo.methods.autospace import StartPopulations
from evo.round.__main__ import main
from evo.seeds import derive_seed
from evo.training.data_parallel import replicate, synchronise_batchnorm
from evo.training.loop import BetweenSteps, MixImages, Paths, Schedule, train, whole_network_path
from evo.workers import ranks
from evo.workers.executors import map_on_ranks
from evo.workers.ranks import SINGLE_PROCESS, ProcessGroup, current_group
from spaces.architecture import Architecture
from spaces.costs.table import cost_table
from spaces.library.named_spaces import load_space
from spaces.networks.cell_supernet import CellSupernet
from spaces.networks.network import Network
from spaces.networks.supernet import Supernet
from spaces.operations.cells import covering_cells, reference_cells
from studies.config import CellsSection, DataSection, DeliverSection, GatesSection
from studies.database.store import open_store
from studies.records import EvoError
from tests.evo.workers.processes import LIMIT, ended, forked, free_port, kill_rank, led, under_torchrun

DIGITS = DataSection(name="digits", max_images=180)
DIGITS_SPACE = load_space("digits")
SPACE = DIGITS_SPACE.replace_layers(DIGITS_SPACE.layers[:3])
"""A space of three layers, one of stride 2."""


# -- trainings --------------------------------------------------------------------------------------------------------

Trained = tuple[list[float], dict[str, Tensor]]
"""The loss of every step over all its images; the weights in the end, and what else has learned."""

LOSSES: list[tuple[int, float]] = []


def noted(output: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy, remembered with the number of images that it is the mean of."""
    loss = F.cross_entropy(output, target.to(output.dtype) if target.is_floating_point() else target)
    LOSSES.append((len(target), loss.item()))
    return loss


def told(_: Sequence[int]) -> list[list[tuple[int, float]]]:
    """What this process has noted since it was asked last."""
    losses = LOSSES.copy()
    LOSSES.clear()
    return [losses]


def images(exact: bool) -> tuple[Source, Source]:
    """Training and validation digits; in double precision, where the order of additions is not to be seen in any loss."""
    parts = load_dataset(DIGITS).train, load_dataset(DIGITS).validation
    if not exact:
        return parts
    train_part, validation = (ImageSet(part.x.double(), part.y) for part in parts if isinstance(part, ImageSet))
    return train_part, validation


def trained(
    who: ProcessGroup,
    model: nn.Module,
    paths: Paths,
    between: BetweenSteps | None = None,
    *,
    exact: bool = True,
    batch: int = 48,
    mix: MixImages | None = None,
) -> Trained:
    model = model.double() if exact else model
    schedule = Schedule(1, batch, learning_rate=0.1 if exact else 0.03, augment=("crop", "cutout"))
    train(model, images(exact)[0], schedule, seed=3, loss=noted, paths=paths, mix=mix, between=between, group=who)
    parts = map_on_ranks(who, told, range(who.size)) if who.size > 1 else told([])
    steps = [sum(n * loss for n, loss in step) / sum(n for n, _ in step) for step in zip(*parts, strict=True)]
    state = between.state() if between else {}
    learned = {f"between.{name}": tensor for name, tensor in state.items() if name != "told"}
    return steps, model.state_dict() | learned


def supernet() -> Supernet:
    torch.manual_seed(0)
    return Supernet(SPACE)


def by_uniform(who: ProcessGroup) -> Trained:
    return trained(who, supernet(), uniform_paths(SPACE))


def by_uniform_in_single_precision(who: ProcessGroup) -> Trained:
    return trained(who, supernet(), uniform_paths(SPACE), exact=False)


def by_fair(who: ProcessGroup) -> Trained:
    """Several paths per step, and batches that two processes cannot halve."""
    return trained(who, supernet(), fair_paths(SPACE), batch=91)


def by_gates(who: ProcessGroup) -> Trained:
    """Paths depend on gates that learn, and lose operations, between the steps."""
    settings = GatesSection(cost_target=1e5, learning_rate=0.5, drop_below=-0.2)
    nothing: list[frozenset[str]] = [frozenset()] * len(SPACE.layers)
    gates = Gates(SPACE)
    learner = Indicators(
        gates, cost_table(SPACE), images(True)[1], settings, batch_size=16, cost="macs", inherited=nothing, seed=1
    )
    return trained(who, supernet(), balanced_paths(gates), learner)


def by_cells(who: ProcessGroup, score: Literal["weights", "networks"] = "weights") -> Trained:
    settings = CellsSection(
        batch_size=16, steps=2, parallel_cells=2, alpha_learning_rate=0.1, nodes=3, edge_ops="ip3", expansions=(1, 2),
        score=score, networks=1, measured_images=16,
    )  # fmt: skip
    alphabet = alphabet_of(settings)
    space = StartPopulations(alphabet, k=2, size=4, references=3)(SPACE, Random(1))
    learner = Breeding(space, cost_table(space), images(True)[1], settings, cost="macs", n=1, seed=5)
    torch.manual_seed(0)
    model = CellSupernet(space, [*covering_cells(alphabet), *reference_cells(alphabet)])
    return trained(who, model, learner.paths(), learner)


def by_one_network(who: ProcessGroup) -> Trained:
    torch.manual_seed(0)
    network = Network(Architecture(tuple(layer.genes[0] for layer in SPACE.layers)), SPACE)
    return trained(who, network, whole_network_path)


def by_delivery(who: ProcessGroup) -> Trained:
    """Images are blended, paths dropped, weights averaged, and the batches have parts of different sizes."""
    torch.manual_seed(0)
    network = Network(Architecture(tuple(layer.genes[0] for layer in SPACE.layers)), SPACE)
    add_drop_path(network, 0.5)
    mix = mix_images(DeliverSection(mixup=0.4, cutmix=1.0), classes=10)
    return trained(who, network, whole_network_path, ModelEMA(network, 0.9), batch=31, mix=mix)


def says(probabilities: Tensor, images: Tensor) -> Tensor:
    """A teacher, in double precision, whose answer depends on the image."""
    return (images.mean((1, 2, 3)).unsqueeze(1) * probabilities).softmax(1)


def by_taught_delivery(who: ProcessGroup) -> Trained:
    torch.manual_seed(0)
    network = Network(Architecture(tuple(layer.genes[0] for layer in SPACE.layers)), SPACE)
    section = DeliverSection(teacher="a", teacher_share=0.7, mixup=0.4, cutmix=0)
    mix = blend_targets(mix_images(section, 10), partial(says, torch.arange(10).double()), section, 10)
    return trained(who, network, whole_network_path, batch=31, mix=mix)


ONLY = Architecture(tuple(layer.genes[0] for layer in SPACE.layers))


def always(arch: Architecture, _: Random) -> tuple[tuple[Architecture]]:
    return ((arch,),)


def by_one_path(who: ProcessGroup) -> Trained:
    return trained(who, supernet(), partial(always, ONLY), exact=False)


TRAININGS: dict[str, Callable[[ProcessGroup], Trained]] = {
    "uniform": by_uniform,
    "uniform in single precision": by_uniform_in_single_precision,
    "fair": by_fair,
    "gates": by_gates,
    "cells": by_cells,
    "measured cells": partial(by_cells, score="networks"),
    "one network": by_one_network,
    "delivery": by_delivery,
    "taught delivery": by_taught_delivery,
    "one path": by_one_path,
}


def normalised(who: ProcessGroup, exact: bool = False) -> list[Tensor]:
    """What a normalisation makes of this rank's part of five images far from zero; gradient; running mean and variance."""
    x = 1e3 + torch.randn(5, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    wanted = torch.randn(5, 3, 4, 4, generator=torch.Generator().manual_seed(1))[who.batch_slice(5)]
    x = x[who.batch_slice(5)].requires_grad_()
    plain = nn.BatchNorm2d(3)
    if exact:
        x, wanted, plain = x.detach().double().requires_grad_(), wanted.double(), plain.double()
    alone = nn.Sequential(plain)
    output = synchronise_batchnorm(alone, torch.distributed.group.WORLD, x.device)(x) if who.size > 1 else alone(x)
    (output * wanted).sum().backward()
    found = [output.detach(), x.grad, plain.running_mean, plain.running_var]
    return [tensor for tensor in found if tensor is not None]


def in_pieces(who: ProcessGroup) -> list[Any]:
    answers: list[Any] = [None] * who.size
    torch.distributed.gather_object(normalised(who), answers if who.rank == 0 else None)
    return answers


def tenfold(items: Sequence[int]) -> list[int]:
    if 7 in items:
        raise EvoError("seven is refused")
    return [10 * item for item in items]


def on_a_lost_device(items: Sequence[int]) -> list[int]:
    raise torch.AcceleratorError("CUDA error: unspecified launch failure\nmore")


def refused(who: ProcessGroup, work: Callable[[Sequence[int]], list[int]] = tenfold) -> str:
    with pytest.raises(EvoError) as error:
        map_on_ranks(who, work, range(8))
    return str(error.value)


@pytest.fixture(scope="module")
def alone() -> dict[str, Trained]:
    """What one process comes to."""
    return {name: training(SINGLE_PROCESS) for name, training in TRAININGS.items()}


@pytest.fixture(scope="module")
def found(alone: dict[str, Trained], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What two processes have come to, one thing after another. (Forked behind ``alone``, they have all modules loaded.)"""
    path = tmp_path_factory.mktemp("ranks") / "found"

    def work() -> None:
        who = current_group()
        done: dict[str, Any] = {name: training(who) for name, training in TRAININGS.items()}
        done["in parts"] = by_uniform(replace(who, sync=False))
        done["normalised"] = who.run_on_all_ranks(in_pieces)
        done["refused"] = refused(who)
        done["lost"] = refused(who, on_a_lost_device)
        done["answers"] = (
            map_on_ranks(who, tenfold, [3, 1, 12, 5, 2]),
            map_on_ranks(who, tenfold, [4]),
            map_on_ranks(who, tenfold, []),
        )
        torch.save(done, path)

    assert led(work) == [0, 0]
    done: dict[str, Any] = torch.load(path, weights_only=False)
    return done


# -- the same as in one process ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TRAININGS)
def test_two_processes_train_as_one(alone: dict[str, Trained], found: dict[str, Any], name: str) -> None:
    losses, learned = alone[name]
    losses_of_two, learned_by_two = found[name]
    single = learned["stem.0.0.weight"].dtype == torch.float32
    assert losses_of_two == pytest.approx(losses, abs=1e-4 if single else 1e-12)
    assert len(losses) > 2
    assert learned.keys() == learned_by_two.keys()
    for part, tensor in learned.items():
        torch.testing.assert_close(learned_by_two[part], tensor, atol=1e-3 if single else 1e-9, rtol=0, msg=part)


def test_what_no_path_has_used_does_not_move(found: dict[str, Any]) -> None:
    before = supernet().state_dict()
    moved = {name for name, tensor in found["one path"][1].items() if not torch.equal(tensor, before[name])}
    used = tuple(f"layers.{i}.ops.{gene}." for i, gene in enumerate(ONLY.genes))
    assert moved
    assert all(name.startswith(("stem", "head", *used)) for name in moved)


def test_normalisation_over_parts_is_that_of_the_whole(found: dict[str, Any]) -> None:
    """As good as torch's own in single precision, by the yardstick of double precision."""
    exact, torchs = normalised(SINGLE_PROCESS, exact=True), normalised(SINGLE_PROCESS)
    first, second = found["normalised"]
    ours = [torch.cat(parts) for parts in list(zip(first, second, strict=True))[:2]] + first[2:]
    for own, single, double in zip(ours, torchs, exact, strict=True):
        assert (own - double).abs().max() < 1.5 * (single - double).abs().max() + 1e-7 * double.abs().max()
    assert all(torch.equal(mine, yours) for mine, yours in zip(first[2:], second[2:], strict=True))


def test_without_synchronisation_each_part_is_normalised_by_itself(found: dict[str, Any]) -> None:
    """The first loss is the mean of two halves' that one process runs one after the other."""
    model, (x, y) = (
        supernet().double().train(),
        next(images(True)[0].epoch(48, ("crop", "cutout"), derive_seed(3, "batches", 0))),
    )
    (path,) = uniform_paths(SPACE)(Random(derive_seed(3, "paths", 0)))
    halves = [F.cross_entropy(model(x[half], *path), y[half]).item() for half in (slice(0, 24), slice(24, 48))]
    assert found["in parts"][0][0] == pytest.approx(sum(halves) / 2, abs=1e-9)
    assert found["in parts"][0][0] != pytest.approx(found["uniform"][0][0], abs=1e-5)


def test_answers_come_in_order_and_a_refusal_is_told_without_a_rank_left_behind(found: dict[str, Any]) -> None:
    assert found["answers"] == ([30, 10, 120, 50, 20], [40], [])
    assert found["refused"] == "seven is refused"


def test_a_device_that_fails_is_told_in_words(found: dict[str, Any]) -> None:
    assert found["lost"].startswith("the device has failed (CUDA error: unspecified launch failure); what was recorded")
    assert found["lost"].endswith("(on rank 0)")


def small_trainings(who: ProcessGroup) -> None:
    for _ in range(50):
        model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten())
        with replicate(model, who, torch.device("cpu"), False) as run:
            run(torch.ones(4, 1, 8, 8)).sum().backward()


def test_many_trainings_one_after_the_other_end() -> None:
    """Groups that were deleted in between hung now and then: gloo's threads and Python's lock waited for each other."""

    def work() -> None:
        for _ in range(4):
            current_group().run_on_all_ranks(small_trainings)

    assert led(work) == [0, 0]


@pytest.mark.parametrize("size", [1, 2, 3])
def test_parts_of_a_batch_are_the_batch(size: int, tmp_path: Path) -> None:
    """In memory and from files, every rank is given the images that one process would have at its places."""
    for i in range(24):
        (tmp_path / f"{i % 2}").mkdir(exist_ok=True)
        noise = torch.randint(0, 256, (20, 20, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(i))
        Image.fromarray(noise.numpy()).save(tmp_path / f"{i % 2}" / f"{i}.png")
    folder = DataSection(name="images", path=str(tmp_path), size=16, in_memory=False, workers=0)
    for section, augment in ((DIGITS, ("crop", "cutout")), (folder, ("resized_crop", "flip", "cutout"))):
        source = load_dataset(section).train
        parts = [ProcessGroup(rank, size).batch_slice(7) for rank in range(size)]
        epochs = [source.epoch(7, augment, 5, part) for part in parts]
        for whole, *pieces in zip(source.epoch(7, augment, 5), *epochs, strict=True):
            x, y = zip(*pieces, strict=True)
            torch.testing.assert_close(torch.cat(x), whole[0], rtol=0, atol=0)
            assert torch.equal(torch.cat(y), whole[1])


def test_a_batch_of_less_than_an_image_each_is_refused() -> None:
    with pytest.raises(EvoError, match="a batch of 2 images cannot be divided among 3 processes: raise batch_size"):
        ProcessGroup(0, 3).batch_slice(2)


# -- ranks that die ---------------------------------------------------------------------------------------------------


def dying(who: ProcessGroup, rank: int) -> None:
    if who.rank == rank:
        os.kill(os.getpid(), signal.SIGKILL)
    torch.distributed.barrier()


@pytest.mark.parametrize("rank", [0, 1])
def test_nobody_waits_for_the_dead(rank: int, capfd: pytest.CaptureFixture[str]) -> None:
    codes = led(lambda: current_group().run_on_all_ranks(partial(dying, rank=rank)))
    assert codes[rank] == -signal.SIGKILL
    assert codes[1 - rank] == 1


def stopped(who: ProcessGroup) -> None:
    if who.rank:
        os.kill(os.getpid(), signal.SIGSTOP)
    torch.distributed.barrier()


def test_a_process_that_waits_for_another_hears_that_it_is_to_end(capfd: pytest.CaptureFixture[str]) -> None:
    port = free_port()
    leader, other = (forked(rank, port, lambda: current_group().run_on_all_ranks(stopped)) for rank in range(2))
    os.waitpid(other, os.WUNTRACED)
    time.sleep(0.2)  # the leader waits inside torch
    os.kill(leader, signal.SIGTERM)
    assert ended(leader) == 1
    assert "error: another process of this run has ended, or torchrun was stopped" in capfd.readouterr().err
    os.kill(other, signal.SIGKILL)
    ended(other)


WORK = ["1", "--set", "evaluator.epochs=6", "--set", "data.max_images=120", "--set", "ground_truth.sample=0"]
WORK += ["--set", "search.evaluations=6", "--set", "search.population=6", "--set", "evaluator.learning_rate=0.02"]


def scores(folder: Path) -> list[list[Any]]:
    with open_store(f"sqlite:///{folder}/evo.db") as store:
        return store.frame("SELECT canonical, accuracy, nll, macs FROM evaluations ORDER BY canonical").values.tolist()


def test_torchrun_tells_that_a_process_died_and_goes_on_when_called_again(tmp_path: Path) -> None:
    launcher = under_torchrun(tmp_path, [*WORK, "--storage", f"sqlite:///{tmp_path}/evo.db"])
    try:
        deadline = time.monotonic() + LIMIT
        while not list(tmp_path.glob("evo_files/digits/*.progress")):  # an epoch is kept
            assert time.monotonic() < deadline
            assert os.waitpid(launcher, os.WNOHANG) == (0, 0), (tmp_path / "said").read_text()
            time.sleep(0.01)
        kill_rank(launcher, 1)
        assert ended(launcher) == 1
    except AssertionError:
        with suppress(psutil.NoSuchProcess):
            for process in [*psutil.Process(launcher).children(), psutil.Process(launcher)]:
                process.kill()
        raise
    assert (
        "error: another process of this run has ended, or torchrun was stopped; everything measured so far is kept. "
        "Continue with the same command\n"
    ) in (tmp_path / "said").read_text()
    assert scores(tmp_path) == []

    assert main([*WORK, "--quiet", "--storage", f"sqlite:///{tmp_path}/evo.db"]) == 0  # one process does as well
    assert len(scores(tmp_path)) == 6


def test_workers_are_not_asked_for_under_torchrun(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setattr(ranks, "exit_now", lambda code: code)
    for rank, code in (("0", 1), ("3", 0)):
        monkeypatch.setenv("RANK", rank)
        assert main(["1", "--workers", "2"]) == code
    told_once = "error: --workers is 2, and torchrun has started 4 processes, which are the workers: leave it out\n"
    assert capsys.readouterr().err == told_once
