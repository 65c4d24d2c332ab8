"""The runs that a command line means. Nothing heavy is imported: a run that is finished is told at once."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from studies import config as configs
from studies.config import StudyConfig
from studies.controls import Control, controlled
from studies.records import EvoError
from studies.store import Run, Store


def arms(store: Store, args: Namespace) -> Iterator[tuple[str, StudyConfig]]:
    """Name and settings of every run that the command line asks for: per seed the run itself, then its control arms."""
    known = store.find_run(args.run) if args.run else None
    alone = known is not None and args.config is None and not args.set and args.seed is None
    config = known.config if known is not None and alone else configuration(args)
    for seed in range(config.seed, config.seed + args.seeds):
        mine = config.model_copy(update={"seed": seed})
        name = run_name(args, seed, first=seed == config.seed)
        yield name, mine
        for control in map(Control, dict.fromkeys(args.control)):
            yield f"{name}-{control}", controlled(mine, control)


def find(store: Store, name: str, config: StudyConfig) -> Run | None:
    """The run of that name, if it was begun.

    Raises:
        EvoError: the run exists with other settings; the message says which.
    """
    existing = store.find_run(name)
    if existing and (changed := differences(existing.config.model_dump(), config.model_dump())):
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


def run_name(args: Namespace, seed: int, first: bool = True) -> str:
    """``--run``, or the configuration's name; with the seed where one was given, and for all seeds after the first."""
    stem = args.run or Path(args.config or "digits").stem
    told = not first or (args.seed is not None and not args.run)
    return f"{stem}-seed{seed}" if told else str(stem)


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
