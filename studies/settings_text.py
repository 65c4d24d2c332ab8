"""Values of settings as TOML text: the form in which overrides are given, ``search.evaluations=32``."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from os import PathLike, fspath
from typing import Any

from studies.records import EvoError


def override_text(key: str, value: Any) -> str:
    """A setting and its value as ``section.key=value``.

    Raises:
        EvoError: no configuration can hold the value.
    """
    try:
        return f"{key}={toml_value(value)}"
    except TypeError as error:
        raise EvoError(f"setting {key!r}: {error}") from None


def toml_value(value: Any) -> str:
    """A value as TOML writes it: texts and paths, numbers (numpy's, too), truth values, lists, tables.

    Raises:
        TypeError: TOML has nothing for it.
    """
    match value:
        case bool():
            return str(value).lower()
        case str() | PathLike():
            return json.dumps(fspath(value), ensure_ascii=False).replace("\x7f", "\\u007f")
        case Integral():
            return str(int(value))
        case Real():
            number = float(value)
            return repr(number) if math.isfinite(number) else str(number)
        case Mapping():
            return "{" + ", ".join(f"{toml_value(str(key))} = {toml_value(item)}" for key, item in value.items()) + "}"
        case Sequence():
            return "[" + ", ".join(map(toml_value, value)) + "]"
    raise TypeError(
        f"expected a text, a number, true, false, a list or a table, found {value!r}; leave it out for its default"
    )
