"""From a preset, a TOML file or stored settings to a ``StudyConfig``; a mistake is answered in words."""

from __future__ import annotations

import os.path
import sys
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from studies.config.renames import BothGivenError, present_name, renewed
from studies.config.sections import Section
from studies.config.study import CHOICES, StudyConfig
from studies.records import EvoError

PRESETS = Path(__file__).parent.parent / "presets"


class ConfigError(EvoError):
    """A key, value or path of a configuration that cannot be; names the file, the key, what was found, what may be."""


def presets() -> list[str]:
    """The names that ``--config`` knows."""
    return sorted(path.stem for path in PRESETS.glob("*.toml"))


def load(name_or_file: str, overrides: Sequence[str] = ()) -> StudyConfig:
    """The settings of a preset or a TOML file, with ``section.key=value`` overrides applied.

    Raises:
        ConfigError: no such preset or file, no TOML, an unknown key, or a value that cannot be.
    """
    path = _locate(name_or_file)
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as TOML: {error}") from None
    data, renamed = _renewed(given, str(path))
    _remark(renamed)
    _override(data, overrides)
    return check(data, str(path))


def check(data: Mapping[str, Any], source: str) -> StudyConfig:
    """``data`` as settings, keys of the release before among them; ``source`` is what errors call it.

    Raises:
        ConfigError: as ``load``.
    """
    data, _ = _renewed(data, source)
    try:
        return StudyConfig.model_validate(data)
    except ValidationError as error:
        raise ConfigError("\n".join(f"{source}: {_explain(problem, data)}" for problem in error.errors())) from None


def changed(config: StudyConfig, overrides: Sequence[str], source: str) -> StudyConfig:
    """``config`` with ``section.key=value`` overrides applied; ``source`` is what errors call it.

    Raises:
        ConfigError: as ``load``.
    """
    data = config.model_dump(mode="json")
    _override(data, overrides)
    return check(data, source)


def _locate(name_or_file: str) -> Path:
    preset = PRESETS / f"{name_or_file}.toml"
    if name_or_file in presets():
        return preset
    if os.path.isfile(name_or_file):
        return Path(name_or_file)
    raise ConfigError(f"--config {name_or_file!r}: no such preset or file; presets: {', '.join(presets())}")


def _renewed(data: Mapping[str, Any], source: str) -> tuple[dict[str, Any], dict[str, str]]:
    """``renewed``; a plugin's own keys keep their names."""
    try:
        return renewed(data, lambda key: _is_key(key, data))
    except BothGivenError as error:
        raise ConfigError(f"{source}: {error}") from None


def _override(data: dict[str, Any], overrides: Sequence[str]) -> None:
    """Set what ``section.key=value`` says, one after the other."""
    given: dict[str, str] = {}
    for override in overrides:
        key, value = _parsed(override)
        name = present_name(key, lambda key: _is_key(key, data))
        if (other := given.setdefault(name, key)) != key:
            raise ConfigError(f"--set: {BothGivenError(other if key == name else key, name)}")
        if name != key:
            _remark({key: name})
        _set(data, name.split("."), value, override)


def _parsed(override: str) -> tuple[str, Any]:
    """Key and value of ``section.key=value``; what is no TOML is a string."""
    key, equals, text = override.partition("=")
    key = ".".join(part.strip() for part in key.split("."))
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


def _remark(renamed: Mapping[str, str]) -> None:
    """Say how keys are called today, each once."""
    for old, new in renamed.items():
        _note(f"note: {old} is now called {new}")


@cache
def _note(line: str) -> None:
    print(line, file=sys.stderr)


def _explain(problem: Any, data: Mapping[str, Any]) -> str:
    """One of pydantic's findings, in words: the key, what was found, what is allowed."""
    key, found = ".".join(map(str, problem["loc"])), problem["input"]
    match problem["type"]:
        case "extra_forbidden":
            allowed = sorted(
                {name for section in _sections_at(problem["loc"][:-1], data) for name in section.model_fields}
            )
            return f"unknown key {key!r} (found {found!r}); allowed there: {', '.join(allowed)}"
        case "together" | "teacher":
            return str(problem["msg"])
        case "missing":
            return f"key {key!r} is missing"
    return f"{key} is {found!r}: {problem['msg'][0].lower()}{problem['msg'][1:]}"


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
