"""How a run begins: its configuration, its first space, its row in the database."""

from __future__ import annotations

import platform
from argparse import Namespace
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from random import Random
from typing import Any

from evo import __version__
from evo.data import load as load_images
from evo.evaluators.tabular import spelled_space
from evo.evolution import continued
from evo.loop import EVALUATORS, table_of
from evo.methods import METHODS
from evo.search import check_limits
from evo.seeds import derive
from evo.truth import witness
from spaces import library
from spaces.space import SearchSpace
from studies import config as configs
from studies.config import NseEvolution, StudyConfig, TabularSection
from studies.records import COSTS, EvoError
from studies.store import Run, Store

LIBRARIES = ("optuna", "torch", "torchvision", "sqlalchemy", "numpy", "pandas")


def open_run(store: Store, args: Namespace) -> Run:
    """The run that the command line names, begun when it is not there.

    Raises:
        EvoError: the run exists with other settings; the message says which.
    """
    existing = store.find_run(args.run) if args.run else None
    if existing is not None and args.config is None and not args.set and args.seed is None:
        return existing
    config = configuration(args)
    name = run_name(args, config)
    existing = store.find_run(name)
    if existing is None:
        space = prepared(config)
        if isinstance(config.evolution, NseEvolution) and config.evolution.continue_from:
            space = _continued(store, space, config.evolution)
        table = table_of(config, space)
        check_limits(space, table, config.limits)
        EVALUATORS[config.evaluator.kind](config, space)  # tells of missing files
        witness(config, space)  # so does this
        most = table.bounds()[1][COSTS.index(config.search.cost)]
        window = getattr(config.limits, config.search.cost)
        return store.create_run(name, config, space, min(most, window[1]) if window else most, versions())
    if changed := differences(existing.config.model_dump(), config.model_dump()):
        raise EvoError(
            f"run {name!r} was begun with other settings:\n  "
            + "\n  ".join(f"{key} was {was!r} and is now {now!r}" for key, was, now in changed)
            + "\ngive the new settings a run of their own: --run NAME"
        )
    return existing


def configuration(args: Namespace) -> StudyConfig:
    """The settings that the command line asks for."""
    overrides = args.set + ([f"seed={args.seed}"] if args.seed is not None else [])
    return configs.load(args.config or "digits", overrides)


def run_name(args: Namespace, config: StudyConfig) -> str:
    """``--run``, or the configuration's name, with the seed where one was given."""
    if args.run:
        return str(args.run)
    stem = Path(args.config or "digits").stem
    return stem if args.seed is None else f"{stem}-seed{config.seed}"


def first_space(config: StudyConfig) -> SearchSpace:
    """The space in which round 1 searches; made for the data's channels, size and classes where images are trained on.

    Raises:
        EvoError: there is no such space or file.
        ValueError: the space's name is unknown, or its file does not hold a space.
    """
    section = config.space
    if section.path is not None:
        try:
            return SearchSpace.from_json(Path(section.path).read_text(encoding="utf-8"))
        except OSError as error:
            raise EvoError(f"space.path is {section.path!r}: {error.strerror}") from None
        except (KeyError, TypeError, ValueError) as error:
            raise EvoError(f"space.path is {section.path!r}, which does not hold a space as JSON ({error!r})") from None
    if section.name == "table":
        if not isinstance(config.evaluator, TabularSection):
            raise EvoError("space.name is 'table', which needs evaluator.kind = 'tabular'")
        return spelled_space(config.evaluator)
    channels, size, classes = section.channels, section.size, section.classes
    if not isinstance(config.evaluator, TabularSection):
        images = load_images(config.data, config.device)
        channels, size, classes = channels or images.channels, size or images.size, classes or images.classes
    return library.load(section.name, channels=channels, size=size, classes=classes)


def prepared(config: StudyConfig) -> SearchSpace:
    """The first space as the method wants it."""
    evolution = METHODS[config.evolution.method](config.evolution, config)
    return evolution.prepare(first_space(config), Random(derive(config.seed, "prepare")))


def _continued(store: Store, space: SearchSpace, section: NseEvolution) -> SearchSpace:
    """The first space of a run that continues another one with a new pool."""
    assert section.continue_from
    earlier = store.run(section.continue_from)
    finished = [row for row in store.rounds(earlier) if row.finished]
    if not finished:
        raise EvoError(f"evolution.continue_from: run {earlier.name!r} has no finished round to continue from")
    last = finished[-1]
    assert last.next_space is not None
    kept = last.space.replace_layers(
        replace(layer, candidates=change.kept)
        for layer, change in zip(last.space.layers, last.space.diff(last.next_space), strict=True)
    )
    return continued(space, earlier.space, kept, section.k)


def versions() -> dict[str, str]:
    """What a result may depend on: this program, Python, the libraries."""
    return {"evo": __version__, "python": platform.python_version()} | {name: version(name) for name in LIBRARIES}


def differences(was: Any, now: Any, key: str = "") -> list[tuple[str, Any, Any]]:
    """The settings in which two configurations differ: (key, was, is now)."""
    if isinstance(was, dict) and isinstance(now, dict):
        keys = sorted(was.keys() | now.keys())
        return [
            found
            for name in keys
            for found in differences(was.get(name), now.get(name), f"{key}.{name}" if key else name)
        ]
    return [] if was == now else [(key, was, now)]
