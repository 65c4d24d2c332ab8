"""Weights and progress on the disk: written whole or not at all, verified whenever they are read, never lost in silence."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save
from torch import Tensor

from evo.console import warn
from spaces.files import weights
from spaces.files.weights import Facts
from studies.records import EvoError

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What a system says when no more can be written: the disk is full, a quota used up, a file as large as it may be."""


class DamagedError(EvoError):
    """A file that is missing, or is not what was written."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(path, why)
        self.path, self.why = path, why

    def __str__(self) -> str:
        return f"{self.path} {self.why}"


def write_checkpoint(tensors: Mapping[str, Tensor], path: Path, facts: Facts, keep: bool = False) -> None:
    """A safetensors file that is either whole or not there; ``facts`` (JSON) stand in its header, with a digest of it all.

    The same content gives the same bytes. ``keep``: what is there now is kept as ``previous_path(path)``.

    Raises:
        EvoError: the disk is full; what was there before is still there.
    """
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    draft = path.with_suffix(".draft")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(
            save(kept, weights.header_bytes(kept, facts))
        )  # save_file, when killed, leaves a draft of its own
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        if keep and path.exists():
            path.replace(previous_path(path))
        draft.replace(path)
    except (SafetensorError, OSError) as error:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        if _errno_of(error) in DISK_FULL:
            raise EvoError(_disk_full_message(path, sum(tensor.nbytes for tensor in kept.values()))) from None
        raise EvoError(f"{path} cannot be written: {error}") from None


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], Facts]:
    """What ``write_checkpoint`` wrote.

    Raises:
        DamagedError: it is not there, or no longer that.
    """
    try:
        tensors, facts = weights.read_weights(path)
    except FileNotFoundError:
        raise DamagedError(path, "is missing") from None
    except (ValueError, OSError) as error:
        raise DamagedError(path, f"is damaged: {error}") from None
    if not facts:
        raise DamagedError(path, "is damaged: its header is empty")
    return tensors, facts


def share_checkpoint(draft: Path, path: Path) -> None:
    """Move a finished file, in one step, to where other runs find it; one of them may have put the same there before."""
    if path.exists() and draft.samefile(path):
        return
    if is_intact(path):
        draft.unlink()
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    draft.replace(path)


def is_intact(path: Path) -> bool:
    """Whether a file is there and is what was written. A damaged one is told of and set aside, to be made again."""
    if not path.exists():
        return False
    try:
        read_checkpoint(path)
    except DamagedError as damage:
        quarantine(damage)
        return False
    return True


def first_intact(*paths: Path) -> Path | None:
    """The first of some files that is there and is what was written; None: none is."""
    return next(filter(is_intact, paths), None)


def quarantine(damage: DamagedError) -> None:
    """Rename a damaged file to ``....damaged``, and say so."""
    number = 1
    while (place := damage.path.with_name(f"{damage.path.name}.damaged{f'-{number}' if number > 1 else ''}")).exists():
        number += 1
    aside = ""
    if damage.path.exists():
        damage.path.replace(place)
        aside = f" It is kept as {place.name}."
    warn(f"{damage}.{aside} Its part of the work is done again")


def previous_path(path: Path) -> Path:
    """Where what a file held before is kept: the progress of the epoch before."""
    return path.with_name(f"{path.name}.previous")


def delete_progress(progress: Path) -> None:
    """Remove the progress of what is finished."""
    progress.unlink(missing_ok=True)
    previous_path(progress).unlink(missing_ok=True)


def _errno_of(error: Exception) -> int | None:
    """The system's number of an error; safetensors has it in its words."""
    if isinstance(error, OSError):
        return error.errno
    match = re.search(r"os error (\d+)", str(error))
    return int(match[1]) if match else None


def _disk_full_message(path: Path, needed: int) -> str:
    free = shutil.disk_usage(path.parent).free
    return (
        f"{path} cannot be written: the disk is full, or a limit is reached. Needed: {needed / 1e6:.1f} MB; free: "
        f"{free / 1e6:.1f} MB. Make room and run the same command again: it continues from what was written before"
    )
