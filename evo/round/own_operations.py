"""Operations that a configuration adds to a space, and a user's own: what is checked before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from spaces.architecture import Op
from spaces.export.python_source import not_written
from spaces.networks.build import build_operation, check_module
from spaces.operations.grammar import count_operation, owner_file
from spaces.space import SearchSpace
from studies.records import EvoError


def with_operations(space: SearchSpace, ops: Sequence[Op]) -> SearchSpace:
    """``space`` with further candidates in every layer whose shape allows them, behind those that it has.

    Raises:
        EvoError: there is no such operation, its options are wrong, or no layer can have it.
    """
    fits: dict[Op, list[bool]] = {op: [] for op in ops}
    for op in ops:
        reasons = []
        for layer in space.layers:
            try:
                count_operation(op, layer.shape)
                fits[op].append(True)
            except ValueError as error:
                fits[op].append(False)
                reasons.append(str(error))
        if not any(fits[op]):
            raise EvoError(f"space.add_operations: {reasons[0]}")
    return space.replace_layers(
        replace(
            layer,
            candidates=layer.candidates + tuple(op for op in ops if fits[op][i] and op not in layer.candidates),
        )
        for i, layer in enumerate(space.layers)
    )


def notes_on_own_operations(space: SearchSpace) -> list[str]:
    """Which of a user's own operations model.py cannot have, a line each; ONNX and torch.export take any module."""
    shapes = {op: layer.shape for layer in space.layers for op in layer.candidates + layer.pending if owner_file(op)}
    notes = []
    for op, shape in sorted(shapes.items()):
        with torch.device("meta"):
            reason = not_written(build_operation(op, shape))
        if reason:
            notes.append(f"{op}: a delivered network with it has no model.py ({reason}); ONNX and torch.export it has")
    return notes


def check_own_operations(space: SearchSpace) -> None:
    """Build a user's own operations without numbers, in every shape that the space has for them, before anything is trained.

    Raises:
        EvoError: a module gives another shape than it should, or has other parameters than were counted.
    """
    own = {
        (op, layer.shape)
        for layer in space.layers
        for op in layer.candidates + layer.pending
        if owner_file(op) is not None
    }
    for op, shape in sorted(own, key=str):
        try:
            check_module(op, shape)
        except (ValueError, RuntimeError) as error:
            raise EvoError(f"{owner_file(op)}: {error}") from error
