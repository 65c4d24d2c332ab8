"""How a run begins: its first space, and its row in the database."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from random import Random

from evo import __version__
from evo.data.fingerprint import fingerprint
from evo.data.loading import load_dataset as load_images
from evo.evaluators.blockwise.classes import classes_of_teacher
from evo.evaluators.cuts.network import class_names, cuts_space
from evo.evaluators.registry import evaluator_of, reference_evaluator
from evo.evaluators.tabular import table_space
from evo.memory.fitting import check_start
from evo.methods.registry import evolution_of
from evo.plugins import used_plugins
from evo.round.costs import check_costs, check_measured, costs_of
from evo.round.other_runs.lessons import collect_lessons
from evo.round.own_operations import check_own_operations, with_operations
from evo.seeds import derive_seed
from evo.strategy.generations import check_limits
from evo.training.identity import describe_device
from spaces.costs.table import CostTable, cost_table
from spaces.files.text import read_text
from spaces.library import named_spaces
from spaces.size import Size, both_sides, size_text
from spaces.space import SearchSpace
from studies.config import BlockwiseSection, CutsSection, StudyConfig, TabularSection
from studies.database.rows import StoredRun
from studies.database.store import Store
from studies.records import COSTS, EvoError

LIBRARIES = ("optuna", "torch", "torchvision", "sqlalchemy", "numpy", "pandas")


def begin_run(
    store: Store, name: str, config: StudyConfig, warn: Callable[[str], None] | None = None, workers: int = 1
) -> StoredRun:
    """A new run, after everything that can be checked beforehand has been.

    Args:
        warn: told of steps that hardly fit into this machine's memory; None: it runs elsewhere, and nobody looks.
        workers: processes of this machine that evaluate.

    Raises:
        EvoError: a file is missing, no architecture lies inside the limits, or nothing can be learned from a run that is named;
            nothing was written.
    """
    space = prepared_space(config)
    if config.evolution.predecessor:
        space = continued_space(store, space, config)
    costs = costs_of(config, space)
    check_costs(config, space, costs)
    check_limits(space, costs, config.limits)
    check_measured(config, space, costs)
    taught = collect_lessons(store, name, config, space)
    evaluator_of(config, space)  # raises where files are missing
    reference_evaluator(config, space)  # so does this
    for text in check_start(config, space, costs, workers) if warn else ():
        warn(text)  # type: ignore[misc]
    most = [_most(config, costs, name) for name in config.search.costs]
    names = _class_names(config) if config.evaluator.uses_images else None
    plugins = list(used_plugins(config, space).values())
    return store.create_run(
        name, config, space, most[0], library_versions(), fingerprint(config), names, plugins, most[1:], taught
    )


def _most(config: StudyConfig, costs: CostTable, name: str) -> float:
    """The most that a network of the space may cost."""
    most, limit = float(costs.bounds()[1][COSTS.index(name)]), getattr(config.limits, name)
    return min(most, limit[1]) if limit else most


def _class_names(config: StudyConfig) -> tuple[str, ...]:
    """Of the classes that the run's networks tell apart: without labels those of the network that teaches."""
    if isinstance(config.evaluator, CutsSection):
        return class_names(config)
    if isinstance(config.evaluator, BlockwiseSection) and config.data.labels is False:
        return classes_of_teacher(config)
    return load_images(config.data, config.device).class_names


def first_space(config: StudyConfig) -> SearchSpace:
    """The space in which round 1 searches; made for the data's channels, size and classes where images are trained on.

    Raises:
        EvoError: there is no such space or file.
        SpaceError: the space's name is unknown, or its file does not hold a space.
    """
    section = config.space
    if section.name == "table" and section.path is None:
        if not isinstance(config.evaluator, TabularSection):
            raise EvoError("space.name is 'table', which needs evaluator.kind = 'tabular'")
        return table_space(config.evaluator)
    images = load_images(config.data, config.device) if config.evaluator.uses_images else None
    if section.name == "pretrained" and section.path is None:
        if not isinstance(config.evaluator, CutsSection):
            raise EvoError("space.name is 'pretrained', which needs evaluator.kind = 'cuts'")
        return cuts_space(config)
    if section.path is not None:
        space = _read_space(section.path)
    else:
        wanted = {name: getattr(section, name) or getattr(images, name, None) for name in ("channels", "size")}
        classes = section.classes or (len(_class_names(config)) if images is not None else None)
        space = named_spaces.load_space(section.name, **wanted, classes=classes)
    if images is not None:
        _check_proportions(space, images.size)
    if config.data.labels is False and images is not None:
        _check_classes(space, len(_class_names(config)))
    return space


def _check_classes(space: SearchSpace, taught: int) -> None:
    """
    Raises:
        EvoError: networks of ``space`` have another number of classes than what teaches them.
    """
    if space.head.classes != taught:
        raise EvoError(
            f"the images have no labels, so networks learn the {taught} classes of their teacher, and space {space.name!r} is "
            f"made for {space.head.classes}: leave out space.classes, or give a space.path whose head has {taught} classes"
        )


def _read_space(path: str) -> SearchSpace:
    """The space in a JSON file."""
    try:
        space = SearchSpace.from_json(read_text(Path(path)))
        cost_table(space)  # raises here if an operation is unknown
        return space
    except OSError as error:
        raise EvoError(f"space.path is {path!r}: {error.strerror}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise EvoError(f"space.path is {path!r}, which does not hold a space as JSON ({error!r})") from None


def _check_proportions(space: SearchSpace, size: Size) -> None:
    """Squares of another size are let pass: their networks are trained as they are, and counted as the space says.

    Raises:
        EvoError: images or space are rectangular, and not of one size.
    """
    made_for = space.stem.size
    if size != made_for and not (isinstance(size, int) and isinstance(made_for, int)):
        raise EvoError(
            f"the images are {size_text(size)} pixels (height x width), and space {space.name!r} is made for "
            f"{size_text(made_for)}: resize the images with data.size = {list(both_sides(made_for))}, or leave space.size and "
            "space.path out, so that a named space is made for the images"
        )


def prepared_space(config: StudyConfig) -> SearchSpace:
    """The first space, with the operations that the configuration adds, as the method wants it."""
    space = with_operations(first_space(config), config.space.add_operations)
    check_own_operations(space)
    return evolution_of(config).prepare(space, Random(derive_seed(config.seed, "prepare")))


def continued_space(store: Store, space: SearchSpace, config: StudyConfig) -> SearchSpace:
    """The first space of a run that continues another one.

    Args:
        space: the run's own, prepared.

    Raises:
        EvoError: there is no such run, or none that it can continue.
    """
    assert config.evolution.predecessor
    earlier = store.run(config.evolution.predecessor)
    finished = [row for row in store.rounds(earlier) if row.finished]
    if not finished:
        raise EvoError(f"evolution.continue_from: run {earlier.name!r} has no finished round to continue from")
    last = finished[-1]
    assert last.next_space is not None
    kept = last.space.replace_layers(
        replace(layer, candidates=change.kept)
        for layer, change in zip(last.space.layers, last.space.diff(last.next_space), strict=True)
    )
    return evolution_of(config).continued(space, earlier.space, kept)


def library_versions() -> dict[str, str]:
    """What a result may depend on: this program, Python, the libraries, and the GPU where there is one."""
    libraries = {"evo": __version__, "python": platform.python_version()} | {name: version(name) for name in LIBRARIES}
    gpu = describe_device("auto")
    return libraries if gpu == "auto" else libraries | {"gpu": gpu}
