"""Reference: every key of a configuration, from the models that check it; and the presets."""

from __future__ import annotations

import json
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from docs.hooks.markdown import block, code, prose, table
from studies.config import CHOICES, PRESETS, StudyConfig, presets

INTRODUCTION = """# Settings

A configuration is a TOML file: `python -m evo.round 3 --config mine.toml`. One key alone is changed with
`--set section.key=value`. All settings are validated before anything runs; an error names the file, the key, the value that
was found and the allowed values. [Presets](presets.md) are configurations that come with the program.

A *number, or a list of numbers* is one value for all rounds, or a list with one value per round, whose last entry repeats. With
`evaluator.kind = "blockwise"` the list has one value per block.
"""

KINDS = {"integer": "whole number", "number": "number", "string": "text", "boolean": "`true` or `false`"}
BOUNDS = {"minimum": "at least", "exclusiveMinimum": "more than", "maximum": "at most", "exclusiveMaximum": "less than"}


def page() -> str:
    """The page of settings, as Markdown."""
    top = {name: field for name, field in StudyConfig.model_fields.items() if not models_of(field.annotation)}
    parts = [INTRODUCTION, "## Top level", prose(StudyConfig.__doc__), keys(StudyConfig, "", top)]
    for name, field in StudyConfig.model_fields.items():
        if name in CHOICES:
            parts += [f"## [{name}]", *by_choice(name)]
        elif models := models_of(field.annotation):
            parts += [f"## [{name}]", *section(models[0], f"{name}.")]
    return "\n\n".join(part for part in parts if part) + "\n"


def by_choice(name: str) -> Iterator[str]:
    """A section whose keys depend on one of them: a heading and a table for each of its kinds."""
    key, known = CHOICES[name]
    alike: dict[type[BaseModel], list[str]] = defaultdict(list)
    for value, model in known.items():
        alike[model].append(value)
    yield f"Its keys depend on `{name}.{key}`: {', '.join(map(code, known))}."
    for model, values in alike.items():
        if len(alike) > 1:
            yield f"### {name}.{key} = {', '.join(json.dumps(value) for value in values)}"
        yield from section(model, f"{name}.")


def section(model: type[BaseModel], prefix: str) -> Iterator[str]:
    """What a section is, its keys, and the sections inside it."""
    yield prose(model.__doc__)
    inner = {name: models_of(field.annotation) for name, field in model.model_fields.items()}
    yield keys(model, prefix, {name: field for name, field in model.model_fields.items() if not inner[name]})
    for name, models in inner.items():
        for nested in models:
            yield f"#### [{prefix}{name}]"
            yield from section(nested, f"{prefix}{name}.")


def keys(model: type[BaseModel], prefix: str, fields: Mapping[str, FieldInfo]) -> str:
    """A table of some of a model's keys."""
    schema = model.model_json_schema(mode="validation")
    rows = [
        [code(prefix + name), spelled(schema["properties"][name]), default(field), prose(field.description)]
        for name, field in fields.items()
    ]
    return table(["key", "type", "default", "what it does"], rows)


def spelled(schema: Mapping[str, Any]) -> str:
    """A JSON schema in words."""
    if "anyOf" in schema:
        choices = [choice for choice in schema["anyOf"] if choice.get("type") != "null"]
        if _per_round(choices):
            return "number, or a list of numbers"
        return " or ".join(map(spelled, choices))
    if "const" in schema:
        return code(json.dumps(schema["const"]))
    if "enum" in schema:
        return "one of " + ", ".join(code(json.dumps(choice)) for choice in schema["enum"])
    if schema.get("type") == "array":
        return _list(schema)
    if "type" not in schema:
        return "any value"
    if schema["type"] == "integer" and schema.get("exclusiveMinimum") == 0:
        schema = {"minimum": 1, **{key: value for key, value in schema.items() if key != "exclusiveMinimum"}}
    bounds = [f"{word} {_number(schema[bound])}" for bound, word in BOUNDS.items() if bound in schema]
    pattern = [f"that matches `{schema['pattern']}`"] if "pattern" in schema else []
    return ", ".join([KINDS.get(schema["type"], schema["type"]), *bounds, *pattern])


def _number(bound: float) -> str:
    return f"{bound:,.0f}" if bound == int(bound) else f"{bound:g}"


def _per_round(choices: list[Mapping[str, Any]]) -> bool:
    return sorted(choice.get("type", "") for choice in choices) == ["array", "number"]


def _list(schema: Mapping[str, Any]) -> str:
    if "prefixItems" in schema:
        return "[" + ", ".join(map(spelled, schema["prefixItems"])) + "]"
    return f"list of: {spelled(schema.get('items', {}))}"


def default(field: FieldInfo) -> str:
    """A key's default, as TOML has it."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    return "not set" if value is None else code(json.dumps(value))


def models_of(annotation: Any) -> list[type[BaseModel]]:
    """The sections that a field's type speaks of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for member in get_args(annotation) for model in models_of(member)]


PRESETS_INTRODUCTION = """# Presets

A preset is a configuration that comes with the program: `python -m evo.round 3 --config NAME`. Yours has the same form:
`--config mine.toml`. What each key means stands in [Settings](settings.md).
"""


def presets_page() -> str:
    """The page of presets, as Markdown."""
    texts = {name: (PRESETS / f"{name}.toml").read_text(encoding="utf-8") for name in presets()}
    rows = [[f"[`{name}`](#{name})", *summary(text)] for name, text in texts.items()]
    parts = [PRESETS_INTRODUCTION, table(["preset", "what it is", "evaluator", "method"], rows)]
    for name, text in texts.items():
        parts += [f"## {name}", block(text, "toml")]
    return "\n\n".join(parts) + "\n"


def summary(text: str) -> list[str]:
    """A preset's first comment, its evaluator and its method."""
    comment = text.split("\n", 1)[0].removeprefix("#").strip()
    settings = tomllib.loads(text)
    return [comment, *(code(settings[name][CHOICES[name][0]]) for name in ("evaluator", "evolution"))]
