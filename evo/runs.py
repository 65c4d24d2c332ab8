"""The run that a command line means. Nothing heavy is imported: a run that is finished is told at once."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from studies import config as configs
from studies.config import StudyConfig
from studies.records import EvoError
from studies.store import Run, Store


def find(store: Store, args: Namespace) -> Run | None:
    """The run that the command line names, if it was begun.

    Raises:
        EvoError: the run exists with other settings; the message says which.
    """
    existing = store.find_run(args.run) if args.run else None
    if existing is not None and args.config is None and not args.set and args.seed is None:
        return existing
    config = configuration(args)
    name = run_name(args, config)
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


def run_name(args: Namespace, config: StudyConfig) -> str:
    """``--run``, or the configuration's name, with the seed where one was given."""
    if args.run:
        return str(args.run)
    stem = Path(args.config or "digits").stem
    return stem if args.seed is None else f"{stem}-seed{config.seed}"


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
