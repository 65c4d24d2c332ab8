"""The runs that a call or a command line means. Nothing heavy is imported: a run that is finished is told at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from evo.plugins import used_plugins
from evo.round.options import DEFAULT_RUN, RunOptions
from studies import config as configs
from studies import plugins
from studies.config import StudyConfig
from studies.controls import Control, control_settings
from studies.database.rows import StoredRun
from studies.database.store import Store
from studies.records import EvoError


def runs_to_make(store: Store, options: RunOptions) -> Iterator[tuple[str, StudyConfig]]:
    """Name and settings of every run that is asked for: per seed the run itself, then its control arms."""
    plugins.stand_in(options.plugins)
    unsaid = options.config is None and not options.overrides and options.seed is None
    known = store.find_run(options.run or DEFAULT_RUN) if unsaid else None
    config = known.config if known is not None else read_settings(options)
    for seed in range(config.seed, config.seed + options.repeat):
        mine = config.model_copy(update={"seed": seed})
        name = run_name(options, seed, first=seed == config.seed)
        yield name, mine
        for control in options.control_runs:
            yield f"{name}-{control}", control_settings(mine, control)


def check_arms(options: RunOptions, config: StudyConfig) -> None:
    """Tell before anything runs that a run has nothing to train networks on.

    Raises:
        EvoError: arms that need no search are asked for, and the evaluator uses no images, or begins with trained weights.
    """
    if options.no_search and not config.evaluator.uses_images:
        raise EvoError(
            f"control {options.no_search[0]} trains networks on images, and evaluator.kind = {config.evaluator.kind!r} "
            f"uses none: expected {' or '.join(control for control in Control if control.searches)}"
        )
    if options.no_search and config.data.labels is False:
        raise EvoError(
            f"control {options.no_search[0]} compares accuracies, and the images have no labels: leave it out, or name images "
            "in class folders with --set data.path=..."
        )
    for control in options.no_search:
        if config.evaluator.starts_networks and not control.is_trained:
            raise EvoError(
                f"control {control} trains networks from fresh weights, and those of evaluator.kind = "
                f"{config.evaluator.kind!r} begin with trained ones: expected "
                f"{' or '.join(control for control in Control if control.searches or control.is_trained)}"
            )
        if control.is_trained and not config.evaluator.starts_networks:
            raise EvoError(
                f"control {control} is cut out of a trained network, and evaluator.kind = {config.evaluator.kind!r} has none: "
                f"expected {' or '.join(control for control in Control if not control.is_trained)}"
            )


def find_run(store: Store, name: str, config: StudyConfig) -> StoredRun | None:
    """The run of that name, if it was begun.

    Raises:
        EvoError: the run exists with other settings; the message says which.
    """
    existing = store.find_run(name)
    if existing:
        config = _as_settled(config, existing.config)
    if existing and (changed := setting_differences(existing.config.model_dump(), config.model_dump())):
        raise EvoError(
            f"run {name!r} was begun with other settings:\n  "
            + "\n  ".join(f"{key} was {was!r} and is now {now!r}" for key, was, now in changed)
            + f"\ngive the new settings a run of their own: --run NAME; to go on as before, name the run alone: --run {name}"
        )
    if existing:
        check_plugins(existing)
    return existing


def _as_settled(config: StudyConfig, begun: StudyConfig) -> StudyConfig:
    """The settings that are asked for, with what a run found out about its images, machine and workers when it began."""
    if config.precision == "auto":
        config = config.model_copy(update={"precision": begun.precision})
    if config.search.in_flight is None or config.search.in_flight == begun.search.flights:
        search = config.search.model_copy(update={"in_flight": begun.search.in_flight})
        config = config.model_copy(update={"search": search})
    settled: dict[str, object] = {"labels": False} if begun.data.labels is False else {}
    if begun.data.channels == 1:
        settled["channels"] = 1
    found = {name: value for name, value in settled.items() if getattr(config.data, name) is None}
    return config.model_copy(update={"data": config.data.model_copy(update=found)}) if found else config


def check_plugins(run: StoredRun) -> None:
    """Compare the plugins of a run with those that it began with.

    Raises:
        EvoError: one of them has changed.
    """
    for plugin in used_plugins(run.config, run.space).values():
        known, digest = run.plugins.get(plugin.name, {}).get("sha256", plugin.sha256), plugin.sha256
        if known != digest:
            raise EvoError(
                f"plugin {plugin.name} has changed since run {run.name!r} began (sha256 {known[:12]}, now {digest[:12]}): "
                "put the old file back, or begin another run: --run NAME"
            )


def read_settings(options: RunOptions) -> StudyConfig:
    """The settings that are asked for.

    Raises:
        ConfigError: no such preset or file, an unknown key, or a value that cannot be.
    """
    overrides = [*options.overrides, *([f"seed={options.seed}"] if options.seed is not None else [])]
    if isinstance(options.config, StudyConfig):
        return configs.change_config(options.config, overrides, "config", options.plugins)
    if isinstance(options.config, Mapping):
        return configs.config_from_mapping(options.config, overrides, options.plugins)
    return configs.load_config(options.config or "digits", overrides, options.plugins)


def run_name(options: RunOptions, seed: int, first: bool = True) -> str:
    """The name that is asked for, or the settings'; with the seed where one was given, and for all seeds after the first.

    Raises:
        EvoError: neither is there.
    """
    stem = options.run or options.settings_name
    if stem is None:
        raise EvoError("settings that are neither a preset nor a file have no name: give the run one, run='NAME'")
    numbered = not first or (options.seed is not None and not options.run)
    return f"{stem}-seed{seed}" if numbered else stem


def setting_differences(was: Any, now: Any, key: str = "") -> list[tuple[str, Any, Any]]:
    """The settings in which two configurations differ: (key, was, is now)."""
    if isinstance(was, dict) and isinstance(now, dict):
        keys = sorted(was.keys() | now.keys())
        return [
            difference
            for name in keys
            for difference in setting_differences(was.get(name), now.get(name), f"{key}.{name}" if key else name)
        ]
    return [] if was == now else [(key, was, now)]
