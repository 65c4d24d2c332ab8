"""From a preset, a TOML file or stored settings to a ``StudyConfig``; a mistake is answered in words."""

from __future__ import annotations

import json
import os.path
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from functools import cache, reduce
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from spaces.errors import SpaceError
from spaces.files.text import read_text
from studies import plugins
from studies.config.renames import BothGivenError, present_name, renewed
from studies.config.study import CHOICES, StudyConfig
from studies.config.values import Section
from studies.records import EvoError

PRESETS = Path(__file__).parent.parent / "presets"


class ConfigError(EvoError):
    """A key, value or path of a configuration that cannot be; names the file, the key, what was found, what may be."""


def presets() -> list[str]:
    """The names that ``--config`` knows."""
    return sorted(path.stem for path in PRESETS.glob("*.toml"))


def load_config(name_or_file: str, overrides: Sequence[str] = (), further_plugins: Sequence[str] = ()) -> StudyConfig:
    """The settings of a preset or a TOML file, with ``section.key=value`` overrides applied and plugins added.

    Raises:
        ConfigError: no such preset or file, no TOML, an unknown key, or a value that cannot be.
    """
    path = _locate(name_or_file)
    try:
        data = tomllib.loads(read_text(path))
    except (OSError, SpaceError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as TOML: {error}") from None
    _add_plugins(data, further_plugins)
    return _overridden(data, overrides, str(path), [path.parent])


def config_from_mapping(
    data: Mapping[str, Any], overrides: Sequence[str] = (), further_plugins: Sequence[str] = ()
) -> StudyConfig:
    """Settings from tables in memory, with ``section.key=value`` overrides applied and plugins added.

    Raises:
        ConfigError: as ``load_config``.
    """
    tables = deepcopy(dict(data))
    _add_plugins(tables, further_plugins)
    return _overridden(tables, overrides, "config")


def _add_plugins(data: dict[str, Any], further: Sequence[str]) -> None:
    """Let settings name further plugins, behind those that they name."""
    if further and isinstance(named := data.get("plugins", []), (list, tuple)):
        data["plugins"] = list(dict.fromkeys([*named, *further]))


def check_config(data: Mapping[str, Any], source: str, folders: Sequence[Path] = ()) -> StudyConfig:
    """``data`` as settings, once its plugins are loaded; keys may have the names of the release before.

    Args:
        source: what errors call the settings.
        folders: where the file of a plugin is looked for, beside the working directory.

    Raises:
        ConfigError: a key or a value cannot be.
        PluginError: a plugin is missing or fails.
    """
    _load_plugins(data, folders)
    present, _ = _renewed(data, source)
    return _checked(present, lambda key, text: source)


def _load_plugins(data: Mapping[str, Any], folders: Sequence[Path] = ()) -> None:
    """Load the plugins that ``data`` name; what is no list of names is left to the check of settings."""
    named = data.get("plugins", ())
    plugins.load_plugins(
        [spec for spec in named if isinstance(spec, str)] if isinstance(named, (list, tuple)) else [], folders
    )


def change_config(
    config: StudyConfig, overrides: Sequence[str], source: str, further_plugins: Sequence[str] = ()
) -> StudyConfig:
    """``config`` with ``section.key=value`` overrides applied and plugins added; ``source`` is what errors call it.

    Raises:
        ConfigError: as ``load_config``.
    """
    data = config.model_dump(mode="json")
    _add_plugins(data, further_plugins)
    return _overridden(data, overrides, source)


def _locate(name_or_file: str) -> Path:
    preset = PRESETS / f"{name_or_file}.toml"
    if name_or_file in presets():
        return preset
    if os.path.isfile(name_or_file):
        return Path(name_or_file)
    raise ConfigError(f"--config {name_or_file!r}: no such preset or file; presets: {', '.join(presets())}")


def _checked(data: dict[str, Any], source: Callable[[str, str], str]) -> StudyConfig:
    """``data`` as settings; ``source`` says of a key and what is wrong with it where it was written."""
    try:
        config = StudyConfig.model_validate(data)
    except ValidationError as error:
        raise ConfigError("\n".join(f"{source(key, text)}: {text}" for key, text in _problems(error, data))) from None
    if key := _lost_in_storage(config):
        text = f"{key} is {_value_at(config, key)!r}, which cannot be stored: it is not read back as it was written"
        raise ConfigError(f"{source(key, text)}: {text}")
    return config


def _lost_in_storage(config: StudyConfig) -> str | None:
    """The first key whose value the database would not give back; None: all of them are kept."""
    try:
        text = json.dumps(config.model_dump(mode="json"), allow_nan=False)
        again = StudyConfig.model_validate(json.loads(text))
    except (ValueError, TypeError):
        again = None
    if again == config:
        return None
    keys = [key for name in type(config).model_fields for key in _keys(name, getattr(config, name))]
    return next((key for key in keys if again is None or _value_at(again, key) != _value_at(config, key)), "config")


def _keys(name: str, value: Any) -> list[str]:
    """The key of a value, or those of a section."""
    return [f"{name}.{field}" for field in type(value).model_fields] if isinstance(value, Section) else [name]


def _value_at(config: StudyConfig, key: str) -> Any:
    """The value of ``section.key``."""
    return reduce(getattr, key.split("."), config)


def _problems(error: ValidationError, data: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is wrong: keys, as a user writes them, and words."""
    return [(".".join(map(str, problem["loc"])), _explain(problem, data)) for problem in error.errors()]


def _overridden(data: dict[str, Any], overrides: Sequence[str], file: str, folders: Sequence[Path] = ()) -> StudyConfig:
    """``data``, which stand in ``file``, with overrides applied; an error names the one that it comes from."""
    _load_plugins(data, folders)
    data, renamed = _renewed(data, file)
    try:
        StudyConfig.model_validate(data)
        of_file = set()
    except ValidationError as error:
        of_file = {text for _, text in _problems(error, data)}
    options, by_option = _override(data, overrides)
    _load_plugins(data, folders)
    data, inside = _renewed(data, "--set")
    _remark(renamed | by_option | inside)

    def source(key: str, text: str) -> str:
        """An override of the key, or of what it is part of; the file; an override of a part of it; or all together."""
        whole = [option for path, option in options.items() if f"{key}.".startswith(f"{path}.")]
        parts = [option for path, option in options.items() if path.startswith(f"{key}.")]
        if whole or (parts and text not in of_file):
            return (whole or parts)[-1]
        return file if text in of_file or not options else f"{file} with {' '.join(options.values())}"

    return _checked(data, source)


def _override(data: dict[str, Any], overrides: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Change what every ``section.key=value`` names.

    Returns:
        Key -> the option that has set it, and old key -> present key of those that were given under an old name.
    """
    options: dict[str, str] = {}
    given: dict[str, str] = {}
    for override in overrides:
        key, value = _parsed(override)
        name = present_name(key, lambda key: _is_key(key, data))
        if (other := given.setdefault(name, key)) != key:
            raise ConfigError(f"--set: {BothGivenError(other if key == name else key, name)}")
        _set(data, name.split("."), value, override)
        options[name] = f"--set {override}"
    return options, {key: name for name, key in given.items() if name != key}


def _parsed(override: str) -> tuple[str, Any]:
    """Key and value of ``section.key=value``; what is no TOML is a string."""
    key, equals, text = override.partition("=")
    key = key.strip()
    if not equals or not all(key.split(".")):
        raise ConfigError(f"--set {override!r}: expected section.key=value, e.g. --set search.evaluations=200")
    try:
        return key, tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return key, text.strip()


def _set(data: dict[str, Any], path: Sequence[str], value: Any, override: str) -> None:
    for part in path[:-1]:
        data = data.setdefault(part, {})
        if not isinstance(data, dict):
            raise ConfigError(f"--set {override!r}: {part!r} is a value, not a section")
    data[path[-1]] = value


def _renewed(data: Mapping[str, Any], source: str) -> tuple[dict[str, Any], dict[str, str]]:
    """``renewed``; a plugin's own keys keep their names."""
    try:
        return renewed(data, lambda key: _is_key(key, data))
    except BothGivenError as error:
        raise ConfigError(f"{source}: {error}") from None


def _remark(renamed: Mapping[str, str]) -> None:
    """Say how keys are called today, each once."""
    for old, new in renamed.items():
        _note(f"note: {old} is now called {new}")


@cache
def _note(line: str) -> None:
    print(line, file=sys.stderr)


def _explain(problem: Any, data: Mapping[str, Any]) -> str:
    """One of pydantic's findings, in words: the key, what was found, what is allowed."""
    key, value = ".".join(map(str, problem["loc"])), problem["input"]
    match problem["type"]:
        case "extra_forbidden":
            allowed = sorted(
                {name for section in _sections_at(problem["loc"][:-1], data) for name in section.model_fields}
            )
            return f"unknown key {key!r} (found {value!r}); allowed there: {', '.join(allowed)}"
        case "together" | "teacher":
            return str(problem["msg"])
        case "missing":
            return f"key {key!r} is missing"
    return f"{key} is {value!r}: {problem['msg'][0].lower()}{problem['msg'][1:]}"


def _sections_at(loc: Sequence[int | str], data: Mapping[str, Any]) -> list[type[Section]]:
    """The settings that stand at pydantic's location ``loc`` of ``data``."""
    here: list[type[Section]] = [StudyConfig]
    for depth, part in enumerate(map(str, loc)):
        if depth == 0 and part in CHOICES:
            key, known = CHOICES[part]
            section = data.get(part)
            value = section.get(key, "digits") if isinstance(section, Mapping) else None
            here = [known[value]] if isinstance(value, str) and value in known else []
        else:
            fields = [section.model_fields[part] for section in here if part in section.model_fields]
            here = [section for field in fields for section in sections_of(field.annotation)] or here
    return here


def _is_key(key: str, data: Mapping[str, Any]) -> bool:
    """Whether a dotted key is one of those that the settings in ``data`` may have."""
    *section, name = key.split(".")
    return any(name in here.model_fields for here in _sections_at(section, data))


def sections_of(annotation: Any) -> list[type[Section]]:
    """The sections that a field's type speaks of: itself, or the members of a union."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [section for member in get_args(annotation) for section in sections_of(member)]
