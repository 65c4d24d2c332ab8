"""Files of weights, as other programs write them: safetensors, or what ``torch.save`` made of tensors. Nothing is ever run."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from spaces.errors import SpaceError
from spaces.files.weights import read_weights

INSIDE = ("state_dict", "model", "model_state_dict", "module", "state_dict_ema")
"""Under which of these a training's checkpoint may hold the weights, beside an optimiser and the like."""

PREFIXES = ("module.", "model.", "_orig_mod.")
"""What wrappers of a network put in front of the names of its tensors."""


def read_checkpoint_file(path: str | Path) -> dict[str, Tensor]:
    """Name -> tensor, on the CPU.

    Raises:
        SpaceError: there is no such file, it is no file of weights or is damaged, or it holds anything but tensors; then
            nothing of it was run.
    """
    path = Path(path)
    if not path.is_file():
        raise SpaceError(f"no file {path}: expected weights, as safetensors or as torch.save writes a state_dict")
    if path.suffix == ".safetensors":
        try:
            return _without_prefix(read_weights(path)[0])
        except SpaceError as error:
            raise SpaceError(f"{path} is no file of weights: {error}") from None
    return _without_prefix(_tensors_in(_load_safely(path), path))


def _load_safely(path: Path) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (
        pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, IndexError, TypeError, AttributeError,
        AssertionError, OSError, MemoryError, OverflowError, UnicodeDecodeError, zipfile.BadZipFile, ModuleNotFoundError,
    ) as error:  # fmt: skip
        more = (
            "it holds more than tensors" if "weights_only" in str(error).lower() else "it is damaged, or no such file"
        )
        raise SpaceError(
            f"{path} cannot be read as weights ({more}): expected safetensors, or what torch.save(network.state_dict(), FILE) "
            "writes"
        ) from None


def _tensors_in(content: object, path: Path) -> dict[str, Tensor]:
    """The mapping of names to tensors in what a checkpoint holds."""
    for name in INSIDE:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
            break
    if not isinstance(content, Mapping) or not content:
        raise SpaceError(f"{path} holds {type(content).__name__}: expected tensors by name, a network's state_dict")
    if wrong := [str(name) for name, value in content.items() if not isinstance(value, Tensor)]:
        raise SpaceError(f"{path} holds {wrong[0]!r}, which is no tensor: expected a network's state_dict")
    return {str(name): value for name, value in content.items()}


def _without_prefix(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in PREFIXES:
        if tensors and all(name.startswith(prefix) for name in tensors):
            return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors
