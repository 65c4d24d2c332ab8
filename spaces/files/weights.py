"""Files of weights that know their own sha256: safetensors whose header holds facts (JSON) and a digest of everything.

A file that was truncated, or in which a bit has flipped, is detected when it is read. Nothing is ever unpickled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from spaces.errors import SpaceError

Facts = dict[str, Any]

KEY, DIGEST = "evo", "sha256"
"""The header's only entry (safetensors shuffles entries: the same content shall give the same bytes), and one in it."""


def header_bytes(tensors: Mapping[str, Tensor], facts: Facts) -> dict[str, str]:
    """What stands in the header of a file of these ``tensors`` (contiguous, on the CPU)."""
    return {KEY: json.dumps(facts | {DIGEST: _digest(tensors, facts)})}


def read_weights(path: str | Path) -> tuple[dict[str, Tensor], Facts]:
    """A file's tensors and facts. One without a digest (another program's, or an older one's) is taken as it is.

    Raises:
        SpaceError: it is no safetensors file, is cut short, or its content is not what its digest says.
    """
    try:
        tensors = load_file(path)
        with safe_open(str(path), "pt") as file:
            facts: Facts = json.loads((file.metadata() or {}).get(KEY, "{}"))
        expected = facts.pop(DIGEST, None)
    except (SafetensorError, UnicodeDecodeError, json.JSONDecodeError, AttributeError, TypeError) as error:
        raise SpaceError(f"it cannot be read ({str(error).splitlines()[0]})") from None
    if expected is not None and (actual := _digest(tensors, facts)) != expected:
        raise SpaceError(f"its sha256 should be {expected[:12]} and is {actual[:12]}")
    return tensors, facts


def _digest(tensors: Mapping[str, Tensor], facts: Facts) -> str:
    """sha256 of names, types, shapes, numbers and facts."""
    digest = sha256(json.dumps(facts, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(repr((name, str(tensor.dtype), tuple(tensor.shape))).encode())
        digest.update(tensor.detach().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
