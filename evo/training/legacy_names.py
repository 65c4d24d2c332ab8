"""What release 0.1 made the names of files of, so that its weights and its half-finished work are found and continued.

Its names were the sha256 of the ``repr`` of settings and spaces. The sections are frozen here as they were printed then; read
for one release, then deleted.
"""

from __future__ import annotations

from hashlib import sha256

from studies.config import Section

TRAINING = ("epochs", "batch_size", "learning_rate", "momentum", "weight_decay", "label_smoothing", "warmup")

SECTIONS: dict[str, tuple[str, ...]] = {
    "DataSection": ("name", "path", "size", "limit", "held_out", "download", "augment", "in_memory", "workers"),
    "ScratchSection": (*TRAINING, "kind", "rungs"),
    "GatesSection": ("every", "learning_rate", "cost_target", "cost_weight", "drop_below"),
    "CellsSection": (
        *TRAINING, "steps", "active", "children", "tournament", "crossover", "window", "every", "alpha_learning_rate",
        "rate", "cost_target", "cost_weight", "reference_weight", "reference_half_life", "nodes", "codes", "expansions",
        "activation",
    ),
    "OneShotSection": (
        *TRAINING, "kind", "sampling", "gates", "cells", "inherit", "zero_init", "calibration_batches", "batch_eval",
        "prefix_memory_mb",
    ),
    "TeacherSection": (*TRAINING, "model", "weights", "splits", "width", "mean", "std"),
    "BlockwiseSection": (
        "kind", "teacher", "epochs", "batch_size", "learning_rate", "decay", "weight_decay", "zero_init", "candidates",
        "calibration_batches", "held_out_batches", "batch_eval", "prefix_memory_mb",
    ),
    "TruthSection": (*TRAINING, "sample", "table"),
}  # fmt: skip
"""Class and keys of each section of release 0.1, in the order in which they were printed."""

CLASSES = {"GroundTruthSection": "TruthSection"}
"""Classes that release 0.1 called by another name."""

ATTRIBUTES = {
    "active": "parallel_cells",
    "batch_eval": "eval_batch_size",
    "codes": "edge_ops",
    "every": "update_every",
    "held_out": "validation_fraction",
    "held_out_batches": "validation_batches",
    "limit": "max_images",
    "rate": "fitness_momentum",
    "warmup": "warmup_fraction",
}
"""Keys of ``SECTIONS`` that have another name today."""


class LaterError(Exception):
    """A setting that release 0.1 did not have is in use, so it cannot have made the file."""


def legacy_digest(*parts: object, digits: int = 12) -> str | None:
    """The digest that release 0.1 made of ``parts``; None where it cannot have known them."""
    try:
        content = _legacy_repr(parts)
    except LaterError:
        return None
    return sha256(content.encode()).hexdigest()[:digits]


def _legacy_repr(part: object) -> str:
    if isinstance(part, Section):
        return _legacy_section(part)
    if isinstance(part, tuple):
        inside = ", ".join(map(_legacy_repr, part))
        return f"({inside},)" if len(part) == 1 else f"({inside})"
    if isinstance(part, list):
        return f"[{', '.join(map(_legacy_repr, part))}]"
    return repr(part)


def _legacy_section(section: Section) -> str:
    kind = CLASSES.get(type(section).__name__, type(section).__name__)
    if kind not in SECTIONS:
        raise LaterError
    values = {key: getattr(section, ATTRIBUTES.get(key, key)) for key in SECTIONS[kind]}
    known = {ATTRIBUTES.get(key, key) for key in values}
    later = type(section).model_fields.keys() - known - section.unrelated
    if any(getattr(section, name) != type(section).model_fields[name].default for name in later):
        raise LaterError
    return f"{kind}({', '.join(f'{key}={_legacy_repr(value)}' for key, value in values.items())})"
