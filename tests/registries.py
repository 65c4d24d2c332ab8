"""Registries that plugins write to, as they were: in one process, a name belongs to one file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from evo.data.datasets import DATASETS
from evo.evaluators.registry import EVALUATORS
from evo.methods.registry import METHODS
from spaces.operations import grammar
from studies import config as configs
from studies import plugins
from studies.config import study


@contextmanager
def restored() -> Iterator[None]:
    """What the body registers is forgotten after it."""
    registries: list[dict[Any, Any]] = [
        plugins._LOADED, grammar.OPERATIONS, grammar._OWNERS, study._OWNERS, EVALUATORS, METHODS, DATASETS,
        *(known for _, known in configs.CHOICES.values()),
    ]  # fmt: skip
    before = [dict(registry) for registry in registries]
    try:
        yield
    finally:
        for registry, content in zip(registries, before, strict=True):
            registry.clear()
            registry.update(content)
