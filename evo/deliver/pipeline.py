"""From a run to a network in a folder: pick, scale, compare, train, measure once, export, remember.

``deliver_network`` works like make: what the folder holds already is not made again, so it may be killed at any moment and
called again, and ends with the same weights, bit for bit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from math import isfinite
from pathlib import Path

import torch
from torch import Tensor

from evo.alone.additions import describe_additions
from evo.alone.candidates import describe_unused, find_candidates
from evo.alone.features import feature_loss
from evo.alone.images import require_fitting_images
from evo.alone.recipe import train_by_recipe
from evo.alone.selection import Criteria, Selected
from evo.alone.start import Start
from evo.alone.teacher import Teacher
from evo.alone.trainer import Trainer, group_of
from evo.console import SILENT, Reporter, Track, discard
from evo.data.fingerprint import hash_images
from evo.data.loading import load_dataset
from evo.data.paths import file_hash
from evo.data.source import Images
from evo.deliver.exporting import export_network
from evo.deliver.finalists import hold_contest
from evo.deliver.forms import lacking
from evo.deliver.manifest import Description, add_once, create_or_verify, read_manifest
from evo.deliver.measuring import image_size, measure_form, measure_latency, measure_on_test
from evo.deliver.model_card import files_of, noun_of
from evo.deliver.quantised import quantise_form
from evo.deliver.seal import is_sealed, seal
from evo.deliver.session import inspect_images, open_run
from evo.plugins import operation_plugins
from evo.round.new_run import library_versions
from evo.seeds import derive_seed
from evo.strategy.design import choices_of
from evo.training.checkpoints import delete_progress, is_intact, write_checkpoint
from evo.training.identity import describe_device
from evo.training.precision import precision_facts
from spaces.architecture import Architecture
from spaces.costs.table import CONVENTIONS, count_costs
from spaces.export.additions import add_to_network
from spaces.export.baselines import Contender, contender
from spaces.export.format_table import DEFAULT_FORMATS
from spaces.export.network_folder import DESCRIPTION, WEIGHTS, build_described, describe_network, load_network
from spaces.export.python_source import check_exportable
from spaces.export.scaling import ScaledSpace
from spaces.networks.modules import Resize
from spaces.networks.network import Network
from spaces.networks.supernet import inherit_weights
from spaces.space import SearchSpace, resolve_variants
from studies.config import StudyConfig
from studies.database.deliveries import Delivery, record_delivery
from studies.database.rows import StoredRun
from studies.database.store import Store

PROGRESS = "training.progress"


def deliver_run(
    name: str,
    storage: str,
    criteria: Criteria,
    folder: Path,
    overrides: Sequence[str] = (),
    reporter: Reporter = SILENT,
    accept_data_change: bool = False,
    from_scratch: bool = False,
) -> Description:
    """Make what ``folder`` lacks of a network of the run ``name``; gives what its ``architecture.json`` says in the end.

    Args:
        accept_data_change: go on although the images are not those that the run was begun on.
        from_scratch: begin with fresh weights, although the run may have trained some.

    Raises:
        EvoError: the database or the run is missing, nothing fits the wish, the folder holds something else, the images have
            changed since the search, its teacher is missing or does not fit, or torchrun has started several processes that do
            not work together.
        SpaceError: as ``deliver_network``.
    """
    with open_run(name, storage, overrides) as (store, run, config):
        there = is_done(folder, config.deliver.formats)
        if not there:
            more = lacking(read_manifest(folder), config.deliver.formats) if is_done(folder) else []
            work = f"adding {', '.join(more)} to the network" if more else "making a network"
            reporter.say(f"run {run.name}: {work} in {folder}")
            inspect_images(run, config, reporter, accept_data_change)
        shown = replace(reporter, say=discard) if there else reporter
        description = deliver_network(store, run, config, criteria, folder, shown, from_scratch=from_scratch)
    if there:
        reporter.say(f"run {run.name}: nothing to do, {folder} has the network")
    return description


def deliver_network(
    store: Store,
    run: StoredRun,
    config: StudyConfig,
    criteria: Criteria,
    folder: Path,
    reporter: Reporter = SILENT,
    *,
    from_scratch: bool = False,
) -> Description:
    """Make what ``folder`` lacks; gives what its ``architecture.json`` says in the end.

    Args:
        config: the run's settings, perhaps with others to train by.
        from_scratch: begin with fresh weights, although the run may have trained some.

    Raises:
        EvoError: nothing fits the wish, the folder holds something else, the teacher is missing or does not fit, or features
            are asked for and no block of it fits.
        SpaceError: an architecture or a budget that cannot be.
    """
    candidates = find_candidates(store, run, criteria)
    images = require_fitting_images(load_dataset(config.data, config.device), candidates[0].chosen.space, run.classes)
    trainer = Trainer.of(store, run, config, images, from_scratch=from_scratch)
    contest = hold_contest(trainer, candidates, criteria, reporter)
    picked = candidates[contest.winner]
    for line in (describe_unused(picked, run, criteria), *describe_additions(picked, run, config, criteria)):
        if line:
            reporter.say(line)
    plan = plan_delivery(run, config, picked.chosen, picked.scaled, images)
    given = weights_given(trainer.start, plan, reporter)
    create_or_verify(folder, plan | beginnings(trainer, given))
    if not is_intact(folder / WEIGHTS):
        if imitates_itself(trainer, read_manifest(folder)):
            reporter.say(
                "it is the whole network, and without labels it has nothing to learn: its weights stay as they are"
            )
            write_weights(folder, build_started(read_manifest(folder), given))
        else:
            train_in(folder, config, images, reporter.track, given, trainer.teacher)
    delete_progress(folder / PROGRESS)
    network = load_network(folder)
    if len(candidates) > 1:
        add_once(folder, "finalists", contest.to_dict)
    size = image_size(read_manifest(folder))
    add_once(folder, "test", lambda: measure_on_test(network, size, trainer))
    add_once(folder, "latency", partial(measure_latency, network, picked.chosen.space, size, config.threads))
    add_once(folder, "versions", library_versions)
    measure = partial(measure_form, space=picked.chosen.space, size=size, trainer=trainer)
    quantise = partial(quantise_form, images, size, config.deliver.int8_changed)
    if export_network(
        folder, network, config.deliver.formats, measure, quantise, config.threads, reporter.track
    ) or not is_sealed(folder):
        seal(folder)
    description = read_manifest(folder)
    record_delivery(store, run, delivery_record(description, folder))
    return description


def is_done(folder: Path, formats: Sequence[str] = ()) -> bool:
    """Whether nothing is missing in a folder, nor any of ``formats`` that can be made."""
    if not (folder / DESCRIPTION).is_file():
        return False
    description = read_manifest(folder)
    return not lacking(description, formats) and all((folder / name).is_file() for name in files_of(description))


# -- what the folder is to hold ---------------------------------------------------------------------------------------


def plan_delivery(
    run: StoredRun, config: StudyConfig, chosen: Selected, scaled: ScaledSpace | None, images: Images
) -> Description:
    """All that is known before training; the weights are a function of it."""
    searched = (scaled.arch, scaled.space) if scaled else (chosen.arch, chosen.space)
    arch, space = add_to_network(*searched, config.deliver.add)
    evaluation = chosen.evaluation
    own = {plugin.name: plugin.sha256 for plugin in operation_plugins(config, (op for _, op in choices_of(arch)))}
    known: Description = {
        "format": 1,
        **describe_network(arch, space, images.mean, images.std),
        "classes": list(images.class_names),
        "costs": {
            "macs": count_costs(space, arch, config.search.macs_convention).macs,
            "convention": config.search.macs_convention,
            "params": count_costs(space, arch).params,
            "by_convention": {name: count_costs(space, arch, name).macs for name in CONVENTIONS},
            **costs_on_device(arch, space, config),
        },
        "scale": {"macs": scaled.macs, "divisor": scaled.divisor, "widths": scaled.widths} if scaled else None,
        "provenance": {
            "run": run.name,
            "round": chosen.round,
            "judge": evaluation.judge if evaluation else None,
            f"judged_{config.noun}": evaluation.accuracy if evaluation else None,
            "seed": config.seed,
            **({} if scaled else summed_up(chosen)),
        },
        "training": {
            "settings": config.deliver.recipe(),
            "data": config.data.model_dump(mode="json"),
            "images": len(images.train) + len(images.validation),
            "threads": config.threads,
            "device": describe_device(images.train.device.type),
            **precision_facts(config),
        },
        "data_sha256": hash_images(config.data, run),
        "resize": images.resize if space.input_sizes is None or images.resize != "none" else "stretch",
        **({"added": describe_added(*searched, config)} if config.deliver.add else {}),
        **({"formats": list(config.deliver.formats)} if config.deliver.formats != DEFAULT_FORMATS else {}),
        **({"plugins": own} if own else {}),
        **({"measured": config.tested} if config.tested != "accuracy" else {}),
    }
    with torch.device("meta"):  # its weights are not needed yet
        reason = check_exportable(build_described(known))
    return known | ({"left_out": {"model.py": reason}} if reason else {})


def costs_on_device(arch: Architecture, space: SearchSpace, config: StudyConfig) -> Description:
    """Flash and memory of a network on the run's device, how that keeps numbers, and what it has; empty: there is none."""
    if config.target is None:
        return {}
    cost = count_costs(space, arch, target=config.device_numbers)
    known = {"flash_kb": cost.flash_kb, "memory_kb": cost.memory_kb, "precision": config.target.precision}
    limits = {name: most for name, (_, most) in config.limits.given().items() if name in known and isfinite(most)}
    return known | ({"limits": limits} if limits else {})


def describe_added(arch: Architecture, space: SearchSpace, config: StudyConfig) -> Description:
    """What was added to a network, and the network as it was searched, at the widths that were asked for."""
    cost = count_costs(space, arch, config.search.macs_convention)
    return {"names": list(config.deliver.add), "to": str(arch), "macs": cost.macs, "params": cost.params}


def summed_up(chosen: Selected) -> Description:
    """How a network was chosen whose parts lose least in sum; empty: it was not chosen so."""
    if chosen.summed_loss is None:
        return {}
    over = {} if chosen.summed_over == "cuts" else {"summed_over": chosen.summed_over}  # cuts have never said so
    return {"summed_loss": chosen.summed_loss, **over}


# -- train, measure, export -------------------------------------------------------------------------------------------


def weights_given(start: Start | None, plan: Description, reporter: Reporter) -> Mapping[str, Tensor] | None:
    """The weights that the network of a plan begins with; None: fresh ones."""
    if start is None:
        return None
    space = SearchSpace.from_json(json.dumps(plan["space"]))
    given = start.weights(Architecture.parse(plan["arch"]), space)
    if given is None:
        reporter.say("its widths are not those of the run's network: it is trained from fresh weights")
    return given


def beginnings(trainer: Trainer, given: Mapping[str, Tensor] | None) -> Description:
    """What the plan says of weights that the training rests on: those that it begins with, and the teacher's."""
    start = {"start": trainer.start.sha256} if trainer.start and given else {}
    return start | ({"teacher": trainer.teacher.to_dict()} if trainer.teacher else {})


def imitates_itself(trainer: Trainer, description: Description) -> bool:
    """Whether a network would be trained to give what it gives: without labels, the whole network."""
    if trainer.config.data.labels is not False or trainer.start is None:
        return False
    whole = trainer.start.whole()
    space = SearchSpace.from_json(json.dumps(description["space"]))
    arch, there = resolve_variants(Architecture.parse(description["arch"]), space)
    return (arch, there.stem.size) == (whole.arch, whole.space.stem.size)


def build_started(description: Description, given: Mapping[str, Tensor] | None) -> Network:
    """A folder's network with the weights that it begins with, if any; the others are drawn from torch's generator."""
    network = build_described(description)
    inherit_weights(network, given or {})
    return network


def write_weights(folder: Path, network: Network) -> None:
    """Leave a network's weights in its folder."""
    write_checkpoint(network.state_dict(), folder / WEIGHTS, {"arch": read_manifest(folder)["arch"]})


def train_in(
    folder: Path,
    config: StudyConfig,
    images: Images,
    track: Track,
    given: Mapping[str, Tensor] | None = None,
    teacher: Teacher | None = None,
) -> None:
    """Train the folder's network on train and validation images together, and leave its weights there.

    Args:
        given: the weights that it begins with, but perhaps for its last layer; None: fresh ones.
        teacher: what teaches it beside the labels; None: nothing.
    """
    description = read_manifest(folder)
    seed = derive_seed(config.seed, "deliver", description["arch"])
    torch.manual_seed(seed)
    network = build_started(description, given)
    preprocessing = network.preprocessing
    network.preprocessing = Resize(image_size(description))  # these images are normalised already
    everything = images.train.joined_with(images.validation)
    train_by_recipe(
        network,
        config,
        everything,
        images.classes,
        seed,
        teacher=teacher,
        features=feature_loss(network, described_contender(description), teacher, config.deliver),
        checkpoint=folder / PROGRESS,
        track=track,
        group=group_of(config),
    )
    network.preprocessing = preprocessing
    write_weights(folder, network)


def described_contender(description: Description) -> Contender:
    """The architecture of a folder's network, in a space without rows."""
    space = SearchSpace.from_json(json.dumps(description["space"]))
    return contender("the network", Architecture.parse(description["arch"]), space)


def delivery_record(description: Description, folder: Path) -> Delivery:
    """The folder as a row of the database."""
    return Delivery(
        round=description["provenance"]["round"],
        arch=description["arch"],
        widths=description["scale"] and description["scale"]["widths"],
        accuracy=description["test"][noun_of(description)],
        macs=description["costs"]["macs"],
        params=description["costs"]["params"],
        latency_ms=description["latency"]["ms"],
        folder=str(folder.resolve()),
        sha256=file_hash(folder / WEIGHTS),
        settings=description["training"],
        flash_kb=description["costs"].get("flash_kb"),
        memory_kb=description["costs"].get("memory_kb"),
    )
