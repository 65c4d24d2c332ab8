"""Keys that had another name in release 0.1. They are read for one release; then this file goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from studies.records import EvoError

RENAMED = {
    "truth": "ground_truth",
    "search.trials": "search.evaluations",
    "search.screen": "search.surrogate",
    "search.seconds": "search.time_limit_seconds",
    "search.convention": "search.macs_convention",
    "data.held_out": "data.validation_fraction",
    "data.limit": "data.max_images",
    "evaluator.batch_eval": "evaluator.eval_batch_size",
    "evaluator.held_out_batches": "evaluator.validation_batches",
    "evaluator.warmup": "evaluator.warmup_fraction",
    "evaluator.teacher.warmup": "evaluator.teacher.warmup_fraction",
    "evaluator.gates.every": "evaluator.gates.update_every",
    "evaluator.cells.warmup": "evaluator.cells.warmup_fraction",
    "evaluator.cells.rate": "evaluator.cells.fitness_momentum",
    "evaluator.cells.every": "evaluator.cells.update_every",
    "evaluator.cells.active": "evaluator.cells.parallel_cells",
    "evaluator.cells.codes": "evaluator.cells.edge_ops",
    "ground_truth.warmup": "ground_truth.warmup_fraction",
    "deliver.warmup": "deliver.warmup_fraction",
}
"""Old key -> present key. A section that was renamed stands before its keys, which are listed below its present name."""


class BothGivenError(EvoError):
    """A key is given under its old and its present name."""

    def __init__(self, old: str, new: str) -> None:
        super().__init__(f"{old} is now called {new}, and both are given: leave {old} out")


Known = Callable[[str], bool]
"""Whether a dotted key is one of today's. A plugin may call a setting of its own as a key was called before."""


def present_name(key: str, known: Known) -> str:
    """What a dotted key is called today."""
    for old, new in RENAMED.items():
        if (key == old or key.startswith(f"{old}.")) and not known(old):
            key = new + key[len(old) :]
    return key


def renewed(data: Mapping[str, Any], known: Known, section: str = "") -> tuple[dict[str, Any], dict[str, str]]:
    """Settings under their present names, and which old keys were found: old -> present.

    Args:
        section: where in a configuration ``data`` stands; empty: it is a whole one.

    Raises:
        BothGivenError: a setting is given twice.
    """
    settings: dict[str, Any] = {}
    old_keys: dict[str, str] = {}
    for key, value in data.items():
        old = f"{section}.{key}" if section else key
        new = present_name(old, known)
        name = new.rpartition(".")[2]
        if new != old:
            old_keys[old] = new
            if name in data:
                raise BothGivenError(old, new)
        if isinstance(value, Mapping):
            value, inside = renewed(value, known, new)
            old_keys |= inside
        settings[name] = value
    return settings, old_keys
