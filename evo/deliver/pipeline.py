"""From a run to a network in a folder: pick, scale, train, measure once, export, remember.

``deliver`` works like make: what the folder holds already is not made again, so it may be killed at any moment and
called again, and ends with the same weights, bit for bit.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import cache, partial
from pathlib import Path

import torch
from scipy.stats import binomtest
from torch import nn

from evo.console import SILENT, Reporter, Track, untracked
from evo.data.loading import load
from evo.data.paths import file_hash
from evo.data.source import Images
from evo.deliver.manifest import Description, claim, note, read
from evo.deliver.model_card import card
from evo.deliver.recipe import Average, drop_paths, mixing
from evo.deliver.selection import Pick, Wish, pick
from evo.plugins import used
from evo.round.new_run import versions
from evo.seeds import derive
from evo.training.checkpoints import discard, sound, write
from evo.training.loop import schedule, train
from evo.workers.executors import threads_of_torch
from spaces.atomic_files import write_text
from spaces.costs.table import CONVENTIONS, count
from spaces.export.formats import exported, write_onnx, write_program, write_source
from spaces.export.network_folder import DESCRIPTION, WEIGHTS, built, described, load_network
from spaces.export.python_source import exportable, source
from spaces.export.scaling import Scaled, scaled_to
from spaces.latency.measure import Setting, measure
from spaces.layer import Shape
from spaces.networks.network import Network
from spaces.size import sides, spelled
from spaces.space import SearchSpace
from studies.config import StudyConfig, changed
from studies.database.deliveries import Delivery, remember
from studies.database.rows import Run
from studies.database.store import Store, opened
from studies.database.urls import existing
from studies.records import EvoError

PROGRESS = "training.progress"


def deliver_run(
    name: str, storage: str, wish: Wish, folder: Path, overrides: Sequence[str] = (), reporter: Reporter = SILENT
) -> Description:
    """Make what ``folder`` lacks of a network of the run ``name``; gives what its ``architecture.json`` says in the end.

    Raises:
        EvoError: the database or the run is missing, nothing fits the wish, the folder holds something else, or torchrun has
            started several processes.
        SpaceError: as ``deliver``.
    """
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise EvoError(
            "torchrun has started several processes, and a network is delivered by one: python -m evo.deliver"
        )
    there = is_done(folder)
    with opened(existing(storage)) as store:
        run = store.run(name)
        config = settings(run, overrides)
        if not there:
            reporter.say(f"run {run.name}: making a network in {folder}")
        with threads_of_torch(config.threads):
            said = deliver(store, run, config, wish, folder, reporter.track)
    if there:
        reporter.say(f"run {run.name}: nothing to do, {folder} has the network")
    return said


def deliver(
    store: Store, run: Run, config: StudyConfig, wish: Wish, folder: Path, track: Track = untracked
) -> Description:
    """Make what ``folder`` lacks; gives what its ``architecture.json`` says in the end.

    Args:
        config: the run's settings, perhaps with others to train by.

    Raises:
        EvoError: nothing fits the wish, or the folder holds something else.
        SpaceError: an architecture or a budget that cannot be.
    """
    chosen = pick(store, run, wish)
    scaled = (
        scaled_to(chosen.space, chosen.arch, wish.scale_to, config.search.macs_convention) if wish.scale_to else None
    )
    images = fitting(load(config.data, config.device), chosen.space)
    planned = plan(run, config, chosen, scaled, images)
    claim(folder, planned)
    if not sound(folder / WEIGHTS):
        train_in(folder, config, images, track)
    discard(folder / PROGRESS)
    network = load_network(folder)
    note(folder, "test", lambda: tested(network, images, config))
    note(folder, "latency", partial(timed, network, chosen.space, config.threads))
    note(folder, "versions", versions)
    export(folder, network, track)
    said = read(folder)
    remember(store, run, row(said, folder))
    return said


def settings(run: Run, overrides: Sequence[str]) -> StudyConfig:
    """The run's settings with ``section.key=value`` overrides of what a training depends on, all of it said.

    Raises:
        EvoError: another setting is to be changed, or to a value that cannot be.
    """
    for override in overrides:
        if override.split(".")[0].split("=")[0].strip() not in ("deliver", "data", "device", "threads"):
            raise EvoError(
                f"--set {override!r}: run {run.name!r} was searched with its own settings; "
                "those of deliver and data, device and threads may be changed here"
            )
    config = changed(run.config, overrides, f"run {run.name!r}")
    if config.deliver.augment is not None:
        return config
    return config.model_copy(update={"deliver": config.deliver.model_copy(update={"augment": config.data.augment})})


def is_done(folder: Path) -> bool:
    """Whether nothing is missing in a folder."""
    if not (folder / DESCRIPTION).is_file():
        return False
    left_out = read(folder).get("left_out", {})
    return all((folder / name).is_file() for name in (WEIGHTS, *EXPORTS) if name not in left_out)


# -- what the folder is to hold ---------------------------------------------------------------------------------------


def fitting(images: Images, space: SearchSpace) -> Images:
    """``images`` themselves, when the space's networks take them.

    Raises:
        EvoError: they do not.
    """
    have = (images.channels, images.size, images.classes)
    wanted = (space.stem.c_in, space.stem.size, space.head.classes)
    if have != wanted:
        raise EvoError(
            f"the images are {have[0]} x {spelled(have[1])} in {have[2]} classes, and {space.name!r} is made for "
            f"{wanted[0]} x {spelled(wanted[1])} in {wanted[2]}: name the data with --set data.name=... "
            "--set data.path=..., and their size with --set data.size=..."
        )
    return images


def plan(run: Run, config: StudyConfig, chosen: Pick, scaled: Scaled | None, images: Images) -> Description:
    """All that is known before training; the weights are a function of it."""
    arch, space = (scaled.arch, scaled.space) if scaled else (chosen.arch, chosen.space)
    found = chosen.evaluation
    own = {plugin.name: plugin.sha256 for plugin in used(config, space).values()}
    known: Description = {
        "format": 1,
        **described(arch, space, images.mean, images.std),
        "classes": list(images.class_names),
        "costs": {
            "macs": count(space, arch, config.search.macs_convention).macs,
            "convention": config.search.macs_convention,
            "params": count(space, arch).params,
            "by_convention": {name: count(space, arch, name).macs for name in CONVENTIONS},
        },
        "scale": {"macs": scaled.macs, "divisor": scaled.divisor, "widths": scaled.widths} if scaled else None,
        "provenance": {
            "run": run.name,
            "round": chosen.round,
            "judge": found.judge if found else None,
            "judged_accuracy": found.accuracy if found else None,
            "seed": config.seed,
        },
        "training": {
            "settings": config.deliver.model_dump(mode="json"),
            "data": config.data.model_dump(mode="json"),
            "images": len(images.train) + len(images.validation),
            "threads": config.threads,
            "device": images.train.device.type,
        },
        **({"plugins": own} if own else {}),
    }
    with torch.device("meta"):  # weights that nobody needs yet
        reason = exportable(built(known))
    return known | ({"left_out": {"model.py": reason}} if reason else {})


# -- train, measure, export -------------------------------------------------------------------------------------------


def train_in(folder: Path, config: StudyConfig, images: Images, track: Track) -> None:
    """Train the folder's network from fresh weights, on train and validation images together, and leave its weights there."""
    said, section = read(folder), config.deliver
    seed = derive(config.seed, "deliver", said["arch"])
    torch.manual_seed(seed)
    network = built(said)
    preprocessing, network.preprocessing = network.preprocessing, nn.Identity()  # these images are normalised already
    drop_paths(network, section.drop_path)
    average = Average(network, section.ema) if section.ema else None
    train(
        network,
        images.train.joined(images.validation),
        replace(schedule(section, config.data, 1), augment=section.augment or ()),
        seed=seed,
        mix=mixing(section, images.classes),
        between=average,
        checkpoint=folder / PROGRESS,
        track=track,
        label="training",
    )
    network.load_state_dict(average.state() if average else network.state_dict())
    network.preprocessing = preprocessing
    write(network.state_dict(), folder / WEIGHTS, {"arch": said["arch"]})


def tested(network: Network, images: Images, config: StudyConfig) -> Description:
    """Accuracy on the test images, which nothing has looked at before; as floats from 0 to 1, as the network takes them."""
    device = images.test.device
    network = network.to(device)
    mean, std = (torch.tensor(values, device=device).float().view(-1, 1, 1) for values in (images.mean, images.std))
    with torch.inference_mode():
        scores = torch.cat([network(x * std + mean) for x, _ in images.test.batches(config.deliver.batch_size)])
    right = int((scores.argmax(1) == images.test.y).sum())
    interval = binomtest(right, len(images.test)).proportion_ci(0.95, "wilson")  # inside [0, 1], also near its ends
    network.cpu()
    return {
        "accuracy": right / len(images.test),
        "low": float(interval.low),
        "high": float(interval.high),
        "images": len(images.test),
        "nll": float(nn.functional.cross_entropy(scores, images.test.y)),
    }


def timed(network: Network, space: SearchSpace, threads: int) -> Description:
    """Milliseconds for one image, here and now."""
    setting = Setting(repeats=50, device="cpu", batch=1, threads=threads)
    median, spread = measure(network, Shape(space.stem.c_in, space.head.classes, 1, space.stem.size), setting)
    return {"ms": median, "iqr_ms": spread, "machine": platform.machine(), **asdict(setting)}


def export(folder: Path, network: Network, track: Track) -> None:
    """Write the other forms of the network that the folder lacks."""
    said = read(folder)
    missing = [name for name in EXPORTS if name not in said.get("left_out", {}) and not (folder / name).exists()]
    space = SearchSpace.from_json(json.dumps(said["space"]))
    title = f"The network that run {said['provenance']['run']!r} found: {said['test']['accuracy']:.2%} on test images."
    classes, generator = said["classes"], torch.Generator().manual_seed(0)
    example = torch.rand(3, space.stem.c_in, *sides(space.stem.size), generator=generator)
    program = cache(lambda: exported(network, example))
    writers: dict[str, Callable[[Path], object]] = {
        "model.py": lambda path: write_source(
            source(network, space, said["arch"], title, classes), network, example, path
        ),
        "model.onnx": lambda path: write_onnx(program(), network, example, path, classes),
        "model.pt2": lambda path: write_program(program(), network, example, path, classes),
        "README.md": lambda path: write_text(path, card(said)),
    }
    with track("writing other forms", len(missing)) as advance:
        for name in missing:
            writers[name](folder / name)
            advance(1)


EXPORTS = ("model.py", "model.onnx", "model.pt2", "README.md")
"""What a folder holds beside its description and its weights."""


def row(said: Description, folder: Path) -> Delivery:
    """The folder as a row of the database."""
    return Delivery(
        round=said["provenance"]["round"],
        arch=said["arch"],
        widths=said["scale"] and said["scale"]["widths"],
        accuracy=said["test"]["accuracy"],
        macs=said["costs"]["macs"],
        params=said["costs"]["params"],
        latency_ms=said["latency"]["ms"],
        folder=str(folder.resolve()),
        sha256=file_hash(folder / WEIGHTS),
        settings=said["training"],
    )
